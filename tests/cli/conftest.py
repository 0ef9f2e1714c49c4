"""What tests of several verbs share."""

import pytest
from click.testing import CliRunner

from astro_iicnet.cli import main


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Call ``astro-iicnet`` in an empty folder; whatever it ends with, it is tidy."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        result = CliRunner().invoke(main, [str(a) for a in arguments])
        # Anything but a tidy exit would be a traceback for the user.
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        return result

    return run
