"""How the families state cases of the operation `read`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.cases.case import Broken, Case, Item, escaped
from tools.cases.kvc import File

OWN = b""
"""Stands for the name that the content of a file calls for."""

HOSTILE_SECONDS = 2
HOSTILE_MEMORY_BYTES = 128 * 1024 * 1024
"""What an answer about a length that lies may cost."""

HEADER = Broken("KVC-FILE-3", "header", "truncated")  # step 1
MAGIC = Broken("KVC-HEADER-1", "header.magic", "bad-magic")
VERSION = Broken("KVC-HEADER-2", "header.version", "unsupported-version")
QUANTISATION = Broken("KVC-HEADER-3", "header.quantisation_bits", "invalid-field")
TOKENS = Broken("KVC-HEADER-10", "header.tokens", "invalid-field")
AUTO_PROFILE = Broken("KVC-PROFILE-2", "header.byte20", "unsupported-profile")
TOLD_PROFILE = Broken("KVC-PROFILE-3", "header.byte20", "unsupported-profile")
SUM = Broken("KVC-FILE-4", "header.payload_bytes", "limit")
TEXT_CUT = Broken("KVC-FILE-3", "text", "truncated")
PAYLOAD_CUT = Broken("KVC-FILE-3", "payload", "truncated")
TEXT_LIMIT = Broken("KVC-LIMIT-3", "text_bytes", "limit")
TITLE_COUNT_CUT = Broken("KVC-TITLE-1", "title_bytes", "bad-section")
TITLE_CUT = Broken("KVC-TITLE-1", "title", "bad-section")
TITLE_LIMIT = Broken("KVC-TITLE-3", "title_bytes", "limit")
TEXT_NAME = Broken("KVC-NAME-1", "name", "identity-mismatch")
SESSION_NAME = Broken("KVC-NAME-3", "name", "identity-mismatch")
NOT_REGULAR = Broken("KVC-NAME-7", "name", "identity-mismatch")


def no_title(field: str) -> Broken:
    """Step 10: the tool map is damaged at `field`, so that the title behind it cannot be found."""
    return Broken("KVC-TITLE-2", f"tool_map.{field}", "bad-section")


def accept(
    slug: str,
    file: File,
    clauses: tuple[str, ...],
    flags: tuple[str, ...],
    comment: str,
    *,
    name: bytes | None = OWN,
    profile: str = "auto",
    data: bytes | None = None,
    extend_to_bytes: int | None = None,
    view: Mapping[str, Any] | None = None,
    **more: Any,
) -> Case:
    """A file that a reader takes. `data` are its bytes where they are not those of `file`, `view` replaces parts."""
    data = file.data if data is None else data
    name = file.name if name == OWN else name
    told = {} if name is None else {"name": escaped(name)}
    whole = {
        **told,
        **file.view(profile),
        "file_bytes": str(extend_to_bytes or len(data)),
        **(view or {}),
    }
    given = Item(name=name, data=data, extend_to_bytes=extend_to_bytes)
    return Case(
        operation="read",
        slug=slug,
        comment=comment,
        clauses=clauses,
        flags=flags,
        profile=profile,
        given=given,
        view=whole,
        **more,
    )


def reject(
    slug: str,
    file: File | bytes,
    broken: Broken,
    flags: tuple[str, ...],
    comment: str,
    *,
    name: bytes | None = OWN,
    also: tuple[str, ...] = (),
    extend_to_bytes: int | None = None,
    **more: Any,
) -> Case:
    """A file that a reader rejects; `also` are clauses that bear on it besides the one that decides."""
    if isinstance(file, File):
        name = file.name if name == OWN else name
        file = file.data
    elif name == OWN:
        raise ValueError(f"{slug}: bytes call for no name: give one, or None")
    return Case(
        operation="read",
        slug=slug,
        comment=comment,
        clauses=(broken.clause, *also),
        flags=flags,
        given=Item(name=name, data=file, extend_to_bytes=extend_to_bytes),
        broken=broken,
        **more,
    )


def hostile(slug: str, file: File | bytes, broken: Broken, flags: tuple[str, ...], comment: str, **more: Any) -> Case:
    """As `reject`, of a file whose lengths must cost neither time nor memory (KVC-LIMIT-1)."""
    return reject(
        slug, file, broken, flags, comment, seconds=HOSTILE_SECONDS, memory_bytes=HOSTILE_MEMORY_BYTES, **more
    )
