"""Lets a tail run to its end: every call of it is answered from the model, or let through where that does no harm."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from operator import itemgetter

from faultinject.blackbox import tail_descriptors, tail_names, tail_open, tail_process, tail_transfer
from faultinject.blackbox.abi import Abi
from faultinject.blackbox.course import Course, Walk
from faultinject.blackbox.meetings import Step
from faultinject.blackbox.point import Point
from faultinject.blackbox.ptrace import PTRACE_CONT, SECCOMP_STOP, WALL
from faultinject.blackbox.rewound import Rewound
from faultinject.blackbox.tail import REAL, Handler, Tail
from faultinject.blackbox.unrewindable import UnrewindableError
from faultinject.faults import Fault, Form
from faultinject.ops import Op, Operation

_TABLES = (tail_transfer.TABLE, tail_descriptors.TABLE, tail_open.TABLE, tail_names.TABLE, tail_process.TABLE)
"""A call that is in none of them is not modelled."""

_CALLS_MAX = 1_000_000
_ENDLESS = f"after the fault it makes {_CALLS_MAX} calls and does not end"
_MASK = (1 << 64) - 1

_IGNORED_BY_DEFAULT = frozenset({signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH})
_STOPPING = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})


@dataclass(frozen=True, slots=True)
class End:
    """How a tail has ended: exit status, or the signal that would have killed the program."""

    status: int | None = None
    signal: int | None = None


class Driver:
    """Runs tails on one machine."""

    def __init__(self, abi: Abi) -> None:
        self._abi = abi
        self._handlers: dict[int, Handler] = {
            abi.numbers[name]: handler for table in _TABLES for name, handler in table.items() if name in abi.numbers
        }
        self._exits = {abi.numbers["exit"], abi.numbers["exit_group"]}
        self._number_at = abi.call_register if abi.number_register is None else abi.number_register
        self._arguments = itemgetter(*abi.arguments)
        self._instructions: set[int] = set()

    def forget(self) -> None:
        """Another program is driven from now on."""
        self._instructions.clear()

    def run(self, course: Course) -> End | Rewound:
        """From the first instruction after the faulty call to the end, where the task is stopped, or to a known one.

        Raises UnrewindableError where something is not modelled, ProcessLookupError where the task has died.
        """
        point, tail = course.point, course.tail
        ptrace, tid = point.ptrace, point.task.tid
        registers, load, resume, store = ptrace.registers, ptrace.load, ptrace.resume, ptrace.store_skipping
        pages = point.checkpoint.pages
        wait4, handlers, arguments = os.wait4, self._handlers, self._arguments
        number_at, result_at, instruction_at = self._number_at, self._abi.result, self._abi.instruction_pointer
        for _ in range(_CALLS_MAX):
            resume(PTRACE_CONT, tid)
            _, status, pages.usage = wait4(tid, WALL)
            if status != SECCOMP_STOP:
                end = self._signalled(point, tail, status)
                if end is not None:
                    return end
                continue
            load(tid)
            number = registers[number_at]
            if registers[instruction_at] not in self._instructions:
                self._inspect(point, registers[instruction_at])
            called = arguments(registers)
            if number in self._exits:
                course.exited(called[0] & 0xFF)
                return End(status=called[0] & 0xFF)
            handler = handlers.get(number)
            if handler is None:
                name = self._abi.names.get(number, str(number))
                raise UnrewindableError(f"it calls {name} after the fault, which is not modelled")
            step = course.arrive(number, called)
            result = handler(tail, called) if step is None else self._walked(course, step)
            if isinstance(result, (End, Rewound)):
                return result
            course.answered(result)
            if result >= REAL:
                pages.doubt()
            else:
                registers[result_at] = result & _MASK
                store(tid)
        raise UnrewindableError(_ENDLESS)

    def _walked(self, course: Course, step: Step) -> End | Rewound | int:
        """From a step on which a tail has met another one: the end, or the answer to the call where the task is now."""
        tail, handlers = course.tail, self._handlers
        rewound = course.known(step)
        if rewound is not None:
            course.met = step
            return rewound
        tail.access = walk = Walk(course.point, step)
        met = step
        for _ in range(_CALLS_MAX):
            if step.real:
                walk.stand()
            result = handlers[step.number](tail, step.arguments)
            onward = None if walk.there else step.onward.get((result, walk.written))
            if onward is None:
                if not walk.there:
                    course.left(step, result, walk.written)
                    walk.stand()
                tail.access = course.point.live
                return result
            if isinstance(onward, int):
                course.met = met
                return End(status=onward)
            walk.go(result, onward)
            step = onward
        raise UnrewindableError(_ENDLESS)

    def _inspect(self, point: Point, address: int) -> None:
        """An instruction that enters the kernel in another way makes calls by the numbers of another machine."""
        enter = self._abi.enter
        if point.task.read(address - len(enter), len(enter)) != enter:
            raise UnrewindableError("it makes calls of another machine")
        self._instructions.add(address)

    def _signalled(self, point: Point, tail: Tail, status: int) -> End | None:
        """A signal is about to arrive: the end of most programs. None where it passes."""
        if status & 0xFF != 0x7F:
            raise ProcessLookupError(f"process {point.task.tid} has died")
        number = status >> 8 & 0xFF
        if status >> 16 or number & 0x80:
            raise UnrewindableError("it does something that is not modelled after the fault")
        caught, ignored = _dispositions(point.task.tid)
        if caught >> (number - 1) & 1 or number in tail.actions:
            raise UnrewindableError("a signal that it handles comes after the fault")
        tail.raised = False
        if ignored >> (number - 1) & 1 or number in _IGNORED_BY_DEFAULT:
            return None
        if number in _STOPPING:
            raise UnrewindableError("a signal stops it after the fault")
        return End(signal=number)


def _dispositions(tid: int) -> tuple[int, int]:
    """The signals that a process handles and those that it ignores; bit n-1 is signal n."""
    with open(f"/proc/{tid}/status", encoding="ascii", errors="replace") as status:
        fields = dict(line.split(":", 1) for line in status if ":" in line)
    return int(fields["SigCgt"], 16), int(fields["SigIgn"], 16)


class Blow:
    """What a faulty operation does to the model, prepared for all faults at one point."""

    def __init__(self, point: Point, operation: Operation) -> None:
        self._point = point
        self._operation = operation
        self._payload: bytes | None = None

    def strike(self, tail: Tail, fault: Fault) -> int:
        """The effect of the operation under the fault, and what it returns. Raises UnrewindableError."""
        size_bytes = fault.byte or 0
        if fault.form is Form.ERRNO or (fault.form is Form.CUT and not size_bytes):
            if self._operation.op is Op.CLOSE:
                tail.descriptor(self._point.stop.args[0])
                tail.close(self._point.stop.args[0])  # the descriptor is gone all the same (close(2), NOTES)
            return -fault.error
        if fault.form is Form.CUT and not fault.sticky:
            tail.pending = fault.error
        if size_bytes:
            self._accept(tail, size_bytes)
        return size_bytes

    def _accept(self, tail: Tail, size_bytes: int) -> None:
        stop, operation = self._point.stop, self._operation
        if self._payload is None:
            self._payload = self._read(tail)
        if size_bytes > len(self._payload):
            raise UnrewindableError("it transfers fewer bytes than recorded")
        if stop.call == "pwritev2" and stop.args[5]:
            raise UnrewindableError("the flags of pwritev2 are not modelled")
        found = tail.descriptor(stop.args[0])
        if found is None:
            raise UnrewindableError("it writes to a descriptor that is not open")
        offset = operation.offset if operation.op in (Op.PWRITE, Op.PWRITEV) else None
        if operation.op is Op.PWRITEV and stop.args[3] == _MASK:
            offset = None
        tail_transfer.put(tail, found, offset, self._payload[:size_bytes])

    def _read(self, tail: Tail) -> bytes:
        args = self._point.stop.args
        if self._operation.op in (Op.WRITE, Op.PWRITE):
            return tail.read(args[1], args[2])
        if self._operation.op in (Op.WRITEV, Op.PWRITEV):
            return b"".join([tail.read(*piece) for piece in tail_transfer.pieces(tail, args)])
        raise UnrewindableError(f"a part of {self._operation.op} is not modelled")
