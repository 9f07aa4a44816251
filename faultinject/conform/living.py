"""Whether recovery spares the temp file of a living writer (KVS-INV-4): asked outright, since no crash shows it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kvformat.conform.case import Case, Operation
from kvformat.conform.inputs import CannotHoldError, prepared, remove_tree
from kvformat.conform.oneshot import OneShot
from kvformat.conform.question import question_of
from kvformat.conform.session import Session
from kvformat.conform.smoke import Adapter
from kvformat.conform.suite import Suite


def removed(adapter: tuple[str, ...], suite: Suite, *, one_shot: bool) -> list[dict[str, str]]:
    """The locked files that the adapter's recovery removes, with the case that has them. Raises StartError, OSError."""
    asked: Adapter = OneShot(adapter, lambda: False) if one_shot else Session(adapter, suite.version, lambda: False)
    scratch = Path(tempfile.mkdtemp(prefix="faultinject-conform-"))
    try:
        return [one for case in _cases(suite) for one in _of_case(asked, case, scratch / case.id)]
    finally:
        asked.close()
        remove_tree(scratch)


def _cases(suite: Suite) -> Iterator[Case]:
    for case in suite.cases.values():
        if case.operation is Operation.RECOVER and any(node.locked for _, node in case.input.directory or ()):
            yield case


def _of_case(asked: Adapter, case: Case, folder: Path) -> Iterator[dict[str, str]]:
    try:
        with prepared(case, folder) as ready:
            asked.ask(question_of(case, ready))
            for name, node in case.input.directory or ():
                if node.locked and not os.path.lexists(os.path.join(os.fsencode(ready.input), name)):
                    yield {"case": case.id, "name": os.fsdecode(name)}
    except CannotHoldError:
        return  # the conformance report says that the case could not be asked
