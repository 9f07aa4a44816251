"""The suite and the documents are in the wheel: `kvformat conform` needs no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from kvformat.conform.suite import load_suite, specification
from tests.kvformat.conform.running import ADAPTER

ROOT = Path(__file__).resolve().parents[3]


def test_the_suite_of_the_checkout_is_found() -> None:
    assert specification() == ROOT / "spec"
    assert load_suite().folder == ROOT / "spec" / "cases"


@pytest.mark.slow  # pip builds the wheel in an environment of its own, which it fetches
def test_the_suite_is_in_the_wheel(tmp_path: Path) -> None:
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT))
    subprocess.run(pip, check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    program = "from kvformat.cli import main; main(prog_name='kvformat')"
    done = subprocess.run(
        (sys.executable, "-c", program, "conform", "--case", "read-magic-*", "--", *ADAPTER),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"conforms: " in done.stdout
    found = subprocess.run(
        (sys.executable, "-c", "from kvformat.conform.suite import specification; print(specification())"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert found.stdout.strip() == str(installed / "kvformat" / "conform" / "spec")
