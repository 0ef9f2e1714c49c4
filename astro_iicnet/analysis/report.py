"""A result table as one page of HTML: what was found, where, how surely, and what it looks like."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from astropy.table import Table

from astro_iicnet.analysis.page import (
    describe,
    draw,
    footer,
    heading,
    make_page,
    make_table,
    paragraph,
    picture_grid,
    side_by_side,
    tiles,
)
from astro_iicnet.analysis.plots import (
    CLASS_COLOURS,
    compose_rgb,
    plot_colour_plane,
    plot_probabilities,
    plot_sky,
)
from astro_iicnet.analysis.plots.samples import Cuts, is_wide
from astro_iicnet.analysis.plots.style import filled
from astro_iicnet.cutouts import Images, open_images
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.cutouts.none import NoImages
from astro_iicnet.cutouts.retrieve import retrieve
from astro_iicnet.exceptions import SourcesError
from astro_iicnet.fusion.colours import Magnitudes, from_cutouts, from_table
from astro_iicnet.fusion.cuts import mateos_2012, stern_2012
from astro_iicnet.labels import CLASSES, Flag, Status
from astro_iicnet.prediction_sets import SEPARATOR
from astro_iicnet.results import (
    IMAGES_COLUMN,
    LOW_CONFIDENCE,
    META_KEY,
    PROBABILITY_COLUMNS,
    SET_COLUMN,
    class_counts,
    status_counts,
)
from astro_iicnet.sources import read_sources

CUTS: Cuts = {
    "Stern et al. 2012": lambda w1_w2, w2_w3: stern_2012(w1_w2, np.zeros_like(w1_w2)),
    "Mateos et al. 2012": lambda w1_w2, w2_w3: mateos_2012(w1_w2 + w2_w3, w2_w3, np.zeros_like(w2_w3)),
}
"""Cuts drawn in the colour plane, as functions of W1-W2 and W2-W3."""

STATUS_MEANING: dict[str, str] = {
    Status.OK.label: "all that the weights need was there; the source has a class",
    Status.BAD_COORDINATES.label: "no usable position",
    Status.NO_COVERAGE.label: "no image there",
    Status.RETRIEVAL_FAILED.label: "the image could not be had; it may be another time",
    Status.BAD_PIXELS.label: "more than a tenth of the central 8 arcsec is missing",
    Status.MISSING_MAGNITUDES.label: "the weights need magnitudes and there are none",
}
"""What a status says, in a line."""

FLAG_MEANING: dict[Flag, str] = {
    Flag.LOW_CONFIDENCE: f"the highest probability is below {LOW_CONFIDENCE}",
    Flag.NO_CENTRAL_SOURCE: "no source is seen in the centre: the class is of something else, or of noise",
    Flag.SATURATED: "saturated in at least one band: colours cannot be trusted",
    Flag.MISSING_PIXELS: "some pixels are missing and were filled with the background",
    Flag.BRIGHTER_NEIGHBOUR: "a brighter source lies within 25 arcsec and may have lent its light",
}
"""What a flag says, in a line."""

PICTURES = (
    "41 by 41 native pixels (56 arcsec) around the position, north up, east to the left; W3 red, W2 green, "
    "W1 blue. The frame has the colour of the class found."
)
"""How pictures are to be read."""

_BANDS = ("W1", "W2", "W3")
_PER_CLASS = 6
_LEAST_CERTAIN = 12
_MEASURED = 200  # rows whose colours are measured, where the table has none


def result_report(
    table: Table,
    *,
    title: str = "Classified sources",
    images: "Images | None" = None,
    ra: str | None = None,
    dec: str | None = None,
    progress: bool = False,
) -> str:
    """Make a page of a result table.

    Parameters
    ----------
    table : `~astropy.table.Table`
        What `~astro_iicnet.classifier.IICnetClassifier.classify` gave or
        `~astro_iicnet.output.read_results` read.
    title : str, default "Classified sources"
        Heading of the page.
    images : str, pathlib.Path, CutoutSource or list of these, optional
        Where pixels come from, see `~astro_iicnet.cutouts.open_images`: for pictures of at most 30 rows,
        and for the colours of at most 200 if the table has no magnitudes. Default: nothing is fetched.
    ra, dec : str, optional
        Columns that hold the position. Default: those under the usual names.
    progress : bool, default False
        Show progress of the retrieval on stderr.

    Returns
    -------
    str
        HTML, with all figures inside.

    Raises
    ------
    SourcesError
        If no positions can be recognised.
    ImagesError
        If the images cannot be used.
    """
    coords = read_sources(table, ra=ra, dec=dec).coords
    rows = _choose(table)
    pixels: dict[int, Cutouts] = {}
    magnitudes, note = _magnitudes(table)
    if images is not None:
        wanted = np.unique(np.concatenate([*rows.values(), rows["measured"] if magnitudes is None else []]))
        pixels = _fetch(coords, wanted.astype(int), images, progress)
    if magnitudes is None and images is not None:
        magnitudes, note = _measure(pixels, rows["measured"], len(table))
    parts = [*_counts(table), *_sets(table), heading("Where and how surely")]
    figures = [_sky(coords, table), _confidence(table)]
    if magnitudes is not None:
        figures.append(colour_figure(magnitudes, table["iicnet_class"], note))
    parts.append(side_by_side(figures))
    if magnitudes is None:
        parts.append(paragraph(note))
    parts += [*_pictures(table, rows, pixels, images is not None), *_flags(table), *_provenance(table)]
    return make_page(title, parts)


def colour_figure(
    magnitudes: Magnitudes, classes: Any, note: str, *, marked: np.ndarray | None = None
) -> str:
    """The plane of colours with the usual cuts, as a figure of the page.

    Parameters
    ----------
    magnitudes : Magnitudes
        N rows in W1, W2, W3.
    classes : array-like
        (N,) names or label indices.
    note : str
        Words for the caption: whose magnitudes they are.
    marked : numpy.ndarray, optional
        (N,) bool: which are ringed. Default: none.

    Returns
    -------
    str
        HTML.
    """
    mag, limit = magnitudes.mag, magnitudes.upper_limit[:, :3].any(axis=1)
    return draw(
        plot_colour_plane,
        mag[:, 0] - mag[:, 1],
        mag[:, 1] - mag[:, 2],
        classes,
        limits=limit,
        marked=marked,
        cuts=CUTS,
        caption=f"Colours, {note} Faint marks: a magnitude is an upper limit.",
    )


def montage(cutouts: Cutouts, probabilities: np.ndarray, titles: Sequence[str]) -> str:
    """Pictures of sources, framed in the colour of their class.

    Parameters
    ----------
    cutouts : Cutouts
        N sources.
    probabilities : numpy.ndarray
        (N, 3), finite.
    titles : sequence of str
        N words; class and probability follow them.

    Returns
    -------
    str
        HTML.
    """
    names = [CLASSES[index] for index in probabilities.argmax(axis=1)]
    highest = probabilities.max(axis=1)
    captions = [f"{title}: {name} {p:.2f}" for title, name, p in zip(titles, names, highest, strict=True)]
    return picture_grid(compose_rgb(cutouts), captions, [CLASS_COLOURS[name] for name in names])


def probabilities_of(table: Table) -> np.ndarray:
    """The probabilities of a result table as an array.

    Parameters
    ----------
    table : `~astropy.table.Table`
        A result table.

    Returns
    -------
    numpy.ndarray
        (N, 3) float64, NaN where unknown.
    """
    return np.stack([filled(table[name]) for name in PROBABILITY_COLUMNS], axis=1)


def _choose(table: Table) -> dict[str, np.ndarray]:
    """Rows to be shown, by what they are shown as, and those to be measured."""
    probabilities = probabilities_of(table)
    highest = probabilities.max(axis=1)
    known = np.flatnonzero(np.isfinite(highest))
    found = np.nan_to_num(probabilities).argmax(axis=1)
    rng = np.random.default_rng(0)
    rows = {}
    for index, name in enumerate(CLASSES):
        members = known[found[known] == index]
        rows[name] = np.sort(rng.choice(members, min(_PER_CLASS, len(members)), replace=False))
    rows["least"] = known[np.argsort(highest[known], kind="stable")][:_LEAST_CERTAIN]
    rows["measured"] = np.sort(rng.choice(known, min(_MEASURED, len(known)), replace=False))
    return rows


def _magnitudes(table: Table) -> tuple[Magnitudes | None, str]:
    """Those of the table, or why there are none."""
    try:
        magnitudes = from_table(table, _BANDS)
    except SourcesError as error:
        if any(map(_is_magnitude, table.colnames)):
            return None, f"There is no plane of colours: the magnitudes of the table cannot be used. {error}"
        return None, (
            "The table has no AllWISE magnitudes, so there is no plane of colours: with --images (in Python "
            "images=) they are measured from the pixels."
        )
    if not np.isfinite(magnitudes.mag).all(axis=1).any():
        return None, "No row has magnitudes in W1, W2 and W3, so there is no plane of colours."
    return magnitudes, "from the magnitudes in the table."


def _is_magnitude(name: str) -> bool:
    """Whether a column of this name is taken for magnitudes."""
    try:
        from_table(Table({name: [15.0]}), _BANDS)
    except SourcesError:
        return False
    return True


def _fetch(coords: Any, rows: np.ndarray, images: Images, progress: bool) -> dict[int, Cutouts]:
    """Cutouts of some rows, one each, of those whose pixels could be had."""
    found: dict[int, Cutouts] = {}
    source = open_images(images)
    for chunk, cutouts in retrieve(source, coords[rows], _BANDS, progress=progress):
        for place, row in enumerate(rows[chunk]):
            if cutouts.status[place] == Status.OK:
                found[int(row)] = cutouts[place : place + 1]
    return found


def _join(cutouts: list[Cutouts]) -> Cutouts:
    first = cutouts[0]
    pixels, offset, status, tile = (
        np.concatenate([getattr(one, name) for one in cutouts])
        for name in ("pixels", "offset", "status", "tile")
    )
    return Cutouts(pixels, offset, first.bands, first.magzp, status, tile)


def _measure(pixels: dict[int, Cutouts], rows: np.ndarray, n: int) -> tuple[Magnitudes | None, str]:
    """Magnitudes (n,) of which only some rows are known."""
    have = [int(row) for row in rows if int(row) in pixels]
    if not have:
        return None, "None of the pixels could be had, so there is no plane of colours."
    found = from_cutouts(_join([pixels[row] for row in have]))
    mag, error = np.full((2, n, len(_BANDS)), np.nan, dtype=np.float32)
    limit = np.zeros((n, len(_BANDS)), dtype=bool)
    mag[have], error[have], limit[have] = found.mag, found.error, found.upper_limit
    status = np.full(n, Status.MISSING_MAGNITUDES, dtype=np.uint8)
    status[have] = found.status
    note = f"measured from the pixels of {len(have):,} rows{', drawn at random' * (len(rows) == _MEASURED)}."
    return Magnitudes(found.bands, mag, error, limit, status), note


def _counts(table: Table) -> list[str]:
    counts, statuses = class_counts(table), status_counts(table)
    known = statuses[Status.OK.label]
    numbers = {"rows": (f"{len(table):,}", "")}
    for name, count in counts.items():
        numbers[name] = (f"{count:,}", f"{100 * count / known:.1f} %" if known else "")
    rows = [(name, count, STATUS_MEANING.get(name, "")) for name, count in statuses.items()]
    parts = [tiles(numbers, CLASS_COLOURS), make_table(("status", "rows", "meaning"), rows)]
    if IMAGES_COLUMN in table.colnames:
        names, served = np.unique(np.asarray(table[IMAGES_COLUMN]).astype(str), return_counts=True)
        found = [(name or "none", int(count)) for name, count in zip(names, served, strict=True)]
        parts.append(make_table(("images from", "rows"), found))
    return parts


def _sets(table: Table) -> list[str]:
    """How many classes the prediction sets hold, and which, the most frequent first."""
    known = np.asarray(table["iicnet_status"]) == Status.OK.label
    if SET_COLUMN not in table.colnames or not known.any():
        return []
    column = np.ma.filled(np.ma.asarray(table[SET_COLUMN]), "")[known].astype(str)
    names, counts = np.unique(column, return_counts=True)
    sizes: dict[int, int] = {}
    rows = []
    for place in np.argsort(-counts, kind="stable"):
        classes = names[place].split(SEPARATOR) if names[place] else []
        count = int(counts[place])
        sizes[len(classes)] = sizes.get(len(classes), 0) + count
        rows.append((" or ".join(classes) or "none of the three", count, _percent(count, len(column))))
    by_size = [(size, sizes[size], _percent(sizes[size], len(column))) for size in sorted(sizes)]
    coverage = table.meta.get(META_KEY, {}).get("coverage")
    share = f"{100 * coverage:g} %" if coverage else "the fraction asked for"
    text = (
        f"A set holds the true class for {share} of sources like those that the weights were calibrated on. "
        "One class: it is clear; several: they cannot be told apart; none: no class is probable enough."
    )
    return [
        heading("Prediction sets"),
        paragraph(text),
        make_table(("classes in the set", "rows", "%"), by_size),
        make_table(("set", "rows", "%"), rows),
    ]


def _percent(count: int, n: int) -> float:
    return round(100 * count / n, 1)


def _sky(coords: Any, table: Table) -> str:
    n = int(np.isfinite(coords.ra.deg).sum())
    caption = f"Positions of {n:,} rows, by class."
    if is_wide(coords):
        size = (5.4, 3.4)
        return draw(
            plot_sky, coords, table["iicnet_class"], caption=caption, projection="mollweide", size=size
        )
    return draw(plot_sky, coords, table["iicnet_class"], caption=caption)


def _confidence(table: Table) -> str:
    caption = (
        "How sure the network is: probability of the class of each row. Left of the dotted line "
        f"(below {LOW_CONFIDENCE}) a row has the flag low_confidence."
    )
    return draw(plot_probabilities, probabilities_of(table), caption=caption)


def _pictures(
    table: Table, rows: Mapping[str, np.ndarray], pixels: dict[int, Cutouts], asked: bool
) -> list[str]:
    parts = [heading("What they look like")]
    if not asked:
        text = "No images were asked for: with --images (in Python images=) examples are shown here."
        return [*parts, paragraph(text)]
    parts.append(paragraph(f"{PICTURES} The number is that of the row in the table, from 0."))
    captions = {name: f"Some of class {name}, drawn at random:" for name in CLASSES}
    captions["least"] = "The least certain of all:"
    probabilities = probabilities_of(table)
    for name, caption in captions.items():
        have = [int(row) for row in rows[name] if int(row) in pixels]
        if have:
            titles = [f"row {row}" for row in have]
            cutouts = _join([pixels[row] for row in have])
            parts += [paragraph(caption), montage(cutouts, probabilities[have], titles)]
    if len(parts) == 2:
        parts.append(paragraph("None of the pixels could be had."))
    return parts


def _flags(table: Table) -> list[str]:
    flags = np.asarray(table["iicnet_flags"]).astype(int)
    has_pixels = _has_pixels(table)
    rows = [
        (flag.value, str(flag.name).lower(), int(np.count_nonzero(flags & flag.value)), meaning)
        for flag, meaning in FLAG_MEANING.items()
        if has_pixels or flag == Flag.LOW_CONFIDENCE
    ]
    text = (
        "A row may have several; the column iicnet_flags holds the sum of their bits."
        if has_pixels
        else "The classes were found without pixels: the other flags, which tell of the image, are not known."
    )
    return [heading("Flags"), paragraph(text), make_table(("bit", "flag", "rows", "meaning"), rows)]


def _has_pixels(table: Table) -> bool:
    """Whether pixels were looked at, as far as the table says."""
    return table.meta.get(META_KEY, {}).get("images") != NoImages.name


def _provenance(table: Table) -> list[str]:
    about = table.meta.get(META_KEY)
    if about:
        facts = {key: value for key, value in about.items() if key != "survey" or _has_pixels(table)}
        body = make_table(("", ""), describe(facts))
    else:
        body = paragraph(
            "The file does not say how its classes came about: FITS, ECSV, Parquet and VOTable keep that, "
            "CSV does not."
        )
    return [heading("How it was made"), body, footer(f"Page made by astro_iicnet {version('astro_iicnet')}.")]
