"""One file as power loss sees it: for every block what it may hold, and what the size may be (KVS-POWER-3)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache

from faultinject.persistence.pieces import Buffer, Pieces, cut, joined, length, overlaid
from faultinject.persistence.profiles import Order, Profile, Unwritten
from faultinject.spans import first_block

VERSIONS_MAX = 16
"""Of a block that is written more often without a sync, the first and the last contents stand for all (KVS-CLASS-2)."""

STALE_BYTE = b"\xa5"
"""Stands for whatever the device held before; no file that is saved is made of it."""


class Fate(StrEnum):
    """How a block came to what it holds."""

    DURABLE = "as it was synced"
    ZEROS = "zeros"
    STALE = "what the device held before"
    WRITTEN = "written"


class Option:
    """What a block may hold: `pieces`, and zeros behind them. Compared by identity.

    held: whether it is what a content that is right has there, as far as anybody has asked.
    """

    __slots__ = ("fate", "held", "pieces")

    def __init__(self, fate: Fate, pieces: Pieces = ()) -> None:
        self.fate = fate
        self.pieces = pieces
        self.held: dict[object, bool] = {}

    @property
    def is_lost(self) -> bool:
        """Whether nothing of what was written there has reached the disk."""
        return self.fate in (Fate.ZEROS, Fate.STALE)


class Block:
    """The options of one block, oldest first: the first is what is left if nothing reaches the disk, the last is what
    programs read now. failed: writing it back has failed, so that a later sync does not write it again (KVS-POWER-5).
    """

    __slots__ = ("failed", "options")

    def __init__(self, option: Option) -> None:
        self.options = [option]
        self.failed = False

    @property
    def pending(self) -> bool:
        """Whether a loss of power leaves a choice."""
        return len(self.options) > 1


class FileSpace:
    """All contents that a file may have after a loss of power.

    blocks: as far as anything was written. sizes: what the size may be, oldest first; the first is durable, the last is
    the one now. stated: sizes that were set and not grown to, which no data holds back. earlier: the file before each
    truncation that is not synced, in profiles in which old and new blocks do not mix.
    """

    def __init__(self, profile: Profile, block_bytes: int, content: Pieces = ()) -> None:
        self.profile = profile
        self.block_bytes = block_bytes
        self.blocks = [Block(Option(Fate.DURABLE, piece)) for piece in in_blocks(content, block_bytes)]
        self.sizes = [length(content)]
        self.stated: set[int] = set()
        self.pending: set[int] = set()
        self.earlier: list[FileSpace] = []

    @property
    def size_bytes(self) -> int:
        """The size that programs see now."""
        return self.sizes[-1]

    @property
    def is_durable(self) -> bool:
        """Whether there is only one content left."""
        return not self.pending and len(self.sizes) == 1 and not self.earlier

    def read(self, offset: int, size_bytes: int) -> Pieces:
        """What programs read now."""
        end = min(offset + size_bytes, self.size_bytes)
        found: list[Buffer] = []
        while offset < end:
            index, start, stop = first_block(offset, end, self.block_bytes)
            pieces = self.blocks[index].options[-1].pieces if index < len(self.blocks) else ()
            part = cut(pieces, start, stop)
            found += part
            missing = stop - start - length(part)
            if missing:
                found.append(bytes(missing))
            offset = index * self.block_bytes + stop
        return joined(tuple(found))

    def write(self, offset: int, data: Buffer) -> None:
        """pwrite(2)."""
        if not len(data):
            return
        view = memoryview(data)
        end, position = offset + len(data), offset
        while position < end:
            index, start, stop = first_block(position, end, self.block_bytes)
            whole = position == offset and stop - start == len(data)
            self._write_block(index, start, data if whole else view[position - offset :][: stop - start])
            position += stop - start
        if end > self.size_bytes:
            self.sizes.append(end)

    def resize(self, size_bytes: int) -> None:
        """ftruncate(2)."""
        if size_bytes == self.size_bytes:
            return
        if size_bytes < self.size_bytes:
            if self.profile.truncation is Order.ORDERED:
                self._begin_anew()
            first, inside = divmod(size_bytes, self.block_bytes)
            for index in range(first, len(self.blocks)):
                self._zero_block(index, inside if index == first else 0)
            if self.earlier:
                self.sizes = []
        self.sizes.append(size_bytes)
        self.stated.add(size_bytes)

    def zero(self, offset: int, size_bytes: int) -> None:
        """fallocate(2) with FALLOC_FL_PUNCH_HOLE or FALLOC_FL_ZERO_RANGE, inside the file."""
        end = min(offset + size_bytes, self.size_bytes)
        while offset < end:
            index, start, stop = first_block(offset, end, self.block_bytes)
            self._write_block(index, start, bytes(stop - start))
            offset += stop - start

    def sync(self) -> None:
        """A successful fsync(2): what was written is on the disk, but for what an earlier failure gave up."""
        for index in tuple(self.pending):
            block = self.blocks[index]
            if not block.failed:
                del block.options[:-1]
                self.pending.discard(index)
        del self.sizes[:-1]
        self.stated.clear()
        self.earlier.clear()

    def fail_sync(self) -> None:
        """An fsync(2) that failed: Linux marks the pages clean, and nobody writes them again (KVS-POWER-5)."""
        for index in self.pending:
            self.blocks[index].failed = True

    def copy(self) -> FileSpace:
        """The same file, independent from here on; contents are shared."""
        other = FileSpace(self.profile, self.block_bytes)
        other.blocks = [_copy(block) for block in self.blocks]
        other.sizes = list(self.sizes)
        other.stated = set(self.stated)
        other.pending = set(self.pending)
        other.earlier = list(self.earlier)
        return other

    def _write_block(self, index: int, start: int, data: Buffer) -> None:
        self._grow(index)
        block = self.blocks[index]
        old = block.options[-1]
        if old.fate is Fate.ZEROS and self.profile.unwritten is Unwritten.STALE:
            self._add(index, Option(Fate.STALE, _stale(self.block_bytes)))
        self._add(index, Option(Fate.WRITTEN, overlaid(old.pieces, start, data)))

    def _zero_block(self, index: int, kept_bytes: int) -> None:
        old = self.blocks[index].options[-1]
        if length(old.pieces) <= kept_bytes:
            return
        pieces = cut(old.pieces, 0, kept_bytes)
        if self.earlier:
            # The truncation itself is on the disk or not; where it is, so is what it did.
            self.blocks[index] = block = _cut_off(self.blocks[index], kept_bytes)
            if not block.pending:
                self.pending.discard(index)
        else:
            self._add(index, Option(Fate.WRITTEN if pieces else Fate.ZEROS, pieces))

    def _add(self, index: int, option: Option) -> None:
        block = self.blocks[index]
        block.failed = False
        block.options.append(option)
        if len(block.options) > VERSIONS_MAX:
            del block.options[VERSIONS_MAX // 2]
        self.pending.add(index)

    def _grow(self, index: int) -> None:
        while len(self.blocks) <= index:
            self.blocks.append(Block(Option(Fate.ZEROS)))

    def _begin_anew(self) -> None:
        """What the file may be if the truncation that follows is lost is kept apart."""
        before = self.copy()
        before.earlier = []
        self.earlier.append(before)


def _copy(block: Block) -> Block:
    other = Block(block.options[0])
    other.options = list(block.options)
    other.failed = block.failed
    return other


def _cut_off(block: Block, kept_bytes: int) -> Block:
    """The block behind a truncation that is on the disk: what is kept of it may still be lost or not."""
    if not kept_bytes:
        return Block(Option(Fate.ZEROS))
    other = Block(Option(block.options[0].fate, cut(block.options[0].pieces, 0, kept_bytes)))
    other.options += [Option(option.fate, cut(option.pieces, 0, kept_bytes)) for option in block.options[1:]]
    other.failed = block.failed
    return other


@lru_cache(maxsize=4)
def _stale(block_bytes: int) -> Pieces:
    """What the device held before in a block: one buffer for all, since blocks of large files are large."""
    return (STALE_BYTE * block_bytes,)


def in_blocks(content: Pieces, block_bytes: int) -> Iterable[Pieces]:
    """A content cut into blocks, in one pass; buffers are shared."""
    block: list[Buffer] = []
    room = block_bytes
    for piece in content:
        view: Buffer = piece
        while len(view):
            part = view if len(view) <= room else memoryview(view)[:room]
            block.append(part)
            room -= len(part)
            view = b"" if len(part) == len(view) else memoryview(view)[len(part) :]
            if not room:
                yield joined(tuple(block))
                block, room = [], block_bytes
    if block:
        yield joined(tuple(block))
