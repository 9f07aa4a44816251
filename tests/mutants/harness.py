"""Puts a writer of this folder in the place of kvformat's own, for a sweep."""

from __future__ import annotations

from dataclasses import dataclass

from faultinject.coverage import Run
from faultinject.faults import FaultClass
from faultinject.kvc import KvcPrepared, KvcTarget, Operation, Scenario, faulty_pieces
from faultinject.kvc_content import NEW_TOOLS, TOUCHED, Source
from faultinject.sweep import sweep, units
from faultinject.target import Expectation, PayloadFault
from kvformat.filesystem import FileSystem
from kvformat.temp_names import TempKind
from tests.faultinject.programs import Labelled
from tests.mutants.names import SHARED_NAME, TEMP_PREFIX
from tests.mutants.textbook import Textbook, WriterError

LIVE = f"{TEMP_PREFIX}live"
STALE = f"{TEMP_PREFIX}stale"


@dataclass(frozen=True)
class WriterTarget(Labelled):
    """A target whose operations are those of a writer of this folder."""

    writer: type[Textbook]
    operation: Operation
    strategy: str
    scenario: str

    @property
    def subject(self) -> str:
        return f"{self.writer.__name__} {self.operation}"

    def prepare(self) -> WriterPrepared:
        return WriterPrepared(self)


class WriterPrepared(KvcPrepared):
    def __init__(self, target: WriterTarget) -> None:
        super().__init__(
            KvcTarget(
                target.operation,
                target.strategy,
                target.scenario,
                TempKind.NAMED,
                Source(payload_bytes=30, piece_bytes=20),
            )
        )
        self.writer = target.writer
        expected = self.expectation
        live, stale = expected.live, expected.stale
        if live:
            for name in live:
                self.base.unlink(name)
            live = frozenset({LIVE, SHARED_NAME})
            for name in live:
                self.base.put(name, b"somebody is writing this", locked=True)
        if stale:
            for name in stale:
                self.base.unlink(name)
            self.base.put(STALE, b"torn by a crash")
            stale = frozenset({STALE})
        self.expectation = Expectation(expected.target, expected.new, live, stale, stale & expected.gone)

    def act(self, fs: FileSystem, payload: PayloadFault | None = None) -> None:
        writer = self.writer(fs, self)
        operation = self.target.operation
        if operation is Operation.SAVE:
            pieces = self.payload.pieces() if payload is None else faulty_pieces(self.content.pieces, payload)
            writer.save(pieces, self.content.payload_bytes if writer.strategy == "direct" else None)
        elif operation is Operation.TOUCH:
            writer.touch(TOUCHED)
        elif operation is Operation.REPLACE_TOOL_MAP:
            writer.replace_tool_map(NEW_TOOLS)
        else:
            writer.recover()

    def recover(self, fs: FileSystem) -> None:
        self.writer(fs, self).recover()

    def names_left(self, error: BaseException) -> frozenset[str]:
        if isinstance(error, WriterError):
            return error.left_behind
        notes = " ".join(getattr(error, "__notes__", ()))
        return frozenset(word for word in notes.split() if word.startswith(TEMP_PREFIX))


def swept(writer: type[Textbook], operation: Operation, strategy: str, scenario: Scenario, *classes: FaultClass) -> Run:
    """The run of one writer in one scenario."""
    (run,) = sweep(units([WriterTarget(writer, operation, strategy, scenario)], classes))
    return run
