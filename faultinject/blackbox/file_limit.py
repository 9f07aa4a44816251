"""A fault that the kernel makes itself: RLIMIT_FSIZE, met at a byte of a transfer (KVS-AUDIT-4, setrlimit(2))."""

from __future__ import annotations

import errno

from faultinject.blackbox.limits import Limits
from faultinject.blackbox.run import Ran
from faultinject.faults import DEADLY, Fault, FaultClass
from faultinject.ops import Operation


def limits_for(fault: Fault, point: Operation) -> Limits:
    """What the program inherits. point: the recorded operation that the fault is for."""
    return Limits((point.offset or 0) + (fault.byte or 0), fault.what != DEADLY)


def why_not_measured(fault: Fault, point: Operation, ran: Ran) -> str:
    """Why a run under the limit says nothing of the fault, empty where it does."""
    if not _met(fault, point, ran):
        return "another file met the limit first, or none did"
    # Whichever process has gone on against the limit was killed: it was told so (EFBIG) and then got the signal.
    if fault.fault_class is FaultClass.KILL and not any(one.error == errno.EFBIG for one in ran.trace):
        return "the limit cut a write short, and SIGXFSZ did not come: no more was written"
    return ""


def _met(fault: Fault, point: Operation, ran: Ran) -> bool:
    """Whether the transfer that the fault is for was the one that met the limit, by what it returned."""
    here = next((one for one in ran.trace if (one.task, one.nth) == (point.task, point.nth)), None)
    if here is None or here.op is not point.op:
        return False
    if fault.byte:
        return here.result == fault.byte and not here.error
    return here.error == errno.EFBIG
