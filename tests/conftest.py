"""Fixtures for all tests."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from archive_server import ArchiveServer
from sdss_server import SdssServer, local_sdss

from astro_iicnet.config import conf

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real AllWISE data, which are not part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data not found: there is no folder {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(20230814)


@pytest.fixture
def archive_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    """The archives on a local port, to which all settings lead; pauses are short, the store new and empty."""
    monkeypatch.setattr("astro_iicnet.cutouts.transport.BACKOFF", 0.01)
    with ExitStack() as stack:
        server = stack.enter_context(ArchiveServer())
        for name, value in {**server.settings(), "cache_dir": str(tmp_path)}.items():
            stack.enter_context(conf.set_temp(name, value))
        yield server


@pytest.fixture
def sdss_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SdssServer]:
    """SkyServer and CDS XMatch on a local port."""
    with local_sdss(monkeypatch) as server:
        yield server
