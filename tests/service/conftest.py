from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.asked import make

from vidsearch.service.limits import Limits
from vidsearch.service.service import Service


@pytest.fixture(scope="package")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index that no test changes."""
    folder = tmp_path_factory.mktemp("served")
    make(folder / "index")
    return folder / "index"


@pytest.fixture
def own_root(tmp_path: Path) -> Path:
    """An index of a test's own, in three segments."""
    make(tmp_path / "index")
    return tmp_path / "index"


@pytest.fixture
def service_of(root: Path) -> Callable[..., Service]:
    return lambda **limits: Service(root, limits=Limits(**limits))
