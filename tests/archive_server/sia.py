"""IRSA's index of images, SIA v2: POS=CIRCLE, COLLECTION and MAXREC; other constraints are passed over."""

from xml.sax.saxutils import escape

from .images import IBE, Answer, key
from .sky import TILE_SIZE, tile_centres, tiles_near

_COLUMNS = {
    "s_ra": "double",
    "s_dec": "double",
    "facility_name": "char",
    "instrument_name": "char",
    "dataproduct_subtype": "char",
    "calib_level": "int",
    "dataproduct_type": "char",
    "energy_bandpassname": "char",
    "energy_emband": "char",
    "obs_id": "char",
    "em_min": "double",
    "em_max": "double",
    "access_url": "char",
    "access_format": "char",
    "access_estsize": "long",
    "s_region": "char",
    "obs_collection": "char",
}
_BANDS = {  # m
    "W1": (2.754e-6, 3.872e-6),
    "W2": (3.963e-6, 5.341e-6),
    "W3": (7.443e-6, 17.26e-6),
    "W4": (19.52e-6, 27.91e-6),
}
_PRODUCTS = {  # subtype: end of the file name and size [kB]
    "science": ("int-3.fits", 65512),
    "uncertainty": ("unc-3.fits.gz", 30000),
    "coverage": ("cov-3.fits.gz", 10000),
}
_HALF = TILE_SIZE / 2 * 1.375 / 3600  # deg


def answer_capabilities(url: str) -> Answer:
    """Where the index is to be asked: pyvo wants to know first."""
    text = f"""<?xml version="1.0" encoding="UTF-8"?>
<vosi:capabilities xmlns:vosi="http://www.ivoa.net/xml/VOSICapabilities/v1.0"
    xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <capability standardID="ivo://ivoa.net/std/VOSI#capabilities">
    <interface xsi:type="vs:ParamHTTP"><accessURL use="full">{url}/SIA/capabilities</accessURL></interface>
  </capability>
  <capability standardID="ivo://ivoa.net/std/SIA#query-2.0">
    <interface xsi:type="vs:ParamHTTP" role="std" version="2.0">
      <accessURL use="base">{url}/SIA</accessURL>
    </interface>
  </capability>
</vosi:capabilities>
"""
    return Answer(200, text.encode(), "text/xml")


def answer_sia(url: str, query: dict[str, str]) -> Answer:
    """The images that a circle touches, as a VOTable; none of a collection that is not served."""
    query = {name.upper(): value for name, value in query.items()}
    rows: list[dict[str, object]] = []
    try:
        if query.get("COLLECTION", "wise_allwise") == "wise_allwise":
            shape, ra, dec, radius = query["POS"].split()
            if shape.upper() != "CIRCLE":
                raise ValueError
            tiles = tiles_near(float(ra), float(dec), float(radius))
            rows = [
                _row(url, tile, band, product) for tile in tiles for band in _BANDS for product in _PRODUCTS
            ]
        limit = int(query.get("MAXREC", 100000))
    except (KeyError, ValueError):
        message = "UsageFault: a constraint POS=CIRCLE ra dec radius is needed here."
        return Answer(400, message.encode(), "text/plain")
    return Answer(200, _votable(rows, limit).encode(), "application/x-votable+xml")


def _row(url: str, coadd_id: str, band: str, product: str) -> dict[str, object]:
    ra, dec = tile_centres()[coadd_id]
    end, size = _PRODUCTS[product]
    corners = ((-1, -1), (-1, 1), (1, 1), (1, -1))
    region = " ".join(f"{ra + x * _HALF:.5f} {dec + y * _HALF:.5f}" for x, y in corners)
    return {
        "s_ra": ra,
        "s_dec": dec,
        "facility_name": "WISE",
        "instrument_name": "WISE",
        "dataproduct_subtype": product,
        "calib_level": 3,
        "dataproduct_type": "image",
        "energy_bandpassname": band,
        "energy_emband": "Infrared",
        "obs_id": coadd_id,
        "em_min": _BANDS[band][0],
        "em_max": _BANDS[band][1],
        "access_url": url + IBE + key(coadd_id, band).replace("int-3.fits", end),
        "access_format": "image/fits",
        "access_estsize": size,
        "s_region": f"POLYGON ICRS {region}",
        "obs_collection": "wise_allwise",
    }


def _votable(rows: list[dict[str, object]], limit: int) -> str:
    fields = "\n".join(
        f'<FIELD name="{name}" datatype="{kind}"' + (' arraysize="*"/>' if kind == "char" else "/>")
        for name, kind in _COLUMNS.items()
    )
    lines = (
        "<TR>" + "".join(f"<TD>{escape(str(row[name]))}</TD>" for name in _COLUMNS) + "</TR>"
        for row in rows[:limit]
    )
    overflow = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>\n' if len(rows) > limit else ""
    table = "\n".join(lines)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">
<RESOURCE type="results">
<INFO name="QUERY_STATUS" value="OK"/>
<TABLE>
{fields}
<DATA>
<TABLEDATA>
{table}
</TABLEDATA>
</DATA>
</TABLE>
{overflow}</RESOURCE>
</VOTABLE>
"""
