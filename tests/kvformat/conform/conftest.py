"""The small suite, once a process, and runs of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvformat.conform.suite import Suite, load_suite
from tests.kvformat.conform.suites import small_suite


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_suite(tmp_path_factory.mktemp("conform") / "cases")


@pytest.fixture(scope="session")
def suite(folder: Path) -> Suite:
    return load_suite(folder)
