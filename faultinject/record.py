"""Records what a program does to a directory: the trace that plans, kills and power loss are computed from."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from faultinject.interpose import Interposed, Result
from faultinject.ops import Op, Operation, Trace
from kvformat.filesystem import Buffer, FileSystem

_WITH_NAME = (Op.OPEN, Op.RENAME, Op.UNLINK, Op.STAT)
_WITHOUT_FD = (Op.OPEN_UNNAMED, Op.FSYNC_DIRECTORY, Op.READDIR)


class RecordingFileSystem(Interposed):
    """Records every operation with its bytes, also one that fails. Descriptors are resolved to inodes.

    `before` is called with the operation, without its result, just before it is performed. `probe` is the file
    system under `inner` that is asked about descriptors and names: what the recorder asks is no operation.
    """

    def __init__(
        self,
        inner: FileSystem,
        before: Callable[[Operation], None] | None = None,
        *,
        probe: FileSystem | None = None,
    ) -> None:
        super().__init__(inner)
        self._probe = probe or inner
        self._operations: list[Operation] = []
        self._before = before

    @property
    def trace(self) -> Trace:
        """What was recorded so far."""
        return Trace(tuple(self._operations))

    def _call(self, op: Op, method: Callable[..., Result], *arguments: Any) -> Result:
        fields = self._describe(op, arguments)
        index = len(self._operations)
        if self._before is not None:
            self._before(Operation(index, op, **fields))
        try:
            result = method(*arguments)
        except OSError as error:
            self._operations.append(Operation(index, op, **fields, error=error.errno or errno.EIO))
            raise
        except BaseException:
            self._operations.append(Operation(index, op, **fields, error=errno.EINTR))
            raise
        if op in (Op.OPEN, Op.OPEN_UNNAMED):
            assert isinstance(result, int)
            fields |= {"fd": result, "inode": self._probe.fstat(result).inode}
        self._operations.append(Operation(index, op, **fields, result=result if isinstance(result, int) else 0))
        return result

    def _describe(self, op: Op, arguments: tuple[Any, ...]) -> dict[str, Any]:
        fields: dict[str, Any]
        if op in _WITH_NAME:
            fields = {"name": arguments[0]}
            if op is Op.OPEN:
                fields["flags"] = arguments[1]
            if op in (Op.RENAME, Op.UNLINK):
                fields["inode"] = self._named_inode(arguments[0])
            if op is Op.RENAME:
                fields["target"] = arguments[1]
            return fields
        if op in _WITHOUT_FD:
            return {}
        if op is Op.COPY_RANGE:
            source_fd, fd, size_bytes, source_offset, offset = arguments
            return {
                "fd": fd,
                "inode": self._inode(fd),
                "offset": offset,
                "size_bytes": size_bytes,
                "source_inode": self._inode(source_fd),
                "source_offset": source_offset,
            }
        fd = arguments[0]
        fields = {"fd": fd, "inode": self._inode(fd)}
        if op is Op.PWRITE:
            data, offset = arguments[1:]
            fields |= {"offset": offset, "size_bytes": len(data), "data": _kept(data)}
        elif op is Op.LINK:
            fields["name"] = arguments[1]
        return fields

    def _named_inode(self, name: str) -> int | None:
        try:
            return self._probe.stat(name).inode
        except OSError:
            return None  # no such name: the operation itself is about to say so

    def _inode(self, fd: int) -> int | None:
        try:
            return self._probe.fstat(fd).inode
        except OSError:
            return None  # a descriptor that is not open: the operation itself is about to say so


def _kept(data: Buffer) -> bytes | memoryview:
    """The bytes as they are now: a buffer that its owner may reuse is copied."""
    if isinstance(data, bytes) or (isinstance(data, memoryview) and isinstance(data.obj, bytes)):
        return data
    return bytes(data)
