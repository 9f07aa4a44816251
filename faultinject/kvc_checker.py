"""What KVC says of the files that a program has left: which are entries, and whether a reader uses them."""

from __future__ import annotations

import io

from faultinject.blackbox.formats import Known, older_bytes
from faultinject.blackbox.state import Node, NodeKind
from kvformat import Entry, identity, layout, verify
from kvformat.serial import serialize

_CREATED_OFFSET = layout.LAST_USED_OFFSET - 8  # KVC-HEADER-15 stands before KVC-HEADER-16
_TIMES = slice(_CREATED_OFFSET, layout.PAYLOAD_BYTES_OFFSET)


class KvcChecker:
    """The built-in checker of `--format kvc`; see `faultinject.blackbox.checkers.Checker`."""

    def normalise(self, path: str, data: bytes) -> bytes:
        """The header without the times of creation and last use (KVC-HEADER-15, KVC-HEADER-16): runs differ in them."""
        if not self._is_name(path) or len(data) < layout.HEADER_BYTES or not data.startswith(layout.MAGIC):
            return data
        return data[: _TIMES.start] + bytes(_TIMES.stop - _TIMES.start) + data[_TIMES.stop :]

    def uncounted(self, path: str) -> tuple[tuple[int, int], ...]:
        """The bytes of those times."""
        return ((_TIMES.start, _TIMES.stop),) if self._is_name(path) else ()

    def complaint(self, path: str, node: Node) -> str | None:
        """The first problem that a reader has with it, the name included."""
        if node.kind is not NodeKind.FILE:
            return f"it is a {node.kind} and no regular file"
        problems = verify(io.BytesIO(node.data), name=path.rpartition("/")[2]).problems
        return str(problems[0]) if problems else None

    def is_entry(self, path: str, node: Node) -> bool:  # noqa: ARG002 - the name decides, whatever is there
        """Whether it has an entry's name (KVC-NAME-1, KVC-NAME-4). Files of other names never are entries."""
        return self._is_name(path)

    def _is_name(self, path: str) -> bool:
        name = path.rpartition("/")[2]
        return identity.is_entry_name(name) or name in identity.FIXED_NAMES


def known() -> Known:
    """What an audit knows of KVC files; another entry lies beside the one that is saved."""
    payload = bytes(range(64))
    serial = serialize(Entry(text=b"another entry", tokens=2), now=0)
    return Known(KvcChecker(), _older, (serial.name, serial.head(len(payload)) + payload + serial.sections))


def _older(path: str, data: bytes) -> bytes:
    """An entry of the same name that a reader takes too: its payload is another one."""
    read = verify(io.BytesIO(data), name=path.rpartition("/")[2])
    payload = next((region for region in read.regions if region.name == "payload"), None)
    if read.problems or payload is None:
        return older_bytes(path, data)
    start, end = payload.offset, payload.offset + payload.size_bytes
    return data[:start] + bytes(byte ^ 0xFF for byte in data[start:end]) + data[end:]
