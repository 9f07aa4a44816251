"""Tool maps, good ones and damaged ones (KVC-TOOLMAP)."""

from __future__ import annotations

from collections.abc import Iterator

from tools.cases import reading
from tools.cases.case import Cases, Ids
from tools.cases.kvc import TOOL_BLOCK_BYTES_MAX, TOOL_MAP_COUNT_MAX, File, title_section, tool_entry, tool_map_section
from tools.cases.reading import accept, hostile, no_title

GOOD = tool_entry((b"c1", b"<t/>"))


def cases() -> Cases:
    """All of the family."""
    yield from _good()
    for slug, section, field, clause, said in _damage():
        comment = f"A tool map with {said}: the entry stays usable, its map does not."
        yield accept(
            f"tool-map-{slug}",
            File(flags=1, behind=section),
            ("KVC-TOOLMAP-6", clause),
            ("damaged-tool-map",),
            comment,
            seconds=reading.HOSTILE_SECONDS,
            memory_bytes=reading.HOSTILE_MEMORY_BYTES,
        )
        comment = f"The same before a title: a tool map with {said}."
        file = File(flags=9, behind=section + title_section(b"Demo"))
        name = File(title=b"Demo").name
        flags = ("damaged-tool-map", "damaged-title")
        also = ("KVC-TOOLMAP-6", clause)
        yield hostile(f"tool-map-{slug}-title", file, no_title(field), flags, comment, name=name, also=also)
    yield from _absent()


def _good() -> Cases:
    clauses: Ids = ("KVC-TOOLMAP-3", "KVC-FILE-2")
    flags = ("baseline",)
    many = tuple((b"id-%d" % place, b"<block n='%d'/>" % place) for place in range(50))
    yield accept("tool-map-50", File(tool_map=many), clauses, flags, "50 entries, in their order.")
    clauses = ("KVC-TOOLMAP-4", "KVC-TOOLMAP-5")
    least = File(tool_map=((b"a", b"b"),))
    yield accept("tool-map-least", least, clauses, ("boundary-value",), "Id and block of one byte each.")
    longest = File(tool_map=((b"i" * 256, b"b" * 3000), (b"j" * 255, b"c")))
    yield accept("tool-map-longest-id", longest, clauses, ("boundary-value",), "An id of 256 bytes.")
    raw = File(tool_map=((b"\0\xff\n\x1b", bytes(range(256))), (b"\xc3", b"\0")))
    yield accept("tool-map-raw-bytes", raw, clauses, ("text-bytes",), "Ids and blocks of any bytes.")
    same = File(tool_map=((b"c1", b"first"), (b"c2", b"other"), (b"c1", b"second"), (b"c1", b"first")))
    comment = "Several entries have the same id: all are handed over, in their order."
    yield accept("tool-map-same-ids", same, ("KVC-TOOLMAP-8",), ("duplicate-ids",), comment)
    empty = File(tool_map=(), title=b"Demo")
    comment = "A tool map of no entries before a title."
    yield accept("tool-map-empty-and-title", empty, ("KVC-TOOLMAP-3", "KVC-TITLE-2"), ("section-order",), comment)
    nested = File(tool_map=((b"KTM\1", tool_map_section(GOOD)),), title=b"Demo")
    comment = "A block that is itself a tool map."
    yield accept("tool-map-nested", nested, ("KVC-FILE-2",), ("section-order",), comment)
    stripped = File(tool_map=((b"c1", b"<t/>"),), title=b"Demo", payload=b"")
    comment = "A tool map directly behind the text of a stripped session."
    yield accept("tool-map-stripped", stripped, ("KVC-FILE-2", "KVC-PAYLOAD-2"), ("stripped",), comment)


def _damage() -> Iterator[tuple[str, bytes, str, str, str]]:
    """Slug, section, the field at fault, the clause, and words. Whatever stands behind, the first damage counts."""
    for slug, magic in (("lower", b"ktm"), ("first", b"\0TM"), ("last", b"KTL"), ("kvc", b"KVC")):
        yield f"magic-{slug}", tool_map_section(GOOD, magic=magic), "magic", "KVC-TOOLMAP-1", f"the magic {magic!r}"
    for version in (0, 2, 255):
        section = tool_map_section(GOOD, version=version)
        yield f"version-{version}", section, "version", "KVC-TOOLMAP-2", f"version {version}"
    for count in (TOOL_MAP_COUNT_MAX + 1, 2**31, 2**32 - 1):
        section = tool_map_section(GOOD, count=count)
        yield f"count-{count}", section, "count", "KVC-TOOLMAP-3", f"a count of {count}"
    for id_bytes in (0, 257, 2**31, 2**32 - 1):
        section = tool_map_section(tool_entry((b"c1", b"<t/>"), id_bytes=id_bytes))
        yield f"id-bytes-{id_bytes}", section, "entries[0].id_bytes", "KVC-TOOLMAP-4", f"an id of {id_bytes} bytes"
    for block_bytes in (0, TOOL_BLOCK_BYTES_MAX + 1, 2**31, 2**32 - 2, 2**32 - 1):
        section = tool_map_section(tool_entry((b"c1", b"<t/>"), block_bytes=block_bytes))
        field = "entries[0].block_bytes"
        yield f"block-bytes-{block_bytes}", section, field, "KVC-TOOLMAP-5", f"a block of {block_bytes} bytes"
    second = "entries[1].id_bytes"
    section = tool_map_section(GOOD, tool_entry((b"", b"<u/>")), GOOD)
    yield "second-id-empty", section, second, "KVC-TOOLMAP-4", "an empty second id between good entries"
    section = tool_map_section(GOOD, tool_entry((b"c2", b"")), GOOD)
    yield "second-block-empty", section, "entries[1].block_bytes", "KVC-TOOLMAP-5", "an empty second block"
    section = tool_map_section(tool_entry((b"", b"")))
    yield "both-empty", section, "entries[0].id_bytes", "KVC-TOOLMAP-4", "id and block both empty: the id comes first"
    # Lengths that are in range and longer than the file, whatever follows.
    section = tool_map_section(tool_entry((b"", b""), id_bytes=256, block_bytes=1))
    yield "id-cut", section, "entries[0].id", "KVC-TOOLMAP-6", "an id that the file cuts"
    section = tool_map_section(tool_entry((b"c1", b"<t/>"), block_bytes=TOOL_BLOCK_BYTES_MAX))
    yield "block-cut", section, "entries[0].block", "KVC-LIMIT-1", "a block of 512 MiB that the file cuts"
    section = tool_map_section(GOOD, tool_entry((b"c2", b"<u/>"), block_bytes=100))
    yield "second-block-cut", section, "entries[1].block", "KVC-TOOLMAP-6", "a second block that the file cuts"


def _absent() -> Cases:
    """Bits without their sections, and sections without their bits (KVC-HEADER-6, KVC-TOOLMAP-7)."""
    flags = ("absent-section",)
    for count in (2, TOOL_MAP_COUNT_MAX):
        file = File(flags=1, behind=tool_map_section(GOOD, count=count))
        comment = (
            f"A tool map that counts {count} entries and has one: it is cut, and nothing is reserved for the rest."
        )
        yield accept(
            f"tool-map-count-{count}-of-1",
            file,
            ("KVC-LIMIT-4", "KVC-TOOLMAP-6"),
            ("hostile-count", "damaged-tool-map"),
            comment,
            seconds=reading.HOSTILE_SECONDS,
            memory_bytes=reading.HOSTILE_MEMORY_BYTES,
        )
    comment = "Bit 0 is set and the file ends behind the payload."
    yield accept("tool-map-missing", File(flags=1), ("KVC-HEADER-6", "KVC-TOOLMAP-6"), flags, comment)
    missing = File(flags=9, behind=title_section(b"Demo"))
    comment = "Bits 0 and 3 are set and there is only a title: its byte count is no magic."
    broken = no_title("magic")
    name = File(title=b"Demo").name
    yield reading.reject("tool-map-missing-title", missing, broken, flags, comment, name=name, also=("KVC-HEADER-6",))
    unannounced = File(behind=tool_map_section(GOOD))
    comment = "A tool map that no bit announces: it is no tool map."
    yield accept("tool-map-unannounced", unannounced, ("KVC-TOOLMAP-7", "KVC-FILE-5"), flags, comment)
    before = File(flags=8, behind=tool_map_section(GOOD) + title_section(b"Demo"))
    comment = "Bit 0 is clear and a tool map stands before the title: its magic is taken for a byte count."
    yield reading.reject(
        "tool-map-unannounced-title", before, reading.TITLE_CUT, flags, comment, name=name, also=("KVC-TOOLMAP-7",)
    )
    swapped = File(flags=9, behind=title_section(b"Demo") + tool_map_section(GOOD))
    comment = "The title stands before the tool map."
    yield reading.reject("tool-map-behind-title", swapped, broken, ("section-order",), comment, name=name)
