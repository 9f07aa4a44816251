"""Updates in place: hits and last use, and not one other byte (KVS-TOUCH)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tools.cases import reading
from tools.cases.case import Broken, Case, Cases, Folder, Ids, Item
from tools.cases.kvc import EXAMPLE, PLAIN, SESSION, TEXT_BYTES_MAX, TOOLS, File, title_section
from tools.cases.listing import LOWER, UPPER, entry

LATER = 1_800_000_000
BESIDE = entry(File(text=b"other", hits=3))
"""Another entry, which no touch changes."""


def touched(
    slug: str,
    file: File,
    clauses: tuple[str, ...],
    flags: tuple[str, ...],
    comment: str,
    *,
    name: bytes | None = None,
    added: int = 1,
    last_used: int = LATER,
    hits: int | None = None,
    **more: Any,
) -> Case:
    """An entry whose hits and last use change; `hits` are those afterwards where they are not the sum."""
    name = file.name if name is None else name
    after = replace(file, hits=file.hits + added if hits is None else hits, last_used=last_used)
    return Case(
        operation="touch",
        slug=slug,
        comment=comment,
        clauses=clauses,
        flags=flags,
        given=Folder(items=(entry(file, name), BESIDE), name=name),
        output=after.data,
        arguments={"hits_added": str(added), "last_used": str(last_used)},
        **more,
    )


def refused(
    slug: str, item: Item, broken: Broken, comment: str, *beside: Item, flag: str = "refusal", **more: Any
) -> Case:
    """A file that is no entry to a reader at steps 0 to 9: touch rejects it as a reader does."""
    name = item.name or b""
    return Case(
        operation="touch",
        slug=f"refused-{slug}",
        comment=comment,
        clauses=("KVS-TOUCH-2", broken.clause),
        flags=(flag,),
        given=Folder(items=(item, BESIDE, *beside), name=name),
        broken=broken,
        arguments={"hits_added": "1", "last_used": str(LATER)},
        seconds=reading.HOSTILE_SECONDS,
        **more,
    )


def cases() -> Cases:
    """All of the family."""
    yield from _counts()
    yield from _preserved()
    yield from _refused()


def _counts() -> Cases:
    flags: Ids = ("mutable-fields",)
    clauses: Ids = ("KVS-TOUCH-1", "KVC-HEADER-11", "KVC-HEADER-16")
    yield touched("plain", PLAIN, clauses, flags, "One hit more, used now.")
    yield touched("no-hits", PLAIN, clauses, flags, "No hit more, only the last use.", added=0)
    yield touched("many", PLAIN, clauses, flags, "A thousand hits more.", added=1000)
    yield touched("earlier", PLAIN, clauses, flags, "The last use is set to an earlier time.", last_used=1)
    yield touched("zero", PLAIN, clauses, flags, "The last use is set to 0.", last_used=0)
    yield touched("largest-time", PLAIN, clauses, flags, "The last use is set to 2^64-1.", last_used=2**64 - 1)
    carried = File(hits=0x00FFFFFF)
    yield touched("carry", carried, clauses, flags, "The sum carries into the highest byte.")
    flags = ("saturation",)
    clauses = ("KVC-HEADER-11", "KVS-TOUCH-3")
    full = 2**32 - 1
    for slug, before, added, said in (
        ("full", full, 1, "stays at 2^32-1"),
        ("reaches", full - 1, 1, "reaches 2^32-1"),
        ("over", full - 1, 2, "would wrap to 0"),
        ("far-over", 2**31, 2**32 - 1, "would wrap to half of it"),
        ("wide", 7, 2**32, "adds what does not fit the field"),
        ("full-none", full, 0, "adds nothing to 2^32-1"),
    ):
        comment = f"The hit count {said}."
        file = File(hits=before)
        yield touched(f"hits-{slug}", file, clauses, flags, comment, added=added, hits=min(full, before + added))


def _preserved() -> Cases:
    flags = ("preserved-bytes",)
    clauses: Ids = ("KVS-TOUCH-3", "KVC-HEADER-14")
    reserved = File(reserved=b"\xaa\xbb\xcc")
    yield touched("reserved", reserved, clauses, flags, "Bytes 21 to 23 are kept.")
    clauses = ("KVS-TOUCH-3", "KVC-HEADER-9", "KVC-HEADER-13")
    forked = File(byte7=9, byte20=9, reserved=b"\x01\x02\x03")
    comment = "Told ds4-abi0: bytes 7 and 20 to 23 are kept."
    yield touched("fork", forked, clauses, flags, comment, profile="ds4-abi0")
    abi2 = File(byte7=200, byte20=2)
    yield touched("abi2", abi2, clauses, flags, "Model id and payload ABI are kept.", profile="ds4-abi2")
    unknown = File(flags=0xF6, reason=200, behind=b"a section of an unknown bit")
    clauses = ("KVS-TOUCH-3", "KVC-HEADER-4", "KVC-HEADER-5", "KVC-FILE-5")
    yield touched("unknown-flags", unknown, clauses, flags, "Unknown flags, reason and bytes behind are kept.")
    clauses = ("KVS-TOUCH-3",)
    every = File(context_tokens=0x01020304, created=0x0102030405060708, last_used=0x1112131415161718)
    yield touched("neighbours", every, clauses, flags, "Context size and creation time between the two are kept.")
    behind = File(behind=b"left over")
    yield touched("trailing", behind, ("KVS-TOUCH-3", "KVC-FILE-5"), flags, "Bytes behind the last section are kept.")
    yield touched("example", EXAMPLE, clauses, flags, "A session with tool map and title: its name stays right.")
    comment = "A stripped session."
    yield touched("stripped", File(title=b"Demo", payload=b""), clauses, ("stripped",), comment)
    yield touched("tool-map", TOOLS, clauses, flags, "An entry with a tool map.")
    fixed = b"sysprompt.kv"
    yield touched("fixed", PLAIN, ("KVS-TOUCH-1",), ("fixed-name",), "The fixed name.", name=fixed)
    comment = "The entry is spelled in upper case, and keeps its name."
    yield touched("upper", PLAIN, ("KVS-TOUCH-1", "KVC-NAME-2"), ("hex-case",), comment, name=UPPER)
    damaged = File(flags=1, behind=b"KTM\2\0\0\0\0")
    comment = "A damaged tool map rejects nothing, and is kept as it is."
    yield touched("map-damaged", damaged, ("KVC-TOOLMAP-6", "KVS-TOUCH-3"), ("damaged-tool-map",), comment)


def _refused() -> Cases:
    for slug, data, broken in (
        ("empty-file", b"", reading.HEADER),
        ("51-bytes", PLAIN.data[:51], reading.HEADER),
        ("text-cut", PLAIN.data[:60], reading.TEXT_CUT),
        ("payload-cut", PLAIN.data[:-1], reading.PAYLOAD_CUT),
        ("magic", File(magic=b"KVD").data, reading.MAGIC),
        ("version", File(version=2).data, reading.VERSION),
        ("quantisation", File(quantisation_bits=3).data, reading.QUANTISATION),
        ("tokens", File(tokens=0).data, reading.TOKENS),
        ("profile-auto", File(byte20=9).data, reading.AUTO_PROFILE),
        ("sum", File(payload_bytes=2**64 - 1).data, reading.SUM),
    ):
        comment = f"The file is rejected as {broken.category}, and is left as it is."
        yield refused(slug, Item(name=LOWER, data=data), broken, comment)
    comment = "The profile that was told rejects the entry: it is not updated."
    item = entry(File(byte20=3))
    yield refused("profile-told", item, reading.TOLD_PROFILE, comment, flag="profile", profile="ds4-abi2")
    head = File(text=b"", text_bytes=TEXT_BYTES_MAX + 1, payload=b"", payload_bytes=4).head
    long = Item(name=LOWER, data=head, extend_to_bytes=TEXT_BYTES_MAX + 57)
    comment = "A text over the limit, in a hole."
    yield refused("text-limit", long, reading.TEXT_LIMIT, comment, flag="huge-file")
    for kind, target in (("fifo", None), ("directory", None), ("symlink", b"nowhere"), ("symlink", b"good")):
        slug = kind if target is None else f"symlink-{target.decode()}"
        item = Item(name=LOWER, kind=kind, target=target)
        comment = f"What has the name of the entry is no regular file: {slug.replace('-', ', ')}."
        good = entry(PLAIN, b"good")
        yield refused(slug, item, reading.NOT_REGULAR, comment, good, flag="not-regular")
    cut = File(flags=8, behind=title_section(b"Demo")[:-1])
    comment = "The title is cut, which a touch does not look at: it rejects at steps 0 to 9."
    yield touched("title-cut", cut, ("KVS-TOUCH-2",), ("damaged-title",), comment, name=SESSION.name)
