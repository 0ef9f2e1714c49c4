"""The README is true: its commands and its code run, in order, in one folder."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

README = Path(__file__).parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)


def test_the_two_set_up_commands():
    try_it, test_it = blocks("bash")
    assert try_it.startswith("pip install . && ")
    assert test_it == 'pip install -e ".[test]" && pytest\n'


def test_first_command_then_python(tmp_path, monkeypatch, capsys):
    from astro_iicnet.cli import main

    monkeypatch.chdir(tmp_path)
    install, *commands = blocks("bash")[0].split(" && ")
    assert len(commands) == 2
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "astro-iicnet"
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
    assert (tmp_path / "classified.fits").is_file()
    (code,) = blocks("python")
    exec(compile(code, str(README), "exec"), {})
    printed = capsys.readouterr().out
    assert "iicnet_class" in printed
    assert "quasar" in printed


def test_column_names():
    from astro_iicnet.labels import Flag, Status
    from astro_iicnet.results import RESULT_COLUMNS

    text = README.read_text(encoding="utf-8")
    for name in [*RESULT_COLUMNS, *(status.label for status in Status)]:
        assert f"`{name}`" in text
    for flag in Flag:
        assert re.search(rf"\b{flag.value} [a-z]", text)


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CITATION.cff"])
def test_linked_files_exist(name):
    assert f"({name})" in README.read_text(encoding="utf-8")
    assert (README.parent / name).is_file()
