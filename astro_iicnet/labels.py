"""The words of the result table: classes and their order, statuses, flags."""

from enum import IntEnum, IntFlag

CLASSES: tuple[str, ...] = ("galaxy", "quasar", "star")
"""Class names in the order of every probability column and every label index."""


class Status(IntEnum):
    """Why a row has, or has not, a class; the table holds `label`."""

    OK = 0
    BAD_COORDINATES = 1
    NO_COVERAGE = 2
    RETRIEVAL_FAILED = 3
    BAD_PIXELS = 4
    MISSING_MAGNITUDES = 5

    @property
    def label(self) -> str:
        """The status as written in the column ``iicnet_status``."""
        return self.name.lower()


class Flag(IntFlag):
    """Bits of the column ``iicnet_flags``."""

    LOW_CONFIDENCE = 1
    NO_CENTRAL_SOURCE = 2
    SATURATED = 4
    MISSING_PIXELS = 8
    BRIGHTER_NEIGHBOUR = 16
