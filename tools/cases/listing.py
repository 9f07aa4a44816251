"""What a lister says of a directory: steps 0 to 9 of spec/kvc.md, 1.4, and no more (KVC-NAME-5 to KVC-NAME-7)."""

from __future__ import annotations

from typing import Any

from tools.cases.case import Case, Cases, Folder, Ids, Item, Items, escaped
from tools.cases.kvc import EXAMPLE, PLAIN, SESSION, TEXT_BYTES_MAX, File, text_name, title_section
from tools.cases.reading import HOSTILE_SECONDS

LOWER = PLAIN.name
UPPER = PLAIN.name[:40].upper() + b".kv"
MIXED = PLAIN.name[:20].upper() + PLAIN.name[20:]
"""Sorts behind the name in upper case and before the one in lower case."""

Rejected = tuple[tuple[bytes, str], ...]
"""Names, each with the category."""


def entry(file: File, name: bytes | None = None, **more: Any) -> Item:
    """A file under the name that its content calls for, or another."""
    return Item(name=file.name if name is None else name, data=file.data, **more)


def listed(
    slug: str,
    items: tuple[Item, ...],
    clause: str | tuple[str, ...],
    flags: tuple[str, ...],
    comment: str,
    *,
    entries: tuple[bytes, ...] = (),
    rejected: Rejected = (),
    **more: Any,
) -> Case:
    """A directory, its entries, and the names of entries that are none with the category."""
    named = sorted((escaped(name), category) for name, category in rejected)
    view = {
        "entries": sorted(map(escaped, entries)),
        "rejected": [{"name": name, "category": category} for name, category in named],
    }
    return Case(
        operation="list",
        slug=slug,
        comment=comment,
        clauses=(clause,) if isinstance(clause, str) else clause,
        flags=flags,
        given=Folder(items=items),
        view=view,
        **more,
    )


def cases() -> Cases:
    """All of the family."""
    yield from _shapes()
    yield from _names()
    yield from _duplicates()
    yield from _kinds()
    yield from _rejected()
    yield from _profiles()


def _shapes() -> Cases:
    baseline = ("baseline",)
    yield listed("empty", (), "KVC-NAME-5", baseline, "An empty directory.")
    yield listed("one", (entry(PLAIN),), "KVC-NAME-1", baseline, "One entry.", entries=(LOWER,))
    files = (PLAIN, SESSION, File(text=b"other"), File(text=b"third", tool_map=((b"c1", b"<t/>"),)))
    names = tuple(file.name for file in files)
    comment = "Entries of every shape, the fixed name among them."
    items = (*map(entry, files), entry(PLAIN, b"sysprompt.kv"))
    yield listed("several", items, ("KVC-NAME-1", "KVC-NAME-4"), baseline, comment, entries=(*names, b"sysprompt.kv"))
    stripped = File(payload=b"", title=b"Demo")
    comment = "A stripped session is an entry; only a lookup passes over it."
    yield listed("stripped", (entry(stripped),), "KVC-PAYLOAD-2", ("stripped",), comment, entries=(stripped.name,))
    behind = File(behind=b"left over")
    comment = "Bytes behind the last section."
    yield listed("trailing", (entry(behind),), "KVC-FILE-5", ("trailing-bytes",), comment, entries=(LOWER,))
    comment = "The title is cut. A lister reads the fixed part and no section: it shows the entry."
    cut = File(flags=8, behind=title_section(b"Demo")[:-1])
    flags: Ids = ("damaged-title",)
    yield listed("title-cut", (entry(cut, SESSION.name),), "KVC-NAME-6", flags, comment, entries=(SESSION.name,))
    comment = "The tool map is damaged: the entry is usable."
    damaged = File(flags=1, behind=b"KTM\2\0\0\0\0")
    flags = ("damaged-tool-map",)
    yield listed("map-damaged", (entry(damaged),), "KVC-TOOLMAP-6", flags, comment, entries=(LOWER,))
    huge = Item(name=LOWER, data=File(payload=b"", payload_bytes=2**42).head + PLAIN.text, extend_to_bytes=2**42 + 62)
    comment = "An entry of 4 TiB, in a hole."
    yield listed("huge", (huge,), "KVC-LIMIT-1", ("huge-file",), comment, entries=(LOWER,), seconds=HOSTILE_SECONDS)


def _names() -> Cases:
    digits = LOWER[:40]
    flags = ("not-an-entry",)
    for slug, name, said in (
        ("39-digits", digits[:39] + b".kv", "39 digits"),
        ("41-digits", digits + b"a.kv", "41 digits"),
        ("suffix-upper", digits + b".KV", "the suffix in upper case"),
        ("no-suffix", digits, "no suffix"),
        ("suffix-tmp", digits + b".kv.tmp.77", "the suffix of a temp file"),
        ("temp", b".kvc-save-" + b"0" * 32 + b".tmp", "the form of a temp file"),
        ("not-hex", b"g" + digits[1:] + b".kv", "a digit that is not hexadecimal"),
        ("newline", digits + b".kv\n", "a newline at its end"),
        ("space", digits + b".kv ", "a space at its end"),
        ("not-utf8", b"\xff" + digits[1:] + b".kv", "a byte that is not UTF-8"),
        ("fixed-upper", b"Sysprompt.kv", "the fixed name with a capital"),
        ("hidden", b"." + digits + b".kv", "a dot before"),
        ("percent", b"%41" + digits[3:] + b".kv", "a percent sign"),
        ("escape", b"\x1b[2J" + digits[4:] + b".kv", "an escape sequence"),
    ):
        comment = f"A good file whose name has {said}: no entry, and nothing is said of it."
        yield listed(f"name-{slug}", (entry(PLAIN, name),), "KVC-NAME-5", flags, comment)
    others = (Item(name=b"notes.txt", data=b""), Item(name=b"sub", kind="directory"), Item(name=b"pipe", kind="fifo"))
    comment = "Other files, a directory and a FIFO beside an entry are passed over without being opened."
    items = (entry(PLAIN), *others)
    yield listed("others", items, "KVC-NAME-5", flags, comment, entries=(LOWER,), seconds=HOSTILE_SECONDS)
    comment = "An entry in a directory of the directory is no entry of it."
    inner = Item(name=b"sub", kind="directory")
    yield listed("subdirectory", (inner,), "KVC-NAME-5", flags, comment)


def _duplicates() -> Cases:
    flags = ("duplicate-names", "hex-case")
    mismatch = "identity-mismatch"
    comment = "The only spelling of an identity is in upper case: it is the entry."
    yield listed("upper-alone", (entry(PLAIN, UPPER),), "KVC-NAME-6", flags, comment, entries=(UPPER,))
    comment = "Two spellings of one identity, both good: the lower-case one is the entry."
    items: Items = (entry(PLAIN, UPPER), entry(PLAIN, LOWER))
    yield listed("two", items, "KVC-NAME-6", flags, comment, entries=(LOWER,), rejected=((UPPER, mismatch),))
    comment = "Three spellings of one identity: the greatest in byte order is the entry."
    items = (entry(PLAIN, UPPER), entry(PLAIN, LOWER), entry(PLAIN, MIXED))
    rejected: Rejected = ((UPPER, mismatch), (MIXED, mismatch))
    yield listed("three", items, "KVC-NAME-6", flags, comment, entries=(LOWER,), rejected=rejected)
    comment = "Two spellings, neither in lower case throughout: the greater one is the entry."
    items = (entry(PLAIN, UPPER), entry(PLAIN, MIXED))
    rejected = ((UPPER, mismatch),)
    yield listed("two-mixed", items, "KVC-NAME-6", flags, comment, entries=(MIXED,), rejected=rejected)
    comment = "The lower-case spelling is cut off: the other one is the entry."
    cut = Item(name=LOWER, data=PLAIN.data[:60])
    rejected = ((LOWER, "truncated"),)
    items = (entry(PLAIN, UPPER), cut)
    yield listed("lower-cut", items, "KVC-NAME-6", flags, comment, entries=(UPPER,), rejected=rejected)
    comment = "The lower-case spelling is a FIFO: the other one is the entry."
    items = (entry(PLAIN, UPPER), Item(name=LOWER, kind="fifo"))
    rejected = ((LOWER, mismatch),)
    seconds = HOSTILE_SECONDS
    yield listed(
        "lower-fifo",
        items,
        ("KVC-NAME-6", "KVC-NAME-7"),
        flags,
        comment,
        entries=(UPPER,),
        rejected=rejected,
        seconds=seconds,
    )
    comment = "Both spellings are damaged, each in its own way."
    items = (Item(name=UPPER, data=b"KVD" + PLAIN.data[3:]), cut)
    rejected = ((UPPER, "bad-magic"), (LOWER, "truncated"))
    yield listed("both-damaged", items, "KVC-NAME-6", flags, comment, rejected=rejected)
    comment = "The upper-case spelling is damaged: what is wrong with it comes before the other spelling."
    items = (Item(name=UPPER, data=PLAIN.data[:60]), entry(PLAIN))
    rejected = ((UPPER, "truncated"),)
    yield listed("upper-cut", items, "KVC-NAME-6", flags, comment, entries=(LOWER,), rejected=rejected)


def _kinds() -> Cases:
    flags = ("not-regular",)
    for name, called in ((LOWER, "digest"), (b"sysprompt.kv", "fixed")):
        for kind, target, slug, said in (
            ("fifo", None, "fifo", "A FIFO"),
            ("directory", None, "directory", "A directory"),
            ("symlink", b"nowhere", "symlink-dangling", "A symbolic link to nothing"),
            ("symlink", b"good", "symlink-good", "A symbolic link to a good file"),
            ("symlink", name, "symlink-loop", "A symbolic link to itself"),
            ("symlink", b"/dev/zero", "symlink-device", "A symbolic link to a device"),
        ):
            others = (entry(File(text=b"other")), entry(PLAIN, b"good"))
            yield listed(
                f"{slug}-{called}",
                (Item(name=name, kind=kind, target=target), *others),
                "KVC-NAME-7",
                flags,
                f"{said} has the {called} name of an entry.",
                entries=(text_name(b"other"),),
                rejected=((name, "identity-mismatch"),),
                seconds=HOSTILE_SECONDS,
            )


def _rejected() -> Cases:
    good = entry(File(text=b"other"))
    for slug, data, category, clause in (
        ("nothing", b"", "truncated", "KVC-FILE-3"),
        ("51-bytes", PLAIN.data[:51], "truncated", "KVC-FILE-3"),
        ("short", PLAIN.data[:-1], "truncated", "KVC-FILE-3"),
        ("magic", File(magic=b"KVD").data, "bad-magic", "KVC-HEADER-1"),
        ("version", File(version=2).data, "unsupported-version", "KVC-HEADER-2"),
        ("quantisation", File(quantisation_bits=3).data, "invalid-field", "KVC-HEADER-3"),
        ("tokens", File(tokens=0).data, "invalid-field", "KVC-HEADER-10"),
        ("profile", File(byte20=9).data, "unsupported-profile", "KVC-PROFILE-2"),
        ("sum", File(payload_bytes=2**64 - 1).data, "limit", "KVC-FILE-4"),
        ("text-bytes", File(text_bytes=2**32 - 1).data, "truncated", "KVC-FILE-3"),
    ):
        comment = f"One file is rejected as {category}, and the other entry is listed."
        items = (Item(name=LOWER, data=data), good)
        flags = ("damaged-candidate",)
        rejected: Rejected = ((LOWER, category),)
        yield listed(
            f"rejected-{slug}", items, clause, flags, comment, entries=(text_name(b"other"),), rejected=rejected
        )
    head = File(text=b"", text_bytes=TEXT_BYTES_MAX + 1, payload=b"", payload_bytes=4).head
    long = Item(name=LOWER, data=head, extend_to_bytes=TEXT_BYTES_MAX + 57)
    comment = "A text over the limit, in a hole."
    yield listed(
        "rejected-text-limit",
        (long,),
        "KVC-LIMIT-3",
        ("huge-file",),
        comment,
        rejected=((LOWER, "limit"),),
        seconds=HOSTILE_SECONDS,
    )
    comment = "The fixed name does not excuse a file that is cut off."
    cut = Item(name=b"sysprompt.kv", data=EXAMPLE.data[:58])
    rejected = ((b"sysprompt.kv", "truncated"),)
    yield listed("rejected-fixed", (cut,), ("KVC-FILE-3", "KVC-NAME-4"), ("fixed-name",), comment, rejected=rejected)


def _profiles() -> Cases:
    files = {byte20: File(byte20=byte20, text=b"abi %d" % byte20) for byte20 in (0, 2, 3, 9)}
    items = tuple(map(entry, files.values()))
    for told, shown in (("auto", (0, 2, 3)), ("ds4-abi0", (0, 2, 3, 9)), ("ds4-abi2", (2,)), ("ds4-abi3", (3,))):
        yield listed(
            f"profile-{told.removeprefix('ds4-')}",
            items,
            "KVC-PROFILE-2" if told == "auto" else "KVC-PROFILE-3",
            ("profile",),
            f"Entries of four values of byte 20, for a lister under {told}.",
            entries=tuple(files[byte20].name for byte20 in shown),
            rejected=tuple((file.name, "unsupported-profile") for byte20, file in files.items() if byte20 not in shown),
            profile=told,
        )
