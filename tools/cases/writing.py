"""What a writer stores, byte for byte, and what it refuses (KVC-WRITER)."""

from __future__ import annotations

from typing import Any

from tools.cases.case import Broken, Case, Cases, Ids, Save, escaped
from tools.cases.kvc import EXAMPLE, PLAIN, SIZE_MAX, TITLE_BYTES_MAX, TOOLS, File, blob

UNTOLD = ("byte20", "reserved", "version")
"""Fields of the header that follow from the profile and are nobody's to give."""


def wanted(file: File, *leave_out: str) -> dict[str, Any]:
    """The view of what is to be saved, with contents; `leave_out` are fields that the caller does not give."""
    header = {key: value for key, value in file.header_view().items() if key not in (*UNTOLD, *leave_out)}
    tools = file.tool_map
    return {
        "header": header,
        "text": content(file.text),
        "payload": blob(file.payload),
        "tool_map": None if tools is None else [{"id": content(one), "block": content(block)} for one, block in tools],
        "title": None if file.title is None else content(file.title),
    }


def content(data: bytes) -> dict[str, str]:
    """A byte string as a writer is given it."""
    return {**blob(data), "content": escaped(data)}


def stored(
    slug: str,
    file: File,
    clauses: tuple[str, ...],
    flags: tuple[str, ...],
    comment: str,
    *leave_out: str,
    profile: str = "ds4-abi0",
    fixed: bytes | None = None,
    **more: Any,
) -> Case:
    """An entry that a writer stores as the bytes of `file`."""
    return Case(
        operation="write",
        slug=slug,
        comment=comment,
        clauses=clauses,
        flags=flags,
        profile=profile,
        given=Save(view=wanted(file, *leave_out), payload=file.payload, name=fixed),
        view={"name": escaped(file.name if fixed is None else fixed)},
        output=file.data,
        **more,
    )


def refused(
    slug: str,
    view: dict[str, Any],
    clause: str,
    field: str | None,
    comment: str,
    *,
    payload: bytes = PLAIN.payload,
    profile: str = "ds4-abi0",
    **more: Any,
) -> Case:
    """An entry that a writer refuses."""
    return Case(
        operation="write",
        slug=f"refused-{slug}",
        comment=comment,
        clauses=(clause, "KVC-WRITER-5"),
        flags=("refusal",),
        profile=profile,
        given=Save(view=view, payload=payload),
        broken=Broken(clause, field),
        **more,
    )


def cases() -> Cases:
    """All of the family."""
    yield from _shapes()
    yield from _fields()
    yield from _defaults()
    yield from _refused_fields()
    yield from _refused_parts()


def _shapes() -> Cases:
    flags = ("exact-bytes",)
    order = ("KVC-FILE-2", "KVC-WRITER-1")
    yield stored("plain", PLAIN, ("KVC-FILE-2", "KVC-FILE-1", "KVC-NAME-1"), flags, "Header, text, payload.")
    yield stored("tool-map", TOOLS, ("KVC-HEADER-6", *order), flags, "With a tool map.")
    session = File(title=b"Demo", reason=6)
    yield stored("session", session, ("KVC-HEADER-8", "KVC-NAME-3", *order), flags, "With a title.")
    yield stored("example", EXAMPLE, ("KVC-FILE-2", "KVC-TITLE-2", "KVC-NAME-3"), flags, "The file of kvc.md, 4.6.")
    abi2 = File(byte7=5, byte20=2)
    clauses: Ids = ("KVC-PROFILE-1", "KVC-HEADER-9", "KVC-HEADER-13")
    yield stored("abi2", abi2, clauses, ("profile",), "Profile ds4-abi2, model 5.", profile="ds4-abi2")
    abi3 = File(byte7=255, byte20=3)
    yield stored("abi3", abi3, clauses, ("profile",), "Profile ds4-abi3, model 255.", profile="ds4-abi3")
    zero = File(byte7=0, byte20=2)
    yield stored("abi2-model-0", zero, clauses, ("profile",), "Profile ds4-abi2, model 0.", profile="ds4-abi2")
    empty = File(tool_map=())
    comment = "A tool map of no entries: the bit is set."
    yield stored("tool-map-empty", empty, ("KVC-HEADER-6", "KVC-TOOLMAP-3"), flags, comment)
    untitled = File(title=b"")
    yield stored("title-empty", untitled, ("KVC-HEADER-8", "KVC-TITLE-1"), flags, "An empty title: the bit is set.")
    stripped = File(title=b"Demo", payload=b"")
    yield stored("stripped", stripped, ("KVC-PAYLOAD-2",), ("stripped",), "A stripped session.")
    raw = File(text="Hi é".encode()[:-1], title=b"\xff\0", tool_map=((b"\0", b"\xc3"),))
    clauses = ("KVC-TEXT-2", "KVC-TITLE-1", "KVC-TOOLMAP-4")
    yield stored("raw-bytes", raw, clauses, ("text-bytes",), "Text, title, id and block are no UTF-8.")
    for slug, text in (
        ("nul", b"a\0b\0"),
        ("newline", b"a\r\n"),
        ("bom", b"\xef\xbb\xbfa"),
        ("all", bytes(range(256))),
    ):
        comment = "The text is stored as it was given."
        yield stored(f"text-{slug}", File(text=text), ("KVC-TEXT-2", "KVC-NAME-1"), ("text-bytes",), comment)
    payload = File(payload=bytes(range(256)) * 40)
    yield stored("payload", payload, ("KVC-PAYLOAD-1", "KVC-HEADER-17"), flags, "A payload of 10,240 bytes.")
    decoy = File(payload=b"KVC\1KTM\1")
    yield stored("payload-magic", decoy, ("KVC-PAYLOAD-1",), flags, "A payload that looks like a header.")
    fixed = b"sysprompt.kv"
    comment = "The fixed name, asked for by name."
    yield stored("fixed-name", PLAIN, ("KVC-NAME-4",), ("fixed-name",), comment, fixed=fixed)
    yield stored(
        "text-empty",
        File(text=b""),
        ("KVC-TEXT-3",),
        ("empty-text",),
        "An empty text.",
        behaviour=("empty-text", "stores"),
    )
    same = File(tool_map=((b"c1", b"first"), (b"c2", b"other"), (b"c1", b"second")))
    yield stored(
        "tool-map-same-ids",
        same,
        ("KVC-TOOLMAP-8",),
        ("duplicate-ids",),
        "Several entries have the same id: their order is kept.",
        behaviour=("duplicate-tool-ids", "stores"),
    )


def _fields() -> Cases:
    flags = ("boundary-value",)
    for field, value, clause in (
        ("quantisation_bits", 2, "KVC-HEADER-3"),
        *(("reason", reason, "KVC-HEADER-4") for reason in (0, 2, 3, 4, 5, 6)),
        *(("flags", bits, "KVC-HEADER-7") for bits in (2, 4, 6)),
        ("tokens", 1, "KVC-HEADER-10"),
        ("tokens", 2**32 - 1, "KVC-HEADER-10"),
        ("hits", 2**32 - 1, "KVC-HEADER-11"),
        ("context_tokens", 0, "KVC-HEADER-12"),
        ("context_tokens", 2**32 - 1, "KVC-HEADER-12"),
        ("created", 0, "KVC-HEADER-15"),
        ("created", 2**64 - 1, "KVC-HEADER-15"),
        ("last_used", 0, "KVC-HEADER-16"),
        ("last_used", 2**64 - 1, "KVC-HEADER-16"),
    ):
        file = PLAIN.holding(field, value)
        comment = f"header.{field} is {value}."
        yield stored(f"{field.replace('_', '-')}-{value}", file, (clause,), flags, comment)
    keys = File(flags=15, tool_map=((b"c1", b"<t/>"),), title=b"Demo")
    yield stored("flags-15", keys, ("KVC-HEADER-7", "KVC-WRITER-1"), flags, "Both visible keys, tool map and title.")
    longest = File(tool_map=((b"i" * 256, b"b"),))
    yield stored("tool-id-256", longest, ("KVC-TOOLMAP-4",), flags, "An id of 256 bytes.")
    titled = File(title=b"t" * TITLE_BYTES_MAX)
    yield stored("title-65536", titled, ("KVC-TITLE-3", "KVC-WRITER-3"), flags, "A title of 65,536 bytes.")
    comment = "A writer that was told a limit of 10 bytes stores a text of 10."
    limit = {"text_bytes_max": "10"}
    yield stored("limit-told-equal", PLAIN, ("KVC-LIMIT-3",), ("told-limit",), comment, arguments=limit)


def _defaults() -> Cases:
    flags = ("writer-defaults",)
    clauses: Ids = ("KVC-WRITER-4", "KVC-HEADER-11")
    yield stored("default-hits", PLAIN, clauses, flags, "Hits are not given: 0.", "hits")
    clauses = ("KVC-WRITER-4", "KVC-HEADER-16")
    created = File(created=5, last_used=5)
    yield stored("default-last-used", created, clauses, flags, "The last use is not given: created.", "last_used")
    comment = "Neither hits nor last use of a session are given."
    session = File(title=b"Demo", created=2**63, last_used=2**63)
    yield stored("default-session", session, ("KVC-WRITER-4",), flags, comment, "hits", "last_used")


def _refused_fields() -> Cases:
    for field, value, clause in (
        *(("quantisation_bits", bits, "KVC-HEADER-3") for bits in (0, 3, 8, 256 + 4)),
        *(("reason", reason, "KVC-HEADER-4") for reason in (7, 255, 256)),
        *(("flags", bits, "KVC-HEADER-5") for bits in (16, 32, 64, 128)),
        ("byte7", 1, "KVC-HEADER-9"),
        ("tokens", 0, "KVC-HEADER-10"),
        ("tokens", 2**32, "KVC-HEADER-10"),
        ("tokens", 2**32 + 2, "KVC-HEADER-10"),
        ("hits", 2**32, "KVC-HEADER-11"),
        ("context_tokens", 2**32, "KVC-HEADER-12"),
        ("created", 2**64, "KVC-HEADER-15"),
        ("last_used", 2**64, "KVC-HEADER-16"),
    ):
        view = wanted(PLAIN)
        view["header"][field] = str(value)
        comment = f"header.{field} is {value}."
        yield refused(f"{field.replace('_', '-')}-{value}", view, clause, f"header.{field}", comment)
    view = wanted(PLAIN)
    view["header"]["byte7"] = "256"
    comment = "A model id of 256 under ds4-abi2."
    yield refused("byte7-256-abi2", view, "KVC-HEADER-9", "header.byte7", comment, profile="ds4-abi2")


def _refused_parts() -> Cases:
    field = "header.payload_bytes"
    comment = "A payload of no bytes, without a title."
    yield refused("payload-empty", wanted(File(payload=b"")), "KVC-PAYLOAD-2", field, comment, payload=b"")
    view = wanted(File(payload_bytes=5))
    comment = "The payload ends one byte before the size that was predicted."
    yield refused("payload-short", view, "KVC-WRITER-2", None, comment)
    view = wanted(File(payload_bytes=3))
    comment = "The payload goes on after the size that was predicted."
    yield refused("payload-long", view, "KVC-WRITER-2", None, comment)
    for value in (SIZE_MAX - 61, 2**63, 2**64 - 62, 2**64 - 1):
        view = wanted(File(payload_bytes=value))
        comment = f"A payload of {value} bytes is predicted: no file can have the sum."
        yield refused(f"payload-bytes-{value}", view, "KVC-FILE-4", field, comment)
    for slug, tool, named, clause in (
        ("id-empty", (b"", b"<t/>"), "id_bytes", "KVC-TOOLMAP-4"),
        ("id-257", (b"i" * 257, b"<t/>"), "id_bytes", "KVC-TOOLMAP-4"),
        ("block-empty", (b"c1", b""), "block_bytes", "KVC-TOOLMAP-5"),
    ):
        comment = f"The second entry of the tool map breaks a limit: {slug.replace('-', ' ')}."
        view = wanted(File(tool_map=((b"c0", b"<s/>"), tool)))
        yield refused(f"tool-{slug}", view, clause, f"tool_map.entries[1].{named}", comment)
    comment = "A title of 65,537 bytes: it is not cut to fit."
    long = wanted(File(title=b"t" * (TITLE_BYTES_MAX + 1)))
    yield refused("title-65537", long, "KVC-TITLE-3", "title_bytes", comment)
    comment = "A text of 10 bytes for a writer that was told a limit of 9."
    limit = {"text_bytes_max": "9"}
    yield refused("text-limit-told", wanted(PLAIN), "KVC-LIMIT-3", "text_bytes", comment, arguments=limit)
    comment = "Text and payload fit a file, and the title does not: for a writer the sum includes the sections."
    view = wanted(File(payload_bytes=SIZE_MAX - 62 - 7, title=b"Demo"))
    yield refused("sum-with-sections", view, "KVC-FILE-4", field, comment)
