"""Cut characters against Python's own decoder: what the contracts of `kvformat.utf8` cannot be compared with."""

from __future__ import annotations

import codecs

from hypothesis import given
from hypothesis import strategies as st

from kvformat.utf8 import character_bytes, cut_bytes


def test_lead_bytes_announce_what_the_codec_writes() -> None:
    """KVC-TEXT-2, over all characters that UTF-8 has."""
    sizes = {}
    for code in (*range(0xD800), *range(0xE000, 0x110000, 7), 0x10FFFF):
        encoded = chr(code).encode()
        sizes[encoded[0]] = len(encoded)
    assert all(character_bytes(lead) == size for lead, size in sizes.items())
    assert {lead for lead in range(256) if character_bytes(lead) > 1} == {lead for lead in sizes if lead >= 0x80}


@given(text=st.text(min_size=3, max_size=6), kept=st.integers(3, 24))
def test_what_is_cut_is_what_the_decoder_waits_for(text: str, kept: int) -> None:
    """KVC-TEXT-2."""
    encoded = text.encode()[:kept]
    decoder = codecs.getincrementaldecoder("utf-8")()
    decoder.decode(encoded)
    assert cut_bytes(*encoded[-3:]) == len(decoder.getstate()[0])
