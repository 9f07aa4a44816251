"""What a recovery removes, and all that it leaves (KVS-RECOVER)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tools.cases.case import Case, Cases, Folder, Ids, Item, Items, escaped
from tools.cases.kvc import EXAMPLE, PLAIN, File
from tools.cases.listing import LOWER, UPPER, entry
from tools.cases.reading import HOSTILE_SECONDS

DIGITS = b"0123456789abcdef" * 2
SAVE = b".kvc-save-" + DIGITS + b".tmp"
STAGE = b".kvc-stage-" + DIGITS + b".tmp"
OTHER_SAVE = b".kvc-save-" + b"f" * 32 + b".tmp"


def recovered(
    slug: str,
    items: tuple[Item, ...],
    clauses: tuple[str, ...],
    flags: tuple[str, ...],
    comment: str,
    *,
    removed: tuple[bytes, ...] = (),
    temps: tuple[bytes, ...] = (),
    **more: Any,
) -> Case:
    """A directory, the temp files that are removed, and those that are left."""
    return Case(
        operation="recover",
        slug=slug,
        comment=comment,
        clauses=clauses,
        flags=flags,
        given=Folder(items=items),
        view={"removed": sorted(map(escaped, removed)), "temps": sorted(map(escaped, temps))},
        **more,
    )


def temp(name: bytes, **more: Any) -> Item:
    """A file with the start of an entry in it."""
    return Item(name=name, data=PLAIN.data[:40], **more)


def cases() -> Cases:
    """All of the family."""
    yield from _orphans()
    yield from _live()
    yield from _names()
    yield from _kinds()
    yield from _foreign()
    yield from _entries()


def _orphans() -> Cases:
    flags: Ids = ("orphan",)
    clauses = ("KVS-RECOVER-2", "KVS-TEMP-1")
    yield recovered("empty", (), ("KVS-RECOVER-2",), ("baseline",), "An empty directory.")
    yield recovered("save", (temp(SAVE),), clauses, flags, "A temp file of a dead writer.", removed=(SAVE,))
    yield recovered("stage", (temp(STAGE),), clauses, flags, "A staged file of a dead writer.", removed=(STAGE,))
    several = (SAVE, STAGE, OTHER_SAVE)
    items = (*map(temp, several), entry(PLAIN))
    yield recovered("several", items, clauses, flags, "Several of them beside an entry.", removed=several)
    comment = "A temp file without a byte."
    yield recovered("no-bytes", (Item(name=SAVE, data=b""),), clauses, flags, comment, removed=(SAVE,))
    comment = "A temp file that is complete and was not published."
    yield recovered("complete", (entry(EXAMPLE, SAVE),), clauses, flags, comment, removed=(SAVE,))
    comment = "A temp file of 1 TiB, in a hole."
    huge = temp(SAVE, extend_to_bytes=2**40)
    flags = ("orphan", "huge-file")
    yield recovered("huge", (huge,), clauses, flags, comment, removed=(SAVE,), seconds=HOSTILE_SECONDS)


def _live() -> Cases:
    flags = ("live-writer",)
    clauses = ("KVS-RECOVER-2",)
    seconds = HOSTILE_SECONDS
    live = temp(SAVE, locked=True)
    comment = "A living writer holds the lock of its temp file: recovery neither removes it nor waits."
    yield recovered("live-save", (live,), clauses, flags, comment, temps=(SAVE,), seconds=seconds)
    comment = "A living writer's staged file."
    yield recovered("live-stage", (temp(STAGE, locked=True),), clauses, flags, comment, temps=(STAGE,), seconds=seconds)
    comment = "A living writer's temp file between two of dead ones."
    items: Items = (temp(STAGE), live, temp(OTHER_SAVE))
    removed = (STAGE, OTHER_SAVE)
    yield recovered("live-between", items, clauses, flags, comment, removed=removed, temps=(SAVE,), seconds=seconds)
    comment = "An entry is locked, as by a touch: that is no business of a recovery."
    items = (entry(PLAIN, locked=True), temp(SAVE))
    yield recovered("locked-entry", items, clauses, flags, comment, removed=(SAVE,), seconds=seconds)


def _names() -> Cases:
    clauses = ("KVS-RECOVER-3", "KVS-TEMP-1")
    for slug, name, said in (
        ("31-digits", SAVE.replace(b"0", b"", 1), "31 digits"),
        ("33-digits", SAVE.replace(b"0", b"00", 1), "33 digits"),
        ("upper", SAVE.replace(DIGITS, DIGITS.upper()), "digits in upper case"),
        ("not-hex", SAVE.replace(b"0", b"g"), "a digit that is not hexadecimal"),
        ("no-dot", SAVE[1:], "no dot before"),
        ("two-dots", b"." + SAVE, "two dots before"),
        ("other-purpose", SAVE.replace(b"save", b"load"), "another purpose"),
        ("suffix-upper", SAVE.replace(b".tmp", b".TMP"), "its suffix in upper case"),
        ("suffix-more", SAVE + b"~", "a tilde behind"),
        ("suffix-none", SAVE.removesuffix(b".tmp"), "no suffix"),
        ("newline", SAVE + b"\n", "a newline behind"),
        ("not-utf8", SAVE.replace(b"0", b"\xff", 1), "a byte that is not UTF-8"),
        ("wide-digit", SAVE.replace(b"0", "\uff10".encode(), 1), "a digit of another script"),
        ("plain-tmp", b"notes.tmp", "only the suffix"),
        ("prefix-only", b".kvc-save-.tmp", "no digits"),
    ):
        comment = f"The name has almost the form of a temp file: {said}. It is left, and is no temp file."
        yield recovered(
            f"name-{slug}", (temp(name), temp(OTHER_SAVE)), clauses, ("near-temp-name",), comment, removed=(OTHER_SAVE,)
        )


def _kinds() -> Cases:
    flags = ("not-regular",)
    clauses = ("KVS-RECOVER-4",)
    good = entry(PLAIN)
    for kind, target, slug, said in (
        ("directory", None, "directory", "a directory"),
        ("fifo", None, "fifo", "a FIFO"),
        ("symlink", b"nowhere", "symlink-dangling", "a symbolic link to nothing"),
        ("symlink", LOWER, "symlink-entry", "a symbolic link to an entry"),
        ("symlink", OTHER_SAVE, "symlink-temp", "a symbolic link to a temp file"),
        ("symlink", b"/dev/zero", "symlink-device", "a symbolic link to a device"),
    ):
        comment = f"What has the name of a temp file is {said}: it is left, and what it leads to as well."
        items = (Item(name=SAVE, kind=kind, target=target), good, temp(OTHER_SAVE))
        yield recovered(
            f"kind-{slug}",
            items,
            clauses,
            flags,
            comment,
            removed=(OTHER_SAVE,),
            temps=(SAVE,),
            seconds=HOSTILE_SECONDS,
        )


def _foreign() -> Cases:
    flags = ("foreign-temp",)
    clauses = ("KVS-RECOVER-5", "KVS-RECOVER-3")
    reports = ("foreign-temps", "reported")
    for slug, name in (
        ("pid", LOWER + b".tmp.1234"),
        ("bare", LOWER + b".tmp"),
        ("upper", UPPER + b".tmp.1"),
        ("fixed", b"sysprompt.kv.tmp.99"),
        ("newline", LOWER + b".tmp.\n"),
        ("not-utf8", LOWER + b".tmp.\xff"),
    ):
        comment = "A temp file of another program is reported and left."
        yield recovered(f"foreign-{slug}", (temp(name),), clauses, flags, comment, temps=(name,), behaviour=reports)
    name = LOWER + b".tmp.1234"
    comment = "Whatever a recovery says of the temp files of other programs, it removes its own."
    both = recovered("foreign-beside", (temp(name), temp(SAVE)), clauses, flags, comment)
    yield replace(both, view={"removed": [escaped(SAVE)]})
    aged = ("foreign-temps-by-age", "removed")
    age = {"foreign_older_than_seconds": "0"}
    comment = "An age of 0 seconds is told: the temp file of another program is removed."
    yield recovered(
        "foreign-aged", (temp(name),), clauses, flags, comment, removed=(name,), arguments=age, behaviour=aged
    )
    comment = "The same, and the file is locked: it is left."
    locked = temp(name, locked=True)
    yield recovered(
        "foreign-aged-locked", (locked,), clauses, flags, comment, temps=(name,), arguments=age, behaviour=aged
    )
    comment = "An age of a day is told, and the file was written now: it is left."
    day = {"foreign_older_than_seconds": "86400"}
    yield recovered(
        "foreign-young", (temp(name),), clauses, flags, comment, temps=(name,), arguments=day, behaviour=aged
    )


def _entries() -> Cases:
    flags: Ids = ("damaged-candidate",)
    clauses = ("KVS-RECOVER-3",)
    for slug, data, said in (
        ("good", PLAIN.data, "good"),
        ("cut", PLAIN.data[:60], "cut off"),
        ("no-bytes", b"", "without a byte"),
        ("version", File(version=2).data, "of another version"),
        ("zeros", bytes(66), "of zeros"),
    ):
        comment = f"An entry that is {said} stays, whatever a reader says of it."
        items = (Item(name=LOWER, data=data), temp(SAVE))
        yield recovered(f"entry-{slug}", items, clauses, flags, comment, removed=(SAVE,))
    others = (
        Item(name=b"notes.txt", data=b"mine"),
        Item(name=b".hidden", data=b""),
        Item(name=b"core", data=b"x"),
        Item(name=b"sub", kind="directory"),
        Item(name=b"pipe", kind="fifo"),
    )
    comment = "Files of other names stay, whatever they are."
    flags = ("near-temp-name",)
    yield recovered("others", (*others, temp(SAVE)), clauses, flags, comment, removed=(SAVE,), seconds=HOSTILE_SECONDS)
