"""Recipes: what is done to AllWISE pixels before a network sees them, as plain data."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

from astro_iicnet.exceptions import IICnetError, unknown_name

STRETCHES: tuple[str, ...] = ("asinh", "8bit")
"""Names of the stretches that a recipe may use."""


@dataclass(frozen=True)
class Recipe:
    """How `~astro_iicnet.preprocessing.Preprocess` turns DN into network input.

    Parameters
    ----------
    name : str
        What the recipe is called.
    stretch : {"asinh", "8bit"}
        "asinh": background subtracted, all bands on one flux scale, ``gain * asinh(flux /
        softening)``. "8bit": each band by itself, linear between two of its own percentiles, in
        steps of 1/255.
    size : int, default 80
        Output pixels on a side, 32 to 128; they always span 50 arcsec, which are 36 native pixels.
    softening : dict of str to float, default empty
        Per band, the flux at which asinh turns from linear to logarithmic, in DN of an image with
        a zero point of 20.5 mag (Vega). For "asinh" alone.
    gain : float, default 1
        Constant factor that brings typical values to order 1. For "asinh" alone.
    percentiles : tuple of float, default (1, 99.5)
        Of the pixels within 50 arcsec: what becomes 0 and 1. For "8bit" alone.

    Raises
    ------
    IICnetError
        If a value is outside its range.
    """

    name: str
    stretch: str
    size: int = 80
    softening: Mapping[str, float] = field(default_factory=dict)
    gain: float = 1.0
    percentiles: tuple[float, float] = (1.0, 99.5)

    def __post_init__(self) -> None:
        if self.stretch not in STRETCHES:
            raise IICnetError(unknown_name("stretch", self.stretch, STRETCHES))
        if not 32 <= self.size <= 128:
            raise IICnetError(f"The recipe's size is {self.size}: expected 32 to 128 pixels.")
        if not all(value > 0 for value in (*self.softening.values(), self.gain)):
            raise IICnetError(
                f"The recipe's softening {dict(self.softening)} and gain {self.gain} must be positive."
            )
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise IICnetError(f"The recipe's percentiles are {self.percentiles}: expected 0 <= a < b <= 100.")

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain data for JSON.

        Returns
        -------
        dict
            One entry per parameter.
        """
        return asdict(self) | {
            "softening": dict(self.softening),
            "percentiles": list(self.percentiles),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Recipe":
        """The recipe that `to_dict` wrote.

        Parameters
        ----------
        data : mapping
            Entries named as the parameters; those with a default may be left out.

        Returns
        -------
        Recipe
            Equal to the one that was written.

        Raises
        ------
        IICnetError
            If an entry is unknown (it may come from a newer version), missing, or out of range.
        """
        known = {f.name: f for f in fields(cls)}
        for key in data:
            if key not in known:
                raise IICnetError(
                    unknown_name("entry of a preprocessing recipe", key, known)
                    + " A newer astro_iicnet may know it."
                )
        for key, entry in known.items():
            if key not in data and entry.default is MISSING and entry.default_factory is MISSING:
                raise IICnetError(f"The preprocessing recipe has no entry {key!r}: {dict(data)}.")
        values = dict(data)
        if "percentiles" in values:
            values["percentiles"] = tuple(values["percentiles"])
        return cls(**values)


RECIPES: dict[str, Recipe] = {
    "calibrated": Recipe(
        name="calibrated",
        stretch="asinh",
        # About one pixel's noise in each band (AllWISE Atlas, high latitude) on the common scale.
        softening={"W1": 0.3, "W2": 0.3, "W3": 5.0, "W4": 45.0},
        gain=0.5,
    ),
    "paper": Recipe(name="paper", stretch="8bit"),
}
"""The recipes that come with the package, by name.

``calibrated`` keeps the flux scale across bands: above the noise the difference of two channels
is the colour. ``paper`` shows each band as an archive's 8-bit picture does, W1, W2, W3 as red,
green, blue, after Zhao et al. 2023 (doi:10.1088/1674-4527/acd67e), Sec. 2; the stretch is not
stated there, and a linear one with clipped ends is the plainest.
"""
