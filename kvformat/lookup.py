"""The choice among the entries of a directory: the longest text that is a prefix of a prompt (KVC-LOOKUP)."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from kvformat import identity, layout, profiles
from kvformat.filesystem import FileSystem
from kvformat.limits import Limits
from kvformat.listing import StoredEntry, read_opened, scan

_COMPARE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a session can use, None where it does not matter (KVC-LOOKUP-3, KVC-LOOKUP-4).

    `profile`: the one that the reader was told, or "auto". It says which bytes of a header mean something.
    """

    profile: str
    context_tokens: int | None = None
    model_id: int | None = None
    quantisation_bits: int | None = None
    payload_abi: int | None = None

    def accepts(self, entry: StoredEntry) -> bool:
        """Whether a lookup may offer the entry, its text aside."""
        header = entry.header
        profile = profiles.select(self.profile, header.byte20)
        # Where the profile reserves bytes 7 and 20 they are ignored and count as 0, whatever a fork keeps there.
        model_id = header.byte7 if profile is not None and profile.has_model_id else 0
        payload_abi = header.byte20 if profile is not None and profile.has_payload_abi else 0
        return (
            entry.answers_prompts
            and (self.context_tokens is None or header.context_tokens <= self.context_tokens)
            and (self.model_id is None or model_id == self.model_id)
            and (self.quantisation_bits is None or header.quantisation_bits == self.quantisation_bits)
            and (self.payload_abi is None or payload_abi == self.payload_abi)
        )


def lookup(fs: FileSystem, prompt: bytes, wanted: Wanted, *, limits: Limits) -> StoredEntry | None:
    """The entry with the longest text that is a prefix of `prompt` (KVC-LOOKUP-1), None where there is none.

    A candidate that is damaged or cannot be read is passed over (KVC-LOOKUP-2). Raises OSError where the
    directory cannot be read.
    """
    listed = scan(fs, profile=wanted.profile, limits=limits).entries
    candidates = [entry for entry in listed if entry.text_bytes <= len(prompt) and wanted.accepts(entry)]
    candidates.sort(key=lambda entry: entry.text_bytes)
    digest = hashlib.sha1(usedforsecurity=False)
    hashed = 0
    named: list[StoredEntry] = []
    for entry in candidates:
        # The name is the digest of the text: one pass over the prompt finds every prefix that has an entry.
        digest.update(prompt[hashed : entry.text_bytes])
        hashed = entry.text_bytes
        if identity.canonical_name(entry.name) == f"{digest.hexdigest()}.kv":
            named.append(entry)
    named.sort(key=lambda entry: (entry.text_bytes, entry.header.tokens), reverse=True)
    for entry in named:
        found = _confirmed(fs, entry, prompt, wanted, limits)
        if found is not None:
            return found
    return None


def _confirmed(fs: FileSystem, entry: StoredEntry, prompt: bytes, wanted: Wanted, limits: Limits) -> StoredEntry | None:
    """The entry as its file is at this moment, if it has the text and is wanted still; None passes it over.

    It may have been saved again since it was listed, perhaps for a smaller context: what was listed is not believed.
    """
    try:
        fd = fs.open(entry.name, os.O_RDONLY)
        try:
            now = read_opened(fs, fd, entry.name, profile=wanted.profile, limits=limits)
            if not isinstance(now, StoredEntry) or now.text_bytes != entry.text_bytes or not wanted.accepts(now):
                return None
            return now if _text_is(fs, fd, prompt[: now.text_bytes]) else None
        finally:
            fs.close(fd)
    except OSError:
        return None  # removed since, not permitted, a bad block: no reason not to offer a shorter one (KVC-LOOKUP-2)


def _text_is(fs: FileSystem, fd: int, text: bytes) -> bool:
    for start in range(0, len(text), _COMPARE_BYTES):
        piece = text[start : start + _COMPARE_BYTES]
        if fs.pread(fd, len(piece), layout.TEXT_OFFSET + start) != piece:
            return False
    return True
