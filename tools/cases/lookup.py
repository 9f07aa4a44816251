"""Which entry of a directory answers a prompt (KVC-LOOKUP)."""

from __future__ import annotations

from typing import Any

from tools.cases.case import Case, Cases, Folder, Ids, Item, Items, escaped
from tools.cases.kvc import PLAIN, TEXT_BYTES_MAX, File, text_name
from tools.cases.listing import LOWER, UPPER, entry
from tools.cases.reading import HOSTILE_SECONDS

SHORT = File(text=b"Hello")
MIDDLE = File(text=b"Hello, ")
PROMPT = b"Hello, KVC, how are you?"


def looked_up(
    slug: str,
    items: tuple[Item, ...],
    found: bytes | None,
    clause: str | tuple[str, ...],
    flags: tuple[str, ...],
    comment: str,
    *,
    prompt: bytes = PROMPT,
    told: dict[str, int] | None = None,
    **more: Any,
) -> Case:
    """A directory, a prompt, and the entry that answers it; `told` are context size and filters."""
    arguments = {"prompt": escaped(prompt), **{key: str(value) for key, value in (told or {}).items()}}
    return Case(
        operation="lookup",
        slug=slug,
        comment=comment,
        clauses=(clause,) if isinstance(clause, str) else clause,
        flags=flags,
        given=Folder(items=items),
        view={"found": None if found is None else escaped(found)},
        arguments=arguments,
        **more,
    )


def cases() -> Cases:
    """All of the family."""
    yield from _prefixes()
    yield from _bytes()
    yield from _never_offered()
    yield from _damaged()
    yield from _context()
    yield from _filters()
    yield from _spellings()


def _prefixes() -> Cases:
    flags: Ids = ("longest-prefix",)
    clause = "KVC-LOOKUP-1"
    all_three = (entry(SHORT), entry(PLAIN), entry(MIDDLE))
    yield looked_up("empty-directory", (), None, clause, flags, "There is no entry.")
    yield looked_up("prefix", (entry(PLAIN),), LOWER, clause, flags, "The text is a prefix of the prompt.")
    comment = "The text is the prompt: equality counts."
    yield looked_up("equal", (entry(PLAIN),), LOWER, clause, flags, comment, prompt=PLAIN.text)
    comment = "The prompt is one byte shorter than the text."
    yield looked_up("prompt-shorter", (entry(PLAIN),), None, clause, flags, comment, prompt=PLAIN.text[:-1])
    comment = "The prompt differs from the text in its last byte."
    yield looked_up("last-byte", (entry(PLAIN),), None, clause, flags, comment, prompt=b"Hello, KVc and on")
    comment = "The prompt differs from the text in its first byte."
    yield looked_up("first-byte", (entry(PLAIN),), None, clause, flags, comment, prompt=b"hello, KVC and on")
    comment = "The text occurs in the prompt, but not at its start."
    yield looked_up("not-at-start", (entry(PLAIN),), None, clause, flags, comment, prompt=b" Hello, KVC")
    comment = "Of three prefixes the longest wins."
    yield looked_up("longest-of-three", all_three, LOWER, clause, flags, comment)
    comment = "The longest text does not fit the prompt: the next one wins."
    yield looked_up("longest-that-fits", all_three, MIDDLE.name, clause, flags, comment, prompt=b"Hello, Kvc")
    many = tuple(entry(File(text=PROMPT[:size], tokens=100 - size)) for size in range(1, len(PROMPT) + 1))
    comment = "Every prefix of the prompt has an entry; the longest has the fewest tokens."
    yield looked_up("every-prefix", many, text_name(PROMPT), clause, flags, comment)
    more_tokens = File(text=b"Hello", tokens=2**32 - 1, hits=2**32 - 1, last_used=2**64 - 1)
    comment = "A longer text wins over more tokens, more hits and later use."
    yield looked_up("length-before-tokens", (entry(more_tokens), entry(PLAIN)), LOWER, clause, flags, comment)
    comment = "The prompt is empty, and so is no text."
    yield looked_up("empty-prompt", (entry(PLAIN),), None, clause, flags, comment, prompt=b"")
    empty = File(text=b"")
    flags = ("empty-text",)
    comment = "An empty text is a prefix of every prompt."
    yield looked_up("empty-text", (entry(empty),), empty.name, ("KVC-TEXT-3", clause), flags, comment)
    comment = "An empty text is a prefix of the empty prompt."
    clauses = ("KVC-TEXT-3", clause)
    yield looked_up("both-empty", (entry(empty),), empty.name, clauses, flags, comment, prompt=b"")
    comment = "Any longer text wins over the empty one."
    yield looked_up("empty-text-and-more", (entry(empty), entry(SHORT)), SHORT.name, clauses, flags, comment)


def _bytes() -> Cases:
    flags = ("text-bytes",)
    clauses = ("KVC-LOOKUP-1", "KVC-TEXT-2")
    whole = "Hi 世界".encode()
    cut = File(text=whole[:5])
    comment = "The text ends inside a character that the prompt completes."
    yield looked_up("cut-character", (entry(cut),), cut.name, clauses, flags, comment, prompt=whole)
    comment = "The text ends inside a character that the prompt completes to another one."
    other = whole[:5] + b"\xbf!"
    yield looked_up("cut-character-other", (entry(cut),), cut.name, clauses, flags, comment, prompt=other)
    nul = File(text=b"a\0b")
    comment = "Text and prompt have a zero, and differ behind it."
    yield looked_up("behind-zero", (entry(nul),), None, clauses, flags, comment, prompt=b"a\0c")
    comment = "Text and prompt have a zero, and are alike behind it."
    yield looked_up("through-zero", (entry(nul),), nul.name, clauses, flags, comment, prompt=b"a\0bc")
    decomposed = File(text=b"e\xcc\x81")
    comment = "The prompt has the same character in another normal form."
    yield looked_up("normal-form", (entry(decomposed),), None, clauses, flags, comment, prompt="é".encode())
    raw = File(text=bytes(range(128, 256)))
    comment = "Text and prompt are no UTF-8."
    yield looked_up("not-utf8", (entry(raw),), raw.name, clauses, flags, comment, prompt=raw.text + b"\xff")
    replaced = File(text="a\ufffd".encode())
    comment = "The text has a replacement character where the prompt has an invalid byte."
    yield looked_up("replacement", (entry(replaced),), None, clauses, flags, comment, prompt=b"a\xff")


def _never_offered() -> Cases:
    flags = ("never-offered",)
    clause = "KVC-LOOKUP-5"
    short = entry(SHORT)
    session = File(title=b"Demo")
    comment = "An agent session whose text is the longer prefix."
    yield looked_up("session", (entry(session), short), SHORT.name, clause, flags, comment)
    named = File(title=b"", created=0)
    comment = "A session alone: there is no answer."
    yield looked_up("session-alone", (entry(named),), None, clause, flags, comment)
    stripped = File(payload=b"")
    comment = "A stripped entry whose text is the longer prefix."
    yield looked_up("stripped", (entry(stripped), short), SHORT.name, clause, flags, comment)
    least = File(payload=b"\0")
    comment = "A payload of one byte is state: the entry answers."
    yield looked_up("payload-1", (entry(least), short), LOWER, clause, ("boundary-value",), comment)
    comment = "The fixed name, of an entry whose text is the longer prefix."
    yield looked_up("fixed", (entry(PLAIN, b"sysprompt.kv"), short), SHORT.name, clause, flags, comment)
    comment = "The fixed name alone: there is no answer, though its text is the prompt."
    yield looked_up("fixed-alone", (entry(PLAIN, b"sysprompt.kv"),), None, clause, flags, comment, prompt=PLAIN.text)
    digest_session = File(title=b"Demo", text=b"Hello, KVC")
    comment = "A session under the name of its text is rejected, and would not be offered."
    items: Items = (entry(digest_session, LOWER), short)
    yield looked_up("session-under-text-name", items, SHORT.name, clause, flags, comment)
    for slug, name in (
        ("temp", b".kvc-save-" + b"0" * 32 + b".tmp"),
        ("foreign-temp", LOWER + b".tmp.5"),
        ("suffix-upper", LOWER[:40] + b".KV"),
        ("copy", b"copy of " + LOWER),
    ):
        comment = "A good file whose name is no entry's has the longer text."
        items = (entry(PLAIN, name), short)
        yield looked_up(f"name-{slug}", items, SHORT.name, "KVC-NAME-5", ("not-an-entry",), comment)


def _damaged() -> Cases:
    """A damaged entry does not hide a shorter good one (KVC-LOOKUP-2)."""
    flags: Ids = ("damaged-candidate",)
    short = entry(SHORT)
    for slug, item, said in (
        ("cut", Item(name=LOWER, data=PLAIN.data[:-1]), "is cut off"),
        ("empty-file", Item(name=LOWER, data=b""), "has no bytes"),
        ("zeros", Item(name=LOWER, data=bytes(66)), "is zeros"),
        ("magic", entry(File(magic=b"KVD"), LOWER), "has another magic"),
        ("version", entry(File(version=2), LOWER), "has another version"),
        ("quantisation", entry(File(quantisation_bits=8), LOWER), "has a quantisation that nobody stores"),
        ("tokens", entry(File(tokens=0), LOWER), "has no tokens"),
        ("profile", entry(File(byte20=9), LOWER), "is of an unknown profile"),
        ("sum", entry(File(payload_bytes=2**64 - 1), LOWER), "has an impossible payload byte count"),
        ("text-bytes", entry(File(text_bytes=2**32 - 1), LOWER), "has a hostile text byte count"),
        ("identity", entry(File(text=b"Hello, KVB"), LOWER), "has another text than its name says"),
        ("identity-first", entry(File(text=b"Jello, KVC"), LOWER), "has another first byte than its name says"),
        (
            "identity-shorter",
            entry(SHORT, LOWER),
            "has a shorter text that is a prefix of the prompt, and a wrong name",
        ),
        ("fifo", Item(name=LOWER, kind="fifo"), "is a FIFO"),
        ("directory", Item(name=LOWER, kind="directory"), "is a directory"),
        ("symlink-dangling", Item(name=LOWER, kind="symlink", target=b"nowhere"), "is a link to nothing"),
        ("symlink-device", Item(name=LOWER, kind="symlink", target=b"/dev/zero"), "is a link to a device"),
    ):
        comment = f"The entry with the longest text {said}: the next one answers."
        clauses: Ids = ("KVC-LOOKUP-2", "KVC-NAME-7") if item.kind else ("KVC-LOOKUP-2",)
        yield looked_up(f"damaged-{slug}", (item, short), SHORT.name, clauses, flags, comment, seconds=HOSTILE_SECONDS)
    target = Item(name=b"good", data=PLAIN.data)
    link = Item(name=LOWER, kind="symlink", target=b"good")
    comment = "The entry with the longest text is a symbolic link to a good file: it is passed over."
    clauses = ("KVC-NAME-7", "KVC-LOOKUP-2")
    yield looked_up("damaged-symlink-good", (link, target, short), SHORT.name, clauses, flags, comment)
    both = (Item(name=LOWER, data=PLAIN.data[:-1]), entry(File(text=b"Hellp, "), MIDDLE.name), short)
    comment = "The two longest are damaged: the third one answers."
    yield looked_up("damaged-two", both, SHORT.name, "KVC-LOOKUP-2", flags, comment)
    comment = "Every candidate is damaged."
    yield looked_up("damaged-all", both[:2], None, "KVC-LOOKUP-2", flags, comment)
    mapped = File(flags=1, behind=b"KTM\2\0\0\0\0")
    comment = "A damaged tool map rejects nothing: the entry answers."
    clauses = ("KVC-TOOLMAP-6", "KVC-LOOKUP-2")
    yield looked_up("damaged-map", (entry(mapped), short), LOWER, clauses, ("damaged-tool-map",), comment)
    behind = File(behind=b"left over")
    comment = "Trailing bytes reject nothing: the entry answers."
    yield looked_up("trailing", (entry(behind), short), LOWER, "KVC-FILE-5", ("trailing-bytes",), comment)
    head = File(text=b"", text_bytes=TEXT_BYTES_MAX + 1, payload=b"", payload_bytes=4).head
    long = Item(name=LOWER, data=head, extend_to_bytes=TEXT_BYTES_MAX + 57)
    comment = "An entry with a text over the limit stands beside a good one."
    clauses = ("KVC-LIMIT-3", "KVC-LOOKUP-2")
    flags = ("huge-file",)
    yield looked_up("text-limit", (long, short), SHORT.name, clauses, flags, comment, seconds=HOSTILE_SECONDS)
    huge = Item(name=LOWER, data=File(payload=b"", payload_bytes=2**40).head + PLAIN.text, extend_to_bytes=2**40 + 62)
    comment = "The payload of the answer has 1 TiB, in a hole: choosing it does not read it."
    yield looked_up("huge", (huge, short), LOWER, "KVC-LOOKUP-1", flags, comment, seconds=HOSTILE_SECONDS)


def _context() -> Cases:
    flags = ("context-size",)
    clause = "KVC-LOOKUP-3"
    items = (entry(PLAIN), entry(File(text=b"Hello", context_tokens=100)))
    for slug, size, found, said in (
        ("equal", 4096, LOWER, "equal to that of the longest"),
        ("less", 4095, SHORT.name, "one less than that of the longest"),
        ("more", 2**32 - 1, LOWER, "the largest there is"),
        ("least", 100, SHORT.name, "equal to that of the shorter"),
        ("none-fits", 99, None, "less than that of any"),
        ("zero", 0, None, "zero"),
    ):
        comment = f"The context size of the session is {said}."
        yield looked_up(f"context-{slug}", items, found, clause, flags, comment, told={"context_tokens": size})
    large = File(context_tokens=2**32 - 1)
    comment = "A lookup on behalf of no session has no bound."
    yield looked_up("context-no-session", (entry(large), items[1]), LOWER, clause, flags, comment)
    zero = File(context_tokens=0)
    comment = "An entry of context size 0 fits every session."
    yield looked_up("context-entry-zero", (entry(zero),), LOWER, clause, flags, comment, told={"context_tokens": 0})


def _filters() -> Cases:
    """Filters are on request; where one is told it is applied before the longest text is chosen (KVC-LOOKUP-4)."""
    flags = ("filters",)
    clause = "KVC-LOOKUP-4"
    comment = "No filter is told: quantisation, model and payload ABI do not matter."
    foreign = File(quantisation_bits=2, byte7=9, byte20=2)
    yield looked_up("filter-none", (entry(foreign), entry(SHORT)), LOWER, clause, flags, comment)
    four = (entry(File(quantisation_bits=4)), entry(File(text=b"Hello", quantisation_bits=2)))
    models = (entry(File(byte7=1, byte20=2)), entry(File(text=b"Hello", byte7=2, byte20=2)))
    abis = (entry(File(byte20=3)), entry(File(text=b"Hello, ", byte20=2)), entry(SHORT))
    for key, value, items, found in (
        ("quantisation_bits", 4, four, LOWER),
        ("quantisation_bits", 2, four, SHORT.name),
        ("model_id", 1, models, LOWER),
        ("model_id", 2, models, SHORT.name),
        ("model_id", 3, models, None),
        ("payload_abi", 3, abis, LOWER),
        ("payload_abi", 2, abis, MIDDLE.name),
        ("payload_abi", 0, abis, SHORT.name),
    ):
        slug = key.replace("_", "-")
        yield looked_up(
            f"filter-{slug}-{value}",
            items,
            found,
            clause,
            flags,
            f"Only entries of {key} {value} are wanted.",
            told={key: value},
            behaviour=(f"filter-{slug}", "offered"),
        )
    kept = File(byte7=7)
    comment = "An entry of ds4-abi0 counts as model 0, whatever stands in byte 7."
    behaviour = ("filter-model-id", "offered")
    model = {"model_id": 0}
    yield looked_up("filter-model-abi0", (entry(kept),), LOWER, clause, flags, comment, told=model, behaviour=behaviour)
    comment = "An entry of ds4-abi0 has no model 7, though 7 stands in byte 7."
    model = {"model_id": 7}
    yield looked_up(
        "filter-model-abi0-7", (entry(kept),), None, clause, flags, comment, told=model, behaviour=behaviour
    )
    told_abi0 = File(byte7=7, byte20=9)
    comment = "Told ds4-abi0, a reader ignores byte 20: the entry counts as payload ABI 0."
    behaviour = ("filter-payload-abi", "offered")
    abi = {"payload_abi": 0}
    yield looked_up(
        "filter-abi-told-abi0",
        (entry(told_abi0),),
        LOWER,
        (clause, "KVC-PROFILE-3"),
        ("filters", "profile"),
        comment,
        told=abi,
        profile="ds4-abi0",
        behaviour=behaviour,
    )
    for told, found in (("ds4-abi2", MIDDLE.name), ("ds4-abi3", LOWER), ("ds4-abi0", LOWER), ("auto", LOWER)):
        yield looked_up(
            f"profile-{told.removeprefix('ds4-')}",
            abis,
            found,
            ("KVC-PROFILE-2" if told == "auto" else "KVC-PROFILE-3", "KVC-LOOKUP-4"),
            ("profile",),
            f"Entries of three values of byte 20, for a lookup under {told}.",
            profile=told,
        )


def _spellings() -> Cases:
    flags = ("duplicate-names", "hex-case")
    clauses: Ids = ("KVC-NAME-2", "KVC-LOOKUP-1")
    comment = "The entry is spelled in upper case: it answers under the name that it has."
    yield looked_up("upper-alone", (entry(PLAIN, UPPER),), UPPER, clauses, flags, comment)
    clauses = ("KVC-NAME-6", "KVC-LOOKUP-1")
    comment = "Two spellings of one identity: the lower-case one answers."
    yield looked_up("two-spellings", (entry(PLAIN, UPPER), entry(PLAIN)), LOWER, clauses, flags, comment)
    comment = "The lower-case spelling is cut off: the other one is the entry."
    items: Items = (entry(PLAIN, UPPER), Item(name=LOWER, data=PLAIN.data[:60]))
    yield looked_up("lower-cut", items, UPPER, clauses, flags, comment)
    comment = "The lower-case spelling has another text, seen at step 13: the other does not take its place."
    items = (entry(PLAIN, UPPER), entry(File(text=b"Hello, KVB"), LOWER))
    yield looked_up("lower-identity", items, None, clauses, flags, comment)
    comment = "The same beside a shorter entry, which answers."
    items = (*items, entry(SHORT))
    yield looked_up("lower-identity-and-shorter", items, SHORT.name, clauses, flags, comment)
