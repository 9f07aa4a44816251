"""What goes wrong during a change: drawn without knowing the run, and fitted to the operations that it makes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from faultinject.faults import ERRNOS, Fault, FaultClass, Form
from faultinject.ops import Trace
from tests.kvformat.stateful.changes import Brief


class Kind(StrEnum):
    """ERROR: an operation fails. CUT: a transfer accepts some bytes, then one fails. SHORT: then it goes on. KILL."""

    ERROR = "error"
    CUT = "cut"
    SHORT = "short"
    KILL = "kill"


@dataclass(frozen=True, repr=False)
class Trouble(Brief):
    """A fault at some operation. at: which, counted round and round those that it fits; byte: and after how many bytes.

    error: which of the errors that the operation may have. sticky: whether it stays so, as a full disk does.
    """

    kind: Kind
    at: int = 0
    byte: int = 0
    error: int = 0
    sticky: bool = False

    def fitted(self, trace: Trace, *, atomic: bool) -> Fault | None:
        """The fault for that run, None where it has no such operation. atomic: no transfer is cut (KVS-ATOM-1)."""
        cuts = self.kind in (Kind.CUT, Kind.SHORT)
        fitting = [
            one
            for one in trace
            if (not cuts or (one.op.transfers and one.result > 1 and not atomic))
            and (self.kind is Kind.KILL or one.op in ERRNOS)
        ]
        if not fitting:
            return None
        one = fitting[self.at % len(fitting)]
        if self.kind is Kind.KILL:
            byte = self.byte % (one.result + 1) if one.op.transfers and not atomic else None
            return Fault(FaultClass.KILL, Form.KILL, one.index, one.op, byte)
        error = ERRNOS[one.op][self.error % len(ERRNOS[one.op])] if one.op in ERRNOS else 0
        if self.kind is Kind.ERROR:
            return Fault(FaultClass.ERROR, Form.ERRNO, one.index, one.op, error=error, sticky=self.sticky)
        byte = 1 + self.byte % (one.result - 1)
        if self.kind is Kind.SHORT:
            return Fault(FaultClass.ERROR, Form.SHORT, one.index, one.op, byte)
        return Fault(FaultClass.ERROR, Form.CUT, one.index, one.op, byte, error, self.sticky)
