"""Hypothesis strategies for KVC files: whole ones, their parts, files with one thing wrong, directories, payloads.

For whoever tests a program that reads or writes the format. Needs the extra `testing`; docs/testing.md is the guide.
All sizes are in bytes, and small unless asked for otherwise. Arguments that contradict each other are a ValueError::

    from hypothesis import given
    from kvformat.testing import files

    @given(files(max_payload_bytes=1000))
    def test_my_reader_takes_every_good_file(data): ...
"""

from kvformat.testing.broken import (
    BROKEN_CLAUSES,
    TOLERATED_CLAUSES,
    BrokenFile,
    ToleratedFile,
    broken_files,
    tolerated_files,
)
from kvformat.testing.directories import Directory, directories, prompts
from kvformat.testing.parts import (
    Sections,
    boundary_headers,
    headers,
    limits,
    profiles,
    raw_headers,
    sections,
    texts,
    titles,
    tool_maps,
)
from kvformat.testing.payloads import PayloadFailure, PayloadStream, PieceKind, payload_streams
from kvformat.testing.whole import entries, file_of, files, name_of

__all__ = [
    "BROKEN_CLAUSES",
    "TOLERATED_CLAUSES",
    "BrokenFile",
    "Directory",
    "PayloadFailure",
    "PayloadStream",
    "PieceKind",
    "Sections",
    "ToleratedFile",
    "boundary_headers",
    "broken_files",
    "directories",
    "entries",
    "file_of",
    "files",
    "headers",
    "limits",
    "name_of",
    "payload_streams",
    "profiles",
    "prompts",
    "raw_headers",
    "sections",
    "texts",
    "titles",
    "tolerated_files",
    "tool_maps",
]
