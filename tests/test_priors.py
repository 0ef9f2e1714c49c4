import numpy as np
import pytest

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.priors import read_priors, reweight


def test_order_is_that_of_the_classes():
    np.testing.assert_allclose(read_priors({"star": 0.7, "quasar": 0.1, "galaxy": 0.2}), [0.2, 0.1, 0.7])
    np.testing.assert_allclose(read_priors((0.2, 0.1, 0.7)), [0.2, 0.1, 0.7])
    assert read_priors([0.333, 0.333, 0.333]).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ({"galaxy": 0.5, "star": 0.5}, "lack quasar"),
        ({"galaxy": 0.5, "stars": 0.4, "quasar": 0.1}, "Did you mean 'star'"),
        ([0.5, 0.5], "expected one positive fraction for each"),
        ([0.5, 0.5, 0.0], "positive"),
        ([1.5, -0.25, -0.25], "positive"),
        ([np.nan, 0.5, 0.5], "positive"),
        ([50, 30, 20], "divide each by 100"),
        ("many", "expected one positive fraction"),
        ([0.2, 0.3, "x"], "expected one positive fraction"),
    ],
)
def test_bad_priors(priors, message):
    with pytest.raises(IICnetError, match=message):
        read_priors(priors)


def test_reweight_is_bayes_rule():
    """Two normal densities, whose posterior is known for any fractions."""
    x = np.linspace(-3, 3, 13)
    likelihood = np.stack([np.exp(-((x - m) ** 2) / 2) for m in (-1, 0, 1)], axis=1)

    def posterior(fractions):
        joint = likelihood * fractions
        return joint / joint.sum(axis=1, keepdims=True)

    training, sky = np.array([0.2, 0.3, 0.5]), np.array([0.01, 0.9, 0.09])
    np.testing.assert_allclose(reweight(posterior(training), sky, training), posterior(sky), rtol=1e-12)


def test_unknown_rows_stay_unknown():
    rows = np.array([[0.2, 0.3, 0.5], [np.nan] * 3], dtype=np.float32)
    found = reweight(rows, np.full(3, 1 / 3), np.full(3, 1 / 3))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], rows[0])
    assert np.isnan(found[1]).all()
