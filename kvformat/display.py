"""What people see: bytes, names, sizes and times as text that no terminal obeys, and tables of it (KVC-TEXT-2).

Every string that comes out of `safe` and `quoted` is printable: no control character, no escape sequence, no
change of writing direction. Nothing here is markup of rich: tables take the strings as they are.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import IO, NoReturn, cast

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kvformat.hints import cut_character_bytes

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_CUT = "…"
_SURROGATE_BYTES = range(0xDC80, 0xDD00)
"""How Python keeps, in file names and arguments, the bytes 80 to ff that are no UTF-8 (PEP 383)."""


def safe(value: str | bytes) -> str:
    r"""`value` for a terminal: what is not printable becomes \n, \x1b, \u202e or the like, a backslash \\.

    Bytes are taken as UTF-8; those that are not, and those that a file name carries as surrogates, become \xff.
    """
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
    return "".join(map(_safe_character, text))


def safe_lines(message: str) -> str:
    """As `safe`, for a message whose own lines and backslashes stay: what it quotes was made safe before."""
    return "".join(one if one in "\n\\" else "    " if one == "\t" else _safe_character(one) for one in message)


def quoted(value: str | bytes, width: int | None = None) -> str:
    """`safe` in double quotes, cut to `width` terminal columns with an ellipsis behind the quotes."""
    whole = safe(value).replace('"', '\\"')
    if width is None or cell_len(whole) + 2 <= width:
        return f'"{whole}"'
    left = max(0, width - 2 - cell_len(_CUT))
    kept = []
    for character in value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value:
        piece = _safe_character(character).replace('"', '\\"')
        left -= cell_len(piece)
        if left < 0:
            break
        kept.append(piece)
    return f'"{"".join(kept)}"{_CUT}'


def folded(data: bytes, width: int, lines_max: int) -> list[str]:
    """`data` made safe, in lines of at most `width` columns that also end behind each newline; cut at `lines_max`."""
    lines: list[str] = []
    line, left = "", width
    for character in data.decode("utf-8", "surrogateescape"):
        piece = _safe_character(character)
        if line and cell_len(piece) > left:
            lines.append(line)
            line, left = "", width
        line += piece
        left -= cell_len(piece)
        if character == "\n":
            lines.append(line)
            line, left = "", width
        if len(lines) > lines_max:
            break
    if line:
        lines.append(line)
    return lines if len(lines) <= lines_max else [*lines[: lines_max - 1], _CUT]


def _safe_character(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code in _SURROGATE_BYTES:
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def whole_characters(start: bytes) -> bytes:
    """The first bytes of a longer text without the part of a character that they may end with."""
    return start[: len(start) - cut_character_bytes(start)]


def whole_characters_at_end(end: bytes) -> bytes:
    """The last bytes of a longer text without the rest of a character that they may start with."""
    skip = 0
    while skip < min(3, len(end)) and end[skip] & 0xC0 == 0x80:
        skip += 1
    return end[skip:]


def human_bytes(count: int) -> str:
    """`count` in the unit that people would choose, at most eight characters up to an EiB."""
    if count < 1024:
        return f"{count} B"
    value = float(count)
    for unit in _UNITS:
        value /= 1024
        # 1023.9 is shown as 1023, not rounded up to the next unit.
        if value < 1024 or unit == _UNITS[-1]:
            return f"{value:.1f} {unit}" if value < 9.95 else f"{int(value)} {unit}"
    raise AssertionError("the last unit returns")


def exact_bytes(count: int) -> str:
    """`count` in full, and in a larger unit beside it where that says more."""
    exact = f"{count:,} byte" if count == 1 else f"{count:,} bytes"
    return exact if count < 1024 else f"{exact} ({human_bytes(count)})"


def counted(count: int, one: str, many: str | None = None) -> str:
    """`count` with its noun in the right number."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def iso_time(seconds: int) -> str | None:
    """Unix seconds as ISO 8601 in UTC; None beyond the year 9999, which ISO 8601 does not write (KVC-HEADER-15)."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError, ValueError):
        return None


def write_output(text: str) -> None:
    """All of `text` to standard output, at once. Raises BrokenPipeError, and OSError that names standard output.

    An unbuffered text stream of Python drops what one write(2) did not take, without an error; hence the loop.
    """
    stream = sys.stdout
    if stream is None or not text:
        return
    try:
        stream.flush()
        left = memoryview(text.encode(stream.encoding, "backslashreplace"))
        while left:
            accepted = stream.buffer.write(left)
            if not accepted:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            left = left[accepted:]
        stream.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


class _Output(io.TextIOBase):
    """Standard output as rich wants it, over `write_output`."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """What the terminal takes: rich draws lines with it."""
        return sys.stdout.encoding if sys.stdout is not None else "utf-8"

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        return sys.stdout is not None and sys.stdout.isatty()

    def write(self, text: str, /) -> int:
        """All of it."""
        write_output(text)
        return len(text)


class StdoutConsole(Console):
    """Standard output as rich formats it, without markup, emoji codes or highlighting; see `write_output`."""

    def __init__(self) -> None:
        super().__init__(file=cast(IO[str], _Output()), markup=False, emoji=False, highlight=False)

    def on_broken_pipe(self) -> NoReturn:
        """Rich would end the process with status 1, which means something else here."""
        raise BrokenPipeError

    def say(self, text: str = "", style: str = "") -> None:
        """One line, never wrapped: what is copied from it is what was printed."""
        self.print(Text(text, style=style), soft_wrap=True)

    def indented(self, text: str) -> None:
        """A paragraph, wrapped and set in by two columns."""
        self.print(Padding(Text(text, overflow="fold"), (0, 0, 0, 2)))


def table(columns: Sequence[tuple[str, JustifyMethod]], rows: Iterable[Sequence[str]]) -> Table:
    """A table of safe strings; cells that do not fit are folded, never cut."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for title, justify in columns:
        made.add_column(title, justify=justify, overflow="fold", no_wrap=False)
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


def make_output_total() -> None:
    """Characters that standard output and error cannot encode are escaped from now on, instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
