"""Magnitudes, concentration and quality flags from cutouts."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from astro_iicnet.allwise.bands import Band, get_band
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.labels import Flag
from astro_iicnet.photometry import kernels
from astro_iicnet.photometry.quality import has_brighter_neighbour, has_central_source, is_saturated, smooth

SYSTEMATIC = 0.012
"""Scatter of a flux about the mean PSF, relative: W1-W2 of bright real stars scatters by 0.018 mag."""

MIN_COVERAGE = 0.5
"""Smallest share of a weight on pixels that exist, for a flux to be given."""

MIN_BACKGROUND = 50
"""Fewest background pixels."""

LIMIT_SNR = 2.0
"""Below this S/N a magnitude is an upper limit."""

_CHUNK = 512
_WIDTHS = np.array([kernels.NARROW, kernels.WIDE])


@dataclass(frozen=True, eq=False)
class Photometry:
    """What `measure` finds for N sources in B bands.

    Parameters
    ----------
    bands : tuple of str
        B band names.
    flux, flux_err : numpy.ndarray
        (N, B) float32 point-source flux and its 1 sigma error [DN], NaN where not measured.
    mag : numpy.ndarray
        (N, B) float32 [Vega mag], a 95 % limit where ``upper_limit``, NaN where not measured.
    mag_err : numpy.ndarray
        (N, B) float32 [mag], NaN for limits and where not measured.
    snr : numpy.ndarray
        (N, B) float32 ratio of flux to error; may be negative.
    upper_limit : numpy.ndarray
        (N, B) bool.
    concentration : numpy.ndarray
        (N, B) float32 [mag]: light in a narrow weight (1.5 px) against a wide one (4 px), each relative
        to the PSF: 0 for a point source, positive for an extended one, NaN below S/N 2.
    flags : numpy.ndarray
        (N,) uint8 bits of `~astro_iicnet.labels.Flag`, all but LOW_CONFIDENCE.
    """

    bands: tuple[str, ...]
    flux: np.ndarray
    flux_err: np.ndarray
    mag: np.ndarray
    mag_err: np.ndarray
    snr: np.ndarray
    upper_limit: np.ndarray
    concentration: np.ndarray
    flags: np.ndarray

    def __len__(self) -> int:
        return len(self.flux)


class Colours(NamedTuple):
    """Colours of N sources between C pairs of neighbouring bands."""

    names: tuple[str, ...]
    """C names, as in "W1-W2"."""
    value: np.ndarray
    """(N, C) float32 [Vega mag], NaN where a band was not measured."""
    error: np.ndarray
    """(N, C) float32 [mag], NaN for limits."""
    limit: np.ndarray
    """(N, C) bool: at least one of the two magnitudes is an upper limit."""


class _BandResult(NamedTuple):
    """One band of one chunk; fluxes are narrow, wide and ring."""

    fluxes: np.ndarray
    noise: np.ndarray
    missing: np.ndarray
    central: np.ndarray
    smoothed: np.ndarray


def measure(cutouts: Cutouts) -> Photometry:
    """Measure point-source photometry and quality flags at the target's position.

    The background is the median of the pixels beyond 20.6 arcsec. A flux is the sum of the pixels less the
    background under a Gaussian weight of 1.5 px at the sub-pixel position, over the same sum for the PSF:
    unbiased for a point source, whose light in the annulus is allowed for. Missing pixels have no
    weight, in both sums. Nothing is centred, and neighbours are not taken off.

    The error is the scatter of the background (the lower half of its distribution, which holds few sources)
    times a factor that follows from the weight and the measured autocorrelation of Atlas noise; photon noise
    and 1.2 % of the flux, for the variation of the PSF, are added in quadrature.

    Upper limits follow AllWISE [1]_: below S/N 2 the magnitude is that of the flux plus two sigma, of two
    sigma if the flux is negative, which is a 95 % limit.

    Parameters
    ----------
    cutouts : Cutouts
        N sources in B bands on an odd number of pixels, 31 or more on a side.

    Returns
    -------
    Photometry
        Row i for source i. A row without pixels has NaN everywhere and only the flag of missing pixels.

    Raises
    ------
    ImagesError
        If a band is not one of AllWISE, or the cutouts are too small.

    References
    ----------
    .. [1] Cutri et al. 2013, Explanatory Supplement to the AllWISE Data Release Products, section II.1.
    """
    n, n_bands, size = cutouts.pixels.shape[:3]
    kernels.annulus(size)
    bands = [get_band(name) for name in cutouts.bands]
    fluxes = np.full((n, n_bands, 3), np.nan, dtype=np.float32)
    noise = np.full((n, n_bands), np.nan, dtype=np.float32)
    flags = np.zeros(n, dtype=np.uint8)
    for start in range(0, n, _CHUNK):
        rows = slice(start, start + _CHUNK)
        pixels, offset = cutouts.pixels[rows], np.asarray(cutouts.offset[rows], dtype=np.float32)
        results = [_measure_band(pixels[:, i], offset, band, full=i == 0) for i, band in enumerate(bands)]
        fluxes[rows] = np.stack([result.fluxes for result in results], axis=1)
        noise[rows] = np.stack([result.noise for result in results], axis=1)
        flags[rows] = _flags(results, offset, bands, cutouts.magzp)
    return _to_photometry(cutouts, fluxes, noise, flags)


def colours(photometry: Photometry) -> Colours:
    """Subtract the magnitudes of neighbouring bands.

    Parameters
    ----------
    photometry : Photometry
        What `measure` gave.

    Returns
    -------
    Colours
        One colour less than there are bands, in their order.
    """
    bands, mag, error = photometry.bands, photometry.mag, photometry.mag_err
    return Colours(
        tuple(f"{blue}-{red}" for blue, red in zip(bands[:-1], bands[1:], strict=True)),
        mag[:, :-1] - mag[:, 1:],
        np.hypot(error[:, :-1], error[:, 1:]),
        photometry.upper_limit[:, :-1] | photometry.upper_limit[:, 1:],
    )


def _measure_band(pixels: np.ndarray, offset: np.ndarray, band: Band, *, full: bool) -> _BandResult:
    """Fluxes and per-band flags of (n, S, S) pixels."""
    size = pixels.shape[-1]
    sky, sigma = _background(pixels)
    clean = pixels - sky[:, None, None]
    good = np.isfinite(clean)
    missing = ~good.all(axis=(1, 2))
    clean[~good] = 0
    along_x = kernels.axis_weights(offset[:, 0], size, _WIDTHS)
    along_y = kernels.axis_weights(offset[:, 1], size, _WIDTHS)
    sums = ((clean @ along_x.swapaxes(1, 2)) * along_y.swapaxes(1, 2)).sum(1)
    whole = kernels.response(band.psf, along_x, along_y, offset)
    seen = whole.copy()
    if missing.any():
        rows = along_x[missing], along_y[missing], offset[missing], good[missing]
        seen[missing] = kernels.masked_response(band.psf, *rows)
    sums, whole, seen = (np.column_stack([value, value[:, 1] - value[:, 0]]) for value in (sums, whole, seen))
    enough = seen > MIN_COVERAGE * whole
    fluxes = np.where(enough, sums / np.where(enough, seen, 1), np.nan)
    noise = sigma * kernels.noise_factor(band.name, size)
    smoothed = smooth(clean, full=full) / whole[:, :1, None]
    central = has_central_source(smoothed, noise, offset)
    return _BandResult(fluxes, noise, missing, central, smoothed)


def _background(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median of the annulus and its scatter towards lower values, NaN with too few pixels."""
    values = np.sort(pixels[:, kernels.annulus(pixels.shape[-1])], axis=1)
    count = np.isfinite(values).sum(axis=1)

    def quantile(share: float) -> np.ndarray:
        index = np.maximum(np.round(share * (count - 1)), 0).astype(int)
        return np.take_along_axis(values, index[:, None], axis=1)[:, 0]

    sky = np.where(count >= MIN_BACKGROUND, quantile(0.5), np.nan).astype(np.float32)
    return sky, sky - quantile(0.1587)


def _flags(
    results: list[_BandResult], offset: np.ndarray, bands: list[Band], magzp: np.ndarray
) -> np.ndarray:
    """Bits of `Flag` for one chunk."""
    saturated = np.zeros(len(offset), dtype=bool)
    for result, band, zero_point in zip(results, bands, magzp, strict=True):
        saturated |= is_saturated(result.fluxes, band, zero_point)
    missing = np.any([result.missing for result in results], axis=0)
    measured = np.any([np.isfinite(result.fluxes[:, 0]) for result in results], axis=0)
    central = np.any([result.central for result in results], axis=0)
    first = results[0]
    neighbour = has_brighter_neighbour(first.smoothed, first.noise, first.fluxes, offset)
    flags = np.where(missing, Flag.MISSING_PIXELS, 0)
    flags |= np.where(saturated, Flag.SATURATED, 0)
    flags |= np.where(neighbour, Flag.BRIGHTER_NEIGHBOUR, 0)
    flags |= np.where(measured & ~central & ~saturated, Flag.NO_CENTRAL_SOURCE, 0)
    return flags.astype(np.uint8)


def _to_photometry(cutouts: Cutouts, fluxes: np.ndarray, noise: np.ndarray, flags: np.ndarray) -> Photometry:
    """Fluxes to magnitudes, errors, limits and concentration."""
    size = cutouts.pixels.shape[-1]
    flux, wide = fluxes[..., 0], fluxes[..., 1]
    photons = np.array([kernels.photon_factor(name, size) for name in cutouts.bands], dtype=np.float32)
    light = np.maximum(flux, 0)
    error = np.sqrt(noise**2 + photons * light + np.square(SYSTEMATIC * light))
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = flux / error
        limit = snr < LIMIT_SNR
        shown = np.where(limit, light + 2 * error, flux)
        mag = cutouts.magzp.astype(np.float32) - 2.5 * np.log10(shown)
        concentration = np.where(limit | (wide <= 0), np.nan, -2.5 * np.log10(flux / wide))
    return Photometry(
        bands=tuple(cutouts.bands),
        flux=flux.copy(),
        flux_err=error,
        mag=mag.astype(np.float32),
        mag_err=np.where(limit, np.nan, 2.5 / np.log(10) / snr).astype(np.float32),
        snr=snr,
        upper_limit=limit,
        concentration=concentration.astype(np.float32),
        flags=flags,
    )
