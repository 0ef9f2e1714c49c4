import numpy as np
from astropy.table import Table

from astro_iicnet.weights import new_weights, save_weights


def test_help_has_an_example(run):
    result = run("cutouts", "fetch", "--help")
    assert result.exit_code == 0
    assert "astro-iicnet cutouts fetch coords.csv --to" in result.output
    assert "fetch" in run("cutouts", "--help").output


def test_fetch_then_classify(run, tmp_path):
    weights = str(save_weights(tmp_path / "r.safetensors", new_weights("random-v1")))
    assert run("example").exit_code == 0
    result = run("cutouts", "fetch", "coords.csv", "--to", "mine", "--images", "simulated")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr.splitlines()[0] == "mine: cutouts of 60 of 63 sources"
    assert [line.split() for line in result.stderr.splitlines()[1:]] == [["ok", "60"], ["no_coverage", "3"]]
    for name, images in (("a.ecsv", "simulated"), ("b.ecsv", "mine")):
        options = ("--images", images, "--weights", weights, "-q")
        assert run("classify", "coords.csv", "-o", name, *options).exit_code == 0
    tables = [Table.read(tmp_path / name) for name in ("a.ecsv", "b.ecsv")]
    for name in tables[0].colnames:
        assert np.ma.allequal(*(table[name] for table in tables)), name


def test_what_it_ends_with(run, tmp_path):
    (tmp_path / "list.csv").write_text("a,d\n150.1201,2.2103\n150.12,\n")
    call = ("cutouts", "fetch", "list.csv", "--to", "new", "--images", "simulated")
    assert run(*call).exit_code == 2
    result = run(*call, "--ra", "a", "--dec", "d", "--bands", "W1, W4")
    assert result.exit_code == 1
    assert "1 of 2 rows failed: see status in index.ecsv." in result.stderr
    result = run(*call, "--ra", "a", "--dec", "d", "-q")
    assert result.exit_code == 2
    assert "holds 1 cutouts already" in result.stderr
    assert "--overwrite" in result.stderr
    (tmp_path / "away.csv").write_text("ra,dec\n10,20\n")
    assert run("cutouts", "fetch", "away.csv", "--to", "empty", "--images", "simulated").exit_code == 1
    assert run("cutouts", "fetch", "away.csv", "--to", "empty", "--images", "nonsense").exit_code == 2
