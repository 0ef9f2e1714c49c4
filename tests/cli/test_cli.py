import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from astropy.table import Table
from click.testing import CliRunner

from astro_iicnet.cli import main
from astro_iicnet.labels import CLASSES
from astro_iicnet.weights import load_weights, new_weights, save_weights


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    return str(save_weights(tmp_path_factory.mktemp("weights") / "r.safetensors", new_weights("random-v1")))


@pytest.fixture
def coords(run):
    """The first rows of the example list, all in the field."""
    assert run("example").exit_code == 0
    table = Table.read("coords.csv")
    table[:12].write("few.csv")
    return table


VERBS = [
    "example",
    "classify",
    "simulate",
    "train",
    "evaluate",
    "weights",
    "weights list",
    "weights info",
    "info",
]


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_an_example(run, verb):
    result = run(*verb.split(), "--help")
    assert result.exit_code == 0
    assert f"astro-iicnet {verb}" in result.output


def test_all_verbs_are_listed(run):
    result = run("--help")
    assert all(verb in result.output for verb in VERBS if " " not in verb)
    assert "astro-iicnet example" in result.output


def test_version(run):
    import astro_iicnet

    assert astro_iicnet.__version__ in run("--version").output


def test_as_a_module():
    call = [sys.executable, "-m", "astro_iicnet.cli", "--help"]
    result = subprocess.run(call, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("Usage: astro-iicnet ")


def test_example_keeps_what_is_there(run):
    assert run("example", "-o", "mine.fits").exit_code == 0
    assert set(Table.read("mine.fits").colnames) == {"id", "ra", "dec", "true_class"}
    result = run("example", "-o", "mine.fits")
    assert result.exit_code == 2
    assert "--overwrite" in result.output
    assert run("example", "-o", "mine.fits", "--overwrite").exit_code == 0
    assert run("example", "-o", "mine.nonsense").exit_code == 2


def test_classify_the_example(run, coords, weights_file):
    result = run(
        "classify", "coords.csv", "-o", "out.fits", "--images", "simulated", "--weights", weights_file
    )
    assert result.exit_code == 0
    assert result.stdout == ""
    for word in ("out.fits", "random-v1", "galaxy", "quasar", "star", "no_coverage", "true_class agrees for"):
        assert word in result.stderr
    table = Table.read("out.fits")
    assert len(table) == len(coords)
    status = np.asarray(table["iicnet_status"]).astype(str)
    assert ((status == "ok") == ~np.ma.getmaskarray(coords["true_class"])).all()


def test_failed_rows_end_with_1(run, tmp_path, coords, weights_file):
    (tmp_path / "mixed.csv").write_text("ra,dec\n150.1201,2.2103\n150.12,\n10,20\n")
    result = run("classify", "mixed.csv", "-o", "m.csv", "--images", "simulated", "--weights", weights_file)
    assert result.exit_code == 1
    assert "1 of 3 rows failed" in result.stderr


def test_columns_by_name(run, tmp_path, weights_file):
    (tmp_path / "odd.csv").write_text("alpha_x,delta_x\n150.1201,2.2103\n")
    options = ("--ra", "alpha_x", "--dec", "delta_x", "--images", "simulated", "--weights", weights_file)
    for where in ((), ("-o", "o.csv")):
        assert run("classify", "odd.csv", *where, *options).exit_code == 0
    assert "--ra and --dec" in run("classify", "odd.csv", "--images", "simulated").stderr


def test_a_list_that_the_output_cannot_hold_is_refused_before_the_work(run, tmp_path, weights_file):
    table = Table({"ra": [150.1201], "dec": [2.2103], "flux": [[1.0, 2.0]]})
    table.write(tmp_path / "wide.fits")
    result = run("classify", "wide.fits", "-o", "o.csv", "--images", "simulated", "--weights", weights_file)
    assert result.exit_code == 2
    assert "Cannot write" in result.stderr
    assert not list(tmp_path.glob("*.csv*")) + list(tmp_path.glob(".*.csv"))


def test_no_image_reaches_any_row(run, tmp_path, weights_file):
    (tmp_path / "far.csv").write_text("ra,dec\n10,20\n")
    result = run(
        "classify", "far.csv", "-q", "-o", "o.csv", "--images", "simulated", "--weights", weights_file
    )
    assert result.exit_code == 1
    assert "None of 1 rows has a class" in result.stderr


def test_classify_to_stdout(run, coords, weights_file):
    result = run("classify", "few.csv", "--images", "simulated", "--weights", weights_file)
    assert result.exit_code == 0
    table = Table.read(result.stdout, format="ascii.ecsv")
    assert list(table["id"]) == list(coords["id"][:12])
    assert table.meta["astro_iicnet"]["weights"] == "random-v1"


def test_quiet(run, coords, weights_file):
    result = run(
        "classify", "few.csv", "-q", "-o", "o.csv", "--images", "simulated", "--weights", weights_file
    )
    assert (result.exit_code, result.output) == (0, "")


def test_priors(run, coords, weights_file):
    options = ("--images", "simulated", "--weights", weights_file)
    run("classify", "few.csv", "-o", "a.ecsv", "--priors", "star=0.8,galaxy=0.1,quasar=0.1", *options)
    run("classify", "few.csv", "-o", "b.ecsv", "--priors", "0.1,0.1,0.8", *options)
    run("classify", "few.csv", "-o", "c.ecsv", *options)
    a, b, c = (np.asarray(Table.read(f"{name}.ecsv")["iicnet_p_star"]) for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert (a > c).all()


def test_coverage(run, coords, weights_file):
    options = ("--images", "simulated", "--coverage", "0.95")
    assert run("classify", "few.csv", "-o", "a.ecsv", *options).exit_code == 0
    sets = [text.split("|") for text in Table.read("a.ecsv")["iicnet_set"].tolist() if text]
    assert sets
    assert {name for names in sets for name in names} <= set(CLASSES)
    result = run("classify", "few.csv", "-o", "b.ecsv", "--weights", weights_file, *options)
    assert result.exit_code == 2
    assert "leave coverage out" in result.output


def test_average(run, coords, weights_file):
    options = ("--images", "simulated", "--weights", weights_file, "--average")
    assert run("classify", "few.csv", "-o", "a.ecsv", *options).exit_code == 0
    assert Table.read("a.ecsv").meta["astro_iicnet"]["average"] is True


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "No coordinates"),
        ("ra,dec\n", None),
        ("alpha_x,delta_x\n1,2\n", "alpha_x"),
        ("\x00\x01\x02", "No coordinates"),
        ("ra,dec\n10,20\n10,20\n,\n400,95\n", None),
    ],
    ids=["no bytes", "no rows", "no coordinates", "binary", "only bad rows"],
)
def test_odd_lists(run, tmp_path, weights_file, content, words):
    (tmp_path / "few.csv").write_text(content)
    result = run("classify", "few.csv", "-o", "out.csv", "--images", "simulated", "--weights", weights_file)
    if words is None:
        n = max(content.count("\n") - 1, 0)
        assert result.exit_code == (1 if n else 0)
        assert (tmp_path / "out.csv").read_text().count("\n") == n + 1
    else:
        assert result.exit_code == 2
        assert words in result.stderr
        assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input": "none.csv"}, "none.csv"),
        ({"input": "."}, "folder"),
        ({"--weights": "iicnet-sim-v9"}, "iicnet-sim-v9"),
        ({"--weights": "none.safetensors"}, "none.safetensors"),
        ({"--weights": "few.csv.safetensors"}, "few.csv.safetensors"),
        ({"--images": "isra"}, "'irsa'"),
        ({"--images": "nowhere"}, "nowhere"),
        ({"--images": "."}, "FITS"),
        ({"--priors": "star=0.5"}, "lack"),
        ({"--priors": "star=much"}, "--priors"),
        ({"--priors": "a=b=c"}, "--priors"),
        ({"--device": "tpu9"}, "tpu9"),
        ({"-o": "none/out.fits"}, "none"),
        ({"-o": "out.nonsense"}, "nonsense"),
        ({"-o": "."}, "'.'"),
        ({"-o": "few.csv"}, "exists"),
    ],
)
def test_bad_arguments_end_with_2_and_a_word(run, coords, weights_file, changes, words):
    with open("few.csv.safetensors", "wb") as file:
        file.write(b"ra,dec")
    options = {
        "input": "few.csv",
        "-o": "out.csv",
        "--images": "simulated",
        "--weights": weights_file,
    } | changes
    arguments = [options.pop("input"), *(part for pair in options.items() for part in pair)]
    result = run("classify", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not os.path.exists("out.csv")
    assert len(Table.read("few.csv")) == 12


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_folder_that_cannot_be_written(run, coords, weights_file, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    result = run(
        "classify", "few.csv", "-o", "closed/o.csv", "--images", "simulated", "--weights", weights_file
    )
    assert result.exit_code == 2


def test_interrupt_is_tidy_and_says_how_to_go_on(run, coords, weights_file, monkeypatch, tmp_path):
    from astro_iicnet.cutouts.simulated import SimulatedSky

    fetch, asked = SimulatedSky.fetch, []

    def interrupted(*arguments):
        asked.append(arguments)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return fetch(*arguments)

    options = ("--images", "simulated", "--weights", weights_file, "-o", "out.csv")
    monkeypatch.setattr(SimulatedSky, "fetch", interrupted)
    result = run("classify", "few.csv", *options, "--chunk-size", 3)
    assert result.exit_code == 130
    assert "Stopped" in result.stderr
    assert "kept in 'out.csv.partial'" in result.stderr
    assert "--resume" in result.stderr
    result = run("classify", "few.csv", *options)
    assert result.exit_code == 2
    assert "--resume" in result.stderr
    monkeypatch.setattr(SimulatedSky, "fetch", fetch)
    assert run("classify", "few.csv", *options, "--resume").exit_code == 0
    assert run("classify", "few.csv", *options[:-1], "whole.csv").exit_code == 0
    assert (tmp_path / "out.csv").read_text() == (tmp_path / "whole.csv").read_text()
    assert not (tmp_path / "out.csv.partial").exists()


def test_retry_failed(run, coords, weights_file, monkeypatch):
    from dataclasses import replace

    from astro_iicnet.cutouts.simulated import SimulatedSky

    fetch = SimulatedSky.fetch

    def fail(*arguments):
        cutouts = fetch(*arguments)
        return replace(cutouts, status=np.full(len(cutouts), 3, np.uint8))

    options = ("--images", "simulated", "--weights", weights_file, "-o", "out.fits")
    monkeypatch.setattr(SimulatedSky, "fetch", fail)
    result = run("classify", "few.csv", *options)
    assert result.exit_code == 1
    assert "12 of 12 rows failed" in result.stderr
    monkeypatch.setattr(SimulatedSky, "fetch", fetch)
    assert run("classify", "few.csv", *options, "--resume").exit_code == 1
    assert run("classify", "few.csv", *options, "--resume", "--retry-failed").exit_code == 0
    assert set(np.asarray(Table.read("out.fits")["iicnet_status"]).astype(str)) == {"ok"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--resume",), "-o FILE"),
        (("--retry-failed",), "-o FILE"),
        (("--chunk-size", "10"), "-o FILE"),
        (("--retry-failed", "-o", "out.csv"), "--resume"),
        (("--resume", "--overwrite", "-o", "out.csv"), "contradict"),
        (("--chunk-size", "0", "-o", "out.csv"), "at least 1"),
        (("--chunk-size", "0"), "-o FILE"),
        (("--chunk-size", "some", "-o", "out.csv"), "--chunk-size"),
    ],
)
def test_options_that_make_no_sense_together(run, coords, weights_file, options, words):
    result = run("classify", "few.csv", "--images", "simulated", "--weights", weights_file, *options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not os.path.exists("out.csv")


@pytest.mark.parametrize("images", [("a,b,simulated",), ("a", "b", "simulated"), ("a, b", "simulated")])
def test_several_image_sources(run, coords, weights_file, monkeypatch, images):
    from astro_iicnet import classifier

    asked = []

    def open_images(images):
        asked.append(images)
        return open_it("simulated")

    open_it = classifier.open_images
    monkeypatch.setattr(classifier, "open_images", open_images)
    options = [part for name in images for part in ("--images", name)]
    assert run("classify", "few.csv", "--weights", weights_file, "-o", "o.csv", *options).exit_code == 0
    assert asked == [["a", "b", "simulated"]]


def test_a_folder_with_a_comma_in_its_name(run, coords, tmp_path):
    (tmp_path / "a,b").mkdir()
    result = run("classify", "few.csv", "--images", "a,b")
    assert result.exit_code == 2
    assert "No AllWISE Atlas image in 'a,b'" in result.stderr


def test_dry_run(run, coords, tmp_path):
    before = sorted(os.listdir(tmp_path))
    result = run("classify", "coords.csv", "--dry-run", "--images", "irsa", "-o", "out.fits")
    assert result.exit_code == 0
    assert "63" in result.stdout
    assert sorted(os.listdir(tmp_path)) == before
    assert run("classify", "coords.csv", "--dry-run", "--images", "isra").exit_code == 2
    assert run("classify", "none.csv", "--dry-run").exit_code == 2
    assert run("classify", "coords.csv", "--dry-run", "--chunk-size", "0").exit_code == 2
    assert run("classify", "coords.csv", "--dry-run", "--weights", "iicnet-nought").exit_code == 2


def test_magnitudes_without_images(run, tmp_path):
    """A red and a blue source, anywhere: told apart by their columns, with nothing to fetch."""
    table = Table({"ra": [10.0, 20.0], "dec": [-70.0, 70.0], "w1mpro": [15.0, 12.0], "w2mpro": [13.8, 12.0]})
    table["w3mpro"], table["w1sigmpro"], table["w2sigmpro"], table["w3sigmpro"] = (
        [11.0, 11.9],
        0.03,
        0.03,
        0.1,
    )
    table.write("mags.csv")
    options = ("classify", "mags.csv", "--images", "none", "--weights", "magnitudes-sim-v3")
    planned = run(*options, "--magnitudes", "columns", "--dry-run")
    assert planned.exit_code == 0
    assert "2 sources without images: there are no pixels to fetch" in planned.output
    assert run("classify", "mags.csv", "--images", "none", "--dry-run").exit_code == 2
    result = run(*options, "--magnitudes", "columns", "-o", "out.fits")
    assert result.exit_code == 0
    assert Table.read("out.fits")["iicnet_class"].tolist() == ["quasar", "star"]
    refused = run(*options, "-o", "other.fits")
    assert refused.exit_code == 2
    assert "magnitudes are measured on images unless" in refused.output
    assert run("classify", "mags.csv", "--images", "none", "-o", "other.fits").exit_code == 2
    assert not (tmp_path / "other.fits").exists()


def test_dry_run_needs_no_network_of_either_kind(coords, tmp_path):
    code = """
import sys
from astro_iicnet.cli import main
try:
    main(["classify", "coords.csv", "--dry-run"])
except SystemExit as end:
    print(end.code, "torch" in sys.modules, "astroquery" in sys.modules, file=sys.stderr)
"""
    call = [sys.executable, "-c", code]
    result = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stderr.split() == ["0", "False", "False"]


@pytest.mark.skipif(os.name == "nt", reason="shell")
def test_broken_pipe_is_silent(coords, weights_file, tmp_path):
    verb = f"classify coords.csv -q --images simulated --weights {weights_file}"
    command = f"{sys.executable} -m astro_iicnet.cli {verb} | head -n 1"
    result = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("# %ECSV")
    assert "Traceback" not in result.stderr
    assert "BrokenPipe" not in result.stderr


def test_simulate_train_evaluate(run, tmp_path):
    assert run("simulate", 60, "-o", "data.fits", "--seed", 4, "--workers", 1).exit_code == 0
    result = run("train", "data.fits", "-o", "my.safetensors", "--epochs", 1, "-q", "--device", "cpu")
    assert result.exit_code == 0
    assert "my.safetensors: accuracy" in result.stderr
    assert not list(tmp_path.glob("*.state*"))
    assert len(Table.read("my.history.ecsv")) == 1
    result = run("evaluate", "data.fits", "--weights", "my.safetensors", "-o", "metrics.ecsv")
    assert result.exit_code == 0
    for word in ("precision", "quasar", "calibration error", "60 of 60 sources"):
        assert word in result.stdout
    assert list(Table.read("metrics.ecsv")["class"]) == ["galaxy", "quasar", "star"]
    assert '"name": "my"' in run("weights", "info", "my.safetensors").stdout
    for verb in (("simulate", 3), ("train", "data.fits")):
        result = run(*verb, "-o", "data.fits")
        assert result.exit_code == 2
        assert "--overwrite" in result.stderr


def test_train_another_network(run):
    """Kernel, size and bands are rebuilt from the file alone."""
    assert run("simulate", 30, "-o", "data.fits", "--workers", 1, "--bands", "w1,w2,w3,W4").exit_code == 0
    more = ("--first-kernel", 3, "--size", 64, "--bands", "W1,W4", "--epochs", 1, "-q")
    assert run("train", "data.fits", "-o", "my.safetensors", *more).exit_code == 0
    weights = load_weights("my.safetensors")
    assert weights.model.features[0].weight.shape == (64, 2, 3, 3)
    assert (weights.bands, weights.preprocess.recipe.size) == (("W1", "W4"), 64)
    assert run("evaluate", "data.fits", "--weights", "my.safetensors").exit_code == 0
    for option, value, message in [
        ("--bands", "W1,W5", "Unknown band 'W5'"),
        ("--bands", "W1,W1", "twice"),
        ("--size", 31, "32<=x<=128"),
        ("--first-kernel", 4, "'5', '3'"),
        ("--architecture", "iicne", "Did you mean 'iicnet'"),
    ]:
        result = run("train", "data.fits", "-o", "not.safetensors", option, value)
        assert result.exit_code == 2
        assert message in result.stderr


def test_train_a_student(run):
    assert run("simulate", 30, "-o", "data.fits", "--workers", 1).exit_code == 0
    arguments = (
        "train",
        "data.fits",
        "-o",
        "my.safetensors",
        "--architecture",
        "student",
        "--epochs",
        1,
        "-q",
        "--device",
        "cpu",
    )
    assert run(*arguments, "--teacher", "iicnet-sim-v3").exit_code == 0
    weights = load_weights("my.safetensors")
    assert weights.preprocess.recipe.size == 36
    assert weights.record["training_data"].endswith("1 epochs on cpu, taught by iicnet-sim-v3")
    assert run(*arguments, "--overwrite").exit_code == 0
    untaught = load_weights("my.safetensors")
    assert untaught.record["training_data"].endswith("1 epochs on cpu")
    assert not torch.equal(untaught.model.head.weight, weights.model.head.weight)
    for teacher, words in [("magnitudes-sim-v3", "looks at magnitudes"), ("iicnet-sim", "Did you mean")]:
        result = run(*arguments, "--overwrite", "--teacher", teacher)
        assert result.exit_code == 2
        assert words in result.stderr
    result = run(*arguments, "--overwrite", "--teacher", "iicnet-sim-v3", "--bands", "W1,W2")
    assert (result.exit_code, "in W1,W2,W3, the cutouts are images in W1,W2" in result.stderr) == (2, True)


def test_an_unfinished_training_is_not_lost(run, tmp_path):
    (tmp_path / "my.safetensors.state").write_bytes(b"half")
    result = run("train", "data.fits", "-o", "my.safetensors")
    assert result.exit_code == 2
    assert "--resume" in result.stderr


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_datasets_that_are_none(run, tmp_path, weights_file, verb):
    (tmp_path / "text.fits").write_text("no FITS")
    more = ("-o", "my.safetensors") if verb == "train" else ("--weights", weights_file)
    for name in ("none.fits", "text.fits", "."):
        result = run(verb, name, *more)
        assert result.exit_code == 2, name
        assert "Error" in result.stderr


def test_weights_and_info(run, weights_file):
    listed = run("weights", "list")
    assert listed.exit_code == 0
    result = run("weights", "info", weights_file)
    assert '"name": "random-v1"' in result.stdout
    assert '"sha256"' in result.stdout
    assert run("weights", "info", "iicnet-nought").exit_code == 2
    told = run("info").stdout
    for word in ("python", "torch", "device", "weights"):
        assert word in told


def test_an_error_that_nobody_foresaw_has_a_code_of_its_own(tmp_path, monkeypatch):
    """Not 1, which says that the output is there."""

    def fail(*arguments, **options):
        raise ZeroDivisionError("out of the blue")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("astro_iicnet.classifier.read_sources", fail)
    Table({"ra": [1.0], "dec": [2.0]}).write("list.csv")
    result = CliRunner().invoke(main, ["classify", "list.csv", "--images", "simulated", "-o", "out.fits"])
    assert result.exit_code == 3
    assert "Traceback" in result.stderr
    assert "ZeroDivisionError: out of the blue" in result.stderr
