"""Everything a user may call "my list", against positions known beforehand."""

import subprocess
import sys
import time

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import FK4, SkyCoord
from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.time import Time
from astropy.utils.masked import Masked

from astro_iicnet.exceptions import SourcesError
from astro_iicnet.labels import Status
from astro_iicnet.sources import Sources, read_sources, read_table

RA = np.array([10.684708, 83.633083, 359.999999, 0.0, 187.70593])
DEC = np.array([41.26875, 22.0145, -89.5, 90.0, 12.391123])
COORDS = SkyCoord(RA, DEC, unit="deg")


def assert_positions(sources, coords=COORDS, tolerance=1e-6):
    assert len(sources) == len(coords)
    assert sources.coords.frame.name == "icrs"
    assert sources.coords.separation(coords).arcsec.max() < tolerance
    assert sources.status.dtype == np.uint8
    assert (sources.status == Status.OK).all()


def bad_rows(sources):
    bad = sources.status == Status.BAD_COORDINATES
    assert np.array_equal(bad, np.isnan(sources.coords.ra.deg))
    assert np.array_equal(bad, np.isnan(sources.coords.dec.deg))
    assert set(np.unique(sources.status)) <= {Status.OK, Status.BAD_COORDINATES}
    return np.flatnonzero(bad).tolist()


# SkyCoord


@pytest.mark.parametrize("frame", ["icrs", "fk5", "fk4", "galactic", "geocentricmeanecliptic", "gcrs"])
def test_skycoord_of_any_frame(frame):
    sources = read_sources(COORDS.transform_to(frame))
    assert_positions(sources, tolerance=1e-3)
    assert sources.table.colnames == ["ra", "dec"]
    assert sources.table["ra"].unit == u.deg


def test_fk4_is_precessed():
    # B1950 and J2000 positions of 3C 273, from NED.
    sources = read_sources(SkyCoord("12h26m33.248s", "+02d19m43.29s", frame=FK4(equinox="B1950")))
    assert_positions(sources, SkyCoord(["12h29m06.70s"], ["+02d03m08.6s"]), tolerance=0.2)


def test_fk5_of_another_equinox():
    sources = read_sources(SkyCoord(10, 20, unit="deg", frame="fk5", equinox="J1975"))
    assert sources.coords.separation(SkyCoord(10, 20, unit="deg")).deg[0] > 0.2


def test_scalar_skycoord_is_one_row():
    sources = read_sources(COORDS[0])
    assert_positions(sources, COORDS[:1])


def test_frame_without_skycoord():
    assert_positions(read_sources(COORDS.frame))


def test_skycoord_with_proper_motion_and_distance():
    coords = SkyCoord(
        RA * u.deg,
        DEC * u.deg,
        distance=[1, np.nan, 3, 4, 5] * u.pc,
        pm_ra_cosdec=np.full(5, 1000) * u.mas / u.yr,
        pm_dec=np.full(5, np.nan) * u.mas / u.yr,
        obstime=Time("J2016"),
    )
    assert_positions(read_sources(coords))
    galactic = COORDS.galactic
    coords = SkyCoord(galactic.l, galactic.b, distance=[1, np.nan, 3, 4, 5] * u.pc, frame="galactic")
    assert_positions(read_sources(coords), tolerance=1e-3)


def test_cartesian_frame():
    coords = SkyCoord(RA, DEC, np.full(5, 10.0), unit=("deg", "deg", "kpc"))
    assert_positions(read_sources(coords.galactocentric), tolerance=1e-3)


def test_nan_and_masked_skycoord():
    assert bad_rows(read_sources(SkyCoord([1, np.nan, 3], [4, 5, np.nan], unit="deg"))) == [1, 2]
    masked = SkyCoord(l=Masked([1.0, 2.0] * u.deg, mask=[False, True]), b=[3, 4] * u.deg, frame="galactic")
    sources = read_sources(masked)
    assert bad_rows(sources) == [1]
    assert not hasattr(sources.coords.ra, "mask")


def test_empty_skycoord():
    sources = read_sources(SkyCoord([], [], unit="deg"))
    assert len(sources) == 0
    assert sources.coords.shape == (0,)


def test_two_dimensional_skycoord():
    with pytest.raises(SourcesError, match=r"shape \(5, 1\).*ravel"):
        read_sources(COORDS.reshape(5, 1))


def test_names_make_no_sense_with_a_skycoord():
    with pytest.raises(SourcesError, match="columns of a table"):
        read_sources(COORDS, ra="x", dec="y")


def test_frame_that_cannot_be_transformed():
    with pytest.raises(SourcesError, match="Cannot transform"):
        read_sources(SkyCoord(1 * u.deg, 2 * u.deg, frame="altaz"))


# Tables


@pytest.mark.parametrize("kind", [Table, QTable])
@pytest.mark.parametrize("name", ["coord", "what ever"])
def test_table_with_a_skycoord_column(kind, name):
    table = kind({"ra": np.zeros(5), "dec": np.zeros(5), name: COORDS.galactic})
    sources = read_sources(table)
    assert_positions(sources, tolerance=1e-3)
    assert type(sources.table) is kind
    assert sources.table.colnames == table.colnames


@pytest.mark.parametrize(
    "names",
    [
        ("ra", "dec"),
        ("RA", "DEC"),
        ("Ra", "De"),
        ("RAJ2000", "DEJ2000"),
        ("_RAJ2000", "_DEJ2000"),
        ("RA_ICRS", "DE_ICRS"),
        ("ra_deg", "dec_deg"),
        ("RAdeg", "DEdeg"),
        ("ra [deg]", "dec [deg]"),
        ("RA (deg)", "Dec (deg)"),
        ("ALPHA_J2000", "DELTA_J2000"),
        ("right_ascension", "declination"),
        ("Right Ascension", "Declination"),
        ("s_ra", "s_dec"),
        ("raMean", "decMean"),
        ("\ufeffra", "dec"),
        (" ra", "dec "),
    ],
)
def test_usual_equatorial_names(names):
    table = Table([np.arange(5), DEC, RA], names=["id", names[1], names[0]])
    sources = read_sources(table)
    assert_positions(sources)
    assert sources.table.colnames == table.colnames


@pytest.mark.parametrize("names", [("l", "b"), ("L", "B"), ("glon", "glat"), ("GLON", "GLAT")])
def test_usual_galactic_names(names):
    galactic = COORDS.galactic
    assert_positions(read_sources(Table([galactic.l.deg, galactic.b.deg], names=names)), tolerance=1e-3)


def test_equatorial_before_galactic():
    assert_positions(read_sources(Table({"l": DEC, "b": DEC, "raj2000": RA, "dej2000": DEC})))


def test_named_columns():
    table = Table({"ra": DEC, "dec": DEC, "ra_gaia": RA, "dec_gaia": DEC})
    assert_positions(read_sources(table, ra="ra_gaia", dec="dec_gaia"))


@pytest.mark.parametrize("kind", [Table, QTable])
@pytest.mark.parametrize("unit", [u.deg, u.hourangle, u.rad, u.arcmin])
def test_units(kind, unit):
    table = kind({"ra": (RA * u.deg).to(unit), "dec": (DEC * u.deg).to(u.rad)})
    assert_positions(read_sources(table), tolerance=1e-4)


@pytest.mark.parametrize("unit", ["h:m:s", '"h:m:s"', "hours", "h"])
def test_units_of_catalogues(unit):
    unit = u.Unit(unit, parse_strict="silent")
    table = Table({"ra": Column(COORDS.ra.to_string(u.hour, sep=" ", precision=8), unit=unit), "dec": DEC})
    assert_positions(read_sources(table), tolerance=1e-4)


def test_dimensionless_is_degrees():
    assert_positions(read_sources(QTable({"ra": RA * u.one, "dec": DEC})))


def test_numeric_types():
    table = Table({"ra": np.array([1, 2], ">i4"), "dec": np.array([3, 4], ">f4")})
    assert_positions(read_sources(table), SkyCoord([1, 2], [3, 4], unit="deg"))


@pytest.mark.parametrize("sep", [":", " ", "fromunit"])
@pytest.mark.parametrize("kind", ["U", "S", "O"])
def test_sexagesimal_text(sep, kind):
    ra = COORDS.ra.to_string(u.hour, sep=sep, precision=6, pad=True).astype(kind)
    dec = COORDS.dec.to_string(u.deg, sep=sep, precision=5, alwayssign=True).astype(kind)
    assert_positions(read_sources(Table({"ra": ra, "dec": dec})), tolerance=1e-4)


def test_sexagesimal_degrees():
    ra = COORDS.ra.to_string(u.deg, sep=":", precision=8)
    assert_positions(read_sources(Table({"ra": Column(ra, unit="deg"), "dec": DEC})), tolerance=1e-4)
    ra = COORDS.ra.to_string(u.deg, sep="dms", precision=8)
    assert_positions(read_sources(Table({"ra": ra, "dec": DEC})), tolerance=1e-4)
    galactic = COORDS.galactic
    table = Table({"glon": galactic.l.to_string(u.deg, sep=":", precision=8), "glat": galactic.b.deg})
    assert_positions(read_sources(table), tolerance=1e-3)


@pytest.mark.parametrize(
    ("text", "degrees"),
    [
        ("12.5", 12.5),
        ("+1.25e1", 12.5),
        (".5", 0.5),
        ("-0:30:00", -0.5),
        ("-00 30", -0.5),
        ("+41°16′09″", 41.269166666666667),
        ("41d16'09\"", 41.269166666666667),
        ("−12:30:00", -12.5),
        ("12:29:60", 12.5),
        ("12d30m", 12.5),
        ("12.5 deg", 12.5),
        ("12\n30", 12.5),
        ("", np.nan),
        ("null", np.nan),
        ("NaN", np.nan),
        ("--", np.nan),
        ("inf", np.nan),
        ("12:", np.nan),
        ("12:60:00", np.nan),
        ("12:30:61", np.nan),
        ("12.5:30", np.nan),
        ("12h30s", np.nan),
        ("1:2:3:4", np.nan),
        ("95", np.nan),
        ("unknown", np.nan),
    ],
)
def test_text_of_one_row(text, degrees):
    # The second row keeps the column from being all numbers.
    sources = read_sources(Table({"ra": [1.0, 2.0], "dec": [text, "x"]}))
    np.testing.assert_allclose(sources.coords.dec.deg, [degrees, np.nan], rtol=1e-12)
    assert np.array_equal(np.isnan(sources.coords.ra.deg), np.isnan(sources.coords.dec.deg))


def test_decimal_text_has_the_unit_of_the_column():
    table = Table({"ra": Column(["1.5", "null"], unit="hourangle"), "dec": ["2", "3"]})
    sources = read_sources(table)
    assert sources.coords.ra.deg[0] == pytest.approx(22.5)
    assert bad_rows(sources) == [1]


def test_range_of_coordinates():
    ra = [0, 360, -180, 360.0001, -180.0001, 1, 1, 1, np.inf, 1, -9999]
    dec = [90, -90, 0, 0, 0, 90.0001, -90.0001, -np.inf, 0, np.nan, -9999]
    sources = read_sources(Table({"ra": ra, "dec": dec}))
    assert bad_rows(sources) == list(range(3, 11))
    assert sources.coords.ra.deg[2] == 180


def test_masked_rows():
    table = Table(
        {"ra": MaskedColumn(RA, mask=[0, 1, 0, 0, 0]), "dec": MaskedColumn(DEC, mask=[0, 0, 1, 0, 0])}
    )
    assert bad_rows(read_sources(table)) == [1, 2]
    table = QTable({"ra": Masked(RA * u.deg, mask=[0, 0, 0, 1, 0]), "dec": DEC * u.deg})
    assert bad_rows(read_sources(table)) == [3]
    table = Table({"ra": MaskedColumn(["1", "2"], mask=[1, 0]), "dec": [1, 2]})
    assert bad_rows(read_sources(table)) == [0]


@pytest.mark.parametrize("kind", [Table, QTable])
def test_nothing_changes_and_nothing_is_lost(kind):
    table = kind({"id": [3, 1, 2, 2, 5], "ra": RA * u.deg, "dec": DEC * u.deg, "name": list("edcba")})
    table["mag"] = MaskedColumn(np.arange(5.0), mask=[0, 1, 0, 0, 0], unit="mag", description="W1")
    table["dec"][1] = 99 if kind is Table else 99 * u.deg
    table.meta["survey"] = {"deep": [1]}
    before = table.copy()
    sources = read_sources(table)
    sources.table["id"][0] = -1
    sources.table.meta["survey"]["deep"].append(2)
    sources.table["more"] = 1
    assert table.colnames == before.colnames
    assert table.meta == before.meta
    for name in before.colnames:
        assert (table[name] == before[name]).all()
        assert (sources.table[name][1:] == before[name][1:]).all()
    assert sources.table["mag"].mask.tolist() == [False, True, False, False, False]
    assert sources.table["mag"].info.description == "W1"


def test_all_rows_bad_and_duplicates():
    assert bad_rows(read_sources(Table({"ra": ["a", "b"], "dec": ["c", "d"]}))) == [0, 1]
    assert_positions(
        read_sources(Table({"ra": [1.0, 1.0], "dec": [2.0, 2.0]})), SkyCoord([1, 1], [2, 2], unit="deg")
    )


@pytest.mark.parametrize("dtype", [float, "U5", object])
def test_empty_table(dtype):
    sources = read_sources(Table({"ra": np.array([], dtype), "dec": np.array([], dtype)}))
    assert len(sources) == 0
    assert sources.coords.shape == sources.status.shape == (0,)


def test_one_row_of_a_table():
    assert_positions(read_sources(Table({"ra": RA, "dec": DEC})[1]), COORDS[1:2])


def test_no_coordinates():
    with pytest.raises(SourcesError, match=r"'id', 'x'.*ra='my_ra'.*SkyCoord column"):
        read_sources(Table({"id": [1], "x": [2]}))
    with pytest.raises(SourcesError, match="columns are: none"):
        read_sources(Table())
    with pytest.raises(SourcesError, match="Perhaps these: 'RA_J20', 'DEC_J20'"):
        read_sources(Table({"id": [1], "RA_J20": [2], "DEC_J20": [2]}))
    with pytest.raises(SourcesError, match="lack a line of column names"):
        read_sources(Table({"10.5": [1.0], "-20.25": [2.0]}))


def test_only_one_of_two():
    with pytest.raises(SourcesError, match="No coordinates found"):
        read_sources(Table({"ra": [1], "b": [2]}))


def test_ambiguous_columns():
    with pytest.raises(SourcesError, match=r"'ra' and 'RA' could both be meant.*ra='ra'"):
        read_sources(Table({"ra": [1], "RA": [2], "dec": [3]}))
    with pytest.raises(SourcesError, match=r"2 SkyCoord columns: 'a', 'b'"):
        read_sources(Table({"a": COORDS, "b": COORDS}))


def test_wrong_names():
    table = Table({"ra": [1], "dec": [2], "c": COORDS[:1]})
    with pytest.raises(SourcesError, match="Did you mean 'dec'"):
        read_sources(table, ra="ra", dec="decl")
    with pytest.raises(SourcesError, match="both coordinate columns or neither"):
        read_sources(table, ra="ra")
    with pytest.raises(SourcesError, match="holds SkyCoords"):
        read_sources(table, ra="c", dec="dec")


@pytest.mark.parametrize("unit", ["m", "mag", "foo"])
def test_wrong_units(unit):
    table = Table({"ra": Column([1.0], unit=u.Unit(unit, parse_strict="silent")), "dec": [2.0]})
    with pytest.raises(SourcesError, match=f"'ra' has the unit '{unit}', expected an angle.*unit = 'deg'"):
        read_sources(table)


def test_declination_in_hours_of_time():
    with pytest.raises(SourcesError, match="'dec' has the unit 'h'"):
        read_sources(QTable({"ra": [1.0] * u.deg, "dec": [2.0] * u.hour}))


def test_multidimensional_columns():
    with pytest.raises(SourcesError, match=r"'ra' holds arrays of shape \(2,\)"):
        read_sources(Table({"ra": np.ones((3, 2)), "dec": np.ones(3)}))
    with pytest.raises(SourcesError, match=r"the column 'c' has shape \(5, 1\)"):
        read_sources(Table({"c": COORDS.reshape(5, 1)}))


@pytest.mark.parametrize("column", [[True, False], [1j, 2j], Time([50000, 50001], format="mjd")])
def test_columns_that_are_no_angles(column):
    with pytest.raises(SourcesError, match="'ra'.*expected numbers or text"):
        read_sources(Table({"ra": column, "dec": [1, 2]}))


# Other things in memory


def test_pandas():
    frame = pd.DataFrame({"RA": RA, "Dec": DEC, "name": ["a", None, "c", "d", "e"], 7: np.arange(5)})
    frame.index = pd.Index([5, 4, 3, 2, 1], name="objid")
    before = frame.copy()
    sources = read_sources(frame)
    assert_positions(sources)
    assert sources.table.colnames == ["objid", "RA", "Dec", "name", "7"]
    assert sources.table["objid"].tolist() == [5, 4, 3, 2, 1]
    sources.table["RA"][0] = -1
    pd.testing.assert_frame_equal(frame, before)


def test_pandas_unnamed_index_and_nulls():
    frame = pd.DataFrame(
        {"ra": pd.array([1.0, None, 3.0], dtype="Float64"), "dec": [1.0, 2.0, np.nan]}, index=[9, 8, 7]
    )
    sources = read_sources(frame)
    assert sources.table.colnames == ["ra", "dec"]
    assert bad_rows(sources) == [1, 2]


def test_pandas_multiindex():
    index = pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["field", None])
    assert read_sources(pd.DataFrame({"ra": [1, 2], "dec": [3, 4]}, index=index)).table.colnames == [
        "field",
        "ra",
        "dec",
    ]


def test_pandas_columns_of_the_same_name():
    with pytest.raises(SourcesError, match="more than one column is called 'ra'"):
        read_sources(pd.DataFrame([[1, 2, 3]], columns=["ra", "ra", "dec"]))


def test_pandas_is_not_imported():
    code = (
        "import sys, astro_iicnet.sources, astro_iicnet.output; "
        "print('pandas' in sys.modules, 'torch' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["False", "False"]


def test_mapping_and_structured_array():
    assert_positions(read_sources({"ra": RA, "dec": DEC}))
    assert_positions(read_sources(np.rec.fromarrays([RA, DEC], names="ra,dec").view(np.ndarray)))
    with pytest.raises(SourcesError, match="Cannot make a table of the dict"):
        read_sources({"ra": [1, 2], "dec": [1, 2, 3]})


@pytest.mark.parametrize("data", [np.ones((3, 2)), [(1, 2)], [], (1, 2), None, 5, pd.Series([1.0])])
def test_what_is_not_a_list_of_sources(data):
    with pytest.raises(
        SourcesError, match=f"from a {type(data).__name__}.*SkyCoord\\(ra, dec, unit='deg'\\)"
    ):
        read_sources(data)


# Files


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("list.csv", "csv"),
        ("list.CSV", "csv"),
        ("list.csv.gz", "csv"),
        ("list.ecsv", "ascii.ecsv"),
        ("list.fits", "fits"),
        ("list.fits.gz", "fits"),
        ("list.vot", "votable"),
        ("list.xml", "votable"),
        ("list.parquet", "parquet"),
        ("list.tsv", "ascii.tab"),
        ("list.txt", "ascii.basic"),
        ("list.dat", "ascii.commented_header"),
        ("list.tbl", "ascii.ipac"),
        ("list", "ascii.csv"),
    ],
)
def test_files(tmp_path, name, form):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    table = Table({"id": np.arange(5), "ra": RA, "dec": DEC})
    if name.endswith("csv.gz"):
        import gzip

        table.write(tmp_path / "plain", format=form)
        path.write_bytes(gzip.compress((tmp_path / "plain").read_bytes()))
    else:
        table.write(path, format=form)
    sources = read_sources(path)
    assert_positions(sources, tolerance=1e-4)
    assert sources.table["id"].tolist() == list(range(5))
    assert_positions(read_sources(str(path)), tolerance=1e-4)


def test_null_strings_in_csv(tmp_path):
    path = tmp_path / "list.csv"
    nulls = ["null", "NaN", "nan", "NULL", "--", "", "N/A", "None"]
    rows = [f"{i},{null},{i}.5" for i, null in enumerate(nulls)]
    path.write_text("\n".join(["id,ra,dec", *rows, "8,12.5,8.5", "9,10:20:30,9.5"]) + "\n")
    sources = read_sources(path)
    assert bad_rows(sources) == list(range(8))
    assert sources.coords.ra.deg[8:] == pytest.approx([12.5, 155.125])
    assert sources.table["id"].tolist() == list(range(10))


def test_csv_with_a_header_only(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("ra,dec\n")
    assert len(read_sources(path)) == 0


def test_skycoord_column_from_files(tmp_path):
    for name in ("list.ecsv", "list.fits"):
        Table({"coord": COORDS}).write(tmp_path / name)
        assert_positions(read_sources(tmp_path / name))


def test_foreign_units_in_fits_do_not_warn(tmp_path):
    from astropy.io import fits

    columns = [fits.Column(n, "D", unit="degrees", array=a) for n, a in (("RA", RA), ("DEC", DEC))]
    columns.append(fits.Column("F", "D", unit="furlong/fortnights", array=RA))
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "list.fits")
    assert_positions(read_sources(tmp_path / "list.fits"))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(SourcesError, match=r"nothing\.csv.*no such file"):
        read_sources("nothing.csv")
    with pytest.raises(SourcesError, match="it is a folder"):
        read_sources(tmp_path)
    for name, content in (
        ("a.fits", b"nonsense"),
        ("b.csv", b""),
        ("c.parquet", b"x"),
        ("d", b"\x00\xff" * 99),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SourcesError, match=name) as info:
            read_sources(tmp_path / name)
        assert info.value.__suppress_context__
        assert "\n" not in str(info.value)


def test_fits_without_a_table(tmp_path):
    from astropy.io import fits

    fits.PrimaryHDU(np.ones((3, 3))).writeto(tmp_path / "image.fits")
    with pytest.raises(SourcesError, match=r"image\.fits.*[Tt]able"):
        read_table(tmp_path / "image.fits")


# Sources


def test_rows_of_sources():
    sources = read_sources(Table({"ra": RA, "dec": [1, 2, 3, 4, 99.0], "id": np.arange(5)}))
    assert read_sources(sources) is sources
    assert repr(sources) == "<Sources: 5 rows, 1 without usable coordinates>"
    for rows in (slice(1, 5), np.array([1, 2, 3, 4]), np.array([False, True, True, True, True])):
        part = sources[rows]
        assert isinstance(part, Sources)
        assert part.table["id"].tolist() == [1, 2, 3, 4]
        assert bad_rows(part) == [3]


def test_rows_in_are_rows_out(rng):
    for n in (1, 2, 66000):
        ra, dec = rng.uniform(-400, 400, n), rng.uniform(-100, 100, n)
        good = (ra >= -180) & (ra <= 360) & (np.abs(dec) <= 90)
        text = np.where(rng.random(n) < 0.5, ra.astype(str), (ra / 15).astype(str) + "h")
        for longitude in (ra, text):
            sources = read_sources(Table({"id": np.arange(n), "ra": longitude, "dec": dec}))
            assert np.array_equal(sources.table["id"], np.arange(n))
            assert np.array_equal(sources.status == Status.OK, good)
            np.testing.assert_allclose(sources.coords.ra.deg[good], ra[good] % 360, rtol=1e-12, atol=1e-12)
            np.testing.assert_array_equal(sources.coords.dec.deg[good], dec[good])


def test_a_million_rows_are_quick(rng):
    table = Table({"ra": rng.uniform(0, 360, 10**6), "dec": rng.uniform(-90, 90, 10**6)})
    start = time.process_time()
    read_sources(table)
    assert time.process_time() - start < 3


@pytest.mark.filterwarnings("ignore:'hourangle' did not parse")
def test_hours_in_fits(tmp_path):
    """FITS does not know the unit; astropy and we do."""
    header = Table({"ra": [10.5], "dec": [-3.0]})
    header["ra"].unit = u.UnrecognizedUnit("hourangle")
    header.write(tmp_path / "list.fits")
    np.testing.assert_allclose(read_sources(tmp_path / "list.fits").coords.ra.deg, 157.5)
