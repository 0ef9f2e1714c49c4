import numpy as np
import pytest

from astro_iicnet.fusion import cuts


def magnitudes(blue, red, w2=14.0):
    """W1, W2, W3 of sources of these colours."""
    return np.add(w2, blue), np.full(np.shape(blue), w2), np.subtract(w2, red)


def test_stern():
    w1, w2, _ = magnitudes([0.79, 0.81, np.nan], [3.0, 3.0, 3.0])
    assert cuts.stern_2012(w1, w2).tolist() == [False, True, False]


def test_jarrett_box_has_the_corners_of_the_paper():
    # Corners of the box: (2.2, 0.60), (4.2, 0.80), and 1.7 above both.
    inside = [(2.21, 0.61), (4.19, 0.81), (2.21, 1.69), (4.19, 1.69)]
    outside = [(2.19, 0.61), (4.21, 0.85), (2.21, 0.59), (4.19, 0.79), (3.0, 1.71)]
    for corners, expected in ((inside, True), (outside, False)):
        red, blue = np.transpose(corners)
        assert (cuts.jarrett_2011(*magnitudes(blue, red)) == expected).all()


def test_mateos_wedge_is_that_of_the_fluxes():
    # The paper defines it by logarithms of flux ratios; fluxes of Vega [Jy] turn one into the other.
    rng = np.random.default_rng(1)
    blue, red = rng.uniform(-0.5, 3, 5000), rng.uniform(0, 6, 5000)
    w1, w2, w3 = magnitudes(blue, red)
    f1, f2, f3 = (zero * 10 ** (-0.4 * m) for zero, m in ((309.540, w1), (171.787, w2), (31.674, w3)))
    x, y = np.log10(f3 / f2), np.log10(f2 / f1)
    expected = (y > 0.315 * x - 0.110) & (y < 0.315 * x + 0.297) & (y > -3.172 * x + 0.436)
    found = cuts.mateos_2012(w1, w2, w3)
    assert 300 < expected.sum() < 3000
    assert (found != expected).mean() < 0.006


def test_r90_rises_for_faint_sources():
    bright, faint = magnitudes([0.64, 0.66], [3, 3], 10.0), magnitudes([0.66, 0.79], [3, 3], 15.0)
    assert cuts.assef_2018_r90(*bright[:2]).tolist() == [False, True]
    # 0.650 exp(0.153 x 1.14^2) = 0.793
    assert cuts.assef_2018_r90(*faint[:2]).tolist() == [False, False]
    assert cuts.assef_2018_r90([15.0 + 0.80], [15.0]).tolist() == [True]


@pytest.mark.parametrize("cut", [cuts.stern_2012, cuts.assef_2018_r90, cuts.mateos_2012, cuts.jarrett_2011])
def test_unknown_and_masked_are_not_selected(cut):
    n = 2 if cut in (cuts.stern_2012, cuts.assef_2018_r90) else 3
    quasar = np.array([15.2, 14.0, 10.9])
    assert cut(*quasar[:n, None]).tolist() == [True]
    for lost in range(n):
        columns = [np.ma.MaskedArray([value], mask=[i == lost]) for i, value in enumerate(quasar[:n])]
        assert cut(*columns).tolist() == [False]
        columns = [[np.nan if i == lost else value] for i, value in enumerate(quasar[:n])]
        assert cut(*columns).tolist() == [False]
