import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from file_server import FileServer, beginning, status, whole

from astro_iicnet.config import conf
from astro_iicnet.exceptions import WeightsError
from astro_iicnet.weights import fetch_weights
from astro_iicnet.weights.fetch import cached_file

CONTENT = np.random.default_rng(3).bytes(700_000)
OTHER = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
HALF = 300_000  # bytes

LOCKS = sys.platform != "win32"
needs_locks = pytest.mark.skipif(not LOCKS, reason="downloads do not go on without fcntl")


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr("astro_iicnet.weights._http.BACKOFF", 0.01)
    with conf.set_temp("cache_dir", str(tmp_path / "cache")), conf.set_temp("retries", 1):
        yield


@pytest.fixture
def server():
    with FileServer() as server:
        yield server


def record(*urls, content=CONTENT):
    digest = hashlib.sha256(content).hexdigest()
    return {"name": "far-v1", "sha256": digest, "size": len(content), "urls": list(urls)}


def files(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())


def part_of(one):
    return cached_file(one).with_name(f"{one['sha256']}.part")


def interrupted(one, content=CONTENT[:HALF]):
    part = part_of(one)
    part.parent.mkdir(parents=True)
    part.write_bytes(content)
    return one


def test_fetched_once_then_found(server, tmp_path):
    server.files["/one"] = CONTENT
    one = record(f"{server.url}/one")
    path = fetch_weights(one)
    assert path.read_bytes() == CONTENT
    assert path == cached_file(one)
    assert files(tmp_path) == [f"{one['sha256']}.safetensors"]
    with conf.set_temp("offline", True):
        assert fetch_weights(one) == path
    assert fetch_weights(one | {"urls": []}) == path
    assert server.asked == ["/one"]
    assert server.agents[0].startswith("astro_iicnet/")


def test_others_may_read_what_was_fetched(server):
    server.files["/one"] = CONTENT
    assert fetch_weights(record(f"{server.url}/one")).stat().st_mode & 0o777 == 0o644


def test_progress_can_be_silenced(server, capfd, tmp_path):
    server.files["/one"] = CONTENT
    fetch_weights(record(f"{server.url}/one"), progress=False)
    assert capfd.readouterr() == ("", "")
    with conf.set_temp("cache_dir", str(tmp_path / "second")):
        fetch_weights(record(f"{server.url}/one"))
    out, err = capfd.readouterr()
    assert out == ""
    assert "far-v1: 100%" in err
    assert "Downloading" not in err


FAULTS = {
    "wrong content": (OTHER, hashlib.sha256(OTHER).hexdigest()),
    "404": (status(404), "answered HTTP 404"),
    "500": (status(500), "answered HTTP 500"),
    "truncated": (beginning(CONTENT, HALF), "broke off"),
    "truncated without a length": (
        beginning(CONTENT, HALF, announced=-1),
        "broke off after 300000 of 700000",
    ),
    "empty": (b"", "serves a file of 0 bytes, expected 700000"),
    "too short": (CONTENT[:-1], "serves a file of 699999 bytes, expected 700000"),
    "too long": (CONTENT + b"x", "serves a file of 700001 bytes"),
    "endless": (beginning(CONTENT + b"x", 700_001, announced=-1), "sends more than the 700000 bytes"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_and_what_may_be_right_is_kept(server, tmp_path, fault):
    server.files["/bad"], words = FAULTS[fault]
    one = record(f"{server.url}/bad")
    with pytest.raises(WeightsError) as caught:
        fetch_weights(one, progress=False)
    goes_on = LOCKS and fault.startswith("truncated")
    kept = f"{HALF} bytes are kept for the next try" if goes_on else "nothing of them was kept"
    for word in ("far-v1", f"{server.url}/bad", words, kept, "ask who publishes"):
        assert word in str(caught.value)
    assert files(tmp_path) == ([f"{one['sha256']}.part"] if goes_on else [])


def test_a_wrong_hash_names_both(server):
    server.files["/bad"] = OTHER
    with pytest.raises(WeightsError) as caught:
        fetch_weights(record(f"{server.url}/bad"), progress=False)
    for content in (CONTENT, OTHER):
        assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert "do not use it" in str(caught.value)
    assert server.asked == ["/bad"]  # asking again would give the same


@pytest.mark.parametrize("fault", FAULTS)
def test_the_mirror_is_asked(server, fault):
    server.files |= {"/bad": FAULTS[fault][0], "/good": CONTENT}
    path = fetch_weights(record(f"{server.url}/bad", f"{server.url}/good"), progress=False)
    assert path.read_bytes() == CONTENT
    assert server.asked == ["/bad", "/good"]


def test_a_mirror_that_stalls_is_left(server):
    stall = beginning(CONTENT, 1000, then=lambda handler: server.stopping.wait())
    server.files |= {"/slow": stall, "/good": CONTENT}
    with conf.set_temp("timeout", 0.2):
        path = fetch_weights(record(f"{server.url}/slow", f"{server.url}/good"), progress=False)
    assert path.read_bytes() == CONTENT


def test_a_mirror_that_drips_is_left(server, monkeypatch):
    def drip(handler):
        while not server.stopping.wait(0.02):
            handler.wfile.write(b"x")

    monkeypatch.setattr("astro_iicnet.weights._http.SLOWEST", 1e9)
    server.files |= {"/slow": beginning(CONTENT, 1000, then=drip), "/good": CONTENT}
    with conf.set_temp("timeout", 0.2):
        path = fetch_weights(record(f"{server.url}/slow", f"{server.url}/good"), progress=False)
    assert path.read_bytes() == CONTENT


def test_passing_faults_are_tried_again(server):
    server.files["/one"] = [status(503), beginning(CONTENT, 10), CONTENT]
    with conf.set_temp("retries", 2):
        assert fetch_weights(record(f"{server.url}/one"), progress=False).read_bytes() == CONTENT
    assert len(server.asked) == 3


def test_a_server_that_is_down(tmp_path):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/one"
    with pytest.raises(WeightsError, match="does not answer.*Try again later"):
        fetch_weights(record(url), progress=False)
    assert files(tmp_path) == []


def test_offline_asks_nobody(server):
    server.files["/one"] = CONTENT
    with conf.set_temp("offline", True), pytest.raises(WeightsError, match="offline is set. Unset it"):
        fetch_weights(record(f"{server.url}/one"))
    assert server.asked == []


def test_unpublished():
    with pytest.raises(WeightsError, match="no published address: there is nothing to download"):
        fetch_weights(record())


def test_a_damaged_file_is_fetched_again(server):
    server.files["/one"] = CONTENT
    one = record(f"{server.url}/one")
    fetch_weights(one, progress=False).write_bytes(OTHER)
    with conf.set_temp("offline", True), pytest.raises(WeightsError, match="damaged on this disk"):
        fetch_weights(one)
    assert fetch_weights(one, progress=False).read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made(server, tmp_path):
    server.files["/one"] = CONTENT
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(WeightsError, match="Cannot keep weights in .*cache_dir"):
        fetch_weights(record(f"{server.url}/one"), progress=False)


def child(tmp_path, one):
    code = (
        "from astro_iicnet import conf; from astro_iicnet.weights import fetch_weights\n"
        f"conf.cache_dir = {str(tmp_path / 'cache')!r}\n"
        f"fetch_weights({one!r}, progress=False)"
    )
    return subprocess.Popen([sys.executable, "-c", code])


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@needs_locks
def test_killed_in_the_middle(server, tmp_path):
    server.files["/one"] = [beginning(CONTENT, HALF, then=lambda _: server.stopping.wait()), CONTENT]
    one = record(f"{server.url}/one")
    part = part_of(one)
    process = child(tmp_path, one)
    wait_for(lambda: part.is_file() and part.stat().st_size)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = part.stat().st_size
    assert not cached_file(one).exists()
    with conf.set_temp("offline", True), pytest.raises(WeightsError, match="not on this disk"):
        fetch_weights(one)
    for path in part.parent.iterdir():
        os.utime(path, (time.time() - 2 * 86400,) * 2)  # too long ago for a process that runs
    assert fetch_weights(one, progress=False).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={left}-"]
    assert files(tmp_path) == [f"{one['sha256']}.safetensors"]


@needs_locks
def test_only_the_rest_is_asked_for(server, tmp_path):
    server.files["/one"] = [beginning(CONTENT, HALF), CONTENT]
    one = record(f"{server.url}/one")
    with conf.set_temp("retries", 0):
        with pytest.raises(WeightsError):
            fetch_weights(one, progress=False)
        assert part_of(one).read_bytes() == CONTENT[:HALF]
        assert fetch_weights(one, progress=False).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert server.sent == [HALF, len(CONTENT) - HALF]
    assert files(tmp_path) == [f"{one['sha256']}.safetensors"]


@needs_locks
def test_a_retry_and_the_mirror_go_on(server):
    server.files |= {
        "/one": [beginning(CONTENT, 100_000), beginning(CONTENT, 500_000, ranges=True)],
        "/two": [beginning(CONTENT, 400_000, ranges=True), CONTENT],
    }
    fetch_weights(record(f"{server.url}/one", f"{server.url}/two"), progress=False)
    assert server.asked == ["/one", "/two", "/one", "/two"]
    assert server.sent == [100_000, 300_000, 100_000, 200_000]


@needs_locks
def test_progress_goes_on(server, capfd):
    server.files["/one"] = beginning(CONTENT, HALF + 1, ranges=True)
    with conf.set_temp("retries", 0), pytest.raises(WeightsError):
        fetch_weights(interrupted(record(f"{server.url}/one")))
    assert "43%" in capfd.readouterr().err


@needs_locks
def test_a_server_without_ranges_sends_all(server, tmp_path):
    server.files["/one"] = whole(CONTENT, ranges=False)
    one = interrupted(record(f"{server.url}/one"))
    assert fetch_weights(one, progress=False).read_bytes() == CONTENT
    assert (server.ranges, server.sent) == ([f"bytes={HALF}-"], [len(CONTENT)])
    assert files(tmp_path) == [f"{one['sha256']}.safetensors"]


def another_part(handler):
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
    handler.send_header("Content-Length", str(len(CONTENT)))
    handler.end_headers()
    handler.wfile.write(CONTENT)


UNFIT = {
    "other bytes": (OTHER[:HALF], []),
    "longer than the whole": (CONTENT + b"x", None),
    "the range is refused": (CONTENT[:HALF], [status(416)]),
    "another range comes": (CONTENT[:HALF], [another_part]),
    "too much comes": (CONTENT[:HALF], [beginning(CONTENT + b"x", 700_001, announced=-1, ranges=True)]),
}


@needs_locks
@pytest.mark.parametrize("case", UNFIT)
def test_what_does_not_fit_is_fetched_once_from_the_start(server, tmp_path, case):
    content, first = UNFIT[case]
    server.files["/one"] = [*(first or []), CONTENT]
    one = interrupted(record(f"{server.url}/one"), content)
    assert fetch_weights(one, progress=False).read_bytes() == CONTENT
    assert server.ranges == ([None] if first is None else [f"bytes={HALF}-", None])
    assert files(tmp_path) == [f"{one['sha256']}.safetensors"]


@needs_locks
def test_a_whole_that_was_not_moved_needs_no_server(server, tmp_path):
    """As after a kill between the last byte and the move."""
    server.files["/one"] = [status(503)] * 9
    one = interrupted(record(f"{server.url}/one"), CONTENT)
    assert fetch_weights(one, progress=False).read_bytes() == CONTENT
    assert server.ranges == []
    assert files(tmp_path) == [f"{one['sha256']}.safetensors"]


@needs_locks
def test_an_abandoned_part_goes(server, tmp_path):
    one = record(f"{server.url}/one")
    part = part_of(interrupted(one)).rename(part_of(one).with_name("0" * 64 + ".part"))
    server.files["/one"] = CONTENT
    os.utime(part, (time.time() - 29 * 86400,) * 2)
    fetch_weights(one, progress=False)
    assert part.is_file()
    cached_file(one).unlink()
    os.utime(part, (time.time() - 31 * 86400,) * 2)
    fetch_weights(one, progress=False)
    assert not part.exists()


@needs_locks
def test_wrong_after_both_leaves_nothing(server, tmp_path):
    server.files["/bad"] = OTHER[:-1] + b"x"
    with pytest.raises(WeightsError, match="nothing of them was kept.*sent another file"):
        fetch_weights(interrupted(record(f"{server.url}/bad")), progress=False)
    assert server.ranges == [f"bytes={HALF}-", None]
    assert files(tmp_path) == []


@needs_locks
def test_a_server_that_lost_the_file_leaves_what_is_there(server):
    server.files["/gone"] = status(404)
    one = interrupted(record(f"{server.url}/gone"))
    with pytest.raises(WeightsError, match=f"{HALF} bytes are kept for the next try"):
        fetch_weights(one, progress=False)
    assert part_of(one).read_bytes() == CONTENT[:HALF]


@needs_locks
def test_the_part_of_another_process_is_let_alone(server, tmp_path):
    import fcntl

    server.files["/one"] = CONTENT
    one = interrupted(record(f"{server.url}/one"))
    with open(part_of(one), "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert fetch_weights(one, progress=False).read_bytes() == CONTENT
    assert server.ranges == [None]
    assert part_of(one).read_bytes() == CONTENT[:HALF]


@needs_locks
def test_a_part_that_another_process_just_moved_into_place(server, monkeypatch):
    import fcntl

    server.files["/one"] = CONTENT
    one = interrupted(record(f"{server.url}/one"), OTHER[:HALF])
    moved = part_of(one).with_name("moved")
    monkeypatch.setattr(fcntl, "flock", lambda *_: part_of(one).rename(moved))
    assert fetch_weights(one, progress=False).read_bytes() == CONTENT
    assert moved.read_bytes() == OTHER[:HALF]


def test_without_locks_all_is_fetched(server, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)  # as on Windows
    server.files["/one"] = [beginning(CONTENT, HALF), CONTENT]
    path = fetch_weights(record(f"{server.url}/one"), progress=False)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_two_processes_at_once(server, tmp_path):
    both = threading.Barrier(2, timeout=60)
    server.files["/one"] = beginning(
        CONTENT, 1000, then=lambda h: (both.wait(), h.wfile.write(CONTENT[1000:]))
    )
    one = record(f"{server.url}/one")
    processes = [child(tmp_path, one) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert cached_file(one).read_bytes() == CONTENT
    assert files(tmp_path) == [f"{one['sha256']}.safetensors"]
