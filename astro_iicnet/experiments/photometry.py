"""What magnitudes can do without a network: boosted trees, and the classical cuts."""

from collections.abc import Callable

import numpy as np
from astropy.table import Table
from sklearn.ensemble import HistGradientBoostingClassifier

from astro_iicnet.cutouts.base import Cutouts
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
        found = fit_trees(run, colours_only=colours_only)(run.part(run.split.test, BANDS)[0])
        with np.errstate(divide="ignore"):
            return make_predictions(run, np.log(found))

    return kept(run, name, make)


def fit_trees(run: Run, *, colours_only: bool) -> Callable[[Cutouts], np.ndarray]:
    """Fit gradient-boosted trees to the training set.

    Parameters
    ----------
    run : Run
        Its training set and seed.
    colours_only : bool
        See `run_trees`.

    Returns
    -------
    callable
        Cutouts in `BANDS` to (N, 3) probabilities.
    """
    trees = HistGradientBoostingClassifier(max_iter=400, early_stopping=True, random_state=run.seed)
    known = _features(run.part(run.split.train, BANDS)[0], colours_only)
    trees.fit(known, run.labels[run.split.train])
    return lambda cutouts: trees.predict_proba(_features(cutouts, colours_only))


def tabulate_cuts(run: Run, probabilities: np.ndarray) -> Table:
    """Classical colour cuts for active galactic nuclei, as selections of quasars, beside a network.

    Parameters
    ----------
    run : Run
        Its test set.
    probabilities : numpy.ndarray
        (N, 3) probabilities of a network, IICnet, for the test set. It selects the n sources of
        highest quasar probability.

    Returns
    -------
    `~astropy.table.Table`
        One row per cut: ``selection``, ``n_selected``, ``completeness`` (share of the quasars that is
        selected) and ``purity`` (share of the selected that are quasars; NaN where none is);
        ``iicnet_purity`` with the smallest n that is as complete as the cut, and
        ``iicnet_completeness`` with the largest n that is as pure. All with 95 % bootstrap intervals,
        ``<name>_low`` and ``<name>_high``; n is the same in all resamples.
    """
    score = probabilities[:, CLASSES.index("quasar")]
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
        row = _measure_selection(chosen, quasar)
        as_complete, as_pure = _match(score, quasar, row["completeness"], row["purity"])
        purity = _prefixed("iicnet_", _measure_selection(as_complete, quasar), "purity")
        completeness = _prefixed("iicnet_", _measure_selection(as_pure, quasar), "completeness")
        rows.append({"selection": name, "n_selected": int(chosen.sum())} | row | purity | completeness)
    return Table(rows=rows)


def _measure_selection(chosen: np.ndarray, quasar: np.ndarray) -> dict[str, float]:
    """Completeness and purity, with bootstrap intervals."""
    counts = np.array([(chosen & quasar).sum(), (~chosen & quasar).sum(), (chosen & ~quasar).sum()])
    shares = np.append(counts, len(chosen) - counts.sum()) / len(chosen)
    drawn = np.random.default_rng(0).multinomial(len(chosen), shares, size=2000)
    row = {}
    with np.errstate(invalid="ignore"):
        for name, other in (("completeness", 1), ("purity", 2)):
            row[name] = float(counts[0] / (counts[0] + counts[other]))
            resampled = drawn[:, 0] / (drawn[:, 0] + drawn[:, other])
            known = resampled[np.isfinite(resampled)]
            tails = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
            row[f"{name}_low"], row[f"{name}_high"] = map(float, tails)
    return row


def _match(
    score: np.ndarray, quasar: np.ndarray, completeness: float, purity: float
) -> tuple[np.ndarray, np.ndarray]:
    """The fewest best sources that are as complete, and the most that are as pure; (N,) bool each."""
    order = np.argsort(-score, kind="stable")
    rank = np.argsort(order)
    right = np.cumsum(quasar[order])
    # A hair less, so that equal shares are equal whatever the rounding.
    as_complete = np.flatnonzero(right / right[-1] >= completeness - 1e-9)
    as_pure = np.flatnonzero(right / np.arange(1, len(right) + 1) >= purity - 1e-9)
    return rank <= as_complete[0], rank <= (as_pure[-1] if len(as_pure) else -1)


def _prefixed(prefix: str, row: dict[str, float], name: str) -> dict[str, float]:
    return {f"{prefix}{key}": value for key, value in row.items() if key.startswith(name)}


def _features(cutouts: Cutouts, colours_only: bool) -> np.ndarray:
    found = measure(cutouts)
    colour = colours(found)
    if colours_only:
        return np.concatenate([colour.value, colour.error], axis=1)
    everything = (colour.value, colour.error, found.mag, found.mag_err, found.snr, found.flux)
    return np.concatenate([*everything, found.concentration], axis=1)
