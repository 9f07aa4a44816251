"""A counterexample of `kvformat prove` that can be shown: the operation with the mistake, under the fault."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from faultinject.execute import Executor
from faultinject.faults import INJECTED_ERROR, Fault, FaultClass, Form
from faultinject.ground import MemoryGround
from faultinject.inject import HarnessError
from faultinject.kvc import KvcPrepared, KvcTarget, Operation, Scenario
from faultinject.kvc_content import Source
from faultinject.ops import Op, Trace
from faultinject.oracle import Kind
from faultinject.persistence.profiles import STRICT
from faultinject.record import RecordingFileSystem
from faultinject.report.replay import Replay
from faultinject.report.told import MISUNDERSTOOD, ReplayError
from kvformat.temp_names import TempKind

SCHEMA_ID = "kvformat-prove/1"

_SCENARIOS = {
    Kind.LIVE_TEMP_REMOVED: Scenario.LIVE_TEMP,
    Kind.ORPHAN_UNRECLAIMED: Scenario.ORPHANS,
}


def is_of_proofs(report: dict[str, Any]) -> bool:
    """Whether a document is what `kvformat prove --json` writes."""
    return report.get("schema") == SCHEMA_ID


def target_of(mistake: dict[str, Any], *, mistaken: bool = True) -> KvcTarget:
    """The operation that a proof was about, with its mistake or without. Raises as MISUNDERSTOOD."""
    kind = Kind(mistake["violation"])
    makes_temp = mistake["operation"] in (Operation.SAVE, Operation.REPLACE_TOOL_MAP)
    return KvcTarget(
        Operation(mistake["operation"]),
        str(mistake["strategy"]),
        _SCENARIOS.get(kind, Scenario.SAME_SIZE),
        TempKind.NAMED if makes_temp else TempKind.AUTO,
        Source(None, int(mistake["payload_bytes"]), int(mistake["payload_bytes"]), None, int(mistake["text_bytes"])),
        bool(mistake["durable"]),
        str(mistake["mistake"]) if mistaken else "",
    )


def refutation(report: dict[str, Any], mistake_id: str, directory: Path | None) -> Replay:
    """The counterexample of that mistake. Raises ReplayError where the document has none, or it is not understood."""
    try:
        mistakes = {str(mistake["id"]): mistake for mistake in report["mistakes"]}
        mistake = mistakes.get(mistake_id)
        if mistake is None:
            raise ReplayError(f"there is no mistake {mistake_id!r}; there are: {', '.join(mistakes) or 'none'}")
        if not mistake["refuted"]:
            raise ReplayError(f"no counterexample was found for {mistake_id}")
        target = target_of(mistake)
        prepared = target.prepare()
        kind = Kind(mistake["violation"])
        fault = fault_of(mistake["fault"], kind, prepared)
    except MISUNDERSTOOD as error:
        raise ReplayError(f"mistake {mistake_id} does not say how to show it: {error!r}") from error
    loses = fault.op in (Op.FSYNC, Op.CLOSE) and fault.form is Form.ERRNO
    return Replay(kind, fault, target, prepared, directory, in_memory=loses)


def fault_of(told: dict[str, Any], kind: Kind, prepared: KvcPrepared) -> Fault:
    """The fault of a counterexample at its operation in a recorded run.

    Raises ReplayError where there is no such operation, or where no loss of power there shows the violation.
    """
    form = Form(told["form"])
    if form is Form.NONE:
        return Fault(FaultClass.ERROR, form)
    index = int(told["operation"])
    trace = _record(prepared)
    index += _first_of_save(trace)
    if index >= len(trace):
        raise ReplayError(f"the run has {len(trace)} operations and the fault is at the {index + 1}th")
    if form is Form.POWER_LOSS:
        return _power_loss(len(trace) if told["acknowledged"] else index, kind, prepared)
    what = INJECTED_ERROR if form is Form.RAISE_AFTER else ""
    error = getattr(errno, told["error"]) if told["error"] else 0
    return Fault(FaultClass(told["class"]), form, index, trace[index].op, told["byte"], error, what=what)


def _record(prepared: KvcPrepared) -> Trace:
    recorder = RecordingFileSystem(MemoryGround(prepared).fresh())
    prepared.act(recorder)
    return recorder.trace


def _first_of_save(trace: Trace) -> int:
    """Where the protocol of saving begins: a tool map is replaced after the entry was read."""
    creates = (one.index for one in trace if one.op is Op.OPEN and one.flags & os.O_CREAT)
    return next(creates, 0)


def _power_loss(index: int, kind: Kind, prepared: KvcPrepared) -> Fault:
    """The loss of power at the last moment up to that operation which shows the violation.

    Moments are after operations that change something (KVS-POWER-1), and after the acknowledgement behind the last one.
    """
    executor = Executor(prepared, MemoryGround(prepared), (STRICT,))
    try:
        recorded = executor.record()
    except HarnessError as error:
        raise ReplayError(str(error)) from error
    groups = executor.groups(FaultClass.POWER, recorded, exhaustive=False)
    losses = [fault for group in groups for fault in group.faults if fault.index <= index and fault.second is None]
    for fault in sorted(losses, key=lambda one: -one.index):
        if any(finding.kind is kind for finding in executor.run(fault).findings):
            return fault
    raise ReplayError(f"no loss of power after operation {index} shows {kind}")
