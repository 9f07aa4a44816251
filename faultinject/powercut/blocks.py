"""The content of a disk in blocks: a base that many images share, and what one image has of its own."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from faultinject.spans import first_block

BLOCK_BYTES = 4096

_ZEROS = bytes(BLOCK_BYTES)
_DIGEST_BYTES = 16


class Blocks:
    """A disk that reads as zeros where nothing was written; blocks of zeros take no memory."""

    def __init__(self) -> None:
        self._blocks: dict[int, bytes] = {}

    def block(self, number: int) -> bytes:
        """One block."""
        return self._blocks.get(number, _ZEROS)

    def put(self, number: int, block: bytes) -> None:
        """Makes it the content of a block."""
        if block == _ZEROS:
            self._blocks.pop(number, None)
        else:
            self._blocks[number] = block

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Bytes from anywhere."""
        first, skipped = divmod(offset, BLOCK_BYTES)
        last = (offset + size_bytes - 1) // BLOCK_BYTES
        if first == last and not skipped and size_bytes == BLOCK_BYTES:
            return self.block(first)
        whole = b"".join(map(self.block, range(first, last + 1)))
        return whole[skipped : skipped + size_bytes]

    def write(self, offset: int, data: bytes) -> None:
        """Bytes to anywhere."""
        for number, start, piece in _pieces(offset, data):
            self.put(number, piece if len(piece) == BLOCK_BYTES else _patched(self.block(number), start, piece))

    def zero(self, offset: int, size_bytes: int) -> None:
        """Makes a range read as zeros, at no cost for the blocks that do already."""
        first, last = -(-offset // BLOCK_BYTES), (offset + size_bytes) // BLOCK_BYTES
        if first >= last:
            self.write(offset, bytes(size_bytes))
            return
        self.write(offset, bytes(first * BLOCK_BYTES - offset))
        self._zero_whole(first, last)
        self.write(last * BLOCK_BYTES, bytes(offset + size_bytes - last * BLOCK_BYTES))

    def _zero_whole(self, first: int, last: int) -> None:
        for number in self._numbers(first, last):
            self.put(number, _ZEROS)

    def _numbers(self, first: int, last: int) -> list[int]:
        """The blocks of a range that may hold something: the shorter of the two lists is gone through."""
        if last - first < len(self._blocks):
            return list(range(first, last))
        return [number for number in self._blocks if first <= number < last]


class Overlay(Blocks):
    """A disk that differs from `base` in some blocks; `base` stays as it is.

    digest: equal for overlays of one base with equal content, however they came to it.
    """

    def __init__(self, base: Blocks) -> None:
        super().__init__()
        self._base = base
        self.digest = 0

    def copy(self) -> Overlay:
        """Another one with the same content."""
        other = Overlay(self._base)
        other._blocks = self._blocks.copy()
        other.digest = self.digest
        return other

    def block(self, number: int) -> bytes:
        """One block."""
        found = self._blocks.get(number)
        return self._base.block(number) if found is None else found

    def put(self, number: int, block: bytes) -> None:
        """Makes it the content of a block."""
        before, original = self.block(number), self._base.block(number)
        if block == before:
            return
        for content in (before, block):
            if content != original:
                self.digest ^= _digest(number, content)
        if block == original:
            del self._blocks[number]
        else:
            self._blocks[number] = block

    def settle(self) -> None:
        """Makes this content that of the base; the overlay is as good as new."""
        for number, block in self._blocks.items():
            self._base.put(number, block)
        self._blocks.clear()
        self.digest = 0

    def _numbers(self, first: int, last: int) -> list[int]:
        return sorted({*super()._numbers(first, last), *self._base._numbers(first, last)})


def _pieces(offset: int, data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """A range by its blocks: number, where in the block, and the bytes there."""
    done, end = 0, offset + len(data)
    while offset + done < end:
        number, start, stop = first_block(offset + done, end, BLOCK_BYTES)
        piece = data[done : done + stop - start]
        yield number, start, piece
        done += len(piece)


def _patched(block: bytes, start: int, piece: bytes) -> bytes:
    return block[:start] + piece + block[start + len(piece) :]


def _digest(number: int, block: bytes) -> int:
    """Of what is where. Over a disk they are combined by exclusive or, so that a change costs one block."""
    where = number.to_bytes(_DIGEST_BYTES, "little")
    return int.from_bytes(blake2b(block, digest_size=_DIGEST_BYTES, salt=where).digest(), "little")
