"""Imports point one way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import faultinject
import kvformat

ROOT = Path(faultinject.__file__).parent
PORT = {"kvformat.filesystem", "kvformat.interrupts", "kvformat.badge"}
"""What knows nothing of KVC: the file system that saves use, and how a badge is drawn."""
KNOWS_KVC = {"kvc.py", "kvc_content.py", "kvc_checker.py", "cli.py"}
"""Modules that may import more of kvformat than the port; two reports name the kind of temp file."""

LAYERS = [
    {"ops", "printable", "difference", "spans", "workers"},
    {"persistence"},
    {"faults", "memory_file"},
    {"memory", "signals"},
    {"target"},
    {"interpose"},
    {"inject", "record", "oracle", "kvc_mistakes"},
    {"ground", "plan"},
    {"swept", "aftermath", "power"},
    {"repair"},
    {"blackout"},
    {"execute", "coverage"},
    {"sweep", "kvc_content"},
    {"kvc"},
    {"report.told"},
    {"report.document", "report.text"},
    {"report.junit", "report.badge"},
    {"report.replay", "terminal", "profile_option"},
    {"report.refutation", "report_options"},
    {"blackbox"},
    {"inprocess"},
    {"pytest_plugin"},
    {"kvc_checker", "powercut"},
    {"selftest", "conform"},
    {"cli"},
]
"""The modules of a package of its own stand together in one layer."""

PACKAGES = ("persistence", "blackbox", "inprocess", "powercut", "selftest", "conform")
SPEAKS_TO_PEOPLE = {"terminal", "profile_option", "report_options"}
"""Modules beside the command lines that know of arguments and of tables: they are parts of several command lines."""


def imported(path: Path, *, for_types: bool = False) -> set[str]:
    """Modules that a file imports; those for type checkers alone only where asked for."""
    tree = ast.parse(path.read_text("utf-8"))
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING" and not for_types
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not used here"
            module = node.module or ""
            inner = Path(*module.split(".")[1:])
            package = Path(kvformat.__file__ if module.startswith("kvformat") else faultinject.__file__).parent
            is_package = module.split(".")[0] in ("kvformat", "faultinject") and (package / inner).is_dir()
            found |= {f"{module}.{alias.name}" for alias in node.names} if is_package else {module}
    return found


def sources(package: Path) -> list[Path]:
    return sorted(path for path in package.rglob("*.py") if path.parent.name != "programs")


def place_of(module: str) -> str:
    """The entry of LAYERS that a module belongs to."""
    package = module.partition(".")[0]
    return package if package in PACKAGES else module


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", sources(Path(kvformat.__file__).parent), ids=lambda p: p.name)
def test_kvformat_never_imports_faultinject(path: Path) -> None:
    assert not [name for name in imported(path, for_types=True) if name.split(".")[0] == "faultinject"]


@pytest.mark.parametrize("path", sources(ROOT), ids=module_of)
def test_only_one_place_knows_kvc(path: Path) -> None:
    used = {name for name in imported(path, for_types=True) if name.split(".")[0] == "kvformat"} - PORT
    if path.relative_to(ROOT).as_posix() in ("report/document.py", "report/refutation.py"):
        used -= {"kvformat.temp_names"}
    if path.name not in KNOWS_KVC and path.parent.name != "conform":  # it joins the reports of both
        assert not used


@pytest.mark.parametrize("path", sources(ROOT), ids=module_of)
def test_only_the_command_line_and_the_report_import_kvc(path: Path) -> None:
    used = imported(path) & {"faultinject.kvc", "faultinject.kvc_content"}
    if module_of(path) not in ("kvc", "cli", "report.document", "report.replay", "report.refutation"):
        assert not used


@pytest.mark.parametrize("path", [p for p in sources(ROOT) if p.name != "__init__.py"], ids=module_of)
def test_imports_go_down_the_layers(path: Path) -> None:
    layer = {name: place for place, names in enumerate(LAYERS) for name in names}
    own = place_of(module_of(path))
    assert own in layer, "a new module: give it a layer"
    for name in imported(path):
        if name.startswith("faultinject."):
            place = place_of(name.removeprefix("faultinject."))
            assert layer[place] < layer[own] or (place == own and own in (*PACKAGES, "kvc_checker")), name


def test_only_the_command_line_prints_or_parses_arguments() -> None:
    for path in sources(ROOT):
        if path.name != "cli.py" and module_of(path) not in SPEAKS_TO_PEOPLE:
            assert "click" not in imported(path), path
        if path.name != "cli.py" and module_of(path) not in SPEAKS_TO_PEOPLE | {"report.text"}:
            assert not [name for name in imported(path) if name.startswith("rich")], path


@pytest.mark.parametrize("package", [*PACKAGES, "report"])
def test_modules_of_a_package_do_not_import_in_circles(package: str) -> None:
    below = {
        f"faultinject.{module_of(path)}": {
            name for name in imported(path) if name.startswith(f"faultinject.{package}.")
        }
        for path in sources(ROOT / package)
        if path.name != "__init__.py"
    }
    while leaves := [name for name, used in below.items() if not used]:
        below = {name: used.difference(leaves) for name, used in below.items() if used}
    assert not below, "each of these needs another one of them"
