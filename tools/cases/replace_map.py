"""A tool map replaced by writing the entry anew, with everything else as it was (KVS-TOOLMAP)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tools.cases import reading
from tools.cases.case import Broken, Case, Cases, Folder, Ids, Item, escaped
from tools.cases.kvc import EXAMPLE, PLAIN, SESSION, TOOLS, File, Tool, title_section, tool_entry, tool_map_section
from tools.cases.listing import LOWER, UPPER
from tools.cases.touch import BESIDE

NEW: tuple[Tool, ...] = ((b"c7", b"<new/>"), (b"c8", b"<more of it/>"))
KEPT = ("preserved-bytes",)


def replaced(
    slug: str,
    before: File,
    after: File | None,
    clauses: tuple[str, ...],
    flags: tuple[str, ...],
    comment: str,
    *,
    name: bytes | None = None,
    tool_map: tuple[Tool, ...] | None = NEW,
    broken: Broken | None = None,
    **more: Any,
) -> Case:
    """An entry before and after; `after` of None where the update is refused and the entry stays."""
    name = before.name if name is None else name
    told = (
        {}
        if tool_map is None
        else {"tool_map": [{"id": escaped(tool_id), "block": escaped(block)} for tool_id, block in tool_map]}
    )
    return Case(
        operation="replace-tool-map",
        slug=slug,
        comment=comment,
        clauses=clauses,
        flags=flags,
        given=Folder(items=(Item(name=name, data=before.data), BESIDE), name=name),
        broken=broken,
        output=None if after is None else after.data,
        arguments=told,
        **more,
    )


def cases() -> Cases:
    """All of the family."""
    yield from _replaced()
    yield from _preserved()
    yield from _unknown()
    yield from _refused()


def _replaced() -> Cases:
    clauses: Ids = ("KVS-TOOLMAP-1", "KVC-HEADER-6")
    flags: Ids = ("exact-bytes",)
    with_map = replace(PLAIN, tool_map=NEW)
    yield replaced("add", PLAIN, with_map, clauses, flags, "An entry without a map gets one: bit 0 is set.")
    yield replaced("longer", TOOLS, with_map, clauses, flags, "A longer map takes the place of a shorter one.")
    comment = "A shorter map takes the place of a longer one, and nothing of that is left."
    yield replaced("shorter", with_map, TOOLS, clauses, flags, comment, tool_map=TOOLS.tool_map)
    comment = "The map is dropped: bit 0 is cleared."
    yield replaced("drop", TOOLS, PLAIN, clauses, flags, comment, tool_map=None)
    comment = "There is no map to drop."
    yield replaced("drop-none", PLAIN, PLAIN, clauses, flags, comment, tool_map=None)
    comment = "A map of no entries is a map: bit 0 stays set."
    empty = replace(PLAIN, tool_map=())
    yield replaced("empty", TOOLS, empty, ("KVC-HEADER-6", "KVC-TOOLMAP-3"), flags, comment, tool_map=())
    comment = "The same map again."
    yield replaced("same", TOOLS, TOOLS, clauses, flags, comment, tool_map=TOOLS.tool_map)
    raw = ((b"\0\xff", bytes(range(256))), (b"i" * 256, b"\n"))
    comment = "Ids and blocks of any bytes, an id of 256 among them."
    yield replaced("raw-bytes", PLAIN, replace(PLAIN, tool_map=raw), clauses, ("text-bytes",), comment, tool_map=raw)
    damaged = File(flags=1, behind=tool_map_section(tool_entry((b"c1", b"<t/>")), version=2))
    comment = "A damaged map is replaced as a whole."
    clauses = ("KVC-TOOLMAP-6", "KVS-TOOLMAP-1")
    flags = ("damaged-tool-map",)
    yield replaced("damaged", damaged, with_map, clauses, flags, comment)
    yield replaced("damaged-drop", damaged, PLAIN, clauses, flags, "A damaged map is dropped.", tool_map=None)
    missing = File(flags=1)
    yield replaced("missing", missing, with_map, clauses, flags, "Bit 0 is set and there is no map: it gets one.")


def _preserved() -> Cases:
    title = ("KVS-TOOLMAP-1", "KVC-TITLE-2")
    comment = "The title behind the map is kept, and the name with it."
    yield replaced("session", EXAMPLE, replace(EXAMPLE, tool_map=NEW), title, KEPT, comment)
    comment = "A session gets a map before its title."
    yield replaced("session-add", SESSION, replace(SESSION, tool_map=NEW), title, KEPT, comment)
    comment = "A session loses its map; the title moves to the end of the payload."
    yield replaced("session-drop", EXAMPLE, replace(EXAMPLE, tool_map=None), title, KEPT, comment, tool_map=None)
    used = File(hits=77, last_used=5, created=2**64 - 1, reason=200, flags=6)
    after = replace(used, tool_map=NEW, flags=7)
    clauses: Ids = ("KVS-TOOLMAP-2", "KVC-HEADER-4", "KVC-HEADER-7")
    comment = "Hits, times, an unknown reason and the visible keys are kept."
    yield replaced("counts", used, after, clauses, KEPT, comment)
    forked = File(byte7=9, byte20=9, reserved=b"\x01\x02\x03")
    clauses = ("KVS-TOOLMAP-1", "KVC-HEADER-9", "KVC-HEADER-13", "KVC-HEADER-14")
    comment = "Told ds4-abi0: bytes 7 and 20 to 23 are kept."
    after = replace(forked, tool_map=NEW)
    yield replaced("fork", forked, after, clauses, KEPT, comment, profile="ds4-abi0")
    abi3 = File(byte7=200, byte20=3)
    comment = "Model id and payload ABI are kept."
    yield replaced("abi3", abi3, replace(abi3, tool_map=NEW), clauses, KEPT, comment, profile="ds4-abi3")
    stripped = File(title=b"Demo", payload=b"")
    comment = "A stripped session stays stripped."
    after = replace(stripped, tool_map=NEW)
    yield replaced("stripped", stripped, after, ("KVS-TOOLMAP-1", "KVC-PAYLOAD-2"), ("stripped",), comment)
    fixed = b"sysprompt.kv"
    after = replace(PLAIN, tool_map=NEW)
    clauses = ("KVS-TOOLMAP-1", "KVC-NAME-4")
    yield replaced("fixed", PLAIN, after, clauses, ("fixed-name",), "The fixed name.", name=fixed)
    comment = "The entry is spelled in upper case: an update keeps its name."
    clauses = ("KVS-TOOLMAP-1", "KVC-NAME-2")
    yield replaced("upper", PLAIN, after, clauses, ("hex-case",), comment, name=UPPER)
    large = File(payload=bytes(range(256)) * 64, text=b"x" * 5000)
    comment = "A payload of 16 KiB behind a text of 5,000 bytes is copied as it is."
    yield replaced("payload", large, replace(large, tool_map=NEW), ("KVS-TOOLMAP-1", "KVC-PAYLOAD-1"), KEPT, comment)


def _unknown() -> Cases:
    """Bytes behind the last section: dropped, unless an unknown flag may have announced them (KVC-FILE-5)."""
    clauses = ("KVC-FILE-5", "KVS-TOOLMAP-1")
    flags: Ids = ("trailing-bytes",)
    behind = replace(TOOLS, behind=b"left over")
    comment = "No unknown flag is set: bytes behind the last section are dropped."
    yield replaced("trailing", behind, replace(PLAIN, tool_map=NEW), clauses, flags, comment)
    yield replaced("trailing-drop", behind, PLAIN, clauses, flags, "The same where the map is dropped.", tool_map=None)
    flags = ("unknown-flags", "trailing-bytes")
    for bit in (16, 128):
        known = replace(TOOLS, flags=bit | 1, behind=b"a section that nobody knows")
        after = replace(known, tool_map=NEW)
        comment = f"Flag {bit} is set: the bytes behind the last known section are copied behind the new map."
        yield replaced(f"unknown-{bit}", known, after, clauses, flags, comment)
        dropped = replace(known, tool_map=None, flags=bit)
        comment = f"Flag {bit} is set and the map is dropped: the bytes behind it are kept."
        yield replaced(f"unknown-{bit}-drop", known, dropped, clauses, flags, comment, tool_map=None)
    session = replace(EXAMPLE, flags=0x49, behind=b"\0\1\2")
    after = replace(session, tool_map=NEW)
    comment = "Flag 64 is set on a session: the bytes behind the title are kept."
    yield replaced("unknown-session", session, after, clauses, flags, comment)
    alone = File(flags=32, behind=b"KTM\1\1\0\0\0")
    after = replace(alone, flags=33, tool_map=NEW)
    comment = "Flag 32 is set and what stands behind looks like a tool map that no bit announces: it is kept."
    yield replaced("unknown-like-a-map", alone, after, (*clauses, "KVC-TOOLMAP-7"), flags, comment)
    damaged = File(flags=33, behind=b"KTM\2\0\0\0\0and something")
    broken = Broken("KVC-FILE-5", None)
    comment = "Flag 32 is set and the map is damaged: where its section would start is not known."
    flags = ("unknown-flags", "refusal")
    yield replaced("unknown-damaged", damaged, None, ("KVC-FILE-5", "KVC-TOOLMAP-6"), flags, comment, broken=broken)
    yield replaced(
        "unknown-damaged-drop",
        damaged,
        None,
        ("KVC-FILE-5", "KVC-TOOLMAP-6"),
        flags,
        "The same where the map is to be dropped.",
        broken=broken,
        tool_map=None,
    )


def _refused() -> Cases:
    flags = ("refusal",)
    for slug, tool, named, clause in (
        ("id-empty", (b"", b"<t/>"), "id_bytes", "KVC-TOOLMAP-4"),
        ("id-257", (b"i" * 257, b"<t/>"), "id_bytes", "KVC-TOOLMAP-4"),
        ("block-empty", (b"c1", b""), "block_bytes", "KVC-TOOLMAP-5"),
    ):
        comment = f"The second entry of the new map breaks a limit: {slug.replace('-', ' ')}. The old map stays."
        tools = ((b"c0", b"<s/>"), tool)
        broken = Broken(clause, f"tool_map.entries[1].{named}")
        clauses: Ids = (clause, "KVC-WRITER-3")
        yield replaced(f"refused-{slug}", TOOLS, None, clauses, flags, comment, tool_map=tools, broken=broken)
    for slug, file, broken in (
        ("magic", File(magic=b"KVD"), reading.MAGIC),
        ("version", File(version=2), reading.VERSION),
        ("tokens", File(tokens=0), reading.TOKENS),
        ("cut", File(payload_bytes=5), reading.PAYLOAD_CUT),
        ("profile", File(byte20=9), reading.AUTO_PROFILE),
        ("identity", File(text=b"Hello, KVB"), reading.TEXT_NAME),
        ("title-cut", File(flags=8, behind=title_section(b"Demo")[:-1]), reading.TITLE_CUT),
        (
            "map-before-title",
            File(flags=9, behind=b"KTM\2\0\0\0\0" + title_section(b"Demo")),
            reading.no_title("version"),
        ),
    ):
        comment = f"The entry is rejected as {broken.category}: it is not updated."
        clauses = (broken.clause, "KVS-TOOLMAP-1")
        yield replaced(f"refused-{slug}", file, None, clauses, flags, comment, name=LOWER, broken=broken)
    for kind, target in (("fifo", None), ("directory", None), ("symlink", b"nowhere"), ("symlink", b"good")):
        slug = kind if target is None else f"symlink-{target.decode()}"
        items = (Item(name=LOWER, kind=kind, target=target), Item(name=b"good", data=PLAIN.data), BESIDE)
        yield Case(
            operation="replace-tool-map",
            slug=f"refused-{slug}",
            comment=f"What has the name of the entry is no regular file: {slug.replace('-', ', ')}.",
            clauses=("KVC-NAME-7", "KVS-TOOLMAP-1"),
            flags=("not-regular",),
            given=Folder(items=items, name=LOWER),
            broken=reading.NOT_REGULAR,
            seconds=reading.HOSTILE_SECONDS,
        )
    comment = "The profile that was told rejects the entry: it is not updated."
    abi3 = File(byte20=3)
    clauses = ("KVC-PROFILE-3", "KVS-TOOLMAP-1")
    yield replaced(
        "refused-profile-told",
        abi3,
        None,
        clauses,
        ("profile", "refusal"),
        comment,
        broken=reading.TOLD_PROFILE,
        profile="ds4-abi2",
    )
