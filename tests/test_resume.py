"""A run that was killed, at whatever moment, goes on and ends as one that was not."""

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from astro_iicnet import job as job_module
from astro_iicnet.classifier import IICnetClassifier
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.cutouts.simulated import SimulatedSky
from astro_iicnet.exceptions import IICnetError, ImagesError
from astro_iicnet.labels import Status
from astro_iicnet.output import read_results
from astro_iicnet.resume import FINDING, Journal, new_findings, positions_sha256
from astro_iicnet.simulation.field import example_sources
from astro_iicnet.training.calibration import tabulate_scores
from astro_iicnet.weights import new_weights, save_weights

PROBABILITIES = ("iicnet_p_galaxy", "iicnet_p_quasar", "iicnet_p_star")


class Sky:
    """The simulated field, which fails or stops when it is told to."""

    name = "sky"
    survey = "allwise-atlas"

    def __init__(self, name="sky"):
        self.name = name
        self.asked = []
        self.failing = lambda coords: np.zeros(len(coords), bool)
        self.stop_after, self.stop_with = None, KeyboardInterrupt

    @property
    def n_asked(self):
        return sum(map(len, self.asked))

    def fetch(self, coords, bands):
        if self.stop_after == len(self.asked):
            raise self.stop_with
        self.asked.append(coords)
        cutouts = SimulatedSky().fetch(coords, bands)
        status = cutouts.status.copy()
        status[self.failing(coords)] = Status.RETRIEVAL_FAILED
        return Cutouts(cutouts.pixels, cutouts.offset, bands, cutouts.magzp, status, cutouts.tile)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "r.safetensors"
    rng = np.random.default_rng(1)
    scores = tabulate_scores(rng.dirichlet([1, 1, 1], 300), rng.integers(0, 3, 300))
    return save_weights(path, new_weights("random-v1"), set_scores=scores)


@pytest.fixture(scope="module")
def classifier(weights_file):
    return IICnetClassifier(weights_file, device="cpu")


@pytest.fixture
def run(classifier, tmp_path):
    """Classify a list of 63 rows in chunks of 10."""
    example_sources().write(tmp_path / "list.csv")

    def run(images, output="out.fits", **options):
        options = {"chunk_size": 10, "progress": False} | options
        return classifier.classify_file(tmp_path / "list.csv", tmp_path / output, images=images, **options)

    return run


def stopped(run, after=3, **options):
    sky = Sky()
    sky.stop_after = after
    with pytest.raises(KeyboardInterrupt) as caught:
        run(sky, **options)
    return caught.value


def assert_same(found, expected):
    assert found.colnames == expected.colnames
    for name in ("id", "iicnet_class", "iicnet_status", "iicnet_flags"):
        assert found[name].tolist() == expected[name].tolist()
    for name in PROBABILITIES:
        a, b = (np.ma.filled(np.ma.asarray(table[name]), -1) for table in (found, expected))
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


# In one process


@pytest.mark.parametrize("output", ["out.fits", "out.csv", "out.ecsv"])
def test_only_what_is_missing_is_done(run, tmp_path, output):
    expected = run(Sky(), "whole.fits")
    assert not (tmp_path / "whole.fits.partial").exists()
    error = stopped(run, output=output)
    assert f"{output}.partial" in error.__notes__[0]
    assert "--resume" in error.__notes__[0]
    assert not (tmp_path / output).exists()
    sky = Sky()
    assert_same(run(sky, output, resume=True), expected)
    assert_same(read_results(tmp_path / output), expected)
    # Two of three chunks that came were classified: the interrupt cost at most the others.
    assert 33 <= sky.n_asked <= 53
    assert sorted(os.listdir(tmp_path)) == sorted(["list.csv", "whole.fits", output])


def test_resume_without_an_earlier_run_does_all(run, tmp_path):
    assert_same(run(Sky(), resume=True), run(Sky(), "other.fits"))
    assert sorted(os.listdir(tmp_path)) == ["list.csv", "other.fits", "out.fits"]


def test_a_chunk_size_is_remembered(run):
    stopped(run)
    sky = Sky()
    run(sky, resume=True, chunk_size=None)
    assert {len(coords) for coords in sky.asked[:-1]} == {10}


def test_an_unfinished_run_is_not_lost_by_mistake(run, tmp_path):
    stopped(run)
    sky = Sky()
    with pytest.raises(IICnetError, match=r"unfinished run .*out\.fits\.partial.*--resume.*--overwrite"):
        run(sky)
    assert not sky.asked
    assert len(run(sky, overwrite=True)) == 63
    assert sky.n_asked == 63
    assert sorted(os.listdir(tmp_path)) == ["list.csv", "out.fits"]


def test_an_old_output_stays_until_the_new_one_is_there(run, tmp_path):
    (tmp_path / "out.fits").write_text("old")
    with pytest.raises(IICnetError, match="it exists"):
        run(Sky())
    stopped(run, overwrite=True)
    assert (tmp_path / "out.fits").read_text() == "old"
    assert len(run(Sky(), resume=True)) == 63
    assert len(read_results(tmp_path / "out.fits")) == 63


def test_what_is_not_the_same_run_is_refused_by_name(run, weights_file, tmp_path):
    stopped(run)
    with pytest.raises(IICnetError, match=r"other images \('sky', now 'other'\)") as caught:
        run(Sky("other"), resume=True)
    assert "weights" not in str(caught.value)
    with pytest.raises(IICnetError, match=r"other chunk_size \(10, now 20\)"):
        run(Sky(), resume=True, chunk_size=20)
    table = Table.read(tmp_path / "list.csv")
    table[::-1].write(tmp_path / "turned.csv")
    more = {"images": Sky(), "progress": False, "resume": True}
    other = IICnetClassifier(save_weights(tmp_path / "b.safetensors", new_weights("b-v1", seed=9)))
    with pytest.raises(IICnetError, match=r"other weights \('random-v1', now 'b-v1'\), other positions"):
        other.classify_file(tmp_path / "turned.csv", tmp_path / "out.fits", **more)
    # None of this has spoilt anything.
    assert len(run(Sky(), resume=True)) == 63


def test_another_folder_of_images_is_refused(run, classifier, tmp_path, monkeypatch):
    class Folder(Sky):
        def __init__(self, path):
            super().__init__("local")
            self.path = path

    monkeypatch.setattr(job_module, "LocalFolder", Folder)
    one, two = Folder(tmp_path / "one"), Folder(tmp_path / "two")
    one.stop_after = 3
    with pytest.raises(KeyboardInterrupt):
        run(one)
    with pytest.raises(IICnetError, match=r"other folder of images .*one.*two"):
        run(two, resume=True)
    one.stop_after = None
    run(one, resume=True)

    # Nor is it for an output that is complete.
    with pytest.raises(IICnetError, match=r"other folder of images .*one.*two"):
        run(two, resume=True)
    # But the folder may have been filled since.
    one.failing, one.asked = lambda coords: np.zeros(len(coords), bool), []
    run(one, resume=True, retry_failed=True)
    assert one.n_asked == 3  # the positions that the field does not cover


def test_a_complete_output_takes_over_what_changed_in_the_list(run, tmp_path):
    before = run(Sky())
    table = Table.read(tmp_path / "list.csv")
    table["note"] = np.arange(len(table))
    table.write(tmp_path / "list.csv", overwrite=True)
    sky = Sky()
    table = run(sky, resume=True)
    assert sky.n_asked == 0
    assert table["note"].tolist() == list(range(63))
    assert_same(read_results(tmp_path / "out.fits")[before.colnames], before)
    # Where nothing changed, the file stays as it is.
    written = (tmp_path / "out.fits").stat().st_mtime_ns
    run(Sky(), resume=True)
    assert (tmp_path / "out.fits").stat().st_mtime_ns == written


def test_columns_that_are_no_positions_may_change(run, tmp_path):
    stopped(run)
    table = Table.read(tmp_path / "list.csv")
    table["note"] = np.arange(len(table))
    table.write(tmp_path / "list.csv", overwrite=True)
    assert run(Sky(), resume=True)["note"].tolist() == list(range(63))


def test_priors_may_change(run):
    priors = {"star": 0.8, "galaxy": 0.15, "quasar": 0.05}
    expected = run(Sky(), "whole.fits", priors=priors)
    stopped(run)
    assert_same(run(Sky(), resume=True, priors=priors), expected)
    # Nor is anything fetched for other priors when the output is complete.
    sky = Sky()
    assert_same(run(sky, resume=True), run(Sky(), "plain.fits"))
    assert_same(run(sky, resume=True, priors=priors), expected)
    assert not sky.asked


# Retrying


def test_failed_rows_are_tried_again(run, tmp_path):
    expected = run(Sky(), "whole.fits")
    sky = Sky()
    sky.failing = lambda coords: coords.ra.deg > 150.12
    n_failed = np.count_nonzero(run(sky)["iicnet_status"] == "retrieval_failed")
    assert 20 < n_failed < 50
    sky = Sky()
    assert np.count_nonzero(run(sky, resume=True)["iicnet_status"] == "retrieval_failed") == n_failed
    assert not sky.asked
    # A second run that fails in part, and is stopped, keeps what it got.
    sky.failing, sky.stop_after = lambda coords: coords.dec.deg > 2.21, 2
    with pytest.raises(KeyboardInterrupt):
        run(sky, resume=True, retry_failed=True)
    assert len(read_results(tmp_path / "out.fits")) == 63
    last = Sky()
    assert_same(run(last, resume=True, retry_failed=True), expected)
    assert last.n_asked < n_failed
    assert_same(read_results(tmp_path / "out.fits"), expected)
    assert sorted(os.listdir(tmp_path)) == ["list.csv", "out.fits", "whole.fits"]


def test_failed_rows_of_an_unfinished_run(run):
    expected = run(Sky(), "whole.fits")
    sky = Sky()
    sky.failing, sky.stop_after = lambda coords: np.ones(len(coords), bool), 3
    with pytest.raises(KeyboardInterrupt):
        run(sky)
    assert_same(run(Sky(), resume=True, retry_failed=True), expected)


def test_several_sources_stay_known(run):
    first, second = Sky("first"), Sky("second")
    first.failing = lambda coords: coords.ra.deg > 150.12
    second.failing = lambda coords: coords.dec.deg > 2.21
    expected = run([first, second], "whole.fits")
    served = expected["iicnet_images"].tolist()
    assert set(served) == {"first", "second", ""}
    assert expected.meta["astro_iicnet"]["images"] == ["first", "second"]
    second.stop_after = len(second.asked) + 3
    with pytest.raises(KeyboardInterrupt):
        run([first, second])
    second.stop_after = None
    found = run([first, second], resume=True)
    assert found["iicnet_images"].tolist() == served
    assert_same(found, expected)
    second.failing = Sky().failing
    found = run([first, second], resume=True, retry_failed=True)
    assert set(found["iicnet_images"][found["iicnet_status"] == "ok"]) == {"first", "second"}
    assert [a for a, b in zip(found["iicnet_images"], served, strict=True) if b] == [b for b in served if b]


def test_coverage_may_change(run, tmp_path):
    expected = run(Sky(), "whole.fits", coverage=0.3)
    stopped(run)
    found = run(Sky(), resume=True, coverage=0.3)
    assert_same(found, expected)
    assert found["iicnet_set"].tolist() == expected["iicnet_set"].tolist()
    # Nor is anything fetched for another coverage, or none, when the output is complete.
    sky = Sky()
    wider = run(sky, resume=True, coverage=0.99)
    assert (wider["iicnet_set"] != found["iicnet_set"]).all()
    assert "iicnet_set" not in run(sky, resume=True).colnames
    assert "iicnet_set" not in read_results(tmp_path / "out.fits").colnames
    assert not sky.asked


def test_average_may_not_change(run):
    stopped(run)
    with pytest.raises(IICnetError, match=r"other choice of average \(False, now True\)"):
        run(Sky(), resume=True, average=True)


# Complete outputs


def test_complete_outputs_of_another_run_are_refused(run, tmp_path):
    run(Sky())
    with pytest.raises(IICnetError, match=r"other images \('sky', now 'other'\)"):
        run(Sky("other"), resume=True)
    shutil.copy(tmp_path / "list.csv", tmp_path / "out.csv")
    with pytest.raises(IICnetError, match="not a table of results"):
        run(Sky(), "out.csv", resume=True)
    assert sorted(os.listdir(tmp_path)) == ["list.csv", "out.csv", "out.fits"]


def test_complete_outputs_without_provenance(run, tmp_path):
    run(Sky(), "out.csv")
    with pytest.raises(IICnetError, match=r"format does not keep .*FITS, ECSV.*--overwrite"):
        run(Sky(), "out.csv", resume=True)
    assert sorted(os.listdir(tmp_path)) == ["list.csv", "out.csv"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resume": True, "overwrite": True}, "contradict"),
        ({"retry_failed": True}, "--resume"),
        ({"chunk_size": 0}, "chunk_size is 0"),
        ({"chunk_size": 2.5}, "chunk_size is 2.5"),
    ],
)
def test_options_that_make_no_sense(run, tmp_path, options, words):
    sky = Sky()
    with pytest.raises(IICnetError, match=words):
        run(sky, **options)
    assert not sky.asked
    assert os.listdir(tmp_path) == ["list.csv"]


# What goes wrong


def test_nothing_is_left_where_nothing_was_done(run, tmp_path):
    sky = Sky()
    sky.stop_after, sky.stop_with = 0, ImagesError("no images today")
    with pytest.raises(ImagesError, match="no images today") as caught:
        run(sky)
    assert not getattr(caught.value, "__notes__", [])
    with pytest.raises(IICnetError, match="priors"):
        run(Sky(), priors={"star": 2})
    assert os.listdir(tmp_path) == ["list.csv"]


def test_interrupted_while_the_output_is_moved(run, tmp_path, monkeypatch):
    expected = run(Sky(), "whole.fits")
    replace = os.replace

    def before(*args):
        raise KeyboardInterrupt

    def after(*args):
        replace(*args)
        raise KeyboardInterrupt

    for interrupted in (before, after):
        monkeypatch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(Sky(), resume=interrupted is after)
        monkeypatch.undo()
        assert (tmp_path / "out.fits.partial").exists()
        assert (tmp_path / "out.fits").exists() == (interrupted is after)
    sky = Sky()
    assert_same(run(sky, resume=True), expected)
    assert not sky.asked
    assert sorted(os.listdir(tmp_path)) == ["list.csv", "out.fits", "whole.fits"]


def test_full_disk_while_chunks_are_kept(run, tmp_path, monkeypatch):
    add = Journal.add
    count = []

    def add_to_a_full_disk(journal, rows, findings):
        count.append(1)
        if len(count) == 3:
            # SQLite itself reports this limit as a full disk.
            (pages,) = journal._connection.execute("PRAGMA page_count").fetchone()
            journal._connection.execute(f"PRAGMA max_page_count = {pages}")
            findings = np.tile(findings, 1000)
        add(journal, rows, findings)

    monkeypatch.setattr(Journal, "add", add_to_a_full_disk)
    with pytest.raises(IICnetError, match=r"finished rows: database or disk is full.*--resume") as caught:
        run(Sky())
    assert "out.fits.partial" in caught.value.__notes__[0]
    monkeypatch.undo()
    sky = Sky()
    assert_same(run(sky, resume=True), run(Sky(), "whole.fits"))
    assert sky.n_asked == 63 - 20


def test_full_disk_while_the_result_is_written(run, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(IICnetError, match="No space left"):
        run(Sky(), "out.ecsv")
    assert os.listdir(tmp_path) == ["list.csv"]  # when it was tried, before the work
    monkeypatch.setattr(job_module, "check_storable", lambda table, path: None)
    with pytest.raises(IICnetError, match="No space left") as caught:
        run(Sky(), "out.ecsv")
    assert "--resume" in caught.value.__notes__[0]
    assert sorted(os.listdir(tmp_path)) == ["list.csv", "out.ecsv.partial"]
    monkeypatch.undo()
    sky = Sky()
    assert len(run(sky, "out.ecsv", resume=True)) == 63
    assert not sky.asked
    assert sorted(os.listdir(tmp_path)) == ["list.csv", "out.ecsv"]


def test_two_runs_on_one_output(run, tmp_path):
    class Second(Sky):
        def fetch(self, coords, bands):
            for options in ({}, {"resume": True}, {"overwrite": True}):
                with pytest.raises(IICnetError, match=r"Another run is writing .*out\.fits"):
                    run(Sky(), **options)
            return super().fetch(coords, bands)

    assert len(run(Second())) == 63
    assert sorted(os.listdir(tmp_path)) == ["list.csv", "out.fits"]


def test_a_journal_that_is_none(run, tmp_path):
    (tmp_path / "out.fits.partial").mkdir()
    (tmp_path / "out.fits.partial" / "journal.sqlite").write_bytes(b"something else" * 100)
    for options in ({}, {"resume": True}):
        with pytest.raises(IICnetError, match="not a database.*--overwrite"):
            run(Sky(), **options)
    assert len(run(Sky(), overwrite=True)) == 63
    assert sorted(os.listdir(tmp_path)) == ["list.csv", "out.fits"]


def test_a_journal_of_a_later_version(run, tmp_path):
    stopped(run)
    connection = sqlite3.connect(tmp_path / "out.fits.partial" / "journal.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(IICnetError, match="later version"):
        run(Sky(), resume=True)
    assert len(run(Sky(), overwrite=True)) == 63


def test_a_journal_that_cannot_be_opened(run, tmp_path):
    (tmp_path / "out.fits.partial" / "journal.sqlite").mkdir(parents=True)
    with pytest.raises(IICnetError, match="Cannot use .*unable to open"):
        run(Sky(), overwrite=True)


def test_a_file_in_the_way(run, tmp_path):
    (tmp_path / "out.fits.partial").write_text("mine")
    with pytest.raises(IICnetError, match=r"Cannot write in .*out\.fits\.partial"):
        run(Sky(), overwrite=True)
    assert (tmp_path / "out.fits.partial").read_text() == "mine"


# The journal by itself


def test_journal_keeps_what_was_added_last(tmp_path, rng):
    findings = new_findings(np.zeros(9, np.uint8))
    findings["probabilities"] = rng.uniform(size=(9, 3))
    findings["flags"] = rng.integers(0, 32, 9)
    output = tmp_path / "out.fits"

    def begin():
        with Journal(output) as journal:
            journal.begin({"images": "a"})
            journal.add(np.array([5, 1]), findings[[0, 1]])
            journal.add(np.array([1, 7]), findings[[2, 3]])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin()
    with Journal(output, resume=True) as journal:
        assert not journal.is_new
        assert journal.begin({"images": "a"}) == {"images": "a"}
        found = new_findings(np.full(9, Status.BAD_COORDINATES))
        known = journal.read(found)
    assert np.flatnonzero(known).tolist() == [1, 5, 7]
    assert found.dtype == FINDING
    assert found[[1, 5, 7]].tobytes() == findings[[2, 0, 3]].tobytes()
    assert (found["status"][~known] == Status.BAD_COORDINATES).all()
    assert os.listdir(tmp_path) == []


def test_positions_have_one_checksum():
    coords = SkyCoord([1, np.nan, 3], [4, np.nan, 6], unit="deg")
    assert positions_sha256(coords) == positions_sha256(coords.copy())
    other = SkyCoord([1, -np.nan, 3], [4, np.nan, 6], unit="deg")
    assert positions_sha256(other) == positions_sha256(coords)
    moved = SkyCoord([1, np.nan, 3 + 1e-12], [4, np.nan, 6], unit="deg")
    assert positions_sha256(moved) != positions_sha256(coords)
    assert positions_sha256(coords[::-1]) != positions_sha256(coords)
    assert positions_sha256(coords[:0])


# Killed

KILLED = textwrap.dedent(
    """
    import os, random, signal, sys, time
    import torch
    from astro_iicnet import IICnetClassifier
    from astro_iicnet.simulation.field import simulated_field

    weights, table, output, n_kills = sys.argv[1:4] + [int(sys.argv[4])]
    simulated_field()  # once for all children, so that kills hit the work
    moments = random.Random(20230814)

    def classify():
        torch.set_num_threads(1)
        classifier = IICnetClassifier(weights, device="cpu")
        options = dict(images="simulated", chunk_size=32, progress=False, resume=True)
        classifier.classify_file(table, output, **options)

    def child():
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                classify()
                code = 0
            finally:
                os._exit(code)
        return pid

    partial = output + ".partial"
    for number in range(n_kills):
        pid = child()
        time.sleep(moments.uniform(0.05, 1.2))
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        print("killed" if os.WIFSIGNALED(status) else f"ended {status}", sorted(os.listdir(partial))
              if os.path.isdir(partial) else None)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child(), 0)[1]))
    """
)


@pytest.mark.skipif(os.name == "nt", reason="needs fork and kill -9")
def test_killed_again_and_again(classifier, weights_file, tmp_path):
    table = example_sources()
    table = table[np.resize(np.arange(len(table)), 400)]
    table["id"] = np.arange(400)
    table.write(tmp_path / "list.csv")
    expected = classifier.classify_file(
        tmp_path / "list.csv", tmp_path / "whole.fits", images="simulated", chunk_size=32, progress=False
    )
    (tmp_path / "killed.py").write_text(KILLED)
    call = [sys.executable, "killed.py", str(weights_file), "list.csv", "out.fits", "6"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "killed" in result.stdout
    assert sorted(os.listdir(tmp_path)) == ["killed.py", "list.csv", "out.fits", "whole.fits"]
    assert_same(read_results(tmp_path / "out.fits"), expected)


@pytest.mark.skipif(os.name == "nt", reason="needs kill -9")
def test_the_lock_goes_with_the_process(tmp_path):
    code = """
import sys, time, numpy as np
from pathlib import Path
from astro_iicnet.resume import Journal, new_findings
with Journal(Path(sys.argv[1])) as journal:
    journal.begin({"images": "a"})
    journal.add(np.arange(2), new_findings(np.zeros(2)))
    print("ready", flush=True)
    time.sleep(100)
"""
    output = tmp_path / "out.fits"
    with subprocess.Popen([sys.executable, "-c", code, output], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(IICnetError, match="Another run"):
            Journal(output, resume=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with Journal(output, resume=True) as journal:
        assert journal.read(new_findings(np.zeros(3))).tolist() == [True, True, False]
    assert os.listdir(tmp_path) == []
