"""The words and numbers of the result table, which never change."""

from astro_iicnet.labels import CLASSES, Flag, Status


def test_classes_in_order():
    assert CLASSES == ("galaxy", "quasar", "star")


def test_status_codes_and_labels():
    assert [(code.value, code.label) for code in Status] == [
        (0, "ok"),
        (1, "bad_coordinates"),
        (2, "no_coverage"),
        (3, "retrieval_failed"),
        (4, "bad_pixels"),
        (5, "missing_magnitudes"),
    ]


def test_flag_bits():
    assert {flag.name: flag.value for flag in Flag} == {
        "LOW_CONFIDENCE": 1,
        "NO_CENTRAL_SOURCE": 2,
        "SATURATED": 4,
        "MISSING_PIXELS": 8,
        "BRIGHTER_NEIGHBOUR": 16,
    }
