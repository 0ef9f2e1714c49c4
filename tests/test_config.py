import re
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("timeout = abc", "timeout.*wrong type"),
        ("timeout = inf", "timeout.*too big"),
        ("max_connections = 0", "max_connections.*too small"),
        ("cache_size = inf", "cache_size.*too big"),
        ("no setting", "Invalid line.*at line 1"),
    ],
)
def test_a_file_that_cannot_be_understood(archive_server, tmp_path, line, words):
    """Said in one sentence that names the file, by whatever comes to need the setting."""
    environment = archive_server.environment(tmp_path)
    path = tmp_path / "astro_iicnet" / "astro_iicnet.cfg"
    path.write_text(f"{line}\n{path.read_text()}")
    code = (
        "import numpy as np; from astropy.coordinates import SkyCoord; "
        "from astro_iicnet.cutouts import open_images; from astro_iicnet.exceptions import IICnetError\n"
        "try: open_images('irsa').fetch(SkyCoord([10.0], [5.0], unit='deg'), ('W1',))\n"
        "except IICnetError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.stderr == ""
    assert re.search(words, done.stdout)
    assert str(path) in done.stdout
