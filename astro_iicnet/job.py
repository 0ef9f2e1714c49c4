"""A list to be classified: chunk by chunk, in memory or with a journal beside the output."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Column, Table

from astro_iicnet.cutouts.base import Cutouts, CutoutSource
from astro_iicnet.cutouts.local import LocalFolder
from astro_iicnet.cutouts.none import NoImages
from astro_iicnet.cutouts.retrieve import CHUNK_SIZE, check_chunk_size, retrieve
from astro_iicnet.exceptions import IICnetError, ImagesError, RetrievalWarning
from astro_iicnet.fusion.origin import QUERY_SIZE
from astro_iicnet.labels import CLASSES, Status
from astro_iicnet.output import check_output, check_storable, read_results, write_results
from astro_iicnet.prediction_sets import find_thresholds, prediction_sets
from astro_iicnet.priors import reweight
from astro_iicnet.results import META_KEY, check_names, make_results
from astro_iicnet.resume import (
    Journal,
    check_same,
    new_findings,
    place_of,
    positions_sha256,
    read_findings,
)
from astro_iicnet.sources import Sources


@dataclass(frozen=True)
class Job:
    """A list to be classified, with all that its results depend on.

    Parameters
    ----------
    sources : Sources
        N sources.
    source : CutoutSource
        Whoever brings the pixels; where several are tried in turn, they are its ``sources``.
    record : dict
        Record of the weights, see `~astro_iicnet.weights.read_registry`.
    judge : callable
        Cutouts of M sources, and the sources themselves, to their findings, (M,) of dtype
        `~astro_iicnet.resume.FINDING`.
    priors : numpy.ndarray, optional
        (3,) class fractions. Default: those of the training set.
    average : bool, default False
        Whether ``judge`` averages over the orientations of an image.
    coverage : float, optional
        Coverage of the prediction sets. Default: there are none.
    magnitudes : str, optional
        Where ``judge`` has magnitudes from. Default: it does not look at any.
    magnitudes_sha256 : str, optional
        Of those in the columns of the list, where they are from there.
    progress : bool, default True
        Show progress on stderr.

    Raises
    ------
    SourcesError
        If the list has a column of the name of a result.
    IICnetError
        If there can be no sets of this coverage.
    """

    sources: Sources
    source: CutoutSource
    record: dict[str, Any]
    judge: Callable[[Cutouts, Sources], np.ndarray]
    priors: np.ndarray | None = None
    average: bool = False
    coverage: float | None = None
    magnitudes: str | None = None
    magnitudes_sha256: str | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        check_names(self.sources.table)
        if self.coverage is None:
            return
        find_thresholds(self.record, self.coverage)
        if self.average:
            raise IICnetError(
                f"coverage={self.coverage} and average=True do not go together: prediction sets are "
                "calibrated for one orientation of an image. Leave one of them out."
            )
        if self.magnitudes not in (None, "cutouts"):
            raise IICnetError(
                f"coverage={self.coverage} and magnitudes={self.magnitudes!r} do not go together: prediction "
                "sets are calibrated for magnitudes that are measured on the cutouts. Leave one of them out."
            )

    @property
    def members(self) -> tuple[CutoutSource, ...]:
        """The image sources that are tried in turn, mostly one."""
        return getattr(self.source, "sources", (self.source,))

    @property
    def images(self) -> list[str]:
        """Names of the image sources, each its own."""
        return list(getattr(self.source, "names", (self.source.name,)))

    @property
    def folders(self) -> list[str]:
        """The folders among them."""
        return [str(member.path.resolve()) for member in self.members if isinstance(member, LocalFolder)]

    @property
    def chunk_size(self) -> int:
        """Sources at a time, unless asked otherwise: without pixels as many as a query takes."""
        return QUERY_SIZE if isinstance(self.source, NoImages) else CHUNK_SIZE

    def may_come_later(self, findings: np.ndarray) -> np.ndarray:
        """Rows whose images could not be had, but may be another time.

        Parameters
        ----------
        findings : numpy.ndarray
            (N,) of dtype `~astro_iicnet.resume.FINDING`.

        Returns
        -------
        numpy.ndarray
            (N,) bool: ``retrieval_failed``, and ``no_coverage`` where a folder, which may have been
            filled since, is among the image sources.
        """
        late = [Status.RETRIEVAL_FAILED] + [Status.NO_COVERAGE] * bool(self.folders)
        return np.isin(findings["status"], late)

    @property
    def training_fractions(self) -> np.ndarray:
        """(3,) class fractions of the training set."""
        return np.array(self.record["training_fractions"], dtype=float)

    def check_survey(self, *, allow_other: bool) -> None:
        """Refuse images of a survey that the weights were not trained on.

        Parameters
        ----------
        allow_other : bool
            Warn instead.

        Raises
        ------
        ImagesError
            If an image source is of another survey.

        Warns
        -----
        RetrievalWarning
            If that is allowed.
        """
        for member in self.members:
            if member.survey == self.record["survey"]:
                continue
            facts = (
                f"The images {member.name!r} are of the survey {member.survey!r}; the weights "
                f"{self.record['name']!r} were trained on {self.record['survey']!r}."
            )
            if not allow_other:
                raise ImagesError(
                    f"{facts} Their classes would not be worth much: take other images or weights, or say "
                    "allow_other_survey=True (on the command line --allow-other-survey)."
                )
            reason = "resolution, noise or flux scale are not those that the network has learnt"
            warnings.warn(f"{facts} The classes are doubtful: {reason}.", RetrievalWarning, stacklevel=5)

    def provenance(self) -> dict[str, Any]:
        """What the results depend on, and when and with which packages they were made."""
        packages = ("astro_iicnet", "astropy", "numpy", "torch")
        fractions = self.training_fractions if self.priors is None else self.priors
        return {
            "weights": self.record["name"],
            "weights_sha256": self.record["sha256"],
            "images": self.images if len(self.images) > 1 else self.source.name,
            "folders": self.folders or None,
            "survey": self.source.survey,
            "positions_sha256": positions_sha256(self.sources.coords),
            "average": self.average,
            "coverage": self.coverage,
            "magnitudes": self.magnitudes,
            "magnitudes_sha256": self.magnitudes_sha256,
            "priors": {name: float(value) for name, value in zip(CLASSES, fractions, strict=True)},
            "versions": {package: version(package) for package in packages},
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def find(self, rows: np.ndarray, chunk_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Classify some rows of the list, chunk by chunk.

        Parameters
        ----------
        rows : numpy.ndarray
            (K,) int: which ones.
        chunk_size : int
            Sources in a chunk.

        Yields
        ------
        rows : numpy.ndarray
            (M,) int: which rows of the list these are.
        findings : numpy.ndarray
            (M,) of dtype `~astro_iicnet.resume.FINDING`.
        """
        coords, bands = self.sources.coords[rows], tuple(self.record["bands"])
        pieces = retrieve(self.source, coords, bands, chunk_size=chunk_size, progress=self.progress)
        with closing(pieces):
            for chunk, cutouts in pieces:
                findings = self.judge(cutouts, self.sources[rows[chunk]])
                findings["served_by"] = place_of(cutouts.served_by, self.images)
                # Or they would stay in memory while the next ones come.
                del cutouts
                yield rows[chunk], findings

    def results(self, findings: np.ndarray) -> Table:
        """The result table.

        Parameters
        ----------
        findings : numpy.ndarray
            (N,) of dtype `~astro_iicnet.resume.FINDING`.

        Returns
        -------
        `~astropy.table.Table`
            See `~astro_iicnet.results.make_results`.
        """
        probabilities, sets = findings["probabilities"], None
        if self.coverage is not None:
            sets = prediction_sets(probabilities, find_thresholds(self.record, self.coverage))
        if self.priors is not None:
            probabilities = reweight(probabilities, self.priors, self.training_fractions)
        served_by = np.array([*self.images, ""])[findings["served_by"]] if len(self.images) > 1 else None
        return make_results(
            self.sources,
            probabilities,
            findings["status"],
            findings["flags"],
            self.provenance(),
            served_by,
            sets,
        )


def run_in_memory(job: Job) -> Table:
    """Classify a list.

    Parameters
    ----------
    job : Job
        The list.

    Returns
    -------
    `~astropy.table.Table`
        The result table.
    """
    findings = new_findings(job.sources.status)
    for rows, found in job.find(np.flatnonzero(findings["status"] == Status.OK), job.chunk_size):
        findings[rows] = found
    return job.results(findings)


def run_to_file(
    prepare: Callable[[], Job],
    output: str | Path,
    *,
    overwrite: bool,
    resume: bool,
    retry_failed: bool,
    chunk_size: int | None,
) -> Table:
    """Classify a list into a file, so that it can be killed at any moment and resumed.

    Parameters
    ----------
    prepare : callable
        Makes the `Job`; called when it is clear that the output can be written.
    output, overwrite, resume, retry_failed, chunk_size
        See `~astro_iicnet.classifier.IICnetClassifier.classify_file`.

    Returns
    -------
    `~astropy.table.Table`
        What was written, or is there already.

    Raises
    ------
    IICnetError
        See `~astro_iicnet.classifier.IICnetClassifier.classify_file`.
    """
    _check_options(overwrite, resume, retry_failed, chunk_size)
    target = check_output(output)
    with Journal(target, resume=resume, overwrite=overwrite) as journal:
        check_output(output, overwrite=overwrite or resume)
        job = prepare()
        check_storable(job.sources.table, target)
        found = None
        if resume and journal.is_new and target.exists():
            table, found = _finished(job, target)
            before, now = table.meta[META_KEY], job.provenance()
            is_same = all(before.get(key) == now[key] for key in ("priors", "coverage"))
            is_done = not (retry_failed and job.may_come_later(found).any())
            if is_same and is_done and _has_columns(table, job.sources.table):
                return table
        findings = _go_on(job, journal, found, retry_failed, chunk_size)
        table = job.results(findings)
        write_results(table, target, overwrite=overwrite or resume, scratch=journal.folder)
    return table


def _check_options(overwrite: bool, resume: bool, retry_failed: bool, chunk_size: int | None) -> None:
    if chunk_size is not None:
        check_chunk_size(chunk_size)
    if resume and overwrite:
        raise IICnetError(
            "resume=True and overwrite=True contradict each other (on the command line --resume and "
            "--overwrite): one goes on with an earlier run, the other throws it away."
        )
    if retry_failed and not resume:
        raise IICnetError(
            "retry_failed=True does again what failed in an earlier run: say resume=True as well (on the "
            "command line --resume)."
        )


def _finished(job: Job, output: Path) -> tuple[Table, np.ndarray]:
    """A complete output of the same job, and the findings behind it."""
    table = read_results(output)
    if META_KEY not in table.meta:
        raise IICnetError(
            f"Cannot resume {output.name!r}: it is complete, and its format does not keep how it was made "
            "(FITS, ECSV, Parquet and VOTable do). To start anew say overwrite=True (on the command line "
            "--overwrite)."
        )
    check_same(table.meta[META_KEY], job.provenance(), output)
    if len(table) != len(job.sources):
        raise IICnetError(
            f"Cannot resume {output.name!r}: it has {len(table)} rows, the list has {len(job.sources)}."
        )
    return table, read_findings(table, job.images, job.training_fractions)


def _go_on(
    job: Job, journal: Journal, found: np.ndarray | None, retry_failed: bool, chunk_size: int | None
) -> np.ndarray:
    """Findings of the whole list: what is known, in the journal or else as given, and the rest."""
    if journal.is_new:
        chunk_size = chunk_size or job.chunk_size
    run = journal.begin(job.provenance() | {"chunk_size": chunk_size}, found)
    findings = new_findings(job.sources.status)
    known = journal.read(findings)
    tasks = [(findings["status"] == Status.OK) & ~known]
    if retry_failed:
        tasks.append(job.may_come_later(findings))
    # What is known is whole chunks: those of the rest are the same as in an uninterrupted run.
    for task in tasks:
        for rows, found in job.find(np.flatnonzero(task), run["chunk_size"]):
            journal.add(rows, found)
            findings[rows] = found
    return findings


def _has_columns(output: Table, given: Table) -> bool:
    """Whether an output holds the columns of a list as they are now; False where a format changed them."""
    for name in given.colnames:
        columns = [table[name] for table in (output, given) if name in table.colnames]
        if len(columns) < 2 or not all(isinstance(column, Column) for column in columns):
            return False
        one, other = (np.ma.asarray(column) for column in columns)
        known, same = (~np.ma.getmaskarray(values) for values in (one, other))
        if not np.array_equal(known, same):
            return False
        if not np.array_equal(one.data[known].astype(str), other.data[known].astype(str)):
            return False
    return True
