"""The dialect with the same header and a section of its own at offset 48 (chapter 7)."""

from __future__ import annotations

from tools.cases.case import Cases
from tools.cases.kvc import PLAIN, File, u32, u64
from tools.cases.reading import PAYLOAD_CUT, TEXT_CUT, TEXT_NAME, TITLE_COUNT_CUT, reject

FLAGS = ("look-alike",)


def foreign(payload_offset: int, payload: bytes, flags: int = 0) -> bytes:
    """The published layout: at 48 the offset of the payload as u64, the payload at the end of the file."""
    head = File(payload_bytes=len(payload), flags=flags).head[:48]
    return head + u64(payload_offset) + bytes(payload_offset - 56) + payload


def cases() -> Cases:
    """All of the family."""
    also = ("KVC-FILE-6",)
    for payload_offset, broken in ((56, PAYLOAD_CUT), (100, PAYLOAD_CUT), (1000, PAYLOAD_CUT)):
        data = foreign(payload_offset, b"p" * 400)
        comment = f"The other layout with its payload at {payload_offset}: it is 52 bytes short of its lengths."
        yield reject(f"look-alike-offset-{payload_offset}", data, broken, FLAGS, comment, name=PLAIN.name, also=also)
    data = File(payload=b"").head[:48] + u64(2**32 + 56) + b"p" * 52
    comment = "The offset of the payload has more than 32 bits; the low ones are taken for a text byte count."
    yield reject("look-alike-offset-u64", data, TEXT_NAME, FLAGS, comment, name=PLAIN.name, also=also)
    data = foreign(4096, b"p" * 4)[:200]
    comment = "The other layout, cut off: the text is not all there."
    yield reject("look-alike-cut", data, TEXT_CUT, FLAGS, comment, name=PLAIN.name, also=also)
    data = foreign(64, b"p" * 400) + bytes(52)
    comment = "The other layout with 52 bytes more: its lengths hold, and the identity shows it."
    yield reject("look-alike-padded", data, TEXT_NAME, FLAGS, comment, name=PLAIN.name, also=also)
    data = foreign(64, b"p" * 400, flags=8) + bytes(52)
    comment = "The same with bit 3 set: where the title should be the file ends."
    yield reject("look-alike-padded-title", data, TITLE_COUNT_CUT, FLAGS, comment, name=PLAIN.name, also=also)
    head = PLAIN.head[:48]
    comment = "A count of sections at offset 48, small enough to be a text byte count."
    data = head + u32(2) + b"SECT" + u32(100) + bytes(100)
    yield reject("look-alike-sections", data, TEXT_NAME, FLAGS, comment, name=PLAIN.name, also=also)
    comment = "A magic at offset 48 is a text byte count of over a thousand million."
    data = head + b"ERLM" + bytes(200)
    yield reject("look-alike-magic", data, TEXT_CUT, FLAGS, comment, name=PLAIN.name, also=also)
