"""Files for comparing readers: whole ones and mutants of them, from a seed, with the edges of every clause among them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass

from kvformat import layout

_U32_EDGES = (0, 1, 2, 255, 256, 257, 65_535, 65_536, 65_537, 400_000, 400_001, 2**29, 2**29 + 1, 2**31, 2**32 - 1)
_U64_EDGES = (*_U32_EDGES, 2**63 - 53, 2**63 - 52, 2**63 - 1, 2**63, 2**64 - 1)
_PROFILES = (*("auto",) * 8, "ds4-abi0", "ds4-abi0", "ds4-abi2", "ds4-abi3")


@dataclass(frozen=True)
class Question:
    """A file and what a reader of it is told."""

    data: bytes
    profile: str
    name: str | None
    text_bytes_max: int


def questions(seed: int) -> Iterator[Question]:
    """Without end, the same ones for the same seed."""
    chance = random.Random(seed)
    while True:
        data = _whole(chance)
        for _ in range(chance.choice((0, 0, 1, 1, 1, 2))):
            data = chance.choice(_MUTATIONS)(chance, data)
        text_bytes_max = 268_435_456 if chance.random() < 0.9 else chance.randrange(30)
        yield Question(data, chance.choice(_PROFILES), _name(chance, data), text_bytes_max)


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _some(chance: random.Random, *, at_least: int = 0, at_most: int = 30) -> bytes:
    return chance.randbytes(chance.randint(at_least, at_most))


def _whole(chance: random.Random) -> bytes:
    text, payload = _some(chance), _some(chance)
    flags = chance.randrange(16) | chance.choice((0, 0, 0, 16, 128))
    head = layout.encode_fields(
        chance.choice((2, 4)),
        chance.choice((*range(8), 255)),
        flags,
        chance.choice((0, 1, 255)),
        chance.choice((1, 700, 2**32 - 1)),
        chance.choice(_U32_EDGES),
        chance.choice(_U32_EDGES),
        chance.choice((0, 2, 3)),
        chance.choice((bytes(3), b"\x01\x02\xff")),
        chance.choice(_U64_EDGES),
        chance.choice(_U64_EDGES),
        len(payload),
    )
    tool_map = _tool_map(chance) if flags & 1 else b""
    title = _title(chance) if flags & 8 else b""
    return head + _u32(len(text)) + text + payload + tool_map + title


def _tool_map(chance: random.Random) -> bytes:
    data = b"KTM\x01" + _u32(count := chance.randrange(4))
    for _ in range(count):
        id_ = _some(chance, at_least=1, at_most=chance.choice((8, 256)))
        block = _some(chance, at_least=1)
        data += _u32(len(id_)) + _u32(len(block)) + id_ + block
    return data


def _title(chance: random.Random) -> bytes:
    title = _some(chance) if chance.random() < 0.95 else bytes(chance.choice((65_535, 65_536, 65_537)))
    return _u32(len(title)) + title


def _put(data: bytes, offset: int, new: bytes) -> bytes:
    return data[:offset] + new + data[offset + len(new) :]


def _sections_offset(data: bytes) -> int:
    """Where the sections start, or the end of the file where that is nowhere."""
    if len(data) < layout.TEXT_OFFSET:
        return len(data)
    payload_bytes = int.from_bytes(data[40:48], "little")
    return min(layout.TEXT_OFFSET + layout.decode_text_bytes(data) + payload_bytes, len(data))


def _cut(chance: random.Random, data: bytes) -> bytes:
    edges = (0, 51, 52, _sections_offset(data), _sections_offset(data) + chance.randrange(24), len(data) - 1)
    return data[: max(0, chance.choice((*edges, chance.randint(0, len(data)))))]


def _flip(chance: random.Random, data: bytes) -> bytes:
    if not data:
        return data
    offset = chance.choice((chance.randrange(len(data)), chance.randrange(min(52, len(data)))))
    return _put(data, offset, bytes((data[offset] ^ 1 << chance.randrange(8),)))


def _other_field(chance: random.Random, data: bytes) -> bytes:
    """A field of the fixed part, or one of the sections, with a value at an edge."""
    sections = _sections_offset(data)
    byte = (3, 4, 5, 6, 7, 20, sections + 3)
    u32 = (8, 12, 16, 48, sections, sections + 4, sections + 8, sections + 12)
    new, offset = chance.choice(
        (
            (bytes((chance.choice((0, 1, 2, 3, 4, 9, 255)),)), chance.choice(byte)),
            (_u32(chance.choice(_U32_EDGES)), chance.choice(u32)),
            (_u32(0), chance.choice(u32)),
            (chance.choice(_U64_EDGES).to_bytes(8, "little"), chance.choice((24, 32, 40))),
            (chance.randbytes(3), chance.choice((0, 21, sections))),
        )
    )
    return _put(data, offset, new)


def _longer(chance: random.Random, data: bytes) -> bytes:
    return data + _some(chance, at_least=1)


_MUTATIONS = (_cut, _flip, _other_field, _other_field, _longer)


def _name(chance: random.Random, data: bytes) -> str | None:
    """Mostly the right name of a file whose lengths hold, at times another one or none."""
    hash_ = hashlib.sha1(usedforsecurity=False)
    text_end = 52 + (layout.decode_text_bytes(data) if len(data) >= 52 else 0)
    hash_.update(data[52:text_end])
    digest = hash_.hexdigest()
    if len(data) >= 52 and data[6] & 8:
        digest = _session_digest(data)
    return chance.choice(
        (
            *(None, f"{digest}.kv", f"{digest}.kv", f"{digest}.kv", f"{digest.upper()}.kv", "sysprompt.kv"),
            chance.choice((f"{digest}.KV", f"{digest[:-1]}.kv", f"{digest}.kv%0A", "", "x.kv", "0" * 40 + ".kv")),
        )
    )


def _session_digest(data: bytes) -> str:
    """The digest of whatever title ends where a file without trailing bytes ends: right for most whole files."""
    offset = _sections_offset(data)
    if data[6] & 1:
        count = int.from_bytes(data[offset + 4 : offset + 8], "little")
        offset += 8
        for _ in range(min(count, 4)):
            lengths = data[offset : offset + 4], data[offset + 4 : offset + 8]
            offset += 8 + sum(int.from_bytes(length, "little") for length in lengths)
    title_bytes = int.from_bytes(data[offset : offset + 4], "little")
    hash_ = hashlib.sha1(data[offset + 4 : offset + 4 + title_bytes] + data[24:32], usedforsecurity=False)
    return hash_.hexdigest()
