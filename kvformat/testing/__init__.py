"""Hypothesis strategies for KVC files: whole ones, their parts, and files with one thing wrong.

For whoever tests a program that reads or writes the format. Needs the extra `testing`.
All sizes are in bytes, and small unless asked for otherwise::

    from hypothesis import given
    from kvformat.testing import files

    @given(files(max_payload_bytes=1000))
    def test_my_reader_takes_every_good_file(data): ...
"""

from kvformat.testing.broken import BrokenFile, broken_files
from kvformat.testing.whole import entries, file_of, files, headers, raw_headers, texts, titles, tool_maps

__all__ = [
    "BrokenFile",
    "broken_files",
    "entries",
    "file_of",
    "files",
    "headers",
    "raw_headers",
    "texts",
    "titles",
    "tool_maps",
]
