"""The user's own oracle: a function that raises where the content of a directory is wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from faultinject.blackbox.checkers import Stage
from faultinject.blackbox.state import HERE
from faultinject.inprocess.saver import Saver
from faultinject.inprocess.scratch import Scratch
from faultinject.oracle import Finding, Kind, Reported


class FunctionOracle:
    """Judges by a function. See `faultinject.blackbox.aftermath.ContentJudge`.

    It gets a copy of the directory. What it accepts unless success was reported is `false-success`; what it rejects in
    any case `partial-visible`. A message that begins with the name of a violation and ": " says which itself.
    """

    def __init__(self, saver: Saver, scratch: Scratch) -> None:
        assert saver.oracle is not None
        self._oracle: Callable[..., object] = saver.oracle
        self._is_told = saver.oracle_is_told
        self._scratch = scratch

    def judge(self, directory: str, reported: Reported, stage: Stage, *, acknowledged: bool) -> tuple[Finding, ...]:  # noqa: ARG002 - of the contract
        """Calls the oracle."""
        said = self._ask(acknowledged=acknowledged)
        if said is None:
            return ()
        name, colon, why = said.partition(": ")
        if colon and name in list(Kind):
            return (Finding(Kind(name), HERE, why),)
        kind = Kind.PARTIAL_VISIBLE
        if stage is Stage.REPEATED:
            kind = Kind.NEVER_HEALS
        elif acknowledged and self._is_told and self._ask(acknowledged=False) is None:
            kind = Kind.FALSE_SUCCESS
        return (Finding(kind, HERE, said),)

    def _ask(self, *, acknowledged: bool) -> str | None:
        """What it has against the directory, None where it accepts it."""
        copy = self._scratch.copy()
        try:
            if self._is_told:
                self._oracle(copy, acknowledged=acknowledged)
            else:
                self._oracle(copy)
        except Exception as error:  # noqa: BLE001 - whatever it raises, it is its verdict
            said = str(error).replace(str(copy), ".").strip()
            lines = said.splitlines()
            words = lines[0] if lines else ""
            return words or f"the oracle raised {type(error).__name__}"
        finally:
            shutil.rmtree(copy.parent)
        return None
