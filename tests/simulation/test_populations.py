"""Who is on the simulated sky, against real sources of half 1, published numbers and astropy's cosmology."""

import time

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM
from astropy.table import vstack
from numpy.testing import assert_allclose

from astro_iicnet.labels import CLASSES
from astro_iicnet.simulation.populations import draw_sources
from astro_iicnet.simulation.selection import (
    arcsec_per_kpc,
    comoving_distance,
    completeness,
    distance_modulus,
    power_law_magnitudes,
)


@pytest.fixture(scope="module")
def sources():
    return draw_sources(120_000, np.random.default_rng(7))


@pytest.fixture(scope="module")
def real(shared_data):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    table = pd.read_parquet(shared_data / "labelled_colours.parquet")
    return table[table.half == 1]


def of(sources, name):
    return sources[sources["class"] == name]


def kind(sources, name):
    return sources[sources["subtype"] == name]


def colour(table, first, second):
    return np.asarray(table[f"w{first}"] - table[f"w{second}"])


def half_range(values):
    return np.subtract(*np.percentile(values, [84, 16])) / 2


def test_columns(sources):
    assert sources.colnames == [
        "class", "subtype", "redshift", "w1", "w2", "w3", "w4",
        "point_fraction", "radius", "sersic_n", "axis_ratio", "position_angle",
    ]  # fmt: skip
    assert set(sources["class"]) == set(CLASSES)
    for name in sources.colnames[2:]:
        assert np.isfinite(sources[name]).all(), name
    assert sources["point_fraction"].shape == (len(sources), 4)
    assert 0 <= sources["point_fraction"].min()
    assert sources["point_fraction"].max() <= 1
    assert 0.5 <= sources["sersic_n"].min()
    assert sources["sersic_n"].max() <= 6
    assert 0.19 < sources["axis_ratio"].min()
    assert sources["axis_ratio"].max() <= 1
    assert 0 <= sources["position_angle"].min()
    assert sources["position_angle"].max() < 180


def test_resolved_exactly_where_not_all_light_is_a_point(sources):
    stars = of(sources, "star")
    assert (stars["point_fraction"] == 1).all()
    assert (stars["radius"] == 0).all()
    assert (sources["radius"][(sources["point_fraction"] < 1).any(axis=1)] > 0).all()
    galaxies = of(sources, "galaxy")
    assert (galaxies["point_fraction"][galaxies["subtype"] != "obscured AGN"] == 0).all()


@pytest.mark.parametrize("fractions", [(1 / 3, 1 / 3, 1 / 3), (0.7, 0.1, 0.2), (7, 1, 2), (0, 0, 1)])
def test_class_fractions(fractions):
    drawn = draw_sources(20_000, np.random.default_rng(3), fractions=fractions)
    share = np.array(fractions) / np.sum(fractions)
    counts = np.array([np.sum(drawn["class"] == name) for name in CLASSES])
    assert (np.abs(counts - 20_000 * share) <= 4 * np.sqrt(20_000 * share * (1 - share))).all()


def test_reproducible():
    first = draw_sources(3000, np.random.default_rng(5))
    again = draw_sources(3000, np.random.default_rng(5))
    other = draw_sources(3000, np.random.default_rng(6))
    for name in first.colnames:
        assert (first[name] == again[name]).all()
    assert not np.array_equal(first["w1"], other["w1"])


def test_rows_are_mixed(sources):
    half = len(sources) // 2
    for name in CLASSES:
        assert abs(np.mean(sources["class"][:half] == name) - np.mean(sources["class"][half:] == name)) < 0.01


@pytest.mark.parametrize("n", [0, 1, 2, 17])
def test_any_length(n):
    drawn = draw_sources(n, np.random.default_rng(n))
    assert len(drawn) == n
    assert len(vstack([drawn, draw_sources(5, np.random.default_rng(1))])) == n + 5


@pytest.mark.parametrize("bad", [(0.5, 0.5), (1, -1, 1), (0, 0, 0), (np.nan, 1, 1), (np.inf, 1, 1)])
def test_bad_fractions(bad):
    with pytest.raises(ValueError, match="fractions must be"):
        draw_sources(10, np.random.default_rng(1), fractions=bad)


def test_negative_number():
    with pytest.raises(ValueError, match="negative"):
        draw_sources(-1, np.random.default_rng(1))


def test_speed():
    """About 100,000 sources a second; ten times as slow would still pass."""
    rng = np.random.default_rng(1)
    draw_sources(10, rng)
    start = time.process_time()
    draw_sources(50_000, rng)
    assert time.process_time() - start < 5


def test_stellar_locus(sources):
    """allwise.md: W1-W2 = -0.03, W2-W3 = 0.05 for stars, scatter 0.03; M dwarfs W1-W2 0.1 to 0.25."""
    fgk = kind(sources, "FGK")
    assert abs(np.median(colour(fgk, 1, 2)) + 0.035) < 0.01
    assert abs(half_range(colour(fgk, 1, 2)) - 0.03) < 0.005
    assert abs(np.median(colour(fgk, 2, 3)) - 0.05) < 0.01
    dwarfs = colour(kind(sources, "M dwarf"), 1, 2)
    assert 0.12 < np.median(dwarfs) < 0.18
    assert np.mean((dwarfs > -0.05) & (dwarfs < 0.33)) > 0.99


def test_kinds_of_stars(sources):
    stars = of(sources, "star")
    brown = kind(stars, "brown dwarf")
    assert 0.001 < len(brown) / len(stars) < 0.005
    assert colour(brown, 1, 2).max() > 1.5
    w1 = stars["w1"]
    assert 0.05 < np.mean((w1 > 7) & (w1 < 11.5)) < 0.15
    assert 3.5 < w1.min() < 5
    assert np.mean(colour(stars, 1, 2) > 0.5) < 0.012


@pytest.mark.parametrize("name", CLASSES)
def test_no_edge_in_magnitude(sources, name):
    """Counts in W1 change smoothly: no class is set apart by a cut."""
    counts = np.histogram(of(sources, name)["w1"], np.arange(11.0, 17.01, 0.25))[0].astype(float)
    middle = 0.5 * (counts[2:] + counts[:-2])
    assert (np.abs(counts[1:-1] - middle) < 0.25 * middle + 4 * np.sqrt(middle)).all()


def test_faint_limit(sources):
    assert sources["w1"].max() < 18.3
    assert np.mean(sources["w1"] > 17.4) < 0.005
    assert completeness(17.1) == 0.5
    assert completeness(16) > 0.999
    assert completeness(18) < 0.001


def test_magnitudes_of_galaxies_and_quasars(sources):
    """SDSS main and LRG galaxies: W1 13 to 16; quasars: median W1 near 15.5, from 12 to the limit."""
    galaxies, quasars = of(sources, "galaxy")["w1"], of(sources, "quasar")["w1"]
    assert 14 < np.median(galaxies) < 15
    assert 0.001 < np.mean(galaxies < 10) < 0.03
    assert 14.8 < np.median(quasars) < 16
    assert 0.1 < np.mean(quasars > 16.5) < 0.3


def test_redshifts(sources):
    galaxies = of(sources, "galaxy")["redshift"]
    assert galaxies.min() > 0
    assert galaxies.max() < 0.71
    quasars = of(sources, "quasar")["redshift"]
    assert quasars.min() > 0.019
    assert quasars.max() <= 4.5
    assert 1.2 < np.median(quasars) < 1.7
    assert (of(sources, "star")["redshift"] == 0).all()


def test_sizes(sources):
    """Nearby galaxies are resolved at 8 arcsec; most SDSS galaxies are not."""
    radius = of(sources, "galaxy")["radius"]
    assert 0.8 < np.median(radius) < 2.5
    assert 0.01 < np.mean(radius > 8) < 0.08
    assert 0.0003 < np.mean(radius > 30) < 0.01
    assert radius.max() <= 90


def test_hidden_nuclei(sources):
    """About 1 % of galaxies have the mid-infrared colour of an AGN (Assef et al. 2013)."""
    galaxies = of(sources, "galaxy")
    assert 0.005 < np.mean(colour(galaxies, 1, 2) > 0.8) < 0.025
    assert abs(np.mean(galaxies["subtype"] == "obscured AGN") - 0.06) < 0.01


def test_quasars_without_preselection(sources):
    """W1-W2 reaches 0.3 where the host shines at low redshift, and beyond z = 3.5."""
    quasars = of(sources, "quasar")
    first = colour(quasars, 1, 2)
    near, far = quasars["redshift"] < 0.3, quasars["redshift"] > 3.5
    for some in (near, far):
        assert np.mean(first[some] < 0.5) > 0.1
    assert np.mean(first < 0.65) < 0.2
    assert np.median(quasars["point_fraction"][near, 0]) < 0.75
    assert np.median(quasars["point_fraction"][quasars["redshift"] > 2, 0]) > 0.9


def test_distances_against_astropy():
    z = np.array([0.001, 0.01, 0.1, 0.5, 1.0, 2.5, 4.5])
    cosmology = FlatLambdaCDM(H0=70, Om0=0.3)
    assert_allclose(comoving_distance(z), cosmology.comoving_distance(z).value, rtol=1e-5)
    assert_allclose(distance_modulus(z), cosmology.distmod(z).value, atol=1e-4)
    assert_allclose(arcsec_per_kpc(z), cosmology.arcsec_per_kpc_proper(z).value, rtol=1e-5)


def test_power_law_counts():
    m = power_law_magnitudes(100_000, np.random.default_rng(2), 0.6, 12, 17)
    assert 12 <= m.min() < m.max() <= 17
    assert_allclose(np.mean(m < 16), (10 ** (0.6 * 4) - 1) / (10 ** (0.6 * 5) - 1), rtol=0.02)


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.4), (0.4, 0.8), (0.8, 1.2), (1.2, 1.6), (1.6, 2.2)])
def test_real_quasars(sources, real, low, high):
    """DESI quasars of half 1, W1 < 15.5: same medians to 0.06 and 0.1 mag, scatter to 0.06."""
    rows = real[(real.cls == "QSO") & (real.z >= low) & (real.z < high) & (real.w1 < 15.5)]
    drawn = of(sources, "quasar")
    keep = (drawn["redshift"] >= low) & (drawn["redshift"] < high) & (drawn["w1"] < 15.5)
    drawn = drawn[keep & (colour(drawn, 1, 2) > 0.65)]
    assert abs(np.median(colour(drawn, 1, 2)) - np.median(rows.w1 - rows.w2)) < 0.06
    assert abs(half_range(colour(drawn, 1, 2)) - half_range(rows.w1 - rows.w2)) < 0.06
    second = (rows.w2 - rows.w3).dropna()
    assert abs(np.median(colour(drawn, 2, 3)) - np.median(second)) < 0.1
    assert abs(half_range(colour(drawn, 2, 3)) - half_range(second)) < 0.06


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.8), (0.8, 1.6), (2.5, 3.0), (3.0, 3.5), (3.5, 4.0)])
def test_real_galaxies(sources, real, low, high):
    """Nearby galaxies of half 1: the same W1-W2 at the same W2-W3, to 0.04 mag (z < 0.05)."""
    rows = real[(real.cls == "GALAXY") & (real.w3ul != 1) & (real.w1 < 15) & ~(real.w1err > 0.06)]
    rows = rows[(rows.w2 - rows.w3 >= low) & (rows.w2 - rows.w3 < high)]
    drawn = of(sources, "galaxy")
    drawn = drawn[(drawn["redshift"] < 0.05) & (drawn["subtype"] != "obscured AGN")]
    drawn = drawn[(colour(drawn, 2, 3) >= low) & (colour(drawn, 2, 3) < high)]
    assert len(drawn) > 30
    assert abs(np.median(colour(drawn, 1, 2)) - np.median(rows.w1 - rows.w2)) < 0.04


def test_real_m_dwarfs(sources, real):
    """CARMENES M2 to M5 of half 1, unsaturated, weighted as SDSS: the middle of W1-W2 to 0.03 mag."""
    rows = real[(real.source == "ccifuentesr/CARMENES-V") & (real.w1 > 8.2)]
    rows = rows[rows.subclass.str.match(r"M[2345]")]
    first = rows.w1 - rows.w2
    drawn = colour(kind(sources, "M dwarf"), 1, 2)
    low, high = np.percentile(first, [16, 84])
    assert 0.4 < np.mean((drawn > low - 0.03) & (drawn < high + 0.03)) < 0.9
    assert abs(np.median(drawn) - np.median(first)) < 0.04


def test_real_brown_dwarfs(real):
    """L dwarfs of half 1: the median W1-W2 of the simulated ones lies in the real 16-84 % range."""
    drawn = draw_sources(60_000, np.random.default_rng(11), fractions=(0, 0, 1))
    first = colour(kind(drawn, "brown dwarf"), 1, 2)
    rows = real[(real.source == "SIMPLE-AstroDB/SIMPLE-db") & real.subclass.str.match(r"L\d")]
    low, high = np.percentile((rows.w1 - rows.w2)[rows.w1err < 0.08], [16, 84])
    assert low < np.median(first) < high
