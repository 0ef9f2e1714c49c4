"""What magnitudes can do without a network: boosted trees, and the classical cuts."""

import numpy as np
from astropy.table import Table
from sklearn.ensemble import HistGradientBoostingClassifier

from astro_iicnet.experiments.networks import kept, make_predictions
from astro_iicnet.experiments.run import Run
from astro_iicnet.fusion import cuts
from astro_iicnet.fusion.colours import from_cutouts
from astro_iicnet.labels import CLASSES
from astro_iicnet.photometry.measurement import colours, measure

BANDS = ("W1", "W2", "W3")
"""Bands of the magnitudes; all are measured from the pixels that the networks see."""


def run_trees(run: Run, name: str, *, colours_only: bool) -> Table:
    """Gradient-boosted trees on photometry.

    Parameters
    ----------
    run : Run
        Sample and folder.
    name : str
        What the method is called.
    colours_only : bool
        W1-W2 and W2-W3 with their errors, instead of magnitudes, errors, S/N, fluxes, colours and
        concentrations.

    Returns
    -------
    `~astropy.table.Table`
        See `~astro_iicnet.experiments.networks.make_predictions`.
    """

    def make() -> Table:
        known, asked = (_features(run, rows, colours_only) for rows in (run.split.train, run.split.test))
        trees = HistGradientBoostingClassifier(max_iter=400, early_stopping=True, random_state=run.seed)
        trees.fit(known, run.labels[run.split.train])
        with np.errstate(divide="ignore"):
            return make_predictions(run, np.log(trees.predict_proba(asked)))

    return kept(run, name, make)


def tabulate_cuts(run: Run) -> Table:
    """Classical colour cuts for active galactic nuclei, as selections of quasars.

    Parameters
    ----------
    run : Run
        Its test set.

    Returns
    -------
    `~astropy.table.Table`
        One row per cut: ``selection``, ``n_selected``, ``completeness`` (share of the quasars that is
        selected) and ``purity`` (share of the selected that are quasars; NaN where none is).
    """
    w1, w2, w3 = from_cutouts(run.part(run.split.test, BANDS)[0]).mag.T
    quasar = run.labels[run.split.test] == CLASSES.index("quasar")
    selections = {
        "Stern 2012": cuts.stern_2012(w1, w2),
        "Mateos 2012": cuts.mateos_2012(w1, w2, w3),
        "Jarrett 2011": cuts.jarrett_2011(w1, w2, w3),
        "Assef 2018 R90": cuts.assef_2018_r90(w1, w2),
    }
    rows = []
    for name, chosen in selections.items():
        both, n = int((chosen & quasar).sum()), int(chosen.sum())
        rows.append((name, n, both / int(quasar.sum()), both / n if n else np.nan))
    return Table(rows=rows, names=("selection", "n_selected", "completeness", "purity"))


def _features(run: Run, rows: np.ndarray, colours_only: bool) -> np.ndarray:
    found = measure(run.part(rows, BANDS)[0])
    colour = colours(found)
    if colours_only:
        return np.concatenate([colour.value, colour.error], axis=1)
    everything = (colour.value, colour.error, found.mag, found.mag_err, found.snr, found.flux)
    return np.concatenate([*everything, found.concentration], axis=1)
