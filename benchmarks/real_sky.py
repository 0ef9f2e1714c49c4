"""Check weights on real AllWISE pixels, which no training has seen.

    python benchmarks/real_sky.py DATA [--weights NAME_OR_PATH] [--half 1] [--per-class 3000]

DATA is a folder with ``real_stars.npz`` (cutouts of Tycho stars), ``fields/field_a-w?-int-3.fits``
(a real field with an extended galaxy in its middle) and ``labelled_colours.parquet`` (magnitudes
of real quasars). Printed are the recall of the real stars, the class of the galaxy, and the
recall of real point sources: bright unsaturated stars without their background, scaled to the
magnitudes of real quasars and of faint stars and added to real sky ("real"). Beside it stand the
simulated PSF on the same real sky ("PSF on real sky") and the simulated PSF on simulated sky of the
same star density, its places chosen by the same rule ("simulated"). Half 0 of stars and quasars serves
to develop, half 1 to report; the sky is the same for both, about 40 independent places of one field,
which the noise model was fitted to. Weights that look at W4 are shown stars and galaxy alone: W4 does not
see the stars that would be scaled.
"""

import argparse
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table

from astro_iicnet.allwise.bands import get_band, zero_points
from astro_iicnet.classifier import IICnetClassifier
from astro_iicnet.cutouts import open_images
from astro_iicnet.cutouts.base import CUTOUT_SIZE, Cutouts
from astro_iicnet.cutouts.cut import cut_image
from astro_iicnet.labels import CLASSES, Status
from astro_iicnet.simulation.populations import draw_sources
from astro_iicnet.simulation.render import (
    band_flux,
    draw_stretch,
    point_sources,
    position_error,
    source_noise,
)
from astro_iicnet.simulation.surroundings import draw_neighbours, noise_field

BANDS = ("W1", "W2", "W3")
GALAXY = SkyCoord(121.6006, 1.0362, unit="deg")
BINS = ((13, 14), (14, 15), (15, 16), (16, 16.5))
W3_BINS = ((3, 5.2), (5.2, 6.5), (6.5, 8), (8, 30))
"""Of the real stars; the brightest are deeply saturated in W1 and W2, but not in W3."""
GALAXY_RADIUS = 20
"""Pixels from the middle of the real field that its galaxy fills."""
CROWDING = 3.0
"""Star density of that field relative to a high latitude, see ``fit_noise.py``."""
BLANK = 0.4
"""Highest level above the background [DN, W1] of a place without a source."""


def as_cutouts(pixels: np.ndarray, offset: np.ndarray, bands: tuple[str, ...] = BANDS) -> Cutouts:
    """Cutouts of usable rows."""
    n = len(pixels)
    status = np.full(n, Status.OK, np.uint8)
    return Cutouts(pixels, offset.astype(np.float32), bands, zero_points(bands), status, np.full(n, ""))


def real_stars(stars: dict[str, np.ndarray], bands: tuple[str, ...]) -> Cutouts:
    """Cutouts of the real stars, cut anew about the catalogued position."""
    parts = [
        [cut_image(image, x, y, CUTOUT_SIZE) for image in images[: len(bands)]]
        for images, x, y in zip(
            stars["images"], stars["target_x"][:, None], stars["target_y"][:, None], strict=True
        )
    ]
    pixels = np.array([[band[0][0] for band in part] for part in parts], np.float32)
    return as_cutouts(pixels, np.array([part[0][1][0] for part in parts]), bands)


def total_flux(stars: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images less their background, fluxes [DN] with the PSF within 7 px, scatter of the sky [DN]."""
    images = stars["images"][:, :3].astype(float)
    axis = np.arange(images.shape[-1])
    dx, dy = axis - stars["target_x"][:, None], axis - stars["target_y"][:, None]
    radius = np.hypot(dx[:, None, :], dy[:, :, None])
    sky = np.where(radius > 18, 1.0, np.nan)[:, None]
    images = images - np.nanmedian(images * sky, axis=(2, 3), keepdims=True)
    scatter = 1.4826 * np.nanmedian(np.abs(images * sky), axis=(2, 3))
    middle = (images.shape[-1] - 1) / 2
    shift = stars["target_x"] - middle, stars["target_y"] - middle
    psf = np.stack([get_band(band).psf.image(len(axis), *shift) for band in BANDS], axis=1)
    psf = np.where(radius[:, None] < 7, psf, 0)
    flux = (np.nan_to_num(images) * psf).sum(axis=(2, 3)) / (psf**2).sum(axis=(2, 3))
    return images, flux, scatter


def wanted_magnitudes(data: Path, half: int, per_class: int, rng: np.random.Generator) -> Table:
    """Magnitudes of real quasars and of the simulation's ordinary stars, W1 from 13 to 16.5.

    As many quasars in each bin. Those fainter than the depth of W3, where the catalogue may hold
    upper limits, get the W2-W3 of a quasar with W1 < 15, nearly all of which W3 detects.
    """
    colours = Table.read(data / "labelled_colours.parquet")
    w1, w2, w3 = (np.ma.filled(np.ma.asarray(colours[name], float), np.nan) for name in ("w1", "w2", "w3"))
    keep = (np.asarray(colours["cls"]) == "QSO") & (np.asarray(colours["half"]) == half) & np.isfinite(w2)
    detected = keep & np.isfinite(w3) & (w3 < get_band("W3").depth)
    w3 = np.where(detected, w3, w2 - rng.choice((w2 - w3)[detected & (w1 < 15)], len(w3)))
    members = [np.flatnonzero(keep & (w1 >= low) & (w1 < high)) for low, high in BINS]
    quasars = np.concatenate([rng.choice(rows, per_class // len(BINS)) for rows in members])
    stars = draw_sources(12 * per_class, rng, fractions=(0, 0, 1))
    stars = stars[(stars["w1"] > BINS[0][0]) & (stars["w1"] < BINS[-1][1])][:per_class]
    table = Table({"class": ["quasar"] * len(quasars) + ["star"] * len(stars)})
    for name, values in (("w1", w1), ("w2", w2), ("w3", w3)):
        table[name] = np.concatenate([values[quasars], np.asarray(stars[name])])
    table["w4"] = table["w3"]
    table["point_fraction"] = np.ones((len(table), 4))
    for name, value in (("radius", 0.0), ("sersic_n", 1.0), ("axis_ratio", 1.0), ("position_angle", 0.0)):
        table[name] = value
    return table


def real_point_sources(
    sky: np.ndarray, stars: dict[str, np.ndarray], wanted: Table, rng: np.random.Generator
) -> Cutouts:
    """Real bright stars of photospheric colours, scaled to the wanted magnitudes, on real sky."""
    images, flux, scatter = total_flux(stars)
    mag = zero_points(BANDS) - 2.5 * np.log10(np.maximum(flux, 1e-3))
    usable = (mag[:, 0] > 8.6) & (mag[:, 0] < 9.8) & np.isfinite(images).all(axis=(1, 2, 3))
    donors = np.flatnonzero(usable & (scatter[:, 2] < 0.7) & (np.abs(mag[:, 0] - mag[:, 2]) < 0.3))
    donor = rng.choice(donors, len(wanted))
    position = np.stack([stars["target_x"][donor], stars["target_y"][donor]], axis=1)
    corner = np.rint(position).astype(int) - CUTOUT_SIZE // 2
    grid = np.arange(CUTOUT_SIZE)
    x, y = (np.clip(corner[:, axis, None] + grid, 0, images.shape[-1] - 1) for axis in (0, 1))
    pixels = sky.copy()
    for k, band in enumerate(BANDS):
        scale = band_flux(np.asarray(wanted[band.lower()]), band) / flux[donor, k]
        source = images[donor[:, None, None], k, y[:, :, None], x[:, None, :]]
        pixels[:, k] += source * scale[:, None, None]
    return as_cutouts(pixels, position - np.rint(position))


def psf_on_sky(sky: np.ndarray, wanted: Table, rng: np.random.Generator) -> Cutouts:
    """The simulation's point sources on given sky."""
    n = len(wanted)
    offset = rng.uniform(-0.5, 0.5, (n, 2))
    true = offset - position_error(n, rng)
    axis = np.arange(CUTOUT_SIZE, dtype=np.float32) - CUTOUT_SIZE // 2
    stretch = draw_stretch(n, rng)
    pixels = sky.copy()
    for k, band in enumerate(BANDS):
        flux = band_flux(np.asarray(wanted[band.lower()]), band)[:, None]
        light = point_sources(axis, true[:, :1], true[:, 1:], flux, band, stretch)
        pixels[:, k] += light + source_noise(light, band, rng)
    return as_cutouts(pixels, offset)


def read_sky(data: Path) -> np.ndarray:
    """The real field, (1, 3, 261, 261), with NaN on its galaxy."""
    sky = np.stack([fits.getdata(data / f"fields/field_a-{b.lower()}-int-3.fits") for b in BANDS]).astype(
        "f4"
    )
    axis = np.arange(sky.shape[1]) - sky.shape[1] // 2
    sky[:, np.hypot(axis, axis[:, None]) < GALAXY_RADIUS] = np.nan
    return sky[None]


def simulated_sky(n: int, rng: np.random.Generator) -> np.ndarray:
    """Simulated fields of the size and star density of the real one, (n, 3, 261, 261)."""
    axis = np.arange(261, dtype=np.float32) - 130
    crowding = np.full(n, CROWDING)
    around = draw_neighbours(n, len(axis) + 24, crowding, rng)
    sky = []
    for band in BANDS:
        flux = band_flux(around[band.lower()], band)
        light = point_sources(axis, around["x"], around["y"], flux, band, draw_stretch(n, rng))
        sky.append(light + noise_field(n, len(axis), band, np.ones(n), rng))
    return np.stack(sky, axis=1)


def blank_stamps(fields: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Sky around places of fields without a source of their own, (n, 3, S, S), turned at random."""
    half, span = CUTOUT_SIZE // 2, fields.shape[-1]
    field = rng.integers(0, len(fields), 12 * n)
    x, y = rng.integers(half, span - half, (2, 12 * n))
    above = fields[field, 0, y, x] - np.nanmedian(fields[:, 0], axis=(1, 2))[field]
    windows = np.lib.stride_tricks.sliding_window_view(fields, (CUTOUT_SIZE, CUTOUT_SIZE), axis=(2, 3))
    blank = np.flatnonzero(above < BLANK)
    whole = np.isfinite(windows[field[blank], 0, y[blank] - half, x[blank] - half]).all(axis=(1, 2))
    blank = blank[whole][:n]
    stamps = windows[field[blank], :, y[blank] - half, x[blank] - half].copy()
    for turn in range(1, 4):
        stamps[turn::4] = np.rot90(stamps[turn::4], turn, axes=(2, 3))
    return stamps


def recall_table(classes: dict[str, np.ma.MaskedArray], wanted: Table) -> Table:
    """Recall [%] by class and magnitude, and real minus simulated."""
    rows = []
    for name in ("quasar", "star"):
        for low, high in BINS:
            keep = (wanted["class"] == name) & (wanted["w1"] >= low) & (wanted["w1"] < high)
            recall = [100 * np.mean(found[keep].filled("") == name) for found in classes.values()]
            difference = recall[0] - recall[-1]
            rows.append((name, f"{low}-{high}", int(keep.sum()), *np.round([*recall, difference], 1)))
    return Table(rows=rows, names=["class", "W1", "n", *classes, "difference"])


def main() -> None:
    """Print the three checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights")
    parser.add_argument("--half", type=int, default=1, choices=(0, 1))
    parser.add_argument("--per-class", type=int, default=3000, help="scaled stars; sky and stars repeat")
    options = parser.parse_args()
    rng = np.random.default_rng(100 + options.half)
    classifier = IICnetClassifier(options.weights)
    everything = dict(np.load(options.data / "real_stars.npz"))
    rows = everything["half"] == options.half
    stars = {
        key: value[rows] if np.shape(value)[:1] == rows.shape else value for key, value in everything.items()
    }

    bands = classifier.weights_.bands
    found = classifier.predict(real_stars(stars, bands))
    counts = {name: int((found == name).sum()) for name in CLASSES}
    recall = 100 * counts["star"] / len(found)
    print(f"real stars, half {options.half}: {len(found)}, star {recall:.2f} %,", counts)
    w3 = get_band("W3").zero_point - 2.5 * np.log10(np.maximum(total_flux(stars)[1][:, 2], 1e-3))
    for low, high in W3_BINS:
        rows = (w3 >= low) & (w3 < high)
        right = int((found[rows] == "star").sum())
        print(f"  W3 {low} to {high}: {right} of {int(rows.sum())}")

    galaxy = open_images(options.data / "fields").fetch(GALAXY[None], bands)
    probabilities = [round(float(p), 4) for p in classifier.predict_proba(galaxy)[0]]
    print("galaxy of field_a:", dict(zip(CLASSES, probabilities, strict=True)))
    if bands != BANDS:
        return

    wanted = wanted_magnitudes(options.data, options.half, options.per_class, rng)
    sky = blank_stamps(read_sky(options.data), len(wanted), rng)
    simulated = blank_stamps(simulated_sky(8, rng), len(wanted), rng)
    classes = {
        "real": classifier.predict(real_point_sources(sky, stars, wanted, rng)),
        "PSF on real sky": classifier.predict(psf_on_sky(sky, wanted, rng)),
        "simulated": classifier.predict(psf_on_sky(simulated, wanted, rng)),
    }
    recall_table(classes, wanted).pprint_all()


if __name__ == "__main__":
    main()
