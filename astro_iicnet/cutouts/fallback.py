"""Several image sources, tried one after the other."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from astropy.coordinates import SkyCoord

from astro_iicnet.cutouts.base import Cutouts, CutoutSource
from astro_iicnet.exceptions import ImagesError
from astro_iicnet.labels import Status


class Fallback:
    """Image sources in order: what the first does not have is asked of the next.

    Parameters
    ----------
    sources : sequence of CutoutSource
        One or more.

    Attributes
    ----------
    sources : tuple of CutoutSource
        The same.
    names : tuple of str
        Their names; where a name comes again, as with two folders, it has its number: "local 2".
    name : str
        The names, as in "irsa, aws".
    survey : str
        Their survey; where they differ, all of them, as in "allwise-atlas, allwise-hips".

    Raises
    ------
    ImagesError
        If there is no source.
    """

    def __init__(self, sources: Sequence[CutoutSource]) -> None:
        if not sources:
            raise ImagesError("images is an empty list. Expected one image source or several.")
        self.sources = tuple(sources)
        self.names = _distinct([source.name for source in self.sources])
        self.name = ", ".join(self.names)
        self.survey = ", ".join(dict.fromkeys(source.survey for source in self.sources))

    def __repr__(self) -> str:
        return f"<Fallback: {self.name}>"

    def fetch(
        self,
        coords: SkyCoord,
        bands: tuple[str, ...],
        progress: Callable[[int, int], None] | None = None,
    ) -> Cutouts:
        """Fetch the pixels around each position from the first source that has them.

        Parameters
        ----------
        coords : `~astropy.coordinates.SkyCoord`
            (N,) positions; NaN marks one that is not usable.
        bands : tuple of str
            Band names, as in ``("W1", "W2", "W3")``.
        progress : callable, optional
            Called with the numbers of rows done and of those among them that are ``retrieval_failed``,
            since it was called last. A row has failed only when the last source has.

        Returns
        -------
        Cutouts
            N rows in the order of ``coords``; ``served_by`` names the source whose pixels a row has.
            A row that no source could serve keeps what the first one said of it; but where that is
            ``no_coverage`` and a later one failed, it is ``retrieval_failed``, for it may be had later.

        Raises
        ------
        ImagesError
            If a source raises it, or brings cutouts of another size.
        """
        tally = _Tally(len(coords), progress)
        last = self.names[-1]
        cutouts = tally.fetch_from(
            self.sources[0], self.names[0], coords, bands, is_last=self.names[0] == last
        )
        for source, name in zip(self.sources[1:], self.names[1:], strict=True):
            settled = (cutouts.status == Status.OK) | (cutouts.status == Status.BAD_COORDINATES)
            rows = np.flatnonzero(~settled)
            if not len(rows):
                break
            later = tally.fetch_from(source, name, coords[rows], bands, is_last=name == last)
            if later.pixels.shape[1:] != cutouts.pixels.shape[1:]:
                raise ImagesError(
                    f"Image sources {self.name}: cutouts of {later.pixels.shape[-1]} px from "
                    f"{name!r}, expected {cutouts.pixels.shape[-1]} px as from the first."
                )
            better = later.status == Status.OK
            if better.any():
                cutouts = _put(cutouts, rows[better], later[better])
            lost = rows[later.status == Status.RETRIEVAL_FAILED]
            if (uncovered := lost[cutouts.status[lost] == Status.NO_COVERAGE]).size:
                status = cutouts.status.copy()
                status[uncovered] = Status.RETRIEVAL_FAILED
                cutouts = replace(cutouts, status=status)
        tally.finish(cutouts)
        return cutouts


class _Tally:
    """Reports each row once, though several sources may be asked for it."""

    def __init__(self, n: int, progress: Callable[[int, int], None] | None) -> None:
        self._progress = progress
        self._n_waiting = n
        self._n_failed = 0

    def fetch_from(
        self,
        source: CutoutSource,
        name: str,
        coords: SkyCoord,
        bands: tuple[str, ...],
        *,
        is_last: bool,
    ) -> Cutouts:
        if self._progress is None or "progress" not in inspect.signature(source.fetch).parameters:
            return _signed(name, source.fetch(coords, bands))

        def report(n_done: int, n_failed: int) -> None:
            self._report(n_done if is_last else n_done - n_failed, n_failed if is_last else 0)

        return _signed(name, source.fetch(coords, bands, progress=report))  # type: ignore[call-arg]

    def finish(self, cutouts: Cutouts) -> None:
        """Report what no source has reported."""
        n_failed = int(np.count_nonzero(cutouts.status == Status.RETRIEVAL_FAILED))
        self._report(self._n_waiting, max(0, n_failed - self._n_failed))

    def _report(self, n_done: int, n_failed: int) -> None:
        n_done = min(n_done, self._n_waiting)  # a source may take for done what another is asked for
        self._n_waiting -= n_done
        self._n_failed += n_failed
        if self._progress is not None:
            self._progress(n_done, n_failed)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each its own: what comes again gets its number."""
    times = [list(names[:place]).count(name) for place, name in enumerate(names)]
    return tuple(f"{name} {n + 1}" if n else name for name, n in zip(names, times, strict=True))


def _signed(name: str, cutouts: Cutouts) -> Cutouts:
    """The same with the name of the source; one that is made of others knows better itself."""
    known = cutouts.served_by.astype(object)
    names = np.where(known == "", name, known)
    arrived = np.isin(cutouts.status, (Status.OK, Status.BAD_PIXELS))
    return replace(cutouts, served_by=np.where(arrived, names, "").astype(str))


def _put(cutouts: Cutouts, rows: np.ndarray, later: Cutouts) -> Cutouts:
    """The same with some rows from a later source, at the zero points of the first."""
    pixels, offset, status = cutouts.pixels.copy(), cutouts.offset.copy(), cutouts.status.copy()
    pixels[rows] = later.at_zero_points(cutouts.magzp).pixels
    offset[rows], status[rows] = later.offset, later.status
    tile, served_by = cutouts.tile.astype(object), cutouts.served_by.astype(object)
    tile[rows], served_by[rows] = later.tile, later.served_by
    return replace(
        cutouts,
        pixels=pixels,
        offset=offset,
        status=status,
        tile=tile.astype(str),
        served_by=served_by.astype(str),
    )
