"""The adapters in other languages, made where their tools can be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.spec.asked import ROOT
from tests.spec.oracles import SessionOracle


def _install_compiler(npm: str, folder: Path) -> None:
    """Has npm fetch what tools/package.json names; whoever needs it is skipped where its registry cannot be reached."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "tools" / name, folder)
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0")
    command = [npm, "ci", *quiet, "--prefix", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        pytest.skip(f"the Kaitai compiler cannot be fetched: {' / '.join(done.stderr.strip().splitlines()[:3])}")


@pytest.fixture(scope="session")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    return found


@pytest.fixture(scope="session")
def kaitai_parser(node: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with kvc.py, made of spec/kvc.ksy."""
    pytest.importorskip("kaitaistruct", reason="the extra `kaitai` is not installed")
    modules = ROOT / "tools"
    if not (modules / "node_modules").is_dir():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("the compiler is not there, and npm is not installed")
        modules = tmp_path_factory.mktemp("npm")
        _install_compiler(npm, modules)
    made = tmp_path_factory.mktemp("kaitai")
    command = [node, "tools/kaitai.mjs", "spec/kvc.ksy", "python", str(made), "--partial"]
    compiled = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "KAITAI_MODULES": str(modules)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert compiled.returncode == 0, compiled.stderr
    return made


@pytest.fixture
def kaitai(kaitai_parser: Path) -> Iterator[SessionOracle]:
    command = [sys.executable, str(ROOT / "examples/kaitai/adapter.py")]
    with SessionOracle(command, {**os.environ, "PYTHONPATH": str(kaitai_parser)}) as oracle:
        yield oracle


@pytest.fixture
def javascript(node: str) -> Iterator[SessionOracle]:
    with SessionOracle([node, str(ROOT / "examples/node-adapter/adapter.mjs")], dict(os.environ)) as oracle:
        yield oracle


@pytest.fixture(scope="session")
def c_adapter(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The adapter, under the address and undefined behaviour sanitizers where they can be had."""
    if shutil.which("make") is None or shutil.which("cc") is None:
        pytest.skip("make and cc are not installed")
    build = tmp_path_factory.mktemp("build")
    program = build / "kvc_adapter"
    for flags in ("-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all", "-O2"):
        command = ["make", "-C", "examples/c", f"B={build}", f"CFLAGS={flags}", str(program)]
        made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        if (
            made.returncode == 0
            and subprocess.run([program, "start"], capture_output=True, check=False).returncode == 0
        ):
            assert "warning" not in made.stderr
            return str(program)
    raise AssertionError(made.stderr)
