"""A disk that remembers every write, flush and discard, and can be made to hold what a loss of power leaves of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from faultinject.powercut.blocks import Blocks, Overlay


class Request(StrEnum):
    """What a file system asks of a disk. After a flush, what was written before it is safe."""

    WRITE = "write"
    FLUSH = "flush"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class Entry:
    """One request as it was logged, without its data."""

    request: Request
    offset: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Torn:
    """A write of which only the beginning has reached the disk."""

    place: int
    kept_bytes: int


@dataclass(frozen=True, slots=True)
class Survivors:
    """What a loss of power leaves of a log: its first `durable` entries, some later ones, and a torn one at the end."""

    durable: int
    later: tuple[int, ...] = ()
    torn: Torn | None = None


class Disk:
    """`base` is what was there when the log began; `now`, what is there, reads and writes."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._base = Blocks()
        self.now = Overlay(self._base)
        self.log: list[Entry] = []
        self._data: list[bytes] = []
        self.logging = False
        self._durable = 0
        self._prefix = Overlay(self._base)

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Bytes up to the end of the disk."""
        size_bytes = min(size_bytes, self.size_bytes - offset)
        return self.now.read(offset, size_bytes) if size_bytes > 0 else b""

    def write(self, offset: int, data: bytes) -> None:
        """A write. Raises ValueError for one beyond the end."""
        self._check(offset, len(data))
        self._note(Entry(Request.WRITE, offset, len(data)), data)
        self.now.write(offset, data)

    def discard(self, offset: int, size_bytes: int) -> None:
        """A range is given up; it reads as zeros. Raises ValueError for one beyond the end."""
        self._check(offset, size_bytes)
        self._note(Entry(Request.DISCARD, offset, size_bytes))
        self.now.zero(offset, size_bytes)

    def flush(self) -> None:
        """A flush."""
        self._note(Entry(Request.FLUSH))

    def begin(self) -> None:
        """What is there now becomes the base, and the log begins."""
        self.now.settle()
        self.log.clear()
        self._data.clear()
        self._durable, self._prefix = 0, Overlay(self._base)
        self.logging = True

    def show(self, survivors: Survivors) -> int:
        """From now on the disk holds this; returns a digest of it. What is written to it is not logged."""
        self.logging = False
        if survivors.durable < self._durable:
            self._durable, self._prefix = 0, Overlay(self._base)
        while self._durable < survivors.durable:
            self._apply(self._prefix, self._durable)
            self._durable += 1
        image = self._prefix.copy()
        for place in survivors.later:
            self._apply(image, place)
        if survivors.torn is not None:
            entry = self.log[survivors.torn.place]
            image.write(entry.offset, self._data[survivors.torn.place][: survivors.torn.kept_bytes])
        self.now = image
        return image.digest

    def _note(self, entry: Entry, data: bytes = b"") -> None:
        if self.logging:
            self.log.append(entry)
            self._data.append(data)

    def _apply(self, image: Overlay, place: int) -> None:
        entry = self.log[place]
        if entry.request is Request.WRITE:
            image.write(entry.offset, self._data[place])
        elif entry.request is Request.DISCARD:
            image.zero(entry.offset, entry.size_bytes)

    def _check(self, offset: int, size_bytes: int) -> None:
        if offset + size_bytes > self.size_bytes:
            raise ValueError(f"{size_bytes} bytes at {offset} lie beyond the end of a disk of {self.size_bytes}")
