"""The front door: positions in, the same table with classes out."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from tqdm import tqdm

from astro_iicnet.allwise.bands import zero_points
from astro_iicnet.cutouts import open_images
from astro_iicnet.cutouts.base import Cutouts, CutoutSource
from astro_iicnet.cutouts.quality import core_is_missing
from astro_iicnet.exceptions import IICnetError, ImagesError
from astro_iicnet.labels import CLASSES, Status
from astro_iicnet.output import check_output, check_storable, write_results
from astro_iicnet.photometry.measurement import measure
from astro_iicnet.priors import read_priors, reweight
from astro_iicnet.results import check_names, make_results
from astro_iicnet.sources import Sources, read_sources
from astro_iicnet.weights import Weights, load_weights

if TYPE_CHECKING:
    from astro_iicnet.preprocessing import Preprocess

CHUNK_SIZE = 2048
"""Sources fetched and classified at a time: about 40 MB of pixels in three bands."""

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
        Images that go through the network at a time. Default: 64 on the CPU, 256 elsewhere.

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

    def predict_proba(self, cutouts: Cutouts) -> np.ndarray:
        """Probabilities of the classes, from pixels in hand.

        Parameters
        ----------
        cutouts : Cutouts
            N sources with at least the bands that the weights need.

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
        return self._predict(self._select_bands(cutouts))[0]

    def predict(self, cutouts: Cutouts) -> np.ma.MaskedArray:
        """The most probable class of each source.

        Parameters
        ----------
        cutouts : Cutouts
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
        probabilities = self.predict_proba(cutouts)
        best = np.nan_to_num(probabilities).argmax(axis=1)
        return np.ma.MaskedArray(self.classes_[best], mask=np.isnan(probabilities[:, 0]))

    def classify(
        self,
        table: Any,
        *,
        images: str | Path | CutoutSource = "irsa",
        ra: str | None = None,
        dec: str | None = None,
        priors: Priors | None = None,
        progress: bool = True,
        allow_other_survey: bool = False,
    ) -> Table:
        """Classify a list of sources.

        Parameters
        ----------
        table : `~astropy.table.Table`, `~astropy.coordinates.SkyCoord`, pandas.DataFrame, path or Sources
            Positions, see `~astro_iicnet.sources.read_sources`.
        images : str, pathlib.Path or CutoutSource, default "irsa"
            Where the pixels come from: a name, a folder of FITS files, or an object with
            ``fetch``; see `~astro_iicnet.cutouts.open_images`.
        ra, dec : str, optional
            Columns that hold the position. Default: those under the usual names.
        priors : mapping of str to float or sequence of float, optional
            Fraction of each class among these sources. Default: those of the training set. The
            probabilities are multiplied by prior over training fraction and normalised, see
            `~astro_iicnet.priors.reweight`.
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
            If the weights cannot be loaded.
        IICnetError
            If the priors or the device make no sense.
        """
        fractions = None if priors is None else read_priors(priors)
        sources = read_sources(table, ra=ra, dec=dec)
        check_names(sources.table)
        source = open_images(images)
        self._check_survey(source, allow_other_survey)
        return self._classify(sources, source, fractions, progress)

    def classify_file(
        self,
        input: str | Path,
        output: str | Path,
        *,
        images: str | Path | CutoutSource = "irsa",
        ra: str | None = None,
        dec: str | None = None,
        priors: Priors | None = None,
        progress: bool = True,
        allow_other_survey: bool = False,
        overwrite: bool = False,
    ) -> Table:
        """Classify a list in a file and write the result to another.

        That the output can be written, in a format that holds the columns of the list, is checked
        before the work starts.

        Parameters
        ----------
        input : str or pathlib.Path
            A table in any format that astropy reads.
        output : str or pathlib.Path
            Where the result goes; the ending says the format, as in ``.fits`` or ``.ecsv``.
        images, ra, dec, priors, progress, allow_other_survey
            See `classify`.
        overwrite : bool, default False
            Replace the output if it exists.

        Returns
        -------
        `~astropy.table.Table`
            What was written.

        Raises
        ------
        IICnetError
            As `classify`, or if the output cannot be written.
        """
        check_output(output, overwrite=overwrite)
        sources = read_sources(input, ra=ra, dec=dec)
        check_storable(sources.table, output, overwrite=overwrite)
        result = self.classify(
            sources, images=images, priors=priors, progress=progress, allow_other_survey=allow_other_survey
        )
        write_results(result, output, overwrite=overwrite)
        return result

    def _check_survey(self, source: CutoutSource, allowed: bool) -> None:
        survey = self.weights_.record["survey"]
        if source.survey != survey and not allowed:
            raise ImagesError(
                f"The images {source.name!r} are of the survey {source.survey!r}; the weights "
                f"{self.weights_.name!r} were trained on {survey!r}. Their classes would not be "
                "worth much: take other images or weights, or say allow_other_survey=True."
            )

    def _classify(
        self, sources: Sources, source: CutoutSource, fractions: np.ndarray | None, progress: bool
    ) -> Table:
        status = np.array(sources.status, dtype=np.uint8)
        probabilities = np.full((len(status), len(CLASSES)), np.nan, dtype=np.float32)
        flags = np.zeros(len(status), dtype=np.int16)
        usable = np.flatnonzero(status == Status.OK)
        bands = self.weights_.bands
        with tqdm(total=len(usable), unit="source", disable=not progress) as bar:
            for chunk, cutouts in _fetch_chunks(source, sources.coords[usable], bands):
                rows = usable[chunk]
                cutouts = self._select_bands(cutouts)
                probabilities[rows], status[rows] = self._predict(cutouts)
                flags[rows] = measure(cutouts).flags
                bar.update(len(rows))
        training = np.array(self.weights_.record["training_fractions"], dtype=float)
        if fractions is not None:
            probabilities = reweight(probabilities, fractions, training)
        meta = self._provenance(source, training if fractions is None else fractions)
        return make_results(sources, probabilities, status, flags, meta)

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
        return Cutouts(
            cutouts.pixels[:, columns],
            cutouts.offset,
            bands,
            np.asarray(cutouts.magzp)[columns],
            cutouts.status,
            cutouts.tile,
        )

    def _predict(self, cutouts: Cutouts) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (N, 3), NaN where unknown, and the status (N,)."""
        import torch

        from astro_iicnet.models.device import choose_device

        weights, device = self.weights_, choose_device(self.device)
        preprocess = self._preprocess(cutouts.magzp).to(device)
        temperature = float(weights.record["temperature"])
        batch_size = self.batch_size or (64 if device.type == "cpu" else 256)
        status = np.array(cutouts.status, dtype=np.uint8)
        status[(status == Status.OK) & core_is_missing(cutouts.pixels, cutouts.offset)] = Status.BAD_PIXELS
        probabilities = np.full((len(cutouts), len(CLASSES)), np.nan, dtype=np.float32)
        rows = np.flatnonzero(status == Status.OK)
        # TF32 rounds to 10 bits: probabilities would change with the batch size in the third digit.
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for start in range(0, len(rows), batch_size):
                batch = rows[start : start + batch_size]
                # Pixels of a FITS file are big-endian, which torch does not take.
                pixels = torch.from_numpy(cutouts.pixels[batch].astype(np.float32)).to(device)
                offset = torch.from_numpy(cutouts.offset[batch].astype(np.float32)).to(device)
                images = preprocess(pixels, offset).to(memory_format=torch.channels_last)
                logits = weights.model(images).float() / temperature
                probabilities[batch] = torch.softmax(logits, dim=1).cpu().numpy()
        return probabilities, status

    def _preprocess(self, magzp: np.ndarray) -> "Preprocess":
        """The preprocessing of the weights for images of these zero points."""
        from astro_iicnet.preprocessing import Preprocess

        weights = self.weights_
        # An image source without a single image does not know the zero points.
        magzp = np.where(np.isfinite(magzp), magzp, zero_points(weights.bands))
        if np.allclose(magzp, zero_points(weights.bands), rtol=0, atol=1e-4):
            return weights.preprocess
        return Preprocess(weights.preprocess.recipe, weights.bands, magzp)

    def _provenance(self, source: CutoutSource, fractions: np.ndarray) -> dict[str, Any]:
        packages = ("astro_iicnet", "astropy", "numpy", "torch")
        return {
            "weights": self.weights_.name,
            "weights_sha256": self.weights_.record["sha256"],
            "images": source.name,
            "survey": source.survey,
            "priors": {name: float(value) for name, value in zip(CLASSES, fractions, strict=True)},
            "versions": {package: version(package) for package in packages},
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def _fetch_chunks(
    source: CutoutSource, coords: SkyCoord, bands: tuple[str, ...]
) -> Iterator[tuple[slice, Cutouts]]:
    """Chunks in order; the next one is fetched while the caller works on this one."""

    def fetch(start: int) -> Cutouts:
        chunk = coords[start : start + CHUNK_SIZE]
        cutouts = source.fetch(chunk, bands)
        if len(cutouts) != len(chunk):
            raise ImagesError(
                f"The images {source.name!r} brought {len(cutouts)} cutouts for {len(chunk)} positions; "
                "expected one for each."
            )
        return cutouts

    starts = range(0, len(coords), CHUNK_SIZE)
    with ThreadPoolExecutor(1, thread_name_prefix="fetch") as executor:
        pending = deque(executor.submit(fetch, start) for start in starts[:1])
        for index, start in enumerate(starts):
            cutouts = pending.popleft().result()
            pending.extend(executor.submit(fetch, later) for later in starts[index + 1 : index + 2])
            yield slice(start, start + CHUNK_SIZE), cutouts
            # Or three chunks would be alive when the next has come.
            del cutouts
