"""Spectra with their AllWISE source, in the random order in which a dataset takes them."""

from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord, match_coordinates_sky
from astropy.table import Table, hstack, vstack

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.fusion.xmatch import RADIUS, match_allwise
from astro_iicnet.labels import CLASSES
from astro_iicnet.training.skyserver import SDSS_CLASSES, keep_table, read_table

BATCH = 50_000
"""Positions in one cross-match, far from what its answer can hold."""

_CLOSE = 2 * (RADIUS + 0.1)
_LEAST = 20
_COLUMNS = (
    "allwise",
    "ra",
    "dec",
    "class",
    "specobjid",
    "sdss_class",
    "sdss_subclass",
    "z",
    "sdss_ra",
    "sdss_dec",
)


class Draw:
    """Spectra in random order, matched with AllWISE as far as they are needed.

    Spectra closer to each other than two radii of the match are left out: they may both find the
    same AllWISE source, whose class is then uncertain. So each AllWISE source comes once.

    Parameters
    ----------
    spectra : `~astropy.table.Table`
        See `~astro_iicnet.training.skyserver.fetch_spectra`.
    folder : pathlib.Path
        Where matches are kept, one file a round; those that are there are not asked for again.
    seed : int, default 0
        Of the order.
    """

    def __init__(self, spectra: Table, folder: Path, *, seed: int = 0) -> None:
        self._folder = folder
        self._order: dict[str, np.ndarray] = {}
        self._rounds: dict[str, list[Table]] = {}
        self._spectra = spectra
        lonely = _is_lonely(SkyCoord(spectra["ra"], spectra["dec"], unit="deg"))
        classes = np.asarray(spectra["sdss_class"])
        rng = np.random.default_rng(seed)
        for sdss_class, name in SDSS_CLASSES.items():
            rows = np.flatnonzero(lonely & (classes == sdss_class))
            self._order[name] = rng.permutation(rows)
            paths = sorted(folder.glob(f"matches-{name}-*.fits"))
            self._rounds[name] = [read_table(path) for path in paths]

    def candidates(self, name: str, n: int) -> Table:
        """The first sources of a class that have a match.

        Parameters
        ----------
        name : str
            One of `~astro_iicnet.labels.CLASSES`.
        n : int
            How many.

        Returns
        -------
        `~astropy.table.Table`
            n rows, the same first ones for any n.

        Raises
        ------
        IICnetError
            If there are not so many.
        RetrievalError
            If the cross-match fails.
        """
        rounds = self._rounds[name]
        while (found := sum(map(len, rounds))) < n:
            n_asked = self.n_asked(name)
            left = self._order[name][n_asked:]
            if not len(left):
                raise IICnetError(
                    f"Of {n_asked} spectra of the class {name} {found} have an AllWISE source, and {n} "
                    "are needed, with those for cutouts that are not whole: ask for fewer of each class."
                )
            share = (found + 1) / (n_asked + 2)
            n_next = min(int(1.1 * (n - found) / share) + _LEAST, BATCH, len(left))
            matched = self._match(name, left[:n_next])
            keep_table(matched, self._folder / f"matches-{name}-{len(rounds):04d}.fits")
            rounds.append(matched)
        return vstack(rounds, metadata_conflicts="silent")[:n]

    def n_asked(self, name: str) -> int:
        """How many spectra of a class were matched so far.

        Parameters
        ----------
        name : str
            One of `~astro_iicnet.labels.CLASSES`.

        Returns
        -------
        int
            Spectra, with a match or without.
        """
        return sum(int(table.meta["NASKED"]) for table in self._rounds[name])

    def _match(self, name: str, rows: np.ndarray) -> Table:
        spectra = self._spectra[rows]
        matches = match_allwise(SkyCoord(spectra["ra"], spectra["dec"], unit="deg"))
        spectra.rename_columns(("ra", "dec"), ("sdss_ra", "sdss_dec"))
        table = hstack([spectra[matches["row"]], matches], metadata_conflicts="silent")
        del table["row"]
        table["class"] = np.full(len(table), name, dtype=f"U{max(map(len, CLASSES))}")
        rest = [column for column in table.colnames if column not in _COLUMNS]
        table = table[[*_COLUMNS, *rest]]
        table.meta = {"NASKED": len(rows)}
        return table


def _is_lonely(coords: SkyCoord) -> np.ndarray:
    if len(coords) < 2:
        return np.ones(len(coords), dtype=bool)
    _, separation, _ = match_coordinates_sky(coords, coords, nthneighbor=2)
    return separation.arcsec > _CLOSE
