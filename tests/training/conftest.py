"""Fixtures for the builder of training sets."""

from collections.abc import Iterator

import pytest
from sdss_server import SdssServer, local_sdss


@pytest.fixture
def sdss_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SdssServer]:
    """SkyServer and CDS XMatch on a local port."""
    with local_sdss(monkeypatch) as server:
        yield server
