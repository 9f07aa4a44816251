"""Small files that the tests share, and streams that do not seek."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SESSION = bytes.fromhex(
    "4b5643010406090002000000000000000010000000000000" + "00f1536500000000" * 2 + "0400000000000000"
    "04000000486920c3deadbeef4b544d01"
    "010000000200000004000000" + "63313c742f3e0400000044656d6f"
)
"""The complete file of spec/kvc.md, 4.6."""

SESSION_NAME = "ae07729e3aff9bddc086ff14aca07600f3f829a5.kv"
SESSION_TEXT_NAME = "1f96a912eff51d6f3288650ec8bccd7a515526ed.kv"


def patched(data: bytes, offset: int, new: bytes) -> bytes:
    return data[:offset] + new + data[offset + len(new) :]


PLAIN = patched(SESSION, 6, b"\x01")[:82]
"""The same without the title: an entry found by its text."""

PLAIN_NAME = SESSION_TEXT_NAME


class Pipe(io.RawIOBase):
    """A stream that does not seek and gives `most` bytes at a time; counts what was asked for at once."""

    def __init__(self, data: bytes, most: int = 7) -> None:
        super().__init__()
        self._data = io.BytesIO(data)
        self._most = most
        self.largest_request = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        self.largest_request = max(self.largest_request, len(view))
        return self._data.readinto(view[: self._most])
