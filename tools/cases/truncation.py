"""Files that were cut off, at every border of a region, beside it, and inside every field (KVC-FILE-3)."""

from __future__ import annotations

from tools.cases import reading
from tools.cases.case import Broken, Cases
from tools.cases.kvc import EXAMPLE, PLAIN, SESSION, TOOLS, File
from tools.cases.reading import accept, no_title, reject

EXAMPLE_CUTS = (
    *(0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 21, 23, 24, 28, 32, 36, 40, 44, 47, 48, 49, 50, 51),
    *(52, 53, 55, 56, 57, 59, 60, 61, 62, 63, 64, 65, 67, 68, 70, 71, 72, 74, 75, 76, 77, 78, 80, 81),
    *(82, 83, 85, 86, 87, 89),
)
"""Sizes of the file of spec/kvc.md, 4.6, whose regions are offset by offset in the table there."""


def cases() -> Cases:
    """All of the family."""
    for size in EXAMPLE_CUTS:
        comment = f"The complete file of kvc.md, 4.6, cut to {size} bytes."
        data = EXAMPLE.data[:size]
        broken = _example_cut(size)
        also = ("KVC-TOOLMAP-6", "KVC-LIMIT-1") if broken.clause == "KVC-TITLE-2" else ("KVC-LIMIT-1",)
        slug = f"cut-example-{size:02}"
        yield reject(slug, data, broken, ("truncated-file",), comment, name=EXAMPLE.name, also=also)
    start = len(PLAIN.data)
    for size in (start, start + 2, start + 3, start + 4, start + 7, start + 8, start + 12, start + 16, start + 18):
        yield accept(
            f"cut-tool-map-{size}",
            File(flags=1),
            ("KVC-TOOLMAP-6", "KVC-LIMIT-1"),
            ("damaged-tool-map", "truncated-file"),
            f"An entry with a tool map, cut to {size} bytes: the map is lost and the entry is not.",
            data=TOOLS.data[:size],
        )
    for size in range(start, len(SESSION.data)):
        broken = reading.TITLE_COUNT_CUT if size < start + 4 else reading.TITLE_CUT
        comment = f"A session without a tool map, cut to {size} bytes: {size - start} of its 8 bytes of title section."
        data = SESSION.data[:size]
        yield reject(f"cut-title-{size}", data, broken, ("truncated-file",), comment, name=SESSION.name)
    comment = "The last byte of the payload is missing, and nothing stands behind it."
    cut = PLAIN.data[:-1]
    yield reject("cut-plain-65", cut, reading.PAYLOAD_CUT, ("truncated-file",), comment, name=PLAIN.name)
    unnamed = "The same, of a file without a name: the lengths are checked all the same."
    yield reject("cut-plain-65-unnamed", cut, reading.PAYLOAD_CUT, ("truncated-file",), unnamed, name=None)
    comment = "Only the fixed part is there: the text is missing as a whole."
    yield reject("cut-plain-52", PLAIN.data[:52], reading.TEXT_CUT, ("truncated-file",), comment, name=PLAIN.name)
    comment = "The text is whole and no byte of the payload is there."
    yield reject("cut-plain-62", PLAIN.data[:62], reading.PAYLOAD_CUT, ("truncated-file",), comment, name=PLAIN.name)
    empty = File(text=b"")
    comment = "The text is empty and the payload is cut: 52 bytes are not enough."
    data = empty.data[:52]
    yield reject("cut-empty-text-52", data, reading.PAYLOAD_CUT, ("truncated-file",), comment, name=empty.name)
    stripped = File(payload=b"", title=b"Demo")
    comment = "A stripped session, cut in its text: the field is text though the payload has no bytes."
    data = stripped.data[:61]
    yield reject("cut-stripped-61", data, reading.TEXT_CUT, ("truncated-file",), comment, name=stripped.name)
    comment = "The sections of a stripped session are missing."
    data = stripped.data[:62]
    yield reject("cut-stripped-62", data, reading.TITLE_COUNT_CUT, ("truncated-file",), comment, name=stripped.name)


def _example_cut(size: int) -> Broken:
    """What the first missing byte of the file of spec/kvc.md, 4.6, belongs to (1.4, steps 1, 8, 10 and 11)."""
    if size < 52:
        return reading.HEADER
    if size < 56:
        return reading.TEXT_CUT
    if size < 60:
        return reading.PAYLOAD_CUT
    for end, field in (
        (63, "magic"),
        (64, "version"),
        (68, "count"),
        (72, "entries[0].id_bytes"),
        (76, "entries[0].block_bytes"),
        (78, "entries[0].id"),
        (82, "entries[0].block"),
    ):
        if size < end:
            return no_title(field)
    return reading.TITLE_COUNT_CUT if size < 86 else reading.TITLE_CUT
