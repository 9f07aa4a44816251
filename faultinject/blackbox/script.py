"""Shell commands that reproduce a finding with public tools: strace(1) tampers with calls, prlimit(1) limits files.

They are written for people who do not have this package, and who want to see the fault without believing it.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from faultinject.blackbox.baseline import Baseline
from faultinject.blackbox.script_text import Text, comment
from faultinject.faults import IGNORED, Fault, FaultClass, Form
from faultinject.ops import Op, Operation
from faultinject.oracle import Finding, Kind


class _NoToolError(Exception):
    """No public tool can do that; the text says why."""


@dataclass(frozen=True, slots=True)
class _Means:
    """How a fault is brought about.

    tool: stands before the program's name. caveats: what differs from the audit. marks: what in the log of strace shows
    that it has acted. ignore_sigxfsz: see `started.Limits`.
    """

    tool: str
    caveats: tuple[str, ...] = ()
    marks: str = ""
    ignore_sigxfsz: bool = False


def script_of(baseline: Baseline, fault: Fault, finding: Finding, *, returns: bool = False) -> str:
    """A script for sh(1) that leaves what the fault has left, in a directory that it names.

    It goes as far as the finding: on to the recovery, or to the repetition. returns: whether the program's handler of
    the injected signal returns. Where no public tool can do it, the script says so and fails.
    """
    title = f"{fault.id}: {finding.kind}"
    try:
        means = _means(baseline, fault, returns=returns)
    except _NoToolError as error:
        return Text.refusal(title, str(error))
    text = Text(baseline, title, ignore_sigxfsz=means.ignore_sigxfsz)
    for caveat in means.caveats:
        text.add(comment(caveat))
    text.run(means.tool, means.marks)
    audited = baseline.key.audited
    healing = finding.kind in (Kind.ORPHAN_UNRECLAIMED, Kind.NEVER_HEALS)
    recovers = healing and fault.fault_class is FaultClass.KILL and audited.recover is not None
    if recovers and audited.recover is not None:
        text.follow("the recovery", audited.recover)
    if healing and (not recovers or finding.kind is Kind.NEVER_HEALS):
        text.follow("the program once more, without a fault", audited.argv)
    return text.end()


def _means(baseline: Baseline, fault: Fault, *, returns: bool) -> _Means:
    if not 0 <= fault.index < len(baseline.trace):
        raise _NoToolError("it is no operation of the recorded run")
    operation = baseline.trace[fault.index]
    if fault.form is Form.FILE_LIMIT or (fault.form is Form.CUT and fault.byte):
        return _limit(baseline, fault, operation)
    if fault.form is Form.SHORT:
        raise _NoToolError(
            "strace can make a write return fewer bytes than asked for, but then none at all has arrived in the file"
        )
    if fault.form is Form.KILL and fault.byte:
        raise _NoToolError("strace can kill before a call and after it, but not when a part of its bytes has arrived")
    inject = _injection(fault, operation, returns=returns)
    return _traced(baseline, fault, operation, *inject)


def _injection(fault: Fault, operation: Operation, *, returns: bool) -> tuple[str, tuple[str, ...], str]:
    """What strace does to the call, what differs by that, and by what its log shows it."""
    if fault.form is Form.KILL:
        return "signal=KILL", (), "killed by SIGKILL"
    if fault.form is Form.SIGNAL:
        name = fault.what.removeprefix("SIG")
        if returns and operation.op is not Op.EXIT:  # no signal comes after that
            how = "strace lets the signal come when the call has been made; the audit, just before."
            return f"signal={name}", (how,), f"--- {fault.what} "
        how = (
            "The audit lets the signal come before the call. strace can only let it come at the end of a call, so the "
            "call is left out; should the handler return, the program sees EINTR."
        )
        return f"error=EINTR:signal={name}", (how,), f"--- {fault.what} "
    caveats: tuple[str, ...] = ()
    if operation.op is Op.CLOSE:
        caveats = (
            "strace leaves the call out, so that the file stays open; in the audit, a close that fails has closed it, "
            "as the kernel does.",
        )
    return f"error={_name(fault.error)}", caveats, "(INJECTED)"


def _name(number: int) -> str:
    """The name of an errno that strace knows: of two names for one number, it has the one of the kernel."""
    return "EOPNOTSUPP" if number == errno.EOPNOTSUPP else errno.errorcode[number]


def _traced(
    baseline: Baseline, fault: Fault, operation: Operation, inject: str, caveats: tuple[str, ...], marks: str
) -> _Means:
    ordinals = baseline.ordinals
    ordinal = ordinals.of[fault.index] if fault.index < len(ordinals.of) else None
    if ordinal is None:
        raise _NoToolError("strace would have to count calls, and those of this program cannot be counted reliably")
    if fault.form is Form.KILL and ordinals.processes > 1:
        raise _NoToolError("the program has several processes: the audit kills all of them at once, and strace one")
    tasks = {task for task, _, _ in ordinals.totals}
    if fault.sticky and len(tasks) > 1:
        raise _NoToolError("the fault stays for all tasks of the program, and strace counts the calls of each task")
    first = operation.task == "0"
    others = [made for task, call, made in ordinals.totals if call == ordinal.call and task != operation.task]
    if not first and any(made >= ordinal.number for made in others):
        raise _NoToolError("strace cannot tell this task from another one that makes as many calls of that name")
    when = f"{ordinal.number}{'+' if fault.sticky else ''}"
    injections = [f"-e inject={ordinal.call}:{inject}:when={when}"]
    if fault.sticky:
        more, what = _lasting(baseline, fault, ordinal.call, inject)
        injections += more
        caveats += what
    names = ",".join(one.partition("=")[2].partition(":")[0] for one in injections)
    follow = [] if first else ["-f"]
    tool = ["strace", *follow, "-y", '-o "$work/strace.txt"', f"-e trace={names}", *injections, "--"]
    return _Means(" ".join(tool), caveats, marks)


def _lasting(baseline: Baseline, fault: Fault, call: str, inject: str) -> tuple[list[str], tuple[str, ...]]:
    """A fault that stays hits calls of other names too, from the first watched one on."""
    more: dict[str, str] = {}
    opens = False
    for operation, ordinal in zip(baseline.trace, baseline.ordinals.of, strict=True):
        if operation.index <= fault.index or ordinal is None or ordinal.call == call:
            continue
        creates = operation.op is Op.OPEN and bool(operation.flags & os.O_CREAT)
        if operation.op.fails and fault.lasts_over(operation.op, creates=creates):
            opens = opens or creates
            more.setdefault(ordinal.call, f"-e inject={ordinal.call}:{inject}:when={ordinal.number}+")
    caveats = ["From then on calls about other files fail here as well, such as the printing of a message."]
    if opens or call in ("open", "openat", "openat2", "creat"):
        caveats.append("Every open fails from then on, also of files that are only read.")
    return list(more.values()), tuple(caveats)


def _limit(baseline: Baseline, fault: Fault, operation: Operation) -> _Means:
    """A file that may grow no further: the call is cut where the limit is, and the next one meets it (setrlimit(2))."""
    limit_bytes = (operation.offset or 0) + (fault.byte or 0)
    for earlier in baseline.trace.operations[: fault.index]:
        end = (earlier.offset or 0) + (earlier.result if earlier.op.transfers else earlier.size_bytes)
        changes_size = earlier.op.transfers or earlier.op in (Op.TRUNCATE, Op.FALLOCATE)
        if changes_size and not earlier.error and end > limit_bytes:
            raise _NoToolError(
                "prlimit can end the file there, but the limit holds for every file, and an earlier call would meet it"
            )
    ignored = fault.form is not Form.FILE_LIMIT or fault.what == IGNORED
    caveats = []
    if len({task for task, _, _ in baseline.ordinals.totals}) > 1:
        caveats.append("The program has several tasks: which of them is how far when it ends is a matter of chance.")
    if fault.form is Form.CUT:
        name = _name(fault.error)
        if fault.error != errno.EFBIG:
            caveats.append(f"The program sees EFBIG here, and {name} in the audit.")
        if not fault.sticky:
            caveats.append("Here every further write there fails, and only the next one in the audit.")
        else:
            caveats.append("Writes further to the front and to shorter files succeed here, and fail in the audit.")
    return _Means(f"prlimit --fsize={limit_bytes}: --", tuple(caveats), ignore_sigxfsz=ignored)
