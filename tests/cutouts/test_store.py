import contextlib
import inspect
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

from astro_iicnet import conf
from astro_iicnet.cutouts import store as store_module
from astro_iicnet.cutouts.store import FILE_NAME, CutoutStore
from astro_iicnet.exceptions import StoreWarning


def keys(first, n=20):
    number = np.arange(first, first + n)
    return np.array([f"{i % 7:04d}p015_ac51" for i in number]), "W1", number, 2 * number


def truth(x, size=41):
    """Pixels that follow from the place."""
    return (x[:, None, None] * 10000 + np.arange(size * size).reshape(size, size)).astype("f4")


def put(store, first, n=20):
    tile, band, x, y = keys(first, n)
    store.put("irsa", tile, band, x, y, truth(x))


def found(store, first, n=20):
    tile, band, x, y = keys(first, n)
    found, pixels = store.get("irsa", tile, band, x, y, 41)
    assert np.array_equal(pixels, truth(x[found])), "wrong pixels"
    return int(found.sum())


def is_sound(folder):
    with contextlib.closing(sqlite3.connect(Path(folder) / FILE_NAME)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# For scripts that run in a process of their own.
COMMON = """
import contextlib, os, signal, sqlite3, sys, time, warnings
from pathlib import Path
import numpy as np
from astro_iicnet import conf
from astro_iicnet.cutouts.store import FILE_NAME, CutoutStore
""" + "".join(map(inspect.getsource, (keys, truth, put, found, is_sound)))


@pytest.fixture
def store(tmp_path):
    return CutoutStore(tmp_path)


@pytest.fixture
def sql(tmp_path):
    """Look into the file, or change it, behind the back of the store."""

    def sql(text):
        with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection, connection:
            return connection.execute(text).fetchall()

    return sql


def run(script, *arguments, before=(), check=True):
    code = COMMON + textwrap.dedent(script)
    return subprocess.run(
        [*before, sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=check,
        timeout=100,
    )


def start(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", COMMON + textwrap.dedent(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


# ---- what goes in comes out


def test_pixels_come_back_to_the_bit(store, rng):
    bits = rng.integers(0, 2**32, (300, 9, 9), dtype=np.uint32)
    bits[0, 0, :4] = 0x7FC00000, 0xFFC12345, 0x80000000, 0x7F800000  # NaN, another NaN, -0, inf
    tile = rng.choice(["0000p015_ac51", "0016m910_ac51"], 300)
    x, y = np.divmod(rng.permutation(300), 20)
    store.put("aws", tile, "W3", x, y, bits.view(np.float32))
    order = rng.permutation(300)
    found, pixels = store.get("aws", tile[order], "W3", x[order], y[order], 9)
    assert found.all()
    assert pixels.dtype == np.dtype("=f4")
    assert np.array_equal(pixels.view(np.uint32), bits[order])
    pixels[:] = 0  # the caller may do so


def test_any_layout_of_the_input(store):
    tile, band, x, y = keys(0, 4)
    pixels = np.arange(4 * 5 * 5).reshape(4, 5, 5)
    for form in (pixels.astype(">f4"), pixels.astype("f8"), np.asfortranarray(pixels.astype("f4"))):
        store.clear()
        store.put("irsa", tile, band, x.astype(np.int16), y, form)
        assert np.array_equal(store.get("irsa", tile, band, x, y, 5)[1], pixels)
    store.put("irsa", tile[:2], band, x[:2], y[:2], pixels.astype("f4")[::2])
    assert np.array_equal(store.get("irsa", tile, band, x, y, 5)[1][1], pixels[2])


def test_only_some_are_found_and_rows_keep_their_places(store):
    put(store, 10, 5)
    tile, band, x, y = keys(0, 20)
    found, pixels = store.get("irsa", tile, band, x, y, 41)
    assert np.flatnonzero(found).tolist() == [10, 11, 12, 13, 14]
    assert np.array_equal(pixels, truth(x[found]))


@pytest.mark.parametrize(
    "change",
    [{"source": "aws"}, {"tile": "0002p015_ac51"}, {"band": "W2"}, {"x": 8}, {"y": 9}, {"size": 5}],
    ids=lambda change: next(iter(change)),
)
def test_everything_that_defines_a_cutout_is_in_its_key(store, change):
    key = {"source": "irsa", "tile": "0001p015_ac51", "band": "W1", "x": 7, "y": 8, "size": 3}

    def get(source, tile, band, x, y, size):
        return store.get(source, np.array([tile]), band, np.array([x]), np.array([y]), size)

    store.put("irsa", np.array([key["tile"]]), "W1", np.array([7]), np.array([8]), np.ones((1, 3, 3), "f4"))
    assert get(**key)[0].all()
    found, pixels = get(**key | change)
    assert not found.any()
    size = (key | change)["size"]
    assert pixels.shape == (0, size, size)
    assert pixels.dtype == np.float32


def test_the_last_of_equal_ones_stays(store):
    put(store, 0, 3)
    tile, band, x, y = (np.repeat(a, 2) if isinstance(a, np.ndarray) else a for a in keys(1, 1))
    store.put("irsa", tile, band, x, y, np.stack([np.zeros((41, 41)), np.ones((41, 41))]).astype("f4"))
    found, pixels = store.get("irsa", tile, band, x, y, 41)
    assert found.tolist() == [True, True]
    assert (pixels == 1).all()
    assert store.info().n_cutouts == 3


def test_nothing_asked_nothing_kept(store, tmp_path):
    put(store, 0, 0)
    store.put_headers("irsa", "W1", {})
    assert not list(tmp_path.iterdir())
    assert found(store, 0, 0) == found(store, 0, 3) == 0
    assert store.get_headers("irsa", "W1", ["a"]) == {}
    assert not list(tmp_path.iterdir())
    put(store, 0)
    assert found(store, 0, 0) == 0


def test_headers(store):
    headers = {f"{i:04d}p015_ac51": f"COADDID = '{i}'".ljust(80) * 72 for i in range(5)}
    store.put_headers("irsa", "W1", headers)
    store.put_headers("irsa", "W2", {"0001p015_ac51": "other"})
    assert store.get_headers("irsa", "W1", [*headers, "none"]) == headers
    assert store.get_headers("irsa", "W2", iter(headers)) == {"0001p015_ac51": "other"}
    assert store.get_headers("aws", "W1", headers) == {}
    store.put_headers("irsa", "W1", {"0001p015_ac51": "new"})
    assert store.get_headers("irsa", "W1", headers) == headers | {"0001p015_ac51": "new"}
    assert store.info().n_cutouts == 0


def test_one_file_without_a_write_ahead_log(store, tmp_path, sql):
    put(store, 0)
    put(store, 20)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert sql("PRAGMA journal_mode") == [("delete",)]


def test_a_pickled_store_is_the_same_store(store):
    put(store, 0)
    assert found(pickle.loads(pickle.dumps(store)), 0) == 20


# ---- never wrong pixels


def test_a_flipped_bit_is_noticed_and_the_cutout_removed(store, tmp_path):
    put(store, 0)
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    at = data.find(truth(np.array([7])).tobytes()[:1000])
    assert at > 0
    data[at + 500] ^= 0x10
    path.write_bytes(data)
    tile, band, x, y = keys(0)
    there, pixels = store.get("irsa", tile, band, x, y, 41)
    assert np.flatnonzero(~there).tolist() == [7]
    assert np.array_equal(pixels, truth(x[there]))
    assert store.info().n_cutouts == 19
    put(store, 0)
    assert found(store, 0) == 20


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE pixels SET data = substr(data, 1, 6000)",
        "UPDATE pixels SET data = (SELECT data FROM pixels WHERE id = 1)",
        "UPDATE cutouts SET x = x + 1000",
        "UPDATE images SET tile = '9' || tile",
    ],
)
def test_pixels_of_another_place_are_not_given(store, sql, change):
    put(store, 0)
    sql(change)
    tile, band, x, y = keys(0)
    for tiles, at in ((tile, x), (tile, x + 1000), (np.char.add("9", tile), x)):
        there, pixels = store.get("irsa", tiles, band, at, y, 41)
        assert there.sum() <= 1
        assert np.array_equal(pixels, truth(x[there]))


def test_a_damaged_header_is_not_given(store, sql):
    store.put_headers("irsa", "W1", {"a": "first", "b": "second"})
    sql("UPDATE images SET header = (SELECT header FROM images WHERE tile = 'b') WHERE tile = 'a'")
    assert store.get_headers("irsa", "W1", ["a", "b"]) == {"b": "second"}


# ---- the limit


def size_of(folder):
    return (folder / FILE_NAME).stat().st_size


def test_least_recently_used_go_first(store, tmp_path):
    with conf.set_temp("cache_size", 5e-4):
        put(store, 0)
        put(store, 20)
        assert found(store, 0) == 20
        put(store, 40)
        assert found(store, 0) == found(store, 40) == 20
        assert found(store, 20) < 20
        assert size_of(tmp_path) <= 500_000


def test_use_by_a_store_that_is_no_more_counts(store, tmp_path):
    with conf.set_temp("cache_size", 5e-4):
        put(store, 0)
        put(store, 20)
        other = CutoutStore(tmp_path)
        assert found(other, 0) == 20
        del other
        put(store, 40)
        assert found(store, 0) == 20


def test_the_file_never_exceeds_the_limit(store, tmp_path, rng):
    with conf.set_temp("cache_size", 2e-3):
        for first in rng.integers(0, 1000, 60):
            store.put_headers("irsa", "W1", {f"{first}": rng.bytes(2000).hex()})
            put(store, first, 30)
            assert size_of(tmp_path) <= 2_000_000
            assert found(store, first, 30) == 30
            found(store, rng.integers(0, 1000), 100)
        assert size_of(tmp_path) > 1_800_000
        put(store, 0, 1000)  # more than there can be
        assert 150 < found(store, 0, 1000) < 244
        assert size_of(tmp_path) <= 2_000_000
    assert is_sound(tmp_path)


def test_what_is_kept_again_needs_no_room(store):
    with conf.set_temp("cache_size", 5e-4):
        put(store, 0)
        put(store, 20)
        n = store.info().n_cutouts
        put(store, 20)
        assert store.info().n_cutouts == n == 40


def test_a_limit_too_low_for_anything(store, tmp_path):
    with conf.set_temp("cache_size", 1e-5):
        put(store, 0)
        store.put_headers("irsa", "W1", {"a": "header"})
        assert found(store, 0) == 0
        assert store.get_headers("irsa", "W1", ["a"]) == {}


def test_a_lower_limit_shortens_the_file(store, tmp_path):
    put(store, 0, 300)
    assert size_of(tmp_path) > 2_400_000
    with conf.set_temp("cache_size", 1e-3):
        put(store, 1000)
        assert size_of(tmp_path) <= 1_000_000
        assert found(store, 1000) == 20
    assert is_sound(tmp_path)


def test_large_cutouts_count_with_their_size(store, tmp_path):
    tile, band, x, y = keys(0, 10)
    with conf.set_temp("cache_size", 2e-3):
        for shift in range(0, 200, 10):
            store.put("irsa", tile, band, x + shift, y, truth(x, 120))
            assert size_of(tmp_path) <= 2_000_000
            assert store.get("irsa", tile, band, x + shift, y, 120)[0].all()


def test_size_zero_keeps_nothing(store, tmp_path):
    with conf.set_temp("cache_size", 0):
        put(store, 0)
        store.put_headers("irsa", "W1", {"a": "header"})
        assert not list(tmp_path.iterdir())
    put(store, 0)
    with conf.set_temp("cache_size", 0):
        assert found(store, 0) == 0
        assert store.get_headers("irsa", "W1", ["a"]) == {}
        assert store.info().n_cutouts == 20
    assert found(store, 0) == 20


# ---- where it is, what it holds


def test_the_folder_is_read_when_the_store_is_used(tmp_path, monkeypatch):
    store = CutoutStore()
    with conf.set_temp("cache_dir", str(tmp_path / "a" / "b")):
        put(store, 0)
        assert store.info().path == tmp_path / "a" / "b" / FILE_NAME
        assert found(store, 0) == 20
    with conf.set_temp("cache_dir", str(tmp_path / "c")):
        assert found(store, 0) == 0
    (tmp_path / "astro_iicnet").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with conf.set_temp("cache_dir", ""):
        assert store.info().path == tmp_path / "astro_iicnet" / FILE_NAME


def test_info_and_clear(store, tmp_path):
    assert store.clear() == 0
    assert not list(tmp_path.iterdir())
    put(store, 0, 300)
    tile, band, x, y = keys(0, 5)
    store.put("aws", tile, "W2", x, y, truth(x))
    store.put_headers("irsa", "W1", {"a": "header"})
    with conf.set_temp("cache_size", 3):
        info = store.info()
    assert (info.path, info.n_cutouts, info.limit) == (tmp_path / FILE_NAME, 305, 3_000_000_000)
    assert info.by_source == {"irsa": 300, "aws": 5}
    assert info.n_bytes == size_of(tmp_path)
    other = CutoutStore(tmp_path)
    assert found(other, 0) == 20
    assert store.clear() == 305
    assert size_of(tmp_path) < 100_000
    assert store.get_headers("irsa", "W1", ["a"]) == {}
    assert found(other, 0) == store.info().n_cutouts == 0
    put(other, 0)
    assert found(store, 0) == 20


# ---- many at once


def test_threads(store, tmp_path):
    problems = []

    def work(number):
        try:
            for step in range(12):
                put(store, 1000 * (number % 4) + 20 * step)
                assert found(store, 1000 * (number % 4) + 20 * step) == 20
                found(store, 1000 * ((number + 1) % 4), 100)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert store.info().n_cutouts == 4 * 12 * 20
    assert is_sound(tmp_path)


def test_processes(store, tmp_path):
    script = """
    store, number = CutoutStore(Path(sys.argv[1])), int(sys.argv[2])
    for step in range(200):
        first = 10 * ((step * 7 + number) % 100)
        put(store, first, 10)
        assert found(store, first, 10) == 10
        found(store, 10 * (step * 13 % 100), 10)
    print("done")
    """
    both = [start(script, tmp_path, number) for number in (0, 50)]
    answers = [process.communicate(timeout=100)[0] for process in both]
    assert answers == ["done\n", "done\n"]
    assert found(store, 0, 1000) == store.info().n_cutouts == 1000
    assert is_sound(tmp_path)


def test_killed_while_writing(tmp_path):
    script = """
    folder, rng = Path(sys.argv[1]), np.random.default_rng(1)
    n_hot, kept = 0, 0
    for number in range(15):
        reader, writer = os.pipe()
        if (child := os.fork()) == 0:
            store = CutoutStore(folder)
            for first in range(1000 * number, 1000 * (number + 1), 20):
                conf.cache_size = 0.002
                put(store, first)
                os.write(writer, b".")
            os._exit(0)
        os.read(reader, 1)
        time.sleep(rng.uniform(0, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(writer)
        done = 1 + len(os.read(reader, 1000))
        n_hot += os.path.exists(folder / "cutouts.sqlite-journal")
        store = CutoutStore(folder)
        # What was kept before the kill is there: the last few puts fit into the limit.
        for step in range(max(0, done - 5), done):
            assert found(store, 1000 * number + 20 * step) == 20, (number, done, step)
        assert is_sound(folder)
    put(store, 0)
    assert os.listdir(folder) == ["cutouts.sqlite"]
    print(n_hot)
    """
    result = run(script, tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 0  # some were killed within a transaction


# ---- trouble: one warning, and the work goes on

TRY_TWICE = """
store, first = CutoutStore(Path(sys.argv[1])), int(sys.argv[2])
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        put(store, first, 500)
        store.put_headers("irsa", "W1", {"a": "header"})
        print(found(store, 0), found(store, first, 500))
    store.get_headers("irsa", "W1", ["a"])
for warning in caught:
    print(warning.category.__name__, warning.message)
"""


@pytest.fixture
def owner():
    """Words before a command that make file permissions hold for it, which they do not for root."""
    if os.name != "posix":
        pytest.skip("permissions of POSIX")
    if os.geteuid() != 0:
        return ()
    before = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")
    if not shutil.which("setpriv") or subprocess.run([*before, "true"]).returncode:
        pytest.skip("root may write anywhere, and has no setpriv to give that up")
    return before


def test_read_only_folder_with_a_store(store, tmp_path, owner):
    put(store, 0)
    (tmp_path / FILE_NAME).chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        lines = run(TRY_TWICE, tmp_path, 100, before=owner).stdout.splitlines()
    finally:
        tmp_path.chmod(0o755)
    assert lines[:2] == ["20 0", "20 0"]
    (warning,) = lines[2:]
    assert warning.startswith(f"StoreWarning The store of cutouts '{tmp_path / FILE_NAME}' cannot be written")
    assert "what it holds is used, nothing new is kept" in warning
    assert "conf.cache_dir" in warning


def test_reading_a_read_only_store_needs_no_warning(store, tmp_path, owner):
    put(store, 0)
    (tmp_path / FILE_NAME).chmod(0o444)
    tmp_path.chmod(0o555)
    script = """
    from astro_iicnet.cutouts import store as module
    module._MAX_USED = 50
    store = CutoutStore(Path(sys.argv[1]))
    print([found(store, 0) for _ in range(6)])
    """
    try:
        result = run(script, tmp_path, before=owner)
    finally:
        tmp_path.chmod(0o755)
    assert (result.stdout, result.stderr) == ("[20, 20, 20, 20, 20, 20]\n", "")


def test_read_only_folder_without_a_store(tmp_path, owner):
    tmp_path.chmod(0o555)
    try:
        in_it = run(TRY_TWICE, tmp_path, 100, before=owner).stdout.splitlines()
        below = run(TRY_TWICE, tmp_path / "new" / "folder", 100, before=owner).stdout.splitlines()
    finally:
        tmp_path.chmod(0o755)
    for lines in (in_it, below):
        assert lines[:2] == ["0 0", "0 0"]
        assert len(lines) == 3
        assert "cannot be written" in lines[2]


def test_unreadable_file(store, tmp_path, owner):
    put(store, 0)
    (tmp_path / FILE_NAME).chmod(0)
    lines = run(TRY_TWICE, tmp_path, 100, before=owner).stdout.splitlines()
    assert lines[:2] == ["0 0", "0 0"]
    assert 3 <= len(lines) <= 4
    assert all("unable to open database file" in line for line in lines[2:])


@pytest.fixture
def small_disk(tmp_path):
    """Words before a command that put a disk of 2 MB in place of the folder, for that command alone."""
    before = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=2M tmpfs "$0" && exec "$@"', tmp_path)
    if not shutil.which("unshare") or subprocess.run([*before, "true"], capture_output=True).returncode:
        pytest.skip("a small disk can be made by root only, and not in every container")
    return before


def test_full_disk(tmp_path, small_disk):
    script = "put(CutoutStore(Path(sys.argv[1])), 0)" + TRY_TWICE + "print(is_sound(sys.argv[1]))"
    script += "\nprint(os.listdir(sys.argv[1]))"
    lines = run(script, tmp_path, 100, before=small_disk).stdout.splitlines()
    assert lines[:2] == ["20 0", "20 0"]
    (warning,) = lines[2:-2]
    assert warning.endswith(
        "is on a disk that is full: what it holds is used, nothing new is kept. "
        "Free some space, or set astro_iicnet.conf.cache_dir to another folder."
    )
    assert lines[-2:] == ["True", f"['{FILE_NAME}']"]


def test_no_more_space_for_this_user(store, tmp_path):
    pytest.importorskip("resource")
    put(store, 0)
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
    lines = run(limit + TRY_TWICE, tmp_path, 100).stdout.splitlines()
    assert lines[:2] == ["20 0", "20 0"]
    (warning,) = lines[2:]
    assert "fault of the disk" in warning
    assert "quota" in warning
    assert found(store, 0) == 20
    assert is_sound(tmp_path)


def garbage(path):
    path.write_text("Dear diary, today I fetched no cutout. " * 1000)


def other_database(path):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE pixels (id INTEGER PRIMARY KEY, data BLOB)")


def other_format(path):
    put(CutoutStore(path.parent), 0)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 7")


def half(path):
    put(CutoutStore(path.parent), 0, 200)
    os.truncate(path, 8192 * 60)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (garbage, "is a file of something else"),
        (other_database, "is a database of something else"),
        (other_format, "has format 7, and this version of astro_iicnet knows format 1"),
        (half, "is damaged"),
    ],
)
@pytest.mark.parametrize("first", ["put", "get", "headers", "info", "clear"])
def test_a_file_that_is_no_store_is_left_alone(store, tmp_path, spoil, said, first):
    spoil(tmp_path / FILE_NAME)
    before = (tmp_path / FILE_NAME).read_bytes()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action = {
            "put": lambda: put(store, 0),
            "get": lambda: found(store, 0),
            "headers": lambda: store.put_headers("irsa", "W1", {"a": "header"}),
            "info": lambda: store.info().n_cutouts,
            "clear": lambda: store.clear(),
        }[first]
        assert not action()
        put(store, 0)
        assert found(store, 0) == 0
        assert store.get_headers("irsa", "W1", ["a"]) == {}
    assert [warning.category for warning in caught] == [StoreWarning]
    assert f"{tmp_path / FILE_NAME}' {said}" in str(caught[0].message)
    assert "it is not used" in str(caught[0].message)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_the_warning_names_the_line_of_the_caller(store, tmp_path):
    garbage(tmp_path / FILE_NAME)
    for ask in (lambda store: store.get_headers("irsa", "W1", ["a"]), lambda store: store.clear()):
        with pytest.warns(StoreWarning) as caught:
            ask(CutoutStore(tmp_path))
        assert caught[0].filename == __file__


def test_an_empty_file_becomes_a_store(store, tmp_path):
    (tmp_path / FILE_NAME).touch()
    assert found(store, 0) == store.info().n_cutouts == 0
    put(store, 0)
    assert found(store, 0) == 20


def test_locked_for_too_long(store, tmp_path, monkeypatch):
    put(store, 0)
    monkeypatch.setattr(store_module, "_PATIENCE", 0.1)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.warns(StoreWarning, match=r"locked by another process for 0.1 s: what it holds"):
            put(store, 20)
        put(store, 20)
        assert found(store, 0) == 20
        other.execute("COMMIT")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.warns(StoreWarning, match=r"locked by another process for 0.1 s: it is not used"):
            assert found(store, 0) == 0
        assert found(store, 0) == 0


def test_threads_that_meet_trouble_warn_once(store, tmp_path, monkeypatch):
    put(store, 0)
    monkeypatch.setattr(store_module, "_PATIENCE", 0.5)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        threads = [threading.Thread(target=put, args=(store, first)) for first in range(100, 900, 100)]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert [warning.category for warning in caught] == [StoreWarning]


def test_after_trouble_clear_or_another_folder_starts_anew(store, tmp_path):
    garbage(tmp_path / FILE_NAME)
    with pytest.warns(StoreWarning):
        put(store, 0)
    (tmp_path / FILE_NAME).unlink()
    put(store, 0)
    assert found(store, 0) == 0
    assert store.clear() == 0
    put(store, 0)
    assert found(store, 0) == 20

    store = CutoutStore()
    (tmp_path / "bad").mkdir()
    garbage(tmp_path / "bad" / FILE_NAME)
    with conf.set_temp("cache_dir", str(tmp_path / "bad")), pytest.warns(StoreWarning):
        put(store, 0)
    with conf.set_temp("cache_dir", str(tmp_path)):
        assert found(store, 0) == 20
