"""Fixtures for all tests."""

from pathlib import Path

import numpy as np
import pytest

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
