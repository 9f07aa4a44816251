"""Wrong: what was written is not synced before the rename."""

from __future__ import annotations

import contextlib
import os
import sys


def content(size_bytes: int, seed: int) -> bytes:
    """The bytes to be saved, the same as those of the programs in C."""
    state, data = seed, bytearray()
    for _ in range(size_bytes):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        data.append(state >> 56)
    return bytes(data)


def sync_directory(directory: str) -> None:
    """What makes a rename last."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def save(directory: str, data: bytes) -> None:
    """Saves `data` as data.bin."""
    final = os.path.join(directory, "data.bin")
    temp = final + ".tmp"
    try:
        with open(temp, "wb") as file:
            file.write(data)
            file.flush()  # the mistake: no os.fsync
        os.rename(temp, final)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temp)
        raise
    sync_directory(directory)


def main(arguments: list[str]) -> int:
    """Exit status 0: saved; 1: failed; 2: wrong call."""
    if len(arguments) != 3 or not (arguments[1].isdecimal() and arguments[2].isdecimal()) or not int(arguments[1]):
        print("usage: PROGRAM DIR SIZE_BYTES SEED", file=sys.stderr)
        return 2
    try:
        save(arguments[0], content(int(arguments[1]), int(arguments[2])))
    except OSError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
