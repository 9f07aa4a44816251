"""Store.entries() over 10,000 files: microseconds a file."""

from __future__ import annotations

import os
import tempfile
import time

from kvformat import Store
from kvformat.identity import text_name
from kvformat.layout import encode_header
from kvformat.model import Header

FILES = 10_000
ROUNDS = 5


def main() -> None:
    header = encode_header(Header(4, 1, 0, 0, 7, 0, 4096, 0, bytes(3), 1, 1, 3))
    with tempfile.TemporaryDirectory() as directory:
        for number in range(FILES):
            text = b"prompt %d" % number
            with open(os.path.join(directory, text_name(text)), "wb") as stream:
                stream.write(header + len(text).to_bytes(4, "little") + text + b"abc")
        store = Store.open(directory)
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            entries = store.entries()
            times.append(time.perf_counter() - start)
        assert len(entries) == FILES
    print(f"entries() of {FILES:,} files: {min(times) / FILES * 1e6:.1f} us a file (best of {ROUNDS})")


if __name__ == "__main__":
    main()
