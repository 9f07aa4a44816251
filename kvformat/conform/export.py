"""The suite as a folder of its own, for whoever runs it with other means (`kvformat conform export`)."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from importlib import resources
from pathlib import Path

from kvformat.conform.suite import Suite, specification

DOCUMENTS = ("conformance.md", "kvc.md", "saving.md")
SCHEMAS = ("conform-case.schema.json", "conform-protocol.schema.json", "conform.schema.json")


def export(suite: Suite, path: Path) -> None:
    """Writes cases/, schemas/ and the documents to the new folder `path`: all of it, or nothing.

    Raises OSError; FileExistsError where `path` is there already.
    """
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "is there already; name a new folder", str(path))
    building = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.absolute().parent))
    try:
        whole = building / "suite"
        whole.mkdir()
        shutil.copytree(suite.folder, whole / "cases", ignore=shutil.ignore_patterns("__pycache__"))
        for name in DOCUMENTS:
            shutil.copyfile(specification() / name, whole / name)
        schemas = whole / "schemas"
        schemas.mkdir()
        for name in SCHEMAS:
            (schemas / name).write_bytes(resources.files("kvformat").joinpath("schemas", name).read_bytes())
        os.rename(whole, path)
    finally:
        shutil.rmtree(building)
