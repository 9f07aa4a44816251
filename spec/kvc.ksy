# The KVC file, version 1, in the language of Kaitai Struct (https://kaitai.io), written from kvc.md alone.
#
# What it can say, it says: the layout, and each rule that needs one field or one sum. A parser made of it reads the
# fixed part at once and everything else when asked. What it cannot say is the business of whoever uses the parser:
# the kind of the file (KVC-NAME-7), a profile that a reader is told (KVC-PROFILE-3), SHA-1 and the name (KVC-NAME-1
# to -4), and that a damaged tool map without a title rejects nothing (KVC-TOOLMAP-6). examples/kaitai has such a user.
#
# It needs integers that hold a u64 (KVC-LIMIT-2). Where the language has none (signed 64 bits in Java, doubles in
# JavaScript), a user tests header.payload_bytes for what the language makes of values over 2^63-1 or 2^53.
meta:
  id: kvc
  title: KVC cache file, version 1
  file-extension: kv
  license: MIT
  ks-version: "0.11"
  endian: le  # KVC-FILE-1
doc: |
  One entry of an on-disk cache of inference state: header, text, payload, and up to two sections.
doc-ref: kvc.md
seq:
  - id: fixed
    type: fixed_part
    size: 52
    doc: A file of fewer bytes is truncated before any field of it is looked at (KVC-FILE-3, step 1 of 1.4).
instances:
  file_bytes:
    value: _io.size
  text_start:
    value: 52
  payload_start:
    value: text_start + fixed.text_bytes
  sections_start:
    value: payload_start + fixed.header.payload_bytes
    doc: Meaningful only where sum_is_file_size holds.
  sum_is_file_size:
    value: fixed.header.payload_bytes <= 9223372036854775755 - fixed.text_bytes
    doc: The sum of lengths is at most 2^63-1, tested so that it cannot wrap (KVC-FILE-4, step 7).
  has_text:
    value: fixed.text_bytes <= file_bytes - text_start
    doc: KVC-FILE-3, KVC-LIMIT-1; step 8, field text.
  has_payload:
    value: has_text and fixed.header.payload_bytes <= file_bytes - payload_start
    doc: KVC-FILE-3, KVC-LIMIT-1; step 8, field payload.
  text_is_within_limit:
    value: fixed.text_bytes <= 268435456
    doc: The default limit of a reader (KVC-LIMIT-3, step 9).
  text:
    pos: text_start
    size: fixed.text_bytes
    doc: Bytes, not characters (KVC-TEXT-2).
  payload:
    pos: payload_start
    size: fixed.header.payload_bytes
    doc: As long as the whole file; a reader of large files takes its place and reads it piece by piece.
  tool_map:
    pos: sections_start
    type: tool_map
    if: fixed.header.has_tool_map
    doc: There if and only if bit 0 is set (KVC-HEADER-6, KVC-TOOLMAP-7).
  title_start:
    value: "fixed.header.has_tool_map ? tool_map.end : sections_start"
    doc: Behind the tool map if there is one (KVC-TITLE-2).
  title:
    pos: title_start
    type: title
    if: fixed.header.has_title
    doc: There if and only if bit 3 is set (KVC-HEADER-8).
  sections_end:
    value: "fixed.header.has_title ? title.end : title_start"
  trailing_bytes:
    value: file_bytes - sections_end
    doc: They belong to nothing and are ignored (KVC-FILE-5).
types:
  fixed_part:
    seq:
      - id: header
        type: header
      - id: text_bytes
        type: u4
        doc: KVC-TEXT-1
  header:
    seq:
      - id: magic
        contents: KVC
        doc: KVC-HEADER-1
      - id: version
        type: u1
        valid: 1
        doc: KVC-HEADER-2
      - id: quantisation_bits
        type: u1
        valid:
          any-of: [2, 4]
        doc: KVC-HEADER-3
      - id: reason_stored
        type: u1
        doc: As it stands in the file; reason has it as it is used (KVC-HEADER-4).
      - id: flags
        type: u1
        doc: KVC-HEADER-5
      - id: byte7
        type: u1
        doc: Reserved in ds4-abi0, model id in ds4-abi2 and ds4-abi3 (KVC-HEADER-9).
      - id: tokens
        type: u4
        valid:
          min: 1
        doc: KVC-HEADER-10
      - id: hits
        type: u4
        doc: Overwritten in a published file (KVC-HEADER-11).
      - id: context_tokens
        type: u4
        doc: KVC-HEADER-12
      - id: byte20
        type: u1
        doc: Reserved in ds4-abi0, payload ABI in the others (KVC-HEADER-13).
      - id: reserved
        size: 3
        doc: Not tested (KVC-HEADER-14).
      - id: created
        type: u8
        doc: Seconds since 1970-01-01 00:00:00 UTC (KVC-HEADER-15).
      - id: last_used
        type: u8
        doc: Overwritten in a published file (KVC-HEADER-16).
      - id: payload_bytes
        type: u8
        doc: KVC-HEADER-17
    instances:
      reason:
        value: "reason_stored <= 6 ? reason_stored : 0"
        enum: reason
        doc: 7 to 255 are used as 0 (KVC-HEADER-4).
      has_tool_map:
        value: (flags & 1) != 0
      is_responses_visible:
        value: (flags & 2) != 0
        doc: Appends nothing (KVC-HEADER-7).
      is_thinking_visible:
        value: (flags & 4) != 0
        doc: Appends nothing (KVC-HEADER-7).
      has_title:
        value: (flags & 8) != 0
      profile:
        value: byte20
        enum: profile
        doc: What a reader under auto takes the file for (KVC-PROFILE-2).
      profile_is_known:
        value: byte20 == 0 or byte20 == 2 or byte20 == 3
        doc: Of a reader under auto (KVC-PROFILE-2, step 6); one that was told a profile compares (KVC-PROFILE-3).
  tool_map:
    seq:
      - id: magic
        contents: KTM
        doc: KVC-TOOLMAP-1
      - id: version
        type: u1
        valid: 1
        doc: KVC-TOOLMAP-2
      - id: count
        type: u4
        valid:
          max: 400000
        doc: KVC-TOOLMAP-3
      - id: entries
        type: tool_entry
        repeat: expr
        repeat-expr: count
      - id: mark
        size: 0
        if: end >= 0
        doc: No bytes; it has the parser note where the section ends.
    instances:
      end:
        value: _io.pos
  tool_entry:
    seq:
      - id: lengths
        type: tool_entry_lengths
        size: 8
        doc: Both are there before either is judged (KVC-TOOLMAP-6).
      - id: id
        size: lengths.id_bytes
      - id: block
        size: lengths.block_bytes
  tool_entry_lengths:
    seq:
      - id: id_bytes
        type: u4
        valid:
          min: 1
          max: 256
        doc: KVC-TOOLMAP-4
      - id: block_bytes
        type: u4
        valid:
          min: 1
          max: 536870912
        doc: KVC-TOOLMAP-5
  title:
    seq:
      - id: title_bytes
        type: u4
      - id: mark
        size: 0
        if: bytes_start >= 0
        doc: No bytes; it has the parser note where the bytes of the title start.
    instances:
      bytes_start:
        value: _io.pos
      has_bytes:
        value: title_bytes <= _io.size - bytes_start
        doc: KVC-TITLE-1, KVC-LIMIT-1; step 11.
      is_within_limit:
        value: title_bytes <= 65536
        doc: KVC-TITLE-3, step 12.
      bytes:
        pos: bytes_start
        size: title_bytes
        doc: Bytes like the text (KVC-TITLE-1).
      end:
        value: bytes_start + title_bytes
enums:
  reason:
    0: unknown
    1: cold
    2: continued
    3: evict
    4: shutdown
    5: agent_system
    6: agent_session
  profile:
    0: ds4_abi0
    2: ds4_abi2
    3: ds4_abi3
