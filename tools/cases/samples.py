"""Good files of every shape, the examples of spec/kvc.md among them."""

from __future__ import annotations

from tools.cases.case import Cases
from tools.cases.kvc import EXAMPLE, PLAIN, SESSION, TOOLS, File
from tools.cases.reading import accept

GOOD = ("baseline",)


def cases() -> Cases:
    """All of the family."""
    order = ("KVC-FILE-2", "KVC-FILE-3")
    yield accept("sample-plain", PLAIN, order, GOOD, "Header, text, payload.")
    comment = "The same without a name: its content may be shown."
    yield accept("sample-unnamed", PLAIN, ("KVC-NAME-1",), GOOD, comment, name=None)
    yield accept("sample-tool-map", TOOLS, ("KVC-HEADER-6", *order), GOOD, "With a tool map.")
    yield accept("sample-session", SESSION, ("KVC-HEADER-8", *order), GOOD, "An agent session.")
    comment = "The complete file of kvc.md, 4.6."
    yield accept("sample-example", EXAMPLE, ("KVC-FILE-2", "KVC-HEADER-5", "KVC-NAME-3"), GOOD, comment)
    flags = ("baseline", "profile")
    abi2 = File(byte7=5, byte20=2)
    yield accept("sample-abi2", abi2, ("KVC-PROFILE-2", "KVC-HEADER-9"), flags, "Profile ds4-abi2, model 5.")
    abi3 = File(byte7=0, byte20=3)
    yield accept("sample-abi3", abi3, ("KVC-PROFILE-2", "KVC-HEADER-9"), flags, "Profile ds4-abi3, model 0.")
    stripped = File(title=b"Demo", payload=b"", reason=6)
    yield accept("sample-stripped", stripped, ("KVC-PAYLOAD-2",), ("stripped",), "A stripped session.")
    comment = "A payload of no bytes without a title: no writer stores it, every reader takes it."
    yield accept("sample-stripped-text", File(payload=b""), ("KVC-PAYLOAD-2",), ("stripped",), comment)
    empty = File(tool_map=())
    yield accept("sample-empty-tool-map", empty, ("KVC-TOOLMAP-3", "KVC-HEADER-6"), GOOD, "A tool map of no entries.")
    all_bytes = File(payload=bytes(range(256)) * 4)
    comment = "A payload in which every byte value occurs."
    yield accept("sample-payload-all-bytes", all_bytes, ("KVC-PAYLOAD-1",), GOOD, comment)
    decoy = File(payload=b"KVC\1KTM\1" + bytes(4) + b"KTM\1", tool_map=((b"id", b"block"),), title=b"Demo")
    comment = "The magic of header and tool map occurs in the payload: parts are found by lengths, not by search."
    yield accept("sample-magic-in-payload", decoy, ("KVC-FILE-2",), ("section-order",), comment)
    inside = File(text=b"KVC\1\4\0\1\0KTM\1\0\0\0\0")
    comment = "The magic of header and tool map occurs in the text."
    yield accept("sample-magic-in-text", inside, ("KVC-FILE-2",), ("section-order",), comment)
    for count in (1, 3, 4, 100):
        trailing = File(behind=bytes(range(1, count + 1)))
        comment = f"{count} bytes behind the payload that no flag announces."
        yield accept(f"trailing-{count}", trailing, ("KVC-FILE-5",), ("trailing-bytes",), comment)
    behind_title = File(title=b"Demo", behind=b"left over")
    comment = "Bytes behind the title."
    yield accept("trailing-title", behind_title, ("KVC-FILE-5",), ("trailing-bytes",), comment)
    behind_map = File(tool_map=((b"c1", b"<t/>"),), behind=b"\2\0\0\0\4\0\0\0c2<u/>")
    comment = "What looks like one more entry stands behind a tool map that counts one."
    yield accept("trailing-tool-map", behind_map, ("KVC-FILE-5", "KVC-TOOLMAP-3"), ("trailing-bytes",), comment)
    comment = "A reader that mentions bytes behind the last section counts them."
    yield accept(
        "trailing-mentioned",
        File(behind=b"12345"),
        ("KVC-FILE-5",),
        ("trailing-bytes",),
        comment,
        view={"trailing_bytes": "5"},
        behaviour=("trailing-bytes", "mentions"),
    )
    yield accept(
        "trailing-none-mentioned",
        EXAMPLE,
        ("KVC-FILE-5",),
        ("trailing-bytes",),
        "A reader that mentions bytes behind the last section says 0 where there are none.",
        view={"trailing_bytes": "0"},
        behaviour=("trailing-bytes", "mentions"),
    )
