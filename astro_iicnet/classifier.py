"""The front door: positions in, the same table with classes out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from astro_iicnet.cutouts import Images, open_images
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.cutouts.none import NoImages
from astro_iicnet.exceptions import IICnetError, ImagesError
from astro_iicnet.fusion.colours import Magnitudes, from_cutouts
from astro_iicnet.fusion.origin import (
    check_needs_no_pixels,
    choose_origin,
    columns_sha256,
    find_magnitudes,
)
from astro_iicnet.inference import find_probabilities
from astro_iicnet.job import Job, run_in_memory, run_to_file
from astro_iicnet.labels import CLASSES
from astro_iicnet.photometry.measurement import measure
from astro_iicnet.priors import read_priors
from astro_iicnet.resume import new_findings
from astro_iicnet.sources import Sources, read_sources
from astro_iicnet.weights import Weights, find_weights, load_weights

Priors = Mapping[str, float] | Sequence[float]


class IICnetClassifier:
    """Tells galaxies, quasars and stars apart from their AllWISE images.

    The constructor stores; weights are loaded on first use. The network runs in float32: bfloat16
    would be faster, but then a probability could depend on the batch it was computed in. As it is,
    batch size and neighbouring rows change no probability by more than 1e-5.

    Parameters
    ----------
    weights : str or pathlib.Path, optional
        Name of weights, or path of a ``.safetensors`` file. Default: the default weights.
    device : str, default "auto"
        A torch device, as in "cpu" or "cuda:1"; "auto" is CUDA where there is one, else the CPU.
    batch_size : int, optional
        Images that go through the network at a time. Default: 32 on the CPU, 256 elsewhere.

    Raises
    ------
    IICnetError
        If ``batch_size`` is not a positive integer.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, doi:10.1088/1674-4527/acd67e

    Examples
    --------
    >>> from astro_iicnet import IICnetClassifier
    >>> classifier = IICnetClassifier()
    >>> result = classifier.classify("coords.csv", images="simulated")  # doctest: +SKIP
    """

    def __init__(
        self, weights: str | Path | None = None, *, device: str = "auto", batch_size: int | None = None
    ) -> None:
        if batch_size is not None and not (isinstance(batch_size, int | np.integer) and batch_size >= 1):
            raise IICnetError(f"batch_size is {batch_size!r}, expected an integer of at least 1.")
        self.weights = weights
        self.device = device
        self.batch_size = batch_size

    def __repr__(self) -> str:
        weights = None if self.weights is None else str(self.weights)
        name = type(self).__name__
        return f"{name}(weights={weights!r}, device={self.device!r}, batch_size={self.batch_size})"

    @property
    def classes_(self) -> np.ndarray:
        """(3,) str, the classes in the order of the probability columns."""
        return np.array(CLASSES)

    @cached_property
    def weights_(self) -> Weights:
        """The loaded weights, on the device."""
        import torch

        from astro_iicnet.models.device import choose_device

        device = choose_device(self.device)
        weights = load_weights(self.weights)
        weights.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        weights.preprocess.to(device)
        return weights

    def predict_proba(self, cutouts: Cutouts, *, average: bool = False) -> np.ndarray:
        """Probabilities of the classes, from pixels in hand.

        Parameters
        ----------
        cutouts : Cutouts
            N sources with at least the bands that the weights need.
        average : bool, default False
            Mean of the probabilities of each image in its eight orientations (turned by right
            angles, and mirrored). It takes eight times as long, and gains little where the network was
            trained on all orientations, as the default weights were: see :doc:`/accuracy`.

        Returns
        -------
        numpy.ndarray
            (N, 3) float32 in the order of `classes_`, rows summing to 1; NaN where the status is
            not ok or too many central pixels are missing.

        Raises
        ------
        ImagesError
            If a band is missing.
        WeightsError
            If the weights cannot be loaded.
        """
        cutouts = self._select_bands(cutouts)
        magnitudes = from_cutouts(cutouts) if "magnitudes" in self.weights_.inputs else None
        return self._predict(cutouts, magnitudes, average)[0]

    def predict(self, cutouts: Cutouts, *, average: bool = False) -> np.ma.MaskedArray:
        """The most probable class of each source.

        Parameters
        ----------
        cutouts : Cutouts
            See `predict_proba`.
        average : bool, default False
            See `predict_proba`.

        Returns
        -------
        numpy.ma.MaskedArray
            (N,) str, masked where the class is unknown.

        Raises
        ------
        ImagesError, WeightsError
            As `predict_proba`.
        """
        probabilities = self.predict_proba(cutouts, average=average)
        best = np.nan_to_num(probabilities).argmax(axis=1)
        return np.ma.MaskedArray(self.classes_[best], mask=np.isnan(probabilities[:, 0]))

    def classify(
        self,
        table: Any,
        *,
        images: "Images | None" = "irsa",
        ra: str | None = None,
        dec: str | None = None,
        priors: Priors | None = None,
        average: bool = False,
        coverage: float | None = None,
        magnitudes: str | None = None,
        progress: bool = True,
        allow_other_survey: bool = False,
    ) -> Table:
        """Classify a list of sources.

        Parameters
        ----------
        table : `~astropy.table.Table`, `~astropy.coordinates.SkyCoord`, pandas.DataFrame, path or Sources
            Positions, see `~astro_iicnet.sources.read_sources`.
        images : str, pathlib.Path, CutoutSource, list of these or None, default "irsa"
            Where the pixels come from: a name, a folder of FITS files, or an object with
            ``fetch``; see `~astro_iicnet.cutouts.open_images`. Those in a list are tried one after
            the other, and the column ``iicnet_images`` says which one served a row. None: no pixels
            are fetched; for weights that look at magnitudes alone, and have them from catalogue or
            columns. Then all flags but ``low confidence`` are unset.
        ra, dec : str, optional
            Columns that hold the position. Default: those under the usual names.
        priors : mapping of str to float or sequence of float, optional
            Fraction of each class among these sources. Default: those of the training set. The
            probabilities are multiplied by prior over training fraction and normalised, see
            `~astro_iicnet.priors.reweight`.
        average : bool, default False
            Average over the eight orientations of each image, see `predict_proba`: the network takes
            eight times as long.
        coverage : float, optional
            Add the column ``iicnet_set``: the classes that the source may have, such that of the
            sources of each class this fraction has its own among them, as in 0.95. That holds for
            sources like those of the calibration, whatever the class fractions: the sets do not
            depend on ``priors``. Not with ``average``, nor with magnitudes that are not measured on the
            cutouts. See `~astro_iicnet.prediction_sets.prediction_sets`. Default: no such column.
        magnitudes : {"cutouts", "catalog", "columns"}, optional
            Where weights that look at magnitudes have them from: measured on the cutouts (the default
            for these weights), the AllWISE catalogue by position
            (`~astro_iicnet.fusion.catalogue.from_catalogue`), or the columns of the table
            (`~astro_iicnet.fusion.colours.from_table`). A row of which nothing is known is
            ``missing_magnitudes``; a missing band or an upper limit is no obstacle.
        progress : bool, default True
            Show progress on stderr.
        allow_other_survey : bool, default False
            Take images of a survey that the weights were not trained on.

        Returns
        -------
        `~astropy.table.Table`
            All rows and columns of ``table`` in their order, then class, probabilities, status
            and flags, see `~astro_iicnet.results.make_results`; ``meta["astro_iicnet"]`` says
            how they came about.

        Raises
        ------
        SourcesError
            If the list cannot be understood, or a column has the name of a result.
        ImagesError
            If the images cannot be used.
        WeightsError
            If the weights cannot be loaded, or have no table for prediction sets.
        IICnetError
            If priors, coverage or device make no sense.

        Warns
        -----
        RetrievalWarning
            If images of another survey are taken.
        """
        return run_in_memory(
            self._prepare(
                table, images, ra, dec, priors, average, coverage, magnitudes, progress, allow_other_survey
            )
        )

    def classify_file(
        self,
        input: str | Path,
        output: str | Path,
        *,
        images: "Images | None" = "irsa",
        ra: str | None = None,
        dec: str | None = None,
        priors: Priors | None = None,
        average: bool = False,
        coverage: float | None = None,
        magnitudes: str | None = None,
        progress: bool = True,
        allow_other_survey: bool = False,
        overwrite: bool = False,
        resume: bool = False,
        retry_failed: bool = False,
        chunk_size: int | None = None,
    ) -> Table:
        """Classify a list in a file and write the result to another.

        That the output can be written, in a format that holds the columns of the list, is checked
        before the work starts. What is found is kept chunk by chunk in a folder beside the output,
        called as the output with ``.partial`` at the end, until the output is complete and in its
        place: a run that was killed goes on where it was, and ends with the table of a run that was
        not.

        Parameters
        ----------
        input : str or pathlib.Path
            A table in any format that astropy reads.
        output : str or pathlib.Path
            Where the result goes; the ending says the format, as in ``.fits`` or ``.ecsv``.
        images, ra, dec, priors, average, coverage, magnitudes, progress, allow_other_survey
            See `classify`.
        overwrite : bool, default False
            Start anew, in place of the output or the unfinished run that is there.
        resume : bool, default False
            Do only what an earlier run has not done; if there was none, all. Weights, images,
            positions, ``average``, ``magnitudes`` and chunk size must be those of that run, and magnitudes
            in the columns too if they are looked at; priors, coverage and other columns may change.
        retry_failed : bool, default False
            With ``resume``: do again the rows whose images could not be had (``retrieval_failed``; with a
            folder of images ``no_coverage`` too), of an unfinished run or of a finished output. That
            output must be in a format that keeps the provenance: FITS, ECSV, Parquet or VOTable.
        chunk_size : int, optional
            Sources at a time. Default: 2048, without images 20,000, or that of the run that goes on.

        Returns
        -------
        `~astropy.table.Table`
            What was written.

        Raises
        ------
        IICnetError
            As `classify`, or if the output cannot be written, there is one already, another run is
            writing it, or an earlier run cannot be resumed with these arguments.

        Warns
        -----
        RetrievalWarning
            As `classify`.
        """

        def prepare() -> Job:
            return self._prepare(
                input, images, ra, dec, priors, average, coverage, magnitudes, progress, allow_other_survey
            )

        return run_to_file(
            prepare,
            output,
            overwrite=overwrite,
            resume=resume,
            retry_failed=retry_failed,
            chunk_size=chunk_size,
        )

    def _prepare(
        self,
        table: Any,
        images: "Images | None",
        ra: str | None,
        dec: str | None,
        priors: Priors | None,
        average: bool,
        coverage: float | None,
        magnitudes: str | None,
        progress: bool,
        allow_other_survey: bool,
    ) -> Job:
        fractions = None if priors is None else read_priors(priors)
        sources = read_sources(table, ra=ra, dec=dec)
        source = NoImages() if images is None else open_images(images)
        if "weights_" not in vars(self):
            find_weights(self.weights, progress=progress)  # as quietly as asked for, where it fetches
        weights = self.weights_
        origin = choose_origin(magnitudes, weights.name, weights.inputs, weights.bands, sources.table)
        if average and "image" not in weights.inputs:
            raise IICnetError(
                f"average=True, but the weights {weights.name!r} look at no image, which could be turned: "
                "leave it out."
            )
        if images is None:
            check_needs_no_pixels(origin, weights.name, weights.inputs)
        judge = partial(self._judge, average=average, origin=origin)
        job = Job(
            sources,
            source,
            weights.record,
            judge,
            priors=fractions,
            average=average,
            coverage=coverage,
            magnitudes=origin,
            magnitudes_sha256=columns_sha256(sources.table, weights.bands) if origin == "columns" else None,
            progress=progress,
        )
        job.check_survey(allow_other=allow_other_survey)
        return job

    def _judge(self, cutouts: Cutouts, sources: Sources, average: bool, origin: str | None) -> np.ndarray:
        """Findings (N,): probabilities, status and flags."""
        cutouts = self._select_bands(cutouts)
        findings = new_findings(cutouts.status)
        photometry = None
        if cutouts.has_pixels:
            photometry = measure(cutouts)
            findings["flags"] = photometry.flags
        magnitudes = None if origin is None else find_magnitudes(origin, sources, cutouts.bands, photometry)
        findings["probabilities"], findings["status"] = self._predict(cutouts, magnitudes, average)
        return findings

    def _predict(
        self, cutouts: Cutouts, magnitudes: Magnitudes | None, average: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (N, 3), NaN where unknown, and the status (N,)."""
        from astro_iicnet.models.device import choose_device

        return find_probabilities(
            self.weights_,
            cutouts,
            magnitudes,
            device=choose_device(self.device),
            batch_size=self.batch_size,
            average=average,
        )

    def _select_bands(self, cutouts: Cutouts) -> Cutouts:
        """The bands of the weights, in their order."""
        bands = self.weights_.bands
        if cutouts.bands == bands:
            return cutouts
        missing = [band for band in bands if band not in cutouts.bands]
        if missing:
            raise ImagesError(
                f"The weights {self.weights_.name!r} need the bands {', '.join(bands)}; "
                f"the cutouts lack {', '.join(missing)}."
            )
        columns = [cutouts.bands.index(band) for band in bands]
        return replace(
            cutouts,
            pixels=cutouts.pixels[:, columns],
            bands=bands,
            magzp=np.asarray(cutouts.magzp)[columns],
        )
