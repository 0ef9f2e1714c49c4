"""Cutouts from a folder of AllWISE Atlas images."""

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits

from astro_iicnet.allwise.bands import zero_points
from astro_iicnet.cutouts.atlas import AtlasImage, read_atlas_images, unit_vectors
from astro_iicnet.cutouts.base import CUTOUT_SIZE, Cutouts
from astro_iicnet.cutouts.cut import cut_image
from astro_iicnet.cutouts.quality import core_is_missing
from astro_iicnet.exceptions import FileSkippedWarning, ImagesError
from astro_iicnet.labels import Status

_SUFFIXES = (".fits", ".fit", ".fits.gz", ".fit.gz", ".fits.fz")
_CHUNK = 1024  # cutouts on their way from an image into the result
_SAME_GRID = 0.01  # px


class LocalFolder:
    """Cutouts from AllWISE Atlas images in a folder: whole tiles or parts of them, in any mixture.

    Images are found in all subfolders (links to folders are not followed), and known by their header
    (BAND, COADDID, MAGZP and WCS) rather than by their name. Uncompressed files are mapped into memory,
    compressed ones read whole each time. Where images overlap, the one in which the target lies furthest
    from the edge serves, and all bands come from one tile.

    Parameters
    ----------
    path : str or pathlib.Path
        The folder.

    Raises
    ------
    ImagesError
        If it is no folder, or holds no usable Atlas image.

    Warns
    -----
    FileSkippedWarning
        For each FITS file that is damaged, or not an Atlas image, with the reason. Uncertainty and
        coverage images are passed over in silence.

    Notes
    -----
    An image whose MAGZP differs from the zero point of its band is brought to that zero point.
    """

    name = "local"
    survey = "allwise-atlas"

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        if not self.path.is_dir():
            raise ImagesError(
                f"{str(path)!r} is not a folder. Give the folder that holds the AllWISE Atlas images."
            )
        self._tiles: dict[str, list[AtlasImage]] = {}
        files = list(fits_files(self.path))
        for file in files:
            images, problems = read_atlas_images(file)
            for problem in problems:
                _warn_skipped(file, problem)
            for image in images:
                self._tiles.setdefault(image.coadd_id, []).append(image)
        if not self._tiles:
            raise ImagesError(
                f"No AllWISE Atlas image in {str(path)!r}: {len(files)} FITS files found there, none "
                "usable. Expected intensity images (such as 1210p015_ac51-w1-int-3.fits) with BAND, "
                "COADDID, MAGZP and celestial coordinates in the header."
            )

    def __repr__(self) -> str:
        n_images = sum(map(len, self._tiles.values()))
        return f"<LocalFolder {str(self.path)!r}: {n_images} images of {len(self._tiles)} tiles>"

    def fetch(self, coords: SkyCoord, bands: tuple[str, ...]) -> Cutouts:
        """Cut the pixels around each position; a row that fails gets a status, never an error.

        Parameters
        ----------
        coords : `~astropy.coordinates.SkyCoord`
            (N,) positions; NaN marks one that is not usable.
        bands : tuple of str
            Band names, as in ``("W1", "W2", "W3")``.

        Returns
        -------
        Cutouts
            N rows in the order of ``coords``. Status ``no_coverage`` where some band has no image that
            holds the position, ``retrieval_failed`` where there is one that cannot be read or whose
            bands are not on one pixel grid, ``bad_pixels`` as `core_is_missing` tells.

        Raises
        ------
        ImagesError
            If a band does not exist.

        Warns
        -----
        FileSkippedWarning
            For each file that turns out to be unreadable now; another that covers the position is tried.
        """
        magzp = zero_points(bands)
        n, size = len(coords), CUTOUT_SIZE
        cutouts = Cutouts(
            pixels=np.full((n, len(bands), size, size), np.nan, dtype=np.float32),
            offset=np.zeros((n, 2), dtype=np.float32),
            bands=tuple(bands),
            magzp=magzp,
            status=np.full(n, Status.BAD_COORDINATES, dtype=np.uint8),
            tile=np.full(n, "", dtype=f"U{max(map(len, self._tiles))}"),
        )
        position = coords.spherical
        usable = np.flatnonzero(np.isfinite(position.lon) & np.isfinite(position.lat))
        cutouts.status[usable] = Status.NO_COVERAGE
        broken: set[AtlasImage] = set()
        pending = usable
        while len(pending):
            newly_broken = self._serve(coords, pending, cutouts, broken)
            if not newly_broken:
                break
            broken |= newly_broken
            pending = np.flatnonzero(cutouts.status == Status.RETRIEVAL_FAILED)
            cutouts.pixels[pending], cutouts.offset[pending], cutouts.tile[pending] = np.nan, 0, ""
        bad = core_is_missing(cutouts.pixels, cutouts.offset) & (cutouts.status == Status.OK)
        cutouts.status[bad] = Status.BAD_PIXELS
        return cutouts

    def header(self, coadd_id: str, band: str) -> fits.Header:
        """Header of the first image of a tile in one band.

        Parameters
        ----------
        coadd_id : str
            The tile, as in "1210p015_ac51".
        band : str
            Band name.

        Returns
        -------
        `~astropy.io.fits.Header`
            The cards of the image, and those of the file's first header that it lacks.

        Raises
        ------
        ImagesError
            If the folder has no such image, or it cannot be read.
        """
        for image in self._tiles.get(coadd_id, []):
            if image.band == band:
                return image.header()
        raise ImagesError(f"No image of tile {coadd_id!r} in {band} in {str(self.path)!r}.")

    def _serve(
        self, coords: SkyCoord, rows: np.ndarray, cutouts: Cutouts, broken: set[AtlasImage]
    ) -> set[AtlasImage]:
        """Fill some rows, each from its best tile; return the images that could not be read."""
        sky = _Sky(coords[rows])
        best = np.full(len(rows), -1)
        n_bands = np.zeros(len(rows), dtype=int)
        margin = np.full(len(rows), -np.inf)
        places: list[_Place] = []
        for coadd_id, images in self._tiles.items():
            place = _place(coadd_id, [i for i in images if i not in broken], sky, cutouts.bands)
            old_bands, old_margin = n_bands[place.rows], margin[place.rows]
            better = place.n_bands > old_bands
            better |= (place.n_bands == old_bands) & (place.margin > old_margin)
            best[place.rows[better]] = len(places)
            n_bands[place.rows[better]] = place.n_bands[better]
            margin[place.rows[better]] = place.margin[better]
            places.append(place)
        newly_broken: set[AtlasImage] = set()
        for number, place in enumerate(places):
            chosen = place.only(best[place.rows] == number)
            newly_broken |= chosen.cut_into(cutouts, rows[chosen.rows])
        return newly_broken


class _Sky:
    """Positions in the frames of the images, each transformed once."""

    def __init__(self, coords: SkyCoord) -> None:
        self._coords = coords
        self._known: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def seen_by(self, image: AtlasImage) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Longitude and latitude [deg], and unit vectors, in the frame of an image."""
        if image.frame_name not in self._known:
            data = self._coords.transform_to(image.frame).spherical
            lon, lat = data.lon.deg, data.lat.deg
            self._known[image.frame_name] = lon, lat, unit_vectors(lon, lat)
        return self._known[image.frame_name]


@dataclass(frozen=True, eq=False)
class _Place:
    """Where n positions lie in the images of one tile.

    ``rows`` (n,) numbers the positions; ``image`` (B, n) is the image that serves each band, -1 where
    none does; ``xy`` (B, n, 2) [px] the position in it; ``margin`` (n,) [px] the smallest to its edge.
    """

    coadd_id: str
    images: list[AtlasImage]
    rows: np.ndarray
    image: np.ndarray
    xy: np.ndarray
    margin: np.ndarray

    @property
    def n_bands(self) -> np.ndarray:
        return (self.image >= 0).sum(axis=0)

    def only(self, which: np.ndarray) -> "_Place":
        """The same for some of the positions."""
        return _Place(
            self.coadd_id,
            self.images,
            self.rows[which],
            self.image[:, which],
            self.xy[:, which],
            self.margin[which],
        )

    def cut_into(self, cutouts: Cutouts, rows: np.ndarray) -> set[AtlasImage]:
        """Fill the rows of the result that belong to the positions; return images that failed."""
        first_band = np.argmax(self.image >= 0, axis=0)
        xy = self.xy[first_band, np.arange(len(rows))]
        offset = xy - np.floor(xy + 0.5)
        cutouts.offset[rows] = offset
        cutouts.tile[rows] = self.coadd_id
        cutouts.status[rows[self.n_bands == len(cutouts.bands)]] = Status.OK
        failed = set()
        for number in np.unique(self.image[self.image >= 0]):
            image = self.images[number]
            band = cutouts.bands.index(image.band)
            here = np.flatnonzero(self.image[band] == number)
            problem = _cut_band(image, cutouts, band, rows[here], self.xy[band, here] - offset[here])
            if problem:
                _warn_skipped(image.path, problem)
                failed.add(image)
        return failed


def _place(coadd_id: str, images: list[AtlasImage], sky: _Sky, bands: tuple[str, ...]) -> _Place:
    """Find the positions in the images of one tile, for each band in the one with the largest margin."""
    images = [image for image in images if image.band in bands]
    near = []
    for image in images:
        *_, vectors = sky.seen_by(image)
        near.append(np.flatnonzero(vectors @ image.centre >= image.cos_radius))
    rows = np.unique(np.concatenate([np.empty(0, dtype=int), *near]))
    chosen = np.full((len(bands), len(rows)), -1)
    xy = np.full((len(bands), len(rows), 2), np.nan)
    margin = np.full((len(bands), len(rows)), -np.inf)
    for number, (image, close) in enumerate(zip(images, near, strict=True)):
        if not len(close):
            continue
        lon, lat, _ = sky.seen_by(image)
        x, y, to_edge = image.locate(lon[close], lat[close])
        band, at = bands.index(image.band), np.searchsorted(rows, close)
        better = (to_edge >= 0) & (to_edge > margin[band, at])
        at = at[better]
        chosen[band, at], margin[band, at] = number, to_edge[better]
        xy[band, at] = np.stack([x, y], axis=1)[better]
    worst = np.where(chosen >= 0, margin, np.inf).min(axis=0)
    covered = np.any(chosen >= 0, axis=0)
    return _Place(coadd_id, images, rows, chosen, xy, worst).only(covered)


def _cut_band(
    image: AtlasImage, cutouts: Cutouts, band: int, rows: np.ndarray, middle: np.ndarray
) -> str | None:
    """Cut around middle pixels (n, 2) into one band of the result; return what went wrong, if anything."""
    try:
        pixels = image.read()
    except Exception as error:  # decoders of all kinds raise errors of all kinds
        cutouts.status[rows] = Status.RETRIEVAL_FAILED
        return f"not readable ({error})"
    scale = np.float32(10 ** (0.4 * (cutouts.magzp[band] - image.magzp)))
    problem = None
    for start in range(0, len(rows), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        cut, drift = cut_image(pixels, middle[chunk, 0], middle[chunk, 1], CUTOUT_SIZE)
        cutouts.pixels[rows[chunk], band] = cut if scale == 1 else cut * scale
        off_grid = np.any(np.abs(drift) > _SAME_GRID, axis=1)
        if off_grid.any():
            cutouts.status[rows[chunk][off_grid]] = Status.RETRIEVAL_FAILED
            problem = f"not on the pixel grid of the other bands of {image.coadd_id}"
    return problem


def fits_files(folder: Path) -> Iterator[Path]:
    """FITS files in a folder and below, in order of name; no hidden ones, no links to folders.

    Parameters
    ----------
    folder : pathlib.Path
        Where to look.

    Yields
    ------
    pathlib.Path
        A file, by the ending of its name.

    Warns
    -----
    FileSkippedWarning
        For each folder that cannot be read.
    """

    def refused(error: OSError) -> None:
        _warn_skipped(Path(error.filename), f"not readable ({error.strerror})")

    for parent, folders, files in os.walk(folder, onerror=refused):
        folders.sort()
        for name in sorted(files):
            if name.lower().endswith(_SUFFIXES) and not name.startswith("."):
                yield Path(parent, name)


def _warn_skipped(path: Path, problem: str) -> None:
    warnings.warn(f"Skipped {str(path)!r}: {problem}.", FileSkippedWarning, stacklevel=3)
