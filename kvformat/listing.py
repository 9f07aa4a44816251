"""What a directory holds, as a reader sees it: entries, damaged ones, temp files, everything else."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field

from kvformat import identity, layout, rules
from kvformat.errors import Problem
from kvformat.filesystem import FileSystem
from kvformat.model import Header
from kvformat.temp_names import is_temp_name

_FOREIGN_TEMP = re.compile(r"(?:[0-9a-fA-F]{40}|sysprompt)\.kv\.tmp.*", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry whose header and sizes hold; its text and sections were not read yet."""

    name: str
    header: Header
    text_bytes: int
    size_bytes: int
    inode: int

    @property
    def answers_prompts(self) -> bool:
        """Whether a lookup may offer it (KVC-LOOKUP-5)."""
        return self.header.payload_bytes > 0 and not self.header.has_title and self.name not in identity.FIXED_NAMES


@dataclass(frozen=True, slots=True)
class DamagedEntry:
    """A file under an entry's name that no reader uses, and the first reason why."""

    name: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class UnreadableEntry:
    """A file under an entry's name that the system does not open or read: nothing is known of it."""

    name: str
    error: OSError


@dataclass(slots=True)
class Listing:
    """Every name of a directory once, by what it is.

    `temps` are this protocol's (KVS-TEMP-1), `foreign_temps` those of other writers of KVC files,
    `others` what has nothing to do with them.
    """

    entries: list[StoredEntry] = field(default_factory=list)
    damaged: list[DamagedEntry] = field(default_factory=list)
    unreadable: list[UnreadableEntry] = field(default_factory=list)
    temps: list[str] = field(default_factory=list)
    foreign_temps: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def is_foreign_temp(name: str) -> bool:
    """Whether `name` is that of a temp file as other writers name theirs: `<entry>.tmp…`."""
    return _FOREIGN_TEMP.fullmatch(name) is not None


def scan(fs: FileSystem, *, profile: str, limits: rules.Limits) -> Listing:
    """Sorts the names of a directory, in the order of the names. Raises OSError where it cannot be read."""
    listing = Listing()
    canonical: set[str] = set()
    # Lower case sorts behind upper case: in reverse, the lowercase name of an identity comes first (KVC-NAME-6).
    for name in sorted(fs.names(), reverse=True):
        if identity.is_entry_name(name) or name in identity.FIXED_NAMES:
            try:
                found = read_entry(fs, name, profile=profile, limits=limits)
            except FileNotFoundError:
                continue  # removed since its name was read
            except OSError as error:
                listing.unreadable.append(UnreadableEntry(name, error))
                continue
            if isinstance(found, Problem):
                listing.damaged.append(DamagedEntry(name, found))
                continue
            lowered = identity.canonical_name(name)
            if lowered in canonical:
                listing.damaged.append(DamagedEntry(name, rules.duplicate_name(name, lowered)))
                continue
            canonical.add(lowered)
            listing.entries.append(found)
        elif is_temp_name(name):
            listing.temps.append(name)
        elif is_foreign_temp(name):
            listing.foreign_temps.append(name)
        else:
            listing.others.append(name)
    for found_names in (
        listing.entries,
        listing.damaged,
        listing.unreadable,
        listing.temps,
        listing.foreign_temps,
        listing.others,
    ):
        found_names.reverse()
    return listing


def read_entry(fs: FileSystem, name: str, *, profile: str, limits: rules.Limits) -> StoredEntry | Problem:
    """Reads the first 52 bytes of one file: an entry, or the first problem. Raises OSError."""
    try:
        fd = fs.open(name, os.O_RDONLY)
    except OSError as error:
        if error.errno in rules.NOT_REGULAR:
            return rules.not_regular(name)
        raise
    try:
        return read_opened(fs, fd, name, profile=profile, limits=limits)
    finally:
        fs.close(fd)


def read_opened(fs: FileSystem, fd: int, name: str, *, profile: str, limits: rules.Limits) -> StoredEntry | Problem:
    """As `read_entry`, of a file that is open. Raises OSError."""
    status = fs.fstat(fd)
    if not stat.S_ISREG(status.mode):
        return rules.not_regular(name)
    head = fs.pread(fd, layout.TEXT_OFFSET, 0)
    problems = rules.check_head(head, total_bytes=status.size_bytes, profile=profile, limits=limits)
    if problems:
        return problems[0]
    return StoredEntry(
        name, layout.decode_header(head), layout.decode_text_bytes(head), status.size_bytes, status.inode
    )
