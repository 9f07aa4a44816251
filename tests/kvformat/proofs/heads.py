"""A file that claims a payload, for readers to refuse."""

from __future__ import annotations

import io

from kvformat import layout
from tests.kvformat.samples import SESSION, patched


def head_with(payload_bytes: int) -> io.BytesIO:
    """The head of a good entry with that payload byte count."""
    claim = payload_bytes.to_bytes(8, "little")
    return io.BytesIO(patched(SESSION, layout.PAYLOAD_BYTES_OFFSET, claim))
