"""A directory of entries: list, look up, load, save, update, remove, recover.

Every change follows spec/saving.md, so that several stores on one directory, in threads and
in processes, never show each other anything but complete entries.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable

from kvformat import identity, reader, rules, updates
from kvformat.errors import error_for
from kvformat.eviction import EvictionPolicy, evict
from kvformat.filesystem import FileSystem, OsFileSystem
from kvformat.listing import Listing, StoredEntry, scan
from kvformat.lookup import Wanted, lookup
from kvformat.model import Entry, Header, ToolEntry
from kvformat.options import Options, SaveResult, Strategy
from kvformat.payload import Payload, PayloadSource, Range, as_payload
from kvformat.portfile import PortFile
from kvformat.recovery import RecoveryReport, recover
from kvformat.serial import Serial, serialize
from kvformat.writer import save


class Store:
    """The entries of one directory. Not tied to a thread; several may work on one directory at a time.

    profile: "auto" or a profile's name, applied to everything that is read (KVC-PROFILE-2).
    clock: gives Unix seconds for creation and last-used times.
    """

    def __init__(
        self,
        fs: FileSystem,
        *,
        profile: str = "auto",
        limits: rules.Limits | None = None,
        clock: Callable[[], float] = time.time,
        eviction: EvictionPolicy | None = None,
    ) -> None:
        self.fs = fs
        self.profile = profile
        self.limits = limits or rules.Limits()
        self._clock = clock
        self._eviction = eviction
        self.recovered: RecoveryReport | None = None

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        create: bool = False,
        profile: str = "auto",
        limits: rules.Limits | None = None,
        eviction: EvictionPolicy | None = None,
    ) -> Store:
        """Opens the directory at `path` and recovers it (KVS-RECOVER-1); `recovered` says what was found.

        Raises OSError where it is no directory or may not be read.
        """
        if create:
            os.makedirs(path, mode=0o700, exist_ok=True)
        store = cls(OsFileSystem(path), profile=profile, limits=limits, eviction=eviction)
        store.recovered = store.recover()
        return store

    def scan(self) -> Listing:
        """Everything in the directory, sorted by what it is to a reader. Raises OSError."""
        return scan(self.fs, profile=self.profile, limits=self.limits)

    def entries(self) -> list[StoredEntry]:
        """The entries whose header and sizes hold. Identity is checked when one is used (KVC-LOOKUP-2)."""
        return self.scan().entries

    def lookup(
        self,
        prompt: bytes,
        *,
        context_tokens: int | None = None,
        model_id: int | None = None,
        quantisation_bits: int | None = None,
        payload_abi: int | None = None,
    ) -> StoredEntry | None:
        """The entry with the longest text that is a prefix of `prompt` (KVC-LOOKUP-1), None where there is none.

        A candidate that is damaged or cannot be read is passed over (KVC-LOOKUP-2). Raises OSError where
        the directory cannot be read.
        """
        wanted = Wanted(self.profile, context_tokens, model_id, quantisation_bits, payload_abi)
        return lookup(self.fs, prompt, wanted, limits=self.limits)

    def load(self, name: str) -> reader.KvcReader:
        """Opens the entry `name` for reading, identity checked; the caller closes it.

        Raises KvcError for a damaged entry, OSError (FileNotFoundError) where it cannot be opened.
        """
        _check_name(name)
        try:
            fd = self.fs.open(name, os.O_RDONLY)
        except OSError as error:
            if error.errno in rules.NOT_REGULAR:
                raise error_for(rules.not_regular(name), name) from error
            raise
        stream = PortFile(self.fs, fd, owned=True, name=name)
        try:
            if not stat.S_ISREG(stream.status().mode):
                raise error_for(rules.not_regular(name), name)
            return reader.open_kvc(stream, profile=self.profile, limits=self.limits, name=name, close_source=True)
        except BaseException:
            stream.close()
            raise

    def save(
        self,
        entry: Entry,
        payload: PayloadSource | Range,
        *,
        payload_bytes: int | None = None,
        strategy: Strategy | None = None,
        name: str | None = None,
        options: Options | None = None,
    ) -> SaveResult:
        """Saves `entry`, replacing what has its name, complete or damaged (KVS-REPLACE-1).

        `payload_bytes` is the predicted size of an iterable. Without a `strategy`, direct where the size is
        known and backpatch where it is not. Raises as `writer.save` and `writer.serialize`.
        """
        source = payload if isinstance(payload, Range) else as_payload(payload, payload_bytes)
        if strategy is None:
            strategy = Strategy.BACKPATCH if source.size_bytes is None else Strategy.DIRECT
        serial = serialize(entry, now=self._now(), name=name, limits=self.limits)
        return self.save_serial(serial, source, strategy=strategy, options=options)

    def save_serial(
        self,
        serial: Serial,
        payload: Payload | Range,
        *,
        strategy: Strategy,
        options: Options | None = None,
    ) -> SaveResult:
        """As `save`, for an entry that was serialized before: the part that touches the directory."""
        result = save(self.fs, serial, payload, strategy=strategy, options=options)
        return result if self._eviction is None else evict(self, result, self._eviction)

    def touch(self, name: str, *, hits_added: int = 1, last_used: int | None = None, durable: bool = True) -> Header:
        """Adds to the hit count and sets the last-used time, in place (KVS-TOUCH). Returns the new header.

        `last_used` of None means now. Raises KvcError for a damaged entry, SaveError where the system failed.
        """
        _check_name(name)
        when = self._now() if last_used is None else last_used
        return updates.touch(
            self.fs,
            name,
            hits_added=hits_added,
            last_used=when,
            durable=durable,
            profile=self.profile,
            limits=self.limits,
        )

    def replace_tool_map(
        self, name: str, tool_map: tuple[ToolEntry, ...] | None, *, options: Options | None = None
    ) -> SaveResult:
        """Replaces the tool map, or removes it (None), by writing the entry anew (KVS-TOOLMAP).

        Everything else stays byte for byte. Raises as `touch`.
        """
        _check_name(name)
        return updates.replace_tool_map(
            self.fs, name, tool_map, options=options, profile=self.profile, limits=self.limits
        )

    def remove(self, name: str, *, durable: bool = True) -> None:
        """Removes the entry `name` (KVS-REMOVE). Raises SaveError, also where there is none."""
        _check_name(name)
        updates.remove(self.fs, name, durable=durable)

    def recover(self, *, foreign_older_than_seconds: float | None = None) -> RecoveryReport:
        """Removes what dead writers left, never what a living one still writes (KVS-RECOVER).

        Temp files of other programs carry no lock that tells whether their writer lives. They are only
        reported, unless `foreign_older_than_seconds` says from which age on they are removed too.
        Raises OSError where the directory cannot be read; single failures are in the report.
        """
        return recover(self.fs, foreign_older_than_seconds=foreign_older_than_seconds, now_ns=int(self._clock() * 1e9))

    def _now(self) -> int:
        return max(0, int(self._clock()))


def _check_name(name: str) -> None:
    if not (identity.is_entry_name(name) or name in identity.FIXED_NAMES):
        raise ValueError(f"{name!r} is not the name of an entry (KVC-NAME-5)")
