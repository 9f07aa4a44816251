"""Several clauses broken at once: the first row of the table of spec/kvc.md, 1.4, is what a reader says."""

from __future__ import annotations

from tools.cases import reading
from tools.cases.case import Broken, Cases
from tools.cases.kvc import SIZE_MAX, TEXT_BYTES_MAX, File, title_section, tool_map_section
from tools.cases.reading import hostile, reject

OTHER = b"0" * 40 + b".kv"
"""A digest name that nothing here calls for."""

BAD_MAP = tool_map_section(magic=b"KTN")


def cases() -> Cases:
    """All of the family: each step with the one behind it, then some that lie far apart."""
    steps: tuple[tuple[str, File | bytes, Broken], ...] = (
        ("2-before-3", File(magic=b"KVD", version=2), reading.MAGIC),
        ("3-before-4", File(version=2, quantisation_bits=3), reading.VERSION),
        ("4-before-5", File(quantisation_bits=3, tokens=0), reading.QUANTISATION),
        ("5-before-6", File(tokens=0, byte20=9), reading.TOKENS),
        ("6-before-7", File(byte20=9, payload_bytes=2**64 - 1), reading.AUTO_PROFILE),
        ("7-before-8", File(payload_bytes=SIZE_MAX - 61), reading.SUM),
        ("8-text-before-payload", File(text_bytes=100, payload_bytes=100), reading.TEXT_CUT),
        ("8-before-9", File(text_bytes=TEXT_BYTES_MAX + 1), reading.TEXT_CUT),
        ("8-before-10", File(flags=9, payload_bytes=100, behind=BAD_MAP), reading.PAYLOAD_CUT),
        ("8-before-13", File(payload_bytes=5), reading.PAYLOAD_CUT),
        ("10-before-11", File(flags=9, behind=BAD_MAP + b"\5\0"), reading.no_title("magic")),
        ("10-before-13", File(flags=9, behind=BAD_MAP + title_section(b"Demo")), reading.no_title("magic")),
        ("11-before-12", File(flags=8, behind=title_section(b"Demo", title_bytes=65_537)), reading.TITLE_CUT),
        ("11-before-13", File(flags=8, behind=title_section(b"Demo", title_bytes=5)), reading.TITLE_CUT),
        ("2-before-all", bytes(range(1, 80)), reading.MAGIC),
        ("3-before-13", File(version=0), reading.VERSION),
        ("4-before-8", File(quantisation_bits=0, payload_bytes=5), reading.QUANTISATION),
        ("5-before-8", File(tokens=0, text_bytes=2**32 - 1), reading.TOKENS),
        ("6-before-8", File(byte20=1, payload_bytes=5), reading.AUTO_PROFILE),
        ("4-before-7", File(quantisation_bits=255, payload_bytes=2**64 - 1), reading.QUANTISATION),
    )
    for slug, file, broken in steps:
        flags = ("order-of-checks",)
        yield reject(f"order-{slug}", file, broken, flags, _comment(slug), name=OTHER)
    short = File(magic=b"KVD").data[:51]
    yield reject("order-1-before-2", short, reading.HEADER, ("order-of-checks",), _comment("1-before-2"), name=OTHER)
    title = File(flags=8, behind=title_section(b"", title_bytes=65_537))
    yield hostile(
        "order-12-before-13",
        title,
        reading.TITLE_LIMIT,
        ("order-of-checks",),
        _comment("12-before-13"),
        name=OTHER,
        extend_to_bytes=len(title.data) + 65_537,
    )
    text = File(flags=9, text=b"", text_bytes=TEXT_BYTES_MAX + 1)
    yield hostile(
        "order-9-before-10",
        text,
        reading.TEXT_LIMIT,
        ("order-of-checks", "huge-file"),
        _comment("9-before-10"),
        name=OTHER,
        extend_to_bytes=TEXT_BYTES_MAX + 1000,
    )


def _comment(slug: str) -> str:
    return f"Several steps of the order of checks are broken: {slug.replace('-', ' ')}. The name is wrong as well."
