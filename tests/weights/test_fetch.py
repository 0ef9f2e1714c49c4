import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
from file_server import FileServer, beginning, status

from astro_iicnet.config import conf
from astro_iicnet.exceptions import WeightsError
from astro_iicnet.weights import fetch_weights
from astro_iicnet.weights.fetch import cached_file

CONTENT = np.random.default_rng(3).bytes(700_000)
OTHER = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]


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
    "truncated": (beginning(CONTENT, 300_000), "broke off"),
    "truncated without a length": (
        beginning(CONTENT, 300_000, announced=-1),
        "broke off after 300000 of 700000",
    ),
    "empty": (b"", "serves a file of 0 bytes, expected 700000"),
    "too short": (CONTENT[:-1], "serves a file of 699999 bytes, expected 700000"),
    "too long": (CONTENT + b"x", "serves a file of 700001 bytes"),
    "endless": (beginning(CONTENT + b"x", 700_001, announced=-1), "sends more than the 700000 bytes"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_and_nothing_is_kept(server, tmp_path, fault):
    server.files["/bad"], words = FAULTS[fault]
    with pytest.raises(WeightsError) as caught:
        fetch_weights(record(f"{server.url}/bad"), progress=False)
    for word in ("far-v1", f"{server.url}/bad", words, "nothing of them was kept", "ask who publishes"):
        assert word in str(caught.value)
    assert files(tmp_path) == []


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


def test_killed_in_the_middle(server, tmp_path):
    half_sent = threading.Event()

    def wait(handler):
        half_sent.set()
        server.stopping.wait()

    server.files["/one"] = [beginning(CONTENT, 350_000, then=wait), CONTENT]
    one = record(f"{server.url}/one")
    process = child(tmp_path, one)
    assert half_sent.wait(60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (left,) = (tmp_path / "cache" / "weights").iterdir()
    assert left != cached_file(one)
    with conf.set_temp("offline", True), pytest.raises(WeightsError, match="not on this disk"):
        fetch_weights(one)
    os.utime(left, (0, 0))  # long ago
    assert fetch_weights(one, progress=False).read_bytes() == CONTENT
    assert files(tmp_path) == [f"{one['sha256']}.safetensors"]


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
