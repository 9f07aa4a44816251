"""What is saved in a sweep, and the file that must result, built with the integer codec of kvformat.layout.

Nothing here uses the writer that is under test.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from faultinject.memory_file import MemoryFile
from kvformat import identity, layout, reader
from kvformat.model import Entry, Extension, Header, Reason, Region, ToolEntry

CREATED = 1_790_000_000
"""Fixed times, so that two runs make the same bytes."""

TOUCHED = CREATED + 3600

NEW_TOOLS = (ToolEntry(b"call_2", b"<tool>another, longer block that takes the place of two</tool>"),)
"""The tool map that a sweep of its replacement puts in."""

_TEXT = "You are a careful assistant. Rispondi in italiano, perché".encode()[:-1]
# Ends inside the two bytes of é, as real prompts may (KVC-TEXT-2).

_TOOLS = (
    ToolEntry(b"call_0", b"<tool>read file A</tool>"),
    ToolEntry(b"call_1", b"<tool>read file B\nline two</tool>"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """What is saved. `path`: a real file to save again; `payload_bytes`: size of a made-up payload instead.

    piece_bytes: in which pieces the payload is offered. directory: the one that a relative path was given in.
    text_bytes: the length of a made-up text instead of the built-in one; then there is no tool map either.
    """

    path: str | None = None
    payload_bytes: int = 256
    piece_bytes: int = 100
    directory: str | None = None
    text_bytes: int | None = None

    @property
    def file(self) -> str | None:
        """Where the file is: a report may be replayed in another directory than it was made in."""
        if self.path is None or self.directory is None or os.path.exists(self.path):
            return self.path
        return os.path.join(self.directory, self.path)


@dataclass(frozen=True, slots=True)
class Content:
    """An entry with its payload in pieces."""

    entry: Entry
    pieces: tuple[bytes, ...]

    @property
    def payload_bytes(self) -> int:
        """Size of the payload."""
        return sum(len(piece) for piece in self.pieces)

    @property
    def name(self) -> str:
        """The name that its identity calls for (KVC-NAME-1, KVC-NAME-3)."""
        return identity.expected_name(self._header(), self.entry.text, self.entry.title)

    def older(self, payload_bytes: int | None = None) -> Content:
        """An earlier save of the same identity: other counts, and another payload, of the same size unless given."""
        entry = replace(self.entry, tokens=self.entry.tokens + 1, hits=3, last_used=CREATED - 5)
        if payload_bytes is not None:
            return Content(entry, (b"o" * payload_bytes,))
        # Equal pieces stay one object, so that GiB cost nothing here either.
        distinct = {id(piece): piece for piece in self.pieces}
        others = {key: piece[::-1] for key, piece in distinct.items()}
        return Content(entry, tuple(others[id(piece)] for piece in self.pieces))

    def file_pieces(self) -> Iterator[bytes]:
        """The file that must result, from the integer codec alone (KVC-FILE-2)."""
        entry = self.entry
        yield layout.encode_header(self._header()) + len(entry.text).to_bytes(4, "little") + entry.text
        yield from self.pieces
        sections = b""
        if entry.tool_map is not None:
            sections += b"KTM\x01" + len(entry.tool_map).to_bytes(4, "little")
            for tool in entry.tool_map:
                sections += len(tool.id).to_bytes(4, "little") + len(tool.block).to_bytes(4, "little")
                sections += tool.id + tool.block
        if entry.title is not None:
            sections += len(entry.title).to_bytes(4, "little") + entry.title
        yield sections

    def file(self) -> MemoryFile:
        """That file, to compare others with."""
        return MemoryFile.of(self.file_pieces())

    def file_content(self) -> bytes:
        """That file as bytes."""
        return b"".join(self.file_pieces())

    def regions(self) -> tuple[Region, ...]:
        """What is where in it (KVC-FILE-2)."""
        entry = self.entry
        tools = entry.tool_map
        return layout.regions(
            text_bytes=len(entry.text),
            payload_bytes=self.payload_bytes,
            tool_map_bytes=0 if tools is None else layout.tool_map_bytes((len(t.id), len(t.block)) for t in tools),
            title_bytes=0 if entry.title is None else layout.title_section_bytes(len(entry.title)),
        )

    def _header(self) -> Header:
        entry = self.entry
        flags = entry.flags
        flags |= Extension.TOOL_MAP if entry.tool_map is not None else 0
        flags |= Extension.SESSION_TITLE if entry.title is not None else 0
        return Header(
            quantisation_bits=entry.quantisation_bits,
            reason=entry.reason,
            flags=flags,
            byte7=entry.model_id,
            tokens=entry.tokens,
            hits=entry.hits,
            context_tokens=entry.context_tokens,
            byte20={"ds4-abi2": 2, "ds4-abi3": 3}.get(entry.profile, 0),
            reserved=bytes(3),
            created=entry.created or 0,
            last_used=entry.last_used or 0,
            payload_bytes=self.payload_bytes,
        )


def touched(content: bytes) -> MemoryFile:
    """The file with one more hit and another last-used time, and nothing else changed (KVS-TOUCH-3)."""
    header = layout.decode_header(content)
    header = replace(header, hits=min(header.hits + 1, layout.U32_MAX), last_used=TOUCHED)
    return MemoryFile.of([layout.encode_header(header) + content[layout.HEADER_BYTES :]])


def other_content() -> Content:
    """An entry of another key, which no operation may touch."""
    entry = Entry(text=b"Another prompt altogether.", tokens=5, created=CREATED - 9, last_used=CREATED - 9)
    return Content(entry, (b"another payload",))


def built_in(source: Source, *, titled: bool, stripped: bool) -> Content:
    """The small entry that is saved where no file is given; `titled` and `stripped` as for agent sessions."""
    plain = source.text_bytes is not None
    entry = Entry(
        text=_TEXT if source.text_bytes is None else b"a" * source.text_bytes,
        tokens=17,
        quantisation_bits=2,
        reason=Reason.AGENT_SESSION if titled else Reason.COLD,
        context_tokens=4096,
        hits=255,
        created=CREATED,
        last_used=CREATED,
        tool_map=None if plain else _TOOLS,
        title=b"Una sessione" if titled else None,
    )
    return Content(entry, _pieces(0 if stripped else source.payload_bytes, source.piece_bytes))


def content_of_file(path: str, piece_bytes: int) -> Content:
    """A real file, to be saved again. Raises KvcError or OSError where it cannot be read."""
    with reader.open_kvc(path) as source:
        header = source.header
        entry = Entry(
            text=source.text,
            tokens=header.tokens,
            quantisation_bits=header.quantisation_bits,
            reason=header.known_reason,
            context_tokens=header.context_tokens,
            hits=header.hits,
            flags=header.flags & (Extension.RESPONSES_VISIBLE | Extension.THINKING_VISIBLE),
            profile=source.profile.name,
            model_id=header.byte7 if source.profile.has_model_id else 0,
            created=header.created,
            last_used=header.last_used,
            tool_map=source.tool_map() if header.has_tool_map else None,
            title=source.title(),
        )
        pieces = tuple(iter(lambda: source.payload.read(piece_bytes), b""))
    return Content(entry, pieces)


def _pieces(size_bytes: int, piece_bytes: int) -> tuple[bytes, ...]:
    """A payload without repetition inside a piece; equal pieces are one object, so that GiB cost nothing."""
    piece = Random(size_bytes).randbytes(min(piece_bytes, size_bytes))
    whole, rest = divmod(size_bytes, piece_bytes) if size_bytes else (0, 0)
    return (piece,) * whole + ((piece[:rest],) if rest else ())
