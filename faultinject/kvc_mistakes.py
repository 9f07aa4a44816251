"""File systems that make the right store wrong in one place, so that what a proof has found can be shown to happen.

Each stands between the store and everything else, and makes of its calls those that a store with that mistake would
have made. The names are those of kvformat.proofs.mistakes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from faultinject.interpose import Interposed, Result
from faultinject.ops import Op
from kvformat.filesystem import FileSystem


class _Mistaken(Interposed):
    """Every call as it is, but for those of one kind."""

    __slots__ = ("_inner",)

    def _call(self, op: Op, method: Callable[..., Result], *arguments: Any) -> Result:
        wrong: Result = self._wrong(op, method, arguments)
        return wrong

    def _wrong(self, op: Op, method: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        raise NotImplementedError


def _left_out(*ops: Op) -> type[_Mistaken]:
    class LeftOut(_Mistaken):
        def _wrong(self, op: Op, method: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
            return None if op in ops else method(*arguments)

    return LeftOut


def _error_ignored(op_ignored: Op) -> type[_Mistaken]:
    class ErrorIgnored(_Mistaken):
        def _wrong(self, op: Op, method: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
            if op is not op_ignored:
                return method(*arguments)
            try:
                result = method(*arguments)
            except OSError:
                return len(arguments[1]) if op is Op.PWRITE else None  # the mistake: nobody learns of it
            return result

    return ErrorIgnored


class _ShortWriteIgnored(_Mistaken):
    def _wrong(self, op: Op, method: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        result = method(*arguments)
        return len(arguments[1]) if op is Op.PWRITE else result


class _OldRemovedFirst(_Mistaken):
    def _wrong(self, op: Op, method: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if op is Op.RENAME:
            self._inner.unlink(arguments[1])
        return method(*arguments)


class _StagedFileLeft(_Mistaken):
    def _wrong(self, op: Op, method: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        return None if op is Op.UNLINK and "stage" in arguments[0] else method(*arguments)


class _TouchedInTwoWrites(_Mistaken):
    def _wrong(self, op: Op, method: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if op is not Op.PWRITE:
            return method(*arguments)
        fd, data, offset = arguments
        half = len(data) // 2
        return method(fd, data[:half], offset) + method(fd, data[half:], offset + half)


class _LockIgnored(_Mistaken):
    def _wrong(self, op: Op, method: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        return True if op is Op.FLOCK else method(*arguments)


class _PatchedAfterPublication(_Mistaken):
    """Keeps the write that goes back to the start, the header of a backpatch, until the file has its final name."""

    __slots__ = ("_kept", "_written")

    def __init__(self, inner: FileSystem) -> None:
        super().__init__(inner)
        self._written = False
        self._kept: tuple[Any, ...] | None = None

    def _wrong(self, op: Op, method: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if op is Op.PWRITE:
            if self._written and arguments[2] == 0:
                self._kept = arguments
                return len(arguments[1])
            self._written = True
        result = method(*arguments)
        if op is Op.RENAME and self._kept is not None:
            self._inner.pwrite(*self._kept)
        return result


MISTAKES: dict[str, Callable[[FileSystem], FileSystem]] = {
    "no-unlink": _left_out(Op.UNLINK),
    "no-sync": _left_out(Op.FSYNC),
    "no-directory-sync": _left_out(Op.FSYNC_DIRECTORY),
    "short-write-ignored": _ShortWriteIgnored,
    "write-error-ignored": _error_ignored(Op.PWRITE),
    "sync-error-ignored": _error_ignored(Op.FSYNC),
    "close-error-ignored": _error_ignored(Op.CLOSE),
    "old-removed-first": _OldRemovedFirst,
    "staged-file-left": _StagedFileLeft,
    "patched-after-publication": _PatchedAfterPublication,
    "touched-in-two-writes": _TouchedInTwoWrites,
    "lock-ignored": _LockIgnored,
}
