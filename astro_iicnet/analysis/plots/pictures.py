"""Figures of the pixels: cutouts in colour, one after the other or in their field."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from astro_iicnet.allwise.bands import PIXEL_SCALE, get_band
from astro_iicnet.analysis.plots.style import CLASS_COLOURS, UNKNOWN, add_legend, filled, get_axes
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.exceptions import IICnetError, ImagesError
from astro_iicnet.labels import CLASSES
from astro_iicnet.simulation.field import Field

CHANNELS = ("W3", "W2", "W1")
"""Bands that are red, green and blue unless said otherwise: the longest wavelength is red."""

_FIELD = 50.0  # arcsec on a side that the network sees
_FIELD_WHITE = 300.0  # times the noise
_MIN_WHITE = 12.0  # times the noise: or the noise of an empty image would be as bright as a star
_RIM = 0.06  # of a tile of a montage


def compose_rgb(cutouts: Cutouts, *, channels: Sequence[str] = CHANNELS) -> np.ndarray:
    """Compose colour pictures of cutouts.

    Each band less its background is divided by the typical noise of that band in AllWISE, the same for all
    sources, so that the hue follows the colour of the source; then asinh, from a sigma below
    the background (black) to the brightest pixel within 5 arcsec of the middle (white).

    Parameters
    ----------
    cutouts : Cutouts
        N sources.
    channels : sequence of str, default ("W3", "W2", "W1")
        Bands that become red, green and blue. The paper's pictures have ("W1", "W2", "W3").

    Returns
    -------
    numpy.ndarray
        (N, S, S, 3) uint8, row 0 at the bottom (``origin="lower"``); grey where there are no data.

    Raises
    ------
    ImagesError
        If the cutouts lack a band.
    """
    missing = [band for band in channels if band not in cutouts.bands]
    if missing or len(channels) != 3:
        raise ImagesError(
            f"A picture of {', '.join(channels)} cannot be made of cutouts in {', '.join(cutouts.bands)}: "
            "give three bands that are there as channels=."
        )
    bands = [get_band(band) for band in channels]
    columns = [cutouts.bands.index(band) for band in channels]
    magzp = np.asarray(cutouts.magzp)[columns]
    # An image source without a single image does not know its zero points.
    fainter = np.nan_to_num(magzp - [band.zero_point for band in bands])
    noise = np.array([band.noise for band in bands]) * 10 ** (0.4 * fainter)
    significance = _significance(np.asarray(cutouts.pixels[:, columns], dtype=np.float32), noise)
    middle, reach = cutouts.pixels.shape[-1] // 2, 3
    core = significance[..., middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]
    peak = np.nanmax(np.where(np.isfinite(core), core, _MIN_WHITE), axis=(1, 2, 3))
    return _to_8bit(significance, np.maximum(peak, _MIN_WHITE)[:, None, None, None])


def plot_montage(
    cutouts: Cutouts,
    *,
    probabilities: ArrayLike | None = None,
    titles: Sequence[str] | None = None,
    n_columns: int = 6,
    ax: Axes | None = None,
) -> Axes:
    """Draw colour pictures of sources side by side, with their probabilities.

    Parameters
    ----------
    cutouts : Cutouts
        N sources.
    probabilities : array-like, optional
        (N, 3): the class and its probability stand below each picture, framed in the colour of the class.
        Default: neither.
    titles : sequence of str, optional
        N words above the pictures. Default: none.
    n_columns : int, default 6
        Pictures in a row.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes; a tile is 1 wide and 1.3 high in its coordinates.

    Raises
    ------
    IICnetError
        If there is not one row of probabilities or one title for each source.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Fig. 4 and Table 4.
    """
    n = len(cutouts)
    known = None if probabilities is None else filled(probabilities)
    if (known is not None and known.shape != (n, len(CLASSES))) or (titles is not None and len(titles) != n):
        raise IICnetError(f"{n} cutouts: expected ({n}, {len(CLASSES)}) probabilities and {n} titles.")
    ax = get_axes(ax)
    for i, picture in enumerate(compose_rgb(cutouts)):
        x, y = i % n_columns, -1.3 * (i // n_columns)
        box = (x + _RIM, x + 1 - _RIM, y + _RIM, y + 1 - _RIM)
        ax.imshow(picture, origin="lower", extent=box, interpolation="nearest")
        text, colour = ("", UNKNOWN) if known is None else _verdict(known[i])
        _frame(box, colour, ax)
        ax.text(x + 0.5, y + 0.03, text, ha="center", va="top", fontsize=8)
        if titles is not None:
            ax.text(x + 0.5, y + 1 - _RIM, titles[i], ha="center", va="bottom", fontsize=8)
    n_rows = -(-n // n_columns)
    ax.set(xlim=(0, max(1, min(n, n_columns))), ylim=(-1.3 * (n_rows - 1) - 0.15, 1.15), aspect="equal")
    ax.set_axis_off()
    return ax


def plot_rgb_histogram(pictures: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draw how often each brightness occurs in red, green and blue.

    Parameters
    ----------
    pictures : array-like
        (..., 3) uint8, as `compose_rgb` gives them.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, with a logarithmic share of the pixels.

    Raises
    ------
    IICnetError
        If the last axis is not red, green and blue.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Fig. 5.
    """
    values = np.asarray(pictures)
    if values.ndim < 1 or values.shape[-1] != 3:
        raise IICnetError(f"Pictures of shape {values.shape}: expected (..., 3) for red, green and blue.")
    ax = get_axes(ax)
    channels = zip(values.reshape(-1, 3).T, ("red", "green", "blue"), ("-", "--", ":"), strict=True)
    for channel, name, style in channels:
        share = np.full(len(channel), 1 / max(1, len(channel)))
        colour = {"red": "#CC3311", "green": "#228833", "blue": "#0077BB"}[name]
        options: dict[str, Any] = {"histtype": "step", "linestyle": style, "linewidth": 1.6, "color": colour}
        ax.hist(channel, bins=list(range(0, 260, 4)), weights=share, label=name, **options)
    ax.set(xlabel="value", ylabel="share of the pixels", yscale="log", xlim=(0, 256))
    add_legend(ax)
    return ax


def plot_field(field: Field, position: SkyCoord, *, width: float = 600.0, ax: Axes | None = None) -> Axes:
    """Draw the surroundings of a position in the simulated field, the network's 50 arcsec framed.

    Parameters
    ----------
    field : Field
        What `~astro_iicnet.simulation.field.simulated_field` gives.
    position : `~astropy.coordinates.SkyCoord`
        One position in the field.
    width : float, default 600
        Side of the picture [arcsec]; 600 is what an archive gives by default.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, in arcsec from the position, north up, east to the left.

    Raises
    ------
    ImagesError
        If the position is outside the field.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Fig. 1.
    """
    size = field.images.shape[-1]
    x, y = (float(value) for value in field.wcs.world_to_pixel(position))
    if not (-0.5 <= x < size - 0.5 and -0.5 <= y < size - 0.5):
        raise ImagesError(
            f"The position {position.to_string('decimal')} is outside the simulated field: take one of "
            "example_sources()."
        )
    ax = get_axes(ax)
    images = field.images[[field.bands.index(band) for band in CHANNELS]]
    significance = _significance(images[None], np.array([get_band(band).noise for band in CHANNELS]))
    picture = _to_8bit(significance, np.array(_FIELD_WHITE))[0]
    east, north = (PIXEL_SCALE * (np.array([0, size]) - 0.5 - middle) for middle in (x, y))
    ax.imshow(picture, origin="lower", extent=(*-east, *north), interpolation="nearest")
    half = _FIELD / 2
    if width > _FIELD:
        _frame((-half, half, -half, half), "white", ax)
    ax.set(xlim=(width / 2, -width / 2), ylim=(-width / 2, width / 2))
    ax.set(xlabel="east [arcsec]", ylabel="north [arcsec]", facecolor="0.3")
    return ax


def plot_maps(maps: Mapping[str, ArrayLike], *, ax: Axes | None = None) -> Axes:
    """Draw maps of one source side by side, each in its own scale.

    Parameters
    ----------
    maps : mapping of str to array-like
        Title -> (H, W) map, as `~astro_iicnet.analysis.features.feature_maps` gives one for each layer, or
        (H, W, 3) picture.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes; a map is 1 wide and 1 high in its coordinates.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Fig. 11.
    """
    return _plot_row(maps, get_axes(ax), cmap="viridis")


def plot_attribution(attribution: ArrayLike, bands: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draw which pixels spoke for a class (red) and which against it (blue), band by band.

    Parameters
    ----------
    attribution : array-like
        (B, H, W): one source of what `~astro_iicnet.analysis.features.attribute` gives. White is zero; all
        bands share a scale, which the brightest half per cent of the pixels exceed.
    bands : sequence of str
        B band names, in the order of the network: ``weights.bands``.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes; a map is 1 wide and 1 high in its coordinates.

    Raises
    ------
    IICnetError
        If there is not one map for each band.
    """
    values = np.asarray(attribution, dtype=np.float64)
    if values.ndim != 3 or len(values) != len(bands):
        raise IICnetError(f"Attribution of shape {values.shape}: expected ({len(bands)}, H, W), one source.")
    top = float(np.quantile(np.abs(values), 0.995)) or 1.0
    maps = dict(zip(bands, values, strict=True))
    return _plot_row(maps, get_axes(ax), cmap="RdBu_r", vmin=-top, vmax=top)


def _plot_row(maps: Mapping[str, ArrayLike], ax: Axes, **options: Any) -> Axes:
    """Maps side by side, with their titles above."""
    for i, (title, values) in enumerate(maps.items()):
        extent = (i + _RIM / 2, i + 1 - _RIM / 2, 0, 1 - _RIM)
        ax.imshow(np.asarray(values), origin="lower", extent=extent, interpolation="nearest", **options)
        ax.text(i + 0.5, 1, title, ha="center", va="bottom", fontsize=9)
    ax.set(xlim=(0, max(1, len(maps))), ylim=(0, 1.12), aspect="equal")
    ax.set_axis_off()
    return ax


def _significance(pixels: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Pixels (N, 3, S, S) less the background, over the noise (3,)."""
    flat = pixels.reshape(*pixels.shape[:2], pixels.shape[2] * pixels.shape[3])
    empty = ~np.isfinite(flat).any(axis=2)
    background = np.nanmedian(np.where(empty[..., None], 0, flat), axis=2)[..., None, None]
    return (pixels - background) / noise.astype(np.float32)[:, None, None]


def _to_8bit(significance: np.ndarray, white: np.ndarray) -> np.ndarray:
    """Stretch by asinh from a sigma below the background to white; (N, 3, S, S) to (N, S, S, 3)."""
    # Linear to 3 sigma: steeper, and the noise would be as loud as the sources.
    black, top = np.arcsinh(-1 / 3), np.arcsinh(white / 3)
    share = (np.arcsinh(significance / 3) - black) / (top - black)
    grey = 0.3
    values = np.where(np.isfinite(share), np.clip(share, 0, 1), grey)
    return np.moveaxis((255 * values).round().astype(np.uint8), 1, -1)


def _verdict(probabilities: np.ndarray) -> tuple[str, str]:
    """The class with its probability, and its colour."""
    if not np.isfinite(probabilities).all():
        return "no class", UNKNOWN
    name = CLASSES[int(probabilities.argmax())]
    return f"{name} {probabilities.max():.2f}", CLASS_COLOURS[name]


def _frame(box: tuple[float, float, float, float], colour: str, ax: Axes) -> None:
    """A square line around a picture."""
    left, right, bottom, top = box
    x, y = [left, right, right, left, left], [bottom, bottom, top, top, bottom]
    ax.plot(x, y, color=colour, linewidth=2, solid_joinstyle="miter")
