"""The model is the code: whatever the real writer does is a step of the system that is proved (spec/proofs, 4)."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultinject.execute import Executor
from faultinject.faults import Fault, FaultClass, Form
from faultinject.ground import MemoryGround
from faultinject.inject import InjectingFileSystem
from faultinject.kvc import KvcPrepared, KvcTarget, Operation, Scenario
from faultinject.kvc_content import Source
from faultinject.memory import MemoryFileSystem
from faultinject.ops import Op
from faultinject.plan import pairs, plan
from faultinject.record import RecordingFileSystem
from faultinject.signals import signals_raise
from faultinject.target import PayloadFault
from kvformat import layout
from kvformat.proofs.program import DONE, FAILED, FAILS, FAILS_LATE
from kvformat.proofs.save_flow import STRATEGIES
from kvformat.proofs.saving import saving
from kvformat.proofs.system import System
from kvformat.temp_names import TempKind, is_temp_name
from tests.kvformat.proofs.follow import Follower, StuckError

CLASSES = (FaultClass.ERROR, FaultClass.INTERRUPT)


@cache
def system_of(strategy: str, mistake: str = "") -> System:
    return saving(strategy, mistake)


def target(strategy: str, temp: TempKind, *, durable: bool = True, **source: Any) -> KvcTarget:
    replaces = strategy == "replace-tool-map"
    operation = Operation.REPLACE_TOOL_MAP if replaces else Operation.SAVE
    return KvcTarget(
        operation, "-" if replaces else strategy, Scenario.SAME_SIZE, temp, Source(None, **source), durable
    )


def constants(prepared: KvcPrepared, strategy: str, byte: int) -> dict[str, Any]:
    new = prepared.expectation.new
    assert new is not None
    payload = prepared.content.payload_bytes
    text = len(prepared.content.entry.text)
    return {
        "text": text,
        "payload": payload,
        "sections": new.size_bytes - layout.TEXT_OFFSET - text - payload,
        "byte": byte % new.size_bytes,
        "named": prepared.target.temp is TempKind.NAMED,
        "durable": prepared.target.durable,
        "titled": prepared.content.entry.title is not None,
    }


def run_under(prepared: KvcPrepared, strategy: str, fault: Fault | None, byte: int = 0) -> set[str]:
    """Runs the real writer under a fault and follows it; the steps of the model that it took."""
    fs = MemoryGround(prepared).fresh()
    injector = InjectingFileSystem(fs, fault)
    recorder = RecordingFileSystem(injector, probe=fs)
    payload = None if fault is None or not fault.form.on_payload else PayloadFault(fault)
    ends_elsewhere = False
    succeeded = True
    try:
        prepared.act(recorder, payload)
    except BaseException as error:
        if fault is None:
            raise
        if isinstance(error, (AssertionError, GeneratorExit)):
            raise
        succeeded = False
    operations = list(recorder.trace)
    if strategy == "replace-tool-map":
        first = next((one.index for one in operations if _creates(one.op, one.name)), None)
        if first is None:
            return set()  # it failed before the protocol of saving began
        # The entry that was read is closed behind it, and what that says is the update's matter.
        closes = operations[-1].op is Op.CLOSE and operations[-1].inode == operations[0].inode
        ends_elsewhere = closes and bool(operations[-1].error)
        operations = operations[first : -1 if closes else None]
    follower = Follower(system_of(strategy), constants(prepared, strategy, byte))
    follower.follow(operations)
    wanted: tuple[str, ...] = (DONE,) if succeeded else (FAILED,)
    if ends_elsewhere or (fault is not None and fault.form is Form.SIGNAL):
        wanted = (DONE, FAILED)  # what its handler raises may have to wait for the end, and comes out behind it
    ends = [state for state in follower.at_the_end() if follower.point(state) in wanted]
    stood = {follower.point(state) for state in follower.at_the_end()}
    assert ends, f"{fault and fault.id}: the run ended {wanted}, the model stands at {stood}"
    assert any(is_as_modelled(prepared, fs, state) for state in ends), fault and fault.id
    return follower.taken


def _creates(op: Op, name: str | None) -> bool:
    return op is Op.OPEN_UNNAMED or (op is Op.OPEN and name is not None and is_temp_name(name))


def is_as_modelled(prepared: KvcPrepared, fs: MemoryFileSystem, state: dict[str, Any]) -> bool:
    """Whether the directory is what the model says: the names that are left, and the content under the final one."""
    files, new = fs.files(), prepared.expectation.new
    assert new is not None
    temps = {name for name in files if is_temp_name(name)}
    left = {kind: any(f"kvc-{kind}-" in name for name in temps) for kind in ("save", "stage")}
    file, before = files.get(prepared.name), prepared.base.files().get(prepared.name)
    published = file is not None and (before is None or not file.same_content(before))
    if (left["save"], left["stage"]) != (state["entry_link"], state["stage_link"]) or published != state["published"]:
        return False
    if not published:
        return True
    assert file is not None
    byte = state["byte"]
    right = byte < file.size_bytes and file.read_all()[byte] == new.read_all()[byte]
    return bool(file.size_bytes == state["len"] and (right or not state["right"]))


def faults_of(prepared: KvcPrepared, *, with_pairs: bool = False) -> list[Fault]:
    executor = Executor(prepared, MemoryGround(prepared))
    recorded = executor.record()
    groups = [group for one in CLASSES for group in plan(one, prepared, recorded, exhaustive=False)]
    if with_pairs:
        groups += pairs(recorded, executor.trace, exhaustive=False)
    return [fault for group in groups for fault in group.faults]


@st.composite
def runs(draw: st.DrawFn) -> tuple[KvcTarget, str, int, int]:
    strategy = draw(st.sampled_from(STRATEGIES))
    temp = draw(st.sampled_from([TempKind.NAMED, TempKind.UNNAMED]))
    sizes = {"payload_bytes": draw(st.integers(1, 60)), "piece_bytes": draw(st.integers(1, 30))}
    if strategy != "replace-tool-map" and draw(st.booleans()):
        sizes["text_bytes"] = draw(st.integers(0, 40))
    chosen = target(strategy, temp, durable=draw(st.booleans()), **sizes)
    return chosen, strategy, draw(st.integers(0, 10**6)), draw(st.integers(0, 10**6))


@given(runs())
@settings(max_examples=250)
def test_every_run_of_the_writer_is_a_path_of_the_model(run: tuple[KvcTarget, str, int, int]) -> None:
    """KVS-SAVE-1 to KVS-SAVE-8, KVS-FAIL-1 to KVS-FAIL-3: under any fault, any sizes, any pieces."""
    chosen, strategy, which, byte = run
    prepared = chosen.prepare()
    faults = faults_of(prepared)
    with signals_raise():
        run_under(prepared, strategy, faults[which % len(faults)], byte)


@pytest.mark.parametrize("temp", [TempKind.NAMED, TempKind.UNNAMED])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_without_a_fault_is_a_path_for_each_of_its_bytes(strategy: str, temp: TempKind) -> None:
    prepared = target(strategy, temp, payload_bytes=5, piece_bytes=2).prepare()
    new = prepared.expectation.new
    assert new is not None
    for byte in range(0, new.size_bytes, 7):
        run_under(prepared, strategy, None, byte)


@pytest.mark.slow
@pytest.mark.parametrize("temp", [TempKind.NAMED, TempKind.UNNAMED])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_fault_of_a_small_save_is_a_path_and_every_step_is_met(strategy: str, temp: TempKind) -> None:
    prepared = target(strategy, temp, payload_bytes=3, piece_bytes=2).prepare()
    taken: set[str] = set()
    with signals_raise():
        for fault in faults_of(prepared, with_pairs=True):
            taken |= run_under(prepared, strategy, fault, 55)
    steps = [step for step in system_of(strategy).steps if step.at]
    points = {step.at for step in steps}
    missed = points - {step.at for step in steps if step.name in taken}
    without_a_name = {"stage.fstat", "entry.fstat", "stage.unlink", "stage.undo.unlink", "stage.undo.stat"}
    without_a_name |= {"stage.undo.unlock"}
    foreign = {point for point in points if "give-up" in point}  # nobody else works in this directory
    assert missed <= foreign | ({"link"} if temp is TempKind.NAMED else without_a_name)


def test_a_writer_with_a_mistake_leaves_the_model() -> None:
    """So following can fail: the right model does not have the steps of a wrong writer."""
    chosen = target("direct", TempKind.NAMED, payload_bytes=5, piece_bytes=5, text_bytes=3)
    wrong = KvcTarget(
        chosen.operation, "direct", chosen.scenario, chosen.temp, chosen.source, mistake="short-write-ignored"
    ).prepare()
    short = Fault(FaultClass.ERROR, Form.SHORT, 4, Op.PWRITE, 2)
    with pytest.raises((StuckError, AssertionError)):
        run_under(wrong, "direct", short)
    run_under(chosen.prepare(), "direct", short)


def test_the_outcomes_of_the_model_are_told_apart() -> None:
    for strategy in STRATEGIES:
        steps = system_of(strategy).steps
        assert len({step.name for step in steps}) == len(steps)
        assert {FAILS, FAILS_LATE} <= {step.outcome for step in steps}
