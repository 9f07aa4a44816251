"""KVC under test: which targets there are, and that what is expected is what the real writer makes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultinject.faults import Fault, FaultClass, Form, InjectedError
from faultinject.kvc import (
    LIVE_TEMP,
    ORPHANS,
    SCENARIOS,
    KvcTarget,
    Operation,
    Scenario,
    faulty_pieces,
    targets,
)
from faultinject.kvc_content import Source, content_of_file
from faultinject.target import PayloadFault
from kvformat import layout
from kvformat.options import Strategy
from kvformat.temp_names import TempKind
from kvformat.testing import files
from kvformat.verify import verify

ALL = targets(source=Source(None, 50, 20))


def label(target: KvcTarget) -> str:
    return f"{target.subject}/{target.strategy}/{target.scenario}"


def save(scenario: str, source: Source | None = None, strategy: str = "direct") -> KvcTarget:
    return KvcTarget(Operation.SAVE, strategy, scenario, TempKind.NAMED, source or Source())


def test_targets_are_every_combination_once() -> None:
    found = targets()
    assert len(set(found)) == len(found)
    assert {(t.operation, Scenario(t.scenario)) for t in found} == {
        (operation, scenario) for operation in Operation for scenario in SCENARIOS[operation]
    }
    saves = {(t.strategy, t.scenario, t.temp) for t in found if t.operation is Operation.SAVE}
    assert len(saves) == len(Strategy) * len(Scenario) * 2
    assert {t.strategy for t in found if t.operation is not Operation.SAVE} == {"-"}


def test_the_scenarios_of_the_specification_are_there() -> None:
    """KVS-FAULT-6, by what the directory holds."""

    def before(scenario: Scenario) -> dict[str, int]:
        return {name: len(data) for name, data in save(scenario).prepare().base.contents().items()}

    prepared = save("empty").prepare()
    name, new = prepared.name, len(prepared.content.file_content())
    assert before(Scenario.EMPTY) == {}
    assert len(before(Scenario.OTHER)) == 1
    assert name not in before(Scenario.OTHER)
    assert before(Scenario.SAME_SIZE)[name] == new
    assert before(Scenario.OTHER_SIZE)[name] != new
    assert before(Scenario.DAMAGED)[name] != new
    assert LIVE_TEMP in before(Scenario.LIVE_TEMP)
    assert set(ORPHANS) <= set(before(Scenario.ORPHANS))
    stripped = save(Scenario.STRIPPED).prepare()
    assert stripped.payload_bytes == 0
    assert stripped.content.entry.title is not None
    assert stripped.content.entry.tool_map is not None


@pytest.mark.parametrize("target", ALL, ids=label)
def test_what_is_expected_is_what_the_operation_makes(target: KvcTarget) -> None:
    prepared = target.prepare()
    fs = prepared.base.snapshot()
    prepared.act(fs)
    new = prepared.expectation.new
    if prepared.expectation.target is not None:
        assert fs.content(prepared.expectation.target) == (None if new is None else new.read_all())
    assert set(prepared.expectation.gone).isdisjoint(fs.names())
    assert fs.open_descriptors() == 0


@pytest.mark.parametrize("target", ALL, ids=label)
def test_every_entry_of_a_scenario_is_valid_but_for_the_damaged_one(target: KvcTarget, tmp_path: Path) -> None:
    prepared = target.prepare()
    for name, content in prepared.base.contents().items():
        if prepared.is_entry(name):
            (tmp_path / name).write_bytes(content)
            problems = verify(tmp_path / name).problems
            damaged = prepared.scenario is Scenario.DAMAGED and name == prepared.name
            assert bool(problems) == damaged, (name, problems)


@given(files(), st.sampled_from(sorted(Strategy)), st.integers(1, 300))
@settings(max_examples=150)
def test_a_valid_file_is_saved_again_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, strategy: Strategy, piece_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("again") / "x.kv"  # a path is read once and kept
    path.write_bytes(content)
    prepared = save("empty", Source(str(path), piece_bytes=piece_bytes), str(strategy)).prepare()
    fs = prepared.base.snapshot()
    prepared.act(fs)
    new = prepared.expectation.new
    assert new is not None
    assert new.read_all() == content
    assert fs.contents() == {prepared.name: content}


@given(files(max_payload_bytes=50), st.integers(1, 60))
@settings(max_examples=50)
def test_the_regions_of_a_file_are_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, piece_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("pieces") / "x.kv"
    path.write_bytes(content)
    found = content_of_file(str(path), piece_bytes)
    assert b"".join(found.file_pieces()) == content
    regions = found.regions()
    assert regions[0].offset == 0
    assert regions[-1].end == len(content)
    assert all(one.end == other.offset for one, other in pairwise(regions))


PIECES = (b"abc", b"de")


@given(st.integers(0, 5))
def test_the_producer_fails_after_exactly_so_many_bytes(byte: int) -> None:
    raising = PayloadFault(Fault(FaultClass.INTERRUPT, Form.PAYLOAD_RAISES, byte=byte, what="InjectedError"))
    produced = bytearray()
    with pytest.raises(InjectedError):
        for piece in faulty_pieces(PIECES, raising):
            produced += piece
    assert (bytes(produced), raising.fired) == (b"abcde"[:byte], True)
    ending = PayloadFault(Fault(FaultClass.ERROR, Form.PAYLOAD_ENDS, byte=byte))
    assert b"".join(faulty_pieces(PIECES, ending)) == b"abcde"[:byte]
    assert ending.fired


@pytest.mark.parametrize("pieces", [PIECES, ()])
def test_the_producer_goes_on_by_one_byte(pieces: tuple[bytes, ...]) -> None:
    size_bytes = sum(map(len, pieces))
    fault = PayloadFault(Fault(FaultClass.ERROR, Form.PAYLOAD_GOES_ON, byte=size_bytes))
    assert len(b"".join(faulty_pieces(pieces, fault))) == size_bytes + 1
    assert fault.fired


def test_a_payload_of_many_gib_costs_nothing() -> None:
    prepared = save("old-same-size", Source(None, 2**31, 2**24)).prepare()
    assert prepared.payload_bytes == 2**31
    assert len(set(map(id, prepared.content.pieces))) == 1
    old = prepared.base.files()[prepared.name]
    assert old.size_bytes == sum(map(len, prepared.content.file_pieces()))


def test_regions_are_named() -> None:
    prepared = save("title", Source(None, 50, 20)).prepare()
    regions = prepared.regions()
    assert regions["header"] == (0, layout.HEADER_BYTES)
    assert max(end for _, end in regions.values()) == len(prepared.content.file_content())
    assert prepared.region_of(0) == "header"
    assert prepared.region_of(regions["payload"][0]) == "payload"
