"""The page of a result: complete, on its own, and safe with any words."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from astro_iicnet.analysis.page import make_page, make_table, paragraph, write_page
from astro_iicnet.analysis.report import CUTS, FLAG_MEANING, STATUS_MEANING, result_report
from astro_iicnet.cutouts.simulated import SimulatedSky
from astro_iicnet.exceptions import IICnetError, SourcesError
from astro_iicnet.labels import Flag, Status
from astro_iicnet.results import make_results
from astro_iicnet.simulation.field import example_sources
from astro_iicnet.sources import read_sources


class Reader(HTMLParser):
    """Tags, their attributes, and the text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def images(self, kind):
        sources = [attributes["src"] for tag, attributes in self.tags if tag == "img"]
        return [
            base64.b64decode(s.split(",")[1]) for s in sources if s.startswith(f"data:image/{kind};base64,")
        ]


@pytest.fixture
def result(rng):
    """The example list with made-up probabilities; the last three rows are outside the field."""
    sources = read_sources(example_sources())
    probabilities = rng.dirichlet([0.5] * 3, len(sources))
    status = np.zeros(len(sources), np.uint8)
    status[-3:] = Status.NO_COVERAGE
    flags = np.zeros(len(sources), np.int16)
    flags[:4] = Flag.SATURATED | Flag.BRIGHTER_NEIGHBOUR
    return make_results(sources, probabilities, status, flags, {"weights": "mine-v1", "images": "simulated"})


def assert_stands_alone(page):
    """No request may leave, nothing may run: all that is linked is data inside the page."""
    reader = Reader(page)
    assert reader.open == []
    tags = {tag for tag, _ in reader.tags}
    assert not tags & {"script", "link", "iframe", "object", "base", "form"}
    for _, attributes in reader.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("src", "data:").startswith("data:")
        assert "href" not in attributes
    assert "url(" not in page
    assert "@import" not in page
    for picture in reader.images("svg+xml"):
        assert not re.search(rb"(href|src)=\"(?!#|data:)", picture)
    return reader


def test_page_without_images(result):
    reader = assert_stands_alone(result_report(result, title="My list"))
    assert reader.text.count("My list") == 2
    counts = [int(np.sum(result["iicnet_class"].filled("") == name)) for name in ("galaxy", "quasar", "star")]
    for count, name in zip(counts, ("galaxy", "quasar", "star"), strict=True):
        assert f"{count} {name} {100 * count / 60:.1f} %" in reader.text
    assert "no_coverage 3 no image there" in reader.text
    assert f"4 saturated 4 {FLAG_MEANING[Flag.SATURATED]}" in reader.text
    assert "16 brighter_neighbour 4" in reader.text
    assert "mine-v1" in reader.text
    assert len(reader.images("svg+xml")) == 2
    assert not reader.images("png")
    assert "with --images" in reader.text
    # To be read on a phone.
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in reader.tags


def test_page_with_images(result):
    reader = assert_stands_alone(result_report(result, images="simulated"))
    assert len(reader.images("svg+xml")) == 3
    pictures = reader.images("png")
    assert len(pictures) == 3 * 6 + 12
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    highest = np.max([result[f"iicnet_p_{name}"].filled(2) for name in ("galaxy", "quasar", "star")], axis=0)
    least = int(np.argmin(highest))
    assert f"row {least}: {result['iicnet_class'][least]} {highest[least]:.2f}" in reader.text
    assert "measured from the pixels of 60 rows" in reader.text


def test_magnitudes_of_the_table_are_taken(result, rng):
    for band in ("w1mpro", "w2mpro", "w3mpro"):
        result[band] = rng.uniform(10, 15, len(result))
    reader = Reader(result_report(result))
    assert len(reader.images("svg+xml")) == 3
    assert "from the magnitudes in the table" in reader.text


@pytest.mark.parametrize("why", ["unit 'Jy'", "'w1mpro' and 'W1MPRO' could both be meant for W1"])
def test_magnitudes_that_cannot_be_used(result, rng, why):
    for band in ("w1mpro", "w2mpro", "w3mpro"):
        result[band] = rng.uniform(10, 15, len(result))
    if "Jy" in why:
        result["w1mpro"].unit = "Jy"
    else:
        result["W1MPRO"] = result["w1mpro"]
    reader = Reader(result_report(result))
    assert why in reader.text
    assert "no AllWISE magnitudes" not in reader.text
    assert len(reader.images("svg+xml")) == 2


def test_classes_without_pixels(result):
    """What pixels alone can tell is not shown as if it had been looked for."""
    result.meta["astro_iicnet"] |= {"images": "none", "survey": "allwise-atlas"}
    reader = Reader(result_report(result))
    n_low = int(np.count_nonzero(result["iicnet_flags"] & Flag.LOW_CONFIDENCE))
    assert f"1 low_confidence {n_low} {FLAG_MEANING[Flag.LOW_CONFIDENCE]}" in reader.text
    assert "without pixels" in reader.text
    for flag in set(Flag) - {Flag.LOW_CONFIDENCE}:
        assert flag.name.lower() not in reader.text
    assert "survey" not in reader.text
    result.meta["astro_iicnet"]["images"] = "irsa"
    assert "survey allwise-atlas" in Reader(result_report(result)).text


def test_prediction_sets(result):
    assert "Prediction sets" not in result_report(result)
    ok = np.asarray(result["iicnet_status"]) == "ok"
    sets = np.where(ok, "star", "").astype("U18")
    sets[:3] = "galaxy|star", "galaxy|star", ""
    result["iicnet_set"] = np.ma.array(sets, mask=~ok)
    result.meta["astro_iicnet"]["coverage"] = 0.95
    text = Reader(result_report(result)).text
    assert "the true class for 95 % of sources" in text
    assert "classes in the set rows % 0 1 1.7 1 57 95 2 2 3.3" in text
    assert "set rows % star 57 95 galaxy or star 2 3.3 none of the three 1 1.7" in text
    assert "Prediction sets" not in result_report(result[~ok])


def test_images_that_fail_leave_a_page(result):
    class Nothing(SimulatedSky):
        def fetch(self, coords, bands):
            return super().fetch(
                SkyCoord(np.full(len(coords), 10.0), np.full(len(coords), 10.0), unit="deg"), bands
            )

    text = Reader(result_report(result, images=Nothing())).text
    assert text.count("None of the pixels could be had") == 2


def test_words_of_the_user_are_escaped(result):
    evil = "<script>alert(1)</script>\"'&"
    result.meta["astro_iicnet"]["weights"] = evil
    result["iicnet_images"] = np.full(len(result), evil)
    reader = assert_stands_alone(result_report(result, title=evil))
    assert reader.text.count(evil) >= 4


def test_tables_that_are_odd(result):
    assert "0 rows" in Reader(result_report(result[:0])).text
    none = result[-3:]
    assert "no_coverage 3" in Reader(result_report(none, images="simulated")).text
    del result.meta["astro_iicnet"]
    assert "CSV does not" in Reader(result_report(result)).text


def test_unusual_columns_of_position(result):
    result.rename_columns(["ra", "dec"], ["alpha_x", "delta_x"])
    with pytest.raises(SourcesError, match="alpha_x"):
        result_report(result)
    assert "63" in result_report(result, ra="alpha_x", dec="delta_x")


def test_all_statuses_and_flags_are_explained():
    assert set(STATUS_MEANING) == {status.label for status in Status}
    assert set(FLAG_MEANING) == set(Flag)


def test_cuts_are_those_of_the_papers():
    # Quasars of redshift 1 and 2, a star, a spiral galaxy.
    w1_w2, w2_w3 = np.array([1.2, 1.3, 0.0, 0.2]), np.array([3.0, 3.2, 0.1, 3.8])
    for selects in CUTS.values():
        np.testing.assert_array_equal(selects(w1_w2, w2_w3), [True, True, False, False])


def test_table_of_words_and_numbers():
    text = make_table(("name", "n"), [("a<b", 12345), ("c", float("nan"))])
    assert "a&lt;b" in text
    assert '<td class="number">12,345</td>' in text
    assert "–" in text


def test_page_is_written_whole_or_not_at_all(tmp_path):
    page = make_page("Grüße", [paragraph("α < β")])
    write_page(page, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    with pytest.raises(IICnetError, match="Cannot write"):
        write_page(page, tmp_path / "missing" / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_empty_table_of_another_kind_is_refused():
    with pytest.raises(SourcesError):
        result_report(Table({"a": [1]}))
