"""Every theorem is proved, every mistake is found, and what is found happens on real files (spec/proofs)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import z3

from faultinject.execute import Executor
from faultinject.faults import FaultClass, Form
from faultinject.ground import MemoryGround
from faultinject.kvc_mistakes import MISTAKES as PORTS
from faultinject.report.refutation import fault_of, refutation, target_of
from faultinject.report.told import ReplayError
from kvformat import layout
from kvformat.errors import Category, KvcError
from kvformat.proofs import sizes
from kvformat.proofs.document import SCHEMA_ID, document
from kvformat.proofs.mistakes import MISTAKES, Mistake, refute
from kvformat.proofs.saving import saving
from kvformat.proofs.system import Answer, shortest_path
from kvformat.proofs.theorems import THEOREMS, Theorem, lemma_is_looked_at, prove


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda one: one.name)
def test_every_obligation_is_proved(theorem: Theorem) -> None:
    judged = list(prove(theorem))
    assert len(judged) >= 3
    assert [one.obligation.name for one in judged if one.answer is not Answer.PROVED] == []
    names = [one.obligation.name for one in judged]
    assert len(set(names)) == len(names), "two obligations of one name cannot be told apart"


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: one.id)
def test_a_mistake_is_not_provable_and_its_counterexample_happens(mistake: Mistake, tmp_path: Path) -> None:
    """KVS-INV: the violation that the model names is the one that the program shows under that fault."""
    assert any(one.answer(20_000) is Answer.REFUTED for one in mistake.system().obligations())
    found = refute(mistake)
    assert found is not None
    told = document([], [(mistake, found)], None, None)
    replay = refutation(told, mistake.id, tmp_path / "left")
    kinds = {str(finding.kind) for stage in replay.run() for finding in stage.findings}
    assert mistake.violation in kinds
    assert replay.place.is_dir()


@pytest.mark.parametrize(
    "mistake", [one for one in MISTAKES if one.on_the_way and one.operation == "save"], ids=lambda one: one.id
)
def test_the_right_program_holds_under_the_same_fault(mistake: Mistake) -> None:
    found = refute(mistake)
    assert found is not None
    described: dict[str, Any] = document([], [(mistake, found)], None, None)["mistakes"][0]
    wrong, right = (target_of(described, mistaken=one).prepare() for one in (True, False))
    fault = fault_of(described["fault"], replay_kind(described), wrong)
    executor = Executor(right, MemoryGround(right))
    if fault.fault_class is FaultClass.POWER:
        assert not [
            finding
            for group in executor.groups(FaultClass.POWER, executor.record(), exhaustive=False)
            for one in group.faults
            for finding in executor.run(one).findings
        ]
        return
    result = executor.run(fault)
    assert (result.reason, result.findings) == (None, ())


def replay_kind(described: dict[str, Any]) -> Any:
    from faultinject.oracle import Kind

    return Kind(described["violation"])


def test_every_mistake_of_the_model_can_be_made_and_the_other_way_round() -> None:
    assert {mistake.name for mistake in MISTAKES} == set(PORTS)
    assert len({mistake.id for mistake in MISTAKES}) == len(MISTAKES)


def test_the_sum_that_wraps_is_refused_by_reader_and_codec() -> None:
    """KVC-FILE-4: the sizes that fool the usual check fool neither the codec nor a head that has them."""
    wrapped = sizes.wrapped()
    assert wrapped is not None
    text, payload, sections = wrapped["text"], wrapped["payload"], wrapped["sections"]
    total = layout.TEXT_OFFSET + text + payload + sections
    assert total % 2**64 <= layout.FILE_BYTES_MAX < total
    assert layout.file_bytes(text, payload, sections) is None
    from kvformat.reader import open_kvc
    from tests.kvformat.proofs.heads import head_with

    with pytest.raises(KvcError) as raised:
        open_kvc(head_with(payload))
    assert raised.value.category is Category.LIMIT


def test_who_does_not_look_again_undoes_another_save() -> None:
    """KVS-TOOLMAP-1: the property sees it; only a second process could show it."""
    wrong = saving("replace-tool-map", "not-looked")
    start = wrong.start
    small = replace(
        wrong, start=lambda s: z3.And(start(s), s.text == 0, s.payload == 1, s.sections == 0, s.named, s.durable)
    )
    (undone,) = [one for one in small.properties if one.clause == "KVS-TOOLMAP-1"]
    path = shortest_path(small, lambda s: z3.Not(undone.holds(s)), steps_max=14, faults_max=0)
    assert path is not None
    assert "surroundings: somebody else saves the entry" in [step.name for step in path.steps]


def test_the_lemmas_do_not_hold_of_a_program_that_looks_at_the_prefix() -> None:
    assert lemma_is_looked_at()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mistakes": []}, "no mistake 'remove/no-directory-sync'"),
        ({"mistakes": None}, "does not say"),
        ({"refuted": False}, "no counterexample"),
        ({"violation": "bad-luck"}, "does not say"),
        ({"mistake": "no-such"}, "does not say"),
        ({"payload_bytes": "many"}, "does not say"),
    ],
)
def test_a_document_that_makes_no_sense_is_told(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    mistake = next(one for one in MISTAKES if one.operation == "remove")
    told = document([], [(mistake, refute(mistake))], None, None)
    if "mistakes" in change:
        told |= change
    else:
        told["mistakes"][0] |= change
    with pytest.raises(ReplayError, match=says):
        refutation(told, mistake.id, tmp_path / "left")
    assert not (tmp_path / "left").exists()


def test_the_fault_is_told_with_its_place() -> None:
    mistake = next(one for one in MISTAKES if one.name == "short-write-ignored")
    found = refute(mistake)
    assert found is not None
    told = document([], [(mistake, found)], None, None)
    assert told["schema"] == SCHEMA_ID
    fault = told["mistakes"][0]["fault"]
    assert (fault["class"], fault["form"], fault["operation"]) == ("error", Form.SHORT, 4)
    assert 0 < fault["byte"] < 5
