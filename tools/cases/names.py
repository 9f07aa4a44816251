"""What a reader is told that a file is called (KVC-NAME)."""

from __future__ import annotations

from tools.cases.case import Case, Cases, Ids, Item
from tools.cases.kvc import EXAMPLE, PLAIN, SESSION, TOOLS, File, text_name, title_section, u32, u64
from tools.cases.reading import NOT_REGULAR, SESSION_NAME, TEXT_NAME, TITLE_CUT, accept, no_title, reject

DIGITS = PLAIN.name[:40]


def cases() -> Cases:
    """All of the family."""
    yield from _spelling()
    yield from _other_forms()
    yield from _sessions()
    yield from _fixed()
    yield from _not_regular()


def _spelling() -> Cases:
    flags = ("hex-case",)
    comment = "The digits of the name are in upper case."
    yield accept("name-upper", PLAIN, ("KVC-NAME-2",), flags, comment, name=DIGITS.upper() + b".kv")
    mixed = bytes(digit ^ 0x20 if place % 2 and digit > 0x60 else digit for place, digit in enumerate(DIGITS))
    comment = "The digits of the name are in both cases."
    yield accept("name-mixed", PLAIN, ("KVC-NAME-2",), flags, comment, name=mixed + b".kv")
    comment = "The digits of the name of a session are in upper case."
    upper = SESSION.name[:40].upper() + b".kv"
    yield accept("name-upper-session", SESSION, ("KVC-NAME-2", "KVC-NAME-3"), flags, comment, name=upper)
    for slug, place in (("first", 0), ("middle", 20), ("last", 39)):
        digit = b"1" if DIGITS[place : place + 1] == b"0" else b"0"
        wrong = DIGITS[:place] + digit + DIGITS[place + 1 :] + b".kv"
        comment = f"The {slug} digit of the name is another one."
        yield reject(f"name-wrong-{slug}-digit", PLAIN, TEXT_NAME, ("wrong-name",), comment, name=wrong)
    for slug, wrong, said in (
        ("zeros", b"0" * 40, "is zeros"),
        ("other-text", text_name(b"Hello, KVD")[:40], "belongs to another text"),
        ("empty-text", text_name(b"")[:40], "belongs to the empty text"),
        ("text-and-payload", text_name(PLAIN.text + PLAIN.payload)[:40], "is made of text and payload"),
        ("whole-file", text_name(PLAIN.data)[:40], "is made of the whole file"),
        ("reversed", DIGITS[::-1], "has the digits in reverse"),
    ):
        comment = f"A digest name that {said}."
        yield reject(f"name-{slug}", PLAIN, TEXT_NAME, ("wrong-name",), comment, name=wrong + b".kv")
    flipped = File(text=b"Hello, KVB")
    comment = "One bit of the text is flipped."
    yield reject("name-flipped-text", flipped, TEXT_NAME, ("wrong-name",), comment, name=PLAIN.name)
    altered = File(payload=b"\xde\xad\xbe\xee")
    comment = "One bit of the payload is flipped: no check of the format covers it."
    yield accept("name-flipped-payload", altered, ("KVC-PAYLOAD-1",), ("tolerated-value",), comment)
    unmapped = File(tool_map=((b"c2", b"<t/>"),))
    comment = "The tool map is another one: the name does not cover it."
    yield accept("name-other-tool-map", unmapped, ("KVC-NAME-1",), ("tolerated-value",), comment, name=TOOLS.name)


def _other_forms() -> Cases:
    """A name that a reader is told is tested, whatever its form (KVC-NAME-1)."""
    wide = "".join(chr(0xFEE0 + digit) for digit in DIGITS[:1]).encode() + DIGITS[1:]
    for slug, name, said in (
        ("39-digits", DIGITS[:39] + b".kv", "39 digits"),
        ("41-digits", DIGITS + b"0.kv", "41 digits"),
        ("0-digits", b".kv", "no digits"),
        ("no-suffix", DIGITS, "no suffix"),
        ("suffix-upper", DIGITS + b".KV", "the suffix in upper case"),
        ("suffix-mixed", DIGITS + b".Kv", "the suffix in both cases"),
        ("suffix-kvc", DIGITS + b".kvc", "another suffix"),
        ("suffix-twice", DIGITS + b".kv.kv", "the suffix twice"),
        ("suffix-tmp", DIGITS + b".kv.tmp.123", "the suffix of a temp file"),
        ("space-behind", DIGITS + b".kv ", "a space behind"),
        ("space-before", b" " + DIGITS + b".kv", "a space before"),
        ("newline-behind", DIGITS + b".kv\n", "a newline behind"),
        ("not-hex", b"g" + DIGITS[1:] + b".kv", "a digit that is not hexadecimal"),
        ("wide-digit", wide + b".kv", "a digit of another script"),
        ("not-utf8", b"\xff" + DIGITS[1:] + b".kv", "a byte that is not UTF-8"),
        ("prefix-0x", b"0x" + DIGITS[2:] + b".kv", "0x before the digits"),
        ("plus", b"+" + DIGITS[1:] + b".kv", "a sign before the digits"),
        ("dot-before", b"." + DIGITS + b".kv", "a dot before"),
        ("temp", b".kvc-save-" + b"0" * 32 + b".tmp", "the form of a temp file"),
    ):
        comment = f"The name has {said}: it is not a digest name."
        flags = ("name-form", "wrong-name")
        yield reject(f"name-form-{slug}", PLAIN, TEXT_NAME, flags, comment, name=name, also=("KVC-NAME-2",))


def _sessions() -> Cases:
    flags: Ids = ("session-identity", "wrong-name")
    created = u64(SESSION.created)
    for slug, name, said in (
        ("text", text_name(SESSION.text), "its text"),
        ("title-alone", text_name(b"Demo"), "its title alone"),
        ("with-count", text_name(u32(4) + b"Demo" + created), "the title with its byte count"),
        ("created-first", text_name(created + b"Demo"), "creation time before title"),
        ("created-u32", text_name(b"Demo" + created[:4]), "four bytes of the creation time"),
        ("created-text", text_name(b"Demo1700000000"), "the creation time in decimal"),
        ("other-title", text_name(b"Demp" + created), "another title"),
        ("title-with-nul", text_name(b"Demo\0" + created), "the title and a zero"),
    ):
        comment = f"The name of a session is made of {said}."
        yield reject(f"name-session-of-{slug}", SESSION, SESSION_NAME, flags, comment, name=name)
    later = File(title=b"Demo", created=SESSION.created + 1, reason=6)
    comment = "The creation time of a session is another one than its name was made of."
    yield reject("name-session-created-changed", later, SESSION_NAME, flags, comment, name=SESSION.name)
    used = File(title=b"Demo", last_used=SESSION.created + 1, hits=9)
    comment = "Last use and hits of a session have changed: its name has not."
    clauses = ("KVC-NAME-3", "KVC-HEADER-16")
    yield accept("name-session-used", used, clauses, ("session-identity",), comment)
    grown = File(title=b"Demo", text=b"Hello, KVC. How are you?")
    comment = "The text of a session has grown: its name has not."
    yield accept("name-session-grown", grown, ("KVC-NAME-3",), ("session-identity",), comment, name=SESSION.name)
    comment = "Bit 3 was cleared: the title is trailing bytes, and the name is that of the text."
    plain = File(text=EXAMPLE.text, tool_map=EXAMPLE.tool_map, behind=title_section(b"Demo"))
    yield accept("name-bit-3-cleared", plain, ("KVC-NAME-1", "KVC-FILE-5"), ("session-identity",), comment)
    comment = "Bit 3 was cleared and the name was not changed."
    flags = ("session-identity", "flipped-bit", "wrong-name")
    yield reject("name-bit-3-cleared-kept", plain, TEXT_NAME, flags, comment, name=EXAMPLE.name)


def _fixed() -> Cases:
    fixed = b"sysprompt.kv"
    flags = ("fixed-name",)
    for slug, file, said in (
        ("plain", PLAIN, "a plain entry"),
        ("session", SESSION, "a session"),
        ("tool-map", TOOLS, "an entry with a tool map"),
    ):
        comment = f"The fixed name, of {said}: it says nothing of the content."
        yield accept(f"name-fixed-{slug}", file, ("KVC-NAME-4",), flags, comment, name=fixed)
    comment = "The fixed name does not excuse a title that is cut."
    cut = File(flags=8, behind=title_section(b"Demo")[:-1])
    yield reject("name-fixed-title-cut", cut, TITLE_CUT, flags, comment, name=fixed, also=("KVC-NAME-4",))
    comment = "The fixed name does not excuse a title behind a damaged map."
    damaged = File(flags=9, behind=b"KTM\2" + bytes(4) + title_section(b"Demo"))
    broken = no_title("version")
    yield reject("name-fixed-map-damaged", damaged, broken, flags, comment, name=fixed, also=("KVC-NAME-4",))
    for slug, name, said in (
        ("upper", b"SYSPROMPT.KV", "in upper case"),
        ("suffix-upper", b"sysprompt.KV", "with the suffix in upper case"),
        ("space", b"sysprompt.kv ", "with a space behind"),
        ("temp", b"sysprompt.kv.tmp", "as a temp file has it"),
        ("capital", b"Sysprompt.kv", "with a capital"),
    ):
        comment = f"The fixed name {said} is not the fixed name."
        yield reject(
            f"name-fixed-{slug}", PLAIN, TEXT_NAME, (*flags, "wrong-name"), comment, name=name, also=("KVC-NAME-4",)
        )


def _not_regular() -> Cases:
    for kind, target, said in (
        ("fifo", None, "A FIFO that nobody writes to"),
        ("directory", None, "A directory"),
        ("symlink", b"nowhere.kv", "A symbolic link to nothing"),
        ("symlink", b"/dev/zero", "A symbolic link to a device that never ends"),
        ("symlink", b".", "A symbolic link to a directory"),
    ):
        slug = kind if target is None else f"symlink-{target.decode().strip('/').replace('/', '-').replace('.', 'dot')}"
        for named, name in (("digest", PLAIN.name), ("fixed", b"sysprompt.kv")):
            yield Case(
                operation="read",
                slug=f"name-{slug}-{named}",
                comment=f"{said} has the {named} name of an entry.",
                clauses=("KVC-NAME-7",),
                flags=("not-regular",),
                given=Item(name=name, kind=kind, target=target),
                broken=NOT_REGULAR,
                seconds=2,
            )
