"""From AllWISE pixels to network input, on the device of the network."""

import math
from collections.abc import Sequence

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from astro_iicnet.allwise import PIXEL_SCALE
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.preprocessing.recipes import Recipe

FIELD = 50.0
"""Side of the network's view [arcsec]."""

_FIELD_PIXELS = FIELD / PIXEL_SCALE
_REFERENCE_ZERO_POINT = 20.5
# Half the field, the largest sub-pixel shift, and the second neighbour of the interpolation.
_REACH = math.ceil(_FIELD_PIXELS / 2 + 0.5 + 1)
# Width [px] of the frame at the edge of a cutout from which the background is taken.
_FRAME = 4


class Preprocess(nn.Module):
    """Applies a recipe to a batch of cutouts: background, flux scale, stretch, resampling.

    The output shows exactly 50 arcsec centred on the target: output pixel k of ``size`` looks at
    native coordinate ``middle + offset + (k - (size - 1) / 2) * step``, ``step = 50 arcsec / size``.
    It is interpolated with Keys' cubic kernel (a = -1/2), after the stretch, where the image is
    smoothest: a bright core rings less, and it costs less than stretching the larger output.

    The background of each source and band is the median of the cutout's outermost 4 px. A pixel
    that is not finite takes this level, in training as in use; a band without a background is a
    band without data, and gives zeros. The arithmetic is float32, under autocast too.

    There is nothing to train and nothing to save: the state dict is empty.

    Parameters
    ----------
    recipe : Recipe
        What to do.
    bands : sequence of str
        B band names, in the order of the cutouts' bands.
    magzp : array-like
        (B,) [mag, Vega] magnitude of 1 DN in each band.

    Raises
    ------
    IICnetError
        If ``magzp`` does not fit the bands, or the recipe does not know a band.

    References
    ----------
    Keys 1981, IEEE Trans. ASSP 29, 1153 (interpolation); Lupton, Gunn & Szalay 1999, AJ 118, 1406
    (asinh as a flux scale); Zhao et al. 2023, doi:10.1088/1674-4527/acd67e (50 arcsec, 80 pixels).
    """

    unit: Tensor

    def __init__(self, recipe: Recipe, bands: Sequence[str], magzp: ArrayLike) -> None:
        super().__init__()
        self.recipe = recipe
        self.bands = tuple(bands)
        zero_points = torch.as_tensor(magzp, dtype=torch.float64)
        if zero_points.shape != (len(self.bands),):
            raise IICnetError(
                f"magzp has shape {tuple(zero_points.shape)}: expected one zero point for each of "
                f"the bands {', '.join(self.bands)}."
            )
        if recipe.stretch == "asinh":
            unknown = [band for band in self.bands if band not in recipe.softening]
            if unknown:
                raise IICnetError(
                    f"The recipe {recipe.name!r} has no softening for {', '.join(unknown)}: it knows "
                    f"{', '.join(recipe.softening)}."
                )
            softening = torch.tensor([recipe.softening[b] for b in self.bands], dtype=torch.float64)
            unit = 10 ** (-0.4 * (zero_points - _REFERENCE_ZERO_POINT)) / softening
        else:
            unit = torch.ones(len(self.bands))
        self.register_buffer("unit", unit.float()[:, None, None], persistent=False)

    def extra_repr(self) -> str:
        """What `repr` shows."""
        return f"{self.recipe.name}, {'/'.join(self.bands)}, size={self.recipe.size}"

    def forward(self, pixels: Tensor, offset: Tensor) -> Tensor:
        """Network input for a batch.

        Parameters
        ----------
        pixels : torch.Tensor
            (N, B, S, S) [DN], S odd and at least 41; NaN where there are no data.
        offset : torch.Tensor
            (N, 2) [px], (x, y): target minus middle pixel, within +-0.5; NaN counts as 0.

        Returns
        -------
        torch.Tensor
            (N, B, size, size) float32, finite, channels last in memory.

        Raises
        ------
        IICnetError
            If the shapes do not fit.
        """
        self._check(pixels, offset)
        with torch.autocast(pixels.device.type, enabled=False):
            pixels = pixels.float()
            above = pixels - _background(pixels)
            above = torch.nan_to_num_(above, nan=0.0, posinf=0.0, neginf=0.0)
            if self.recipe.stretch == "asinh":
                image = above.mul_(self.unit).asinh_().mul_(self.recipe.gain)
                return _resample(image, offset.float(), self.recipe.size)
            image = _to_8bit(above, self.recipe.percentiles)
            # A picture has no values beyond black and white: the overshoot of the cubic is cut.
            return _resample(image, offset.float(), self.recipe.size).clamp_(0, 1)

    def _check(self, pixels: Tensor, offset: Tensor) -> None:
        shape = tuple(pixels.shape)
        if len(shape) != 4 or shape[1] != len(self.bands):
            raise IICnetError(
                f"The pixels have shape {shape}: expected (N, {len(self.bands)}, S, S) for the bands "
                f"{', '.join(self.bands)} of these weights."
            )
        if shape[2] != shape[3] or shape[2] % 2 == 0 or shape[2] < 2 * _REACH + 1:
            raise IICnetError(
                f"The cutouts are {shape[2]} x {shape[3]} pixels: expected a square with an odd side "
                f"of at least {2 * _REACH + 1}."
            )
        if tuple(offset.shape) != (shape[0], 2):
            raise IICnetError(f"The offset has shape {tuple(offset.shape)}: expected ({shape[0]}, 2).")


def _background(pixels: Tensor) -> Tensor:
    """Median of every second pixel and row of the frame, (N, B, 1, 1).

    Neighbouring pixels are nearly the same number (noise autocorrelation about 0.9): a quarter of
    the frame foretells the level at the target to 0.61 of a pixel's noise, all of it to 0.60.
    """
    top = pixels[..., :_FRAME:2, ::2].flatten(2)
    bottom = pixels[..., -_FRAME + 1 :: 2, ::2].flatten(2)
    left = pixels[..., _FRAME:-_FRAME:2, :_FRAME:2].flatten(2)
    right = pixels[..., _FRAME:-_FRAME:2, -_FRAME + 1 :: 2].flatten(2)
    frame = torch.cat([top, bottom, left, right], dim=2)
    return torch.nanmedian(frame, dim=2).values[..., None, None]


def _to_8bit(image: Tensor, percentiles: tuple[float, float]) -> Tensor:
    """Each band by itself, linear between two percentiles of its 50 arcsec, in steps of 1/255."""
    middle, half = image.shape[-1] // 2, int(_FIELD_PIXELS / 2)
    view = slice(middle - half, middle + half + 1, 2)
    sample = image[..., view, view].flatten(2)
    low, high = (
        torch.kthvalue(sample, 1 + round(q / 100 * (sample.shape[2] - 1)), dim=2).values[..., None, None]
        for q in percentiles
    )
    span = (high - low).clamp_min(torch.finfo(image.dtype).tiny)
    return ((image - low) / span).clamp_(0, 1).mul_(255).round_().div_(255)


def _weights(shift: Tensor, n_native: int, size: int) -> Tensor:
    """Interpolation weights of one axis, (N, size, n_native), for shifts (N,) [px]."""
    grid = torch.arange(size, device=shift.device, dtype=shift.dtype)
    step = _FIELD_PIXELS / size
    position = n_native // 2 + shift[:, None] + (grid - (size - 1) / 2) * step
    first = position.floor()
    t = position - first
    # Keys (1981) with a = -1/2: the cubic through four neighbours that keeps planes and parabolas.
    taps = torch.stack(
        [
            ((2 - t) * t - 1) * t / 2,
            ((3 * t - 5) * t * t + 2) / 2,
            ((4 - 3 * t) * t + 1) * t / 2,
            (t - 1) * t * t / 2,
        ],
        dim=2,
    )
    around = torch.arange(-1, 3, device=shift.device)
    columns = (first.long()[..., None] + around).clamp_(0, n_native - 1)
    return taps.new_zeros(len(shift), size, n_native).scatter_add_(2, columns, taps)


def _resample(image: Tensor, offset: Tensor, size: int) -> Tensor:
    """Separable interpolation as two batched matrix products."""
    n, n_bands, n_native, _ = image.shape
    offset = torch.nan_to_num(offset)
    columns = _weights(offset[:, 0], n_native, size)
    rows = _weights(offset[:, 1], n_native, size)
    wide = torch.bmm(image.reshape(n, n_bands * n_native, n_native), columns.transpose(1, 2))
    # Bands go last before the second product, so that the result is born in channels_last order.
    wide = wide.view(n, n_bands, n_native, size).permute(0, 2, 3, 1).reshape(n, n_native, size * n_bands)
    return torch.bmm(rows, wide).view(n, size, size, n_bands).permute(0, 3, 1, 2)
