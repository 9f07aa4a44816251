"""A session adapter that writes and recovers, and can be wrong in one way: `python -S miniature.py MODE`.

Breaks KVS-INV-1 to KVS-INV-5.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys

MODE = sys.argv[1] if __name__ == "__main__" else ""
MISTAKES = {
    "right": None,
    "in-place": "partial-visible",
    "leaks": "temp-leaked",
    "early": "false-success",
    "always": "false-success",
    "takes-living": "live-temp-removed",
    "no-recovery": "orphan-unreclaimed",
    "no-fsync": "partial-visible",
}
"""Each mode, and the violation that it deserves."""


def put(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def say(answer: dict[str, object]) -> None:
    data = json.dumps(answer).encode() + b"\n"
    while data:
        data = data[os.write(1, data) :]


def content(folder: str) -> bytes:
    with open(f"{folder}/view.json", "rb") as file:
        view = json.load(file)
    with open(f"{folder}/payload", "rb") as file:
        payload = file.read()
    header: dict[str, str] = view["header"]
    text: bytes = view["text"]["content"].encode()
    numbers = {key: int(value) for key, value in header.items()}
    head = bytes((75, 86, 67, 1, numbers["quantisation_bits"], numbers["reason"], 0, 0))
    for key, size in (("tokens", 4), ("hits", 4), ("context_tokens", 4)):
        head += numbers[key].to_bytes(size, "little")
    head += bytes(4)
    for key in ("created", "last_used", "payload_bytes"):
        head += numbers[key].to_bytes(8, "little")
    return head + len(text).to_bytes(4, "little") + text + payload


def sync(fd: int) -> None:
    if MODE != "no-fsync":
        os.fsync(fd)


def write(folder: str, output: str) -> None:
    data, where = content(folder), os.path.dirname(output)
    if MODE == "in-place":
        fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        put(fd, data)
        os.fsync(fd)
        os.close(fd)
        return
    temp = f"{where}/.kvc-save-{os.urandom(16).hex()}.tmp"
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            put(fd, data)
            sync(fd)
        finally:
            os.close(fd)
        os.rename(temp, output)
    except BaseException:
        if MODE != "leaks":
            os.unlink(temp)
        raise
    directory = os.open(where, os.O_RDONLY)
    try:
        sync(directory)
    finally:
        os.close(directory)


def recover(folder: str) -> dict[str, object]:
    removed, left = [], []
    for name in sorted(os.listdir(folder)):
        if not (name.startswith(".kvc-save-") and name.endswith(".tmp")) or MODE == "no-recovery":
            continue
        fd = os.open(f"{folder}/{name}", os.O_RDONLY)
        try:
            if MODE != "takes-living":
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(f"{folder}/{name}")
            removed.append(name)
        except BlockingIOError:
            left.append(name)
        finally:
            os.close(fd)
    return {"removed": removed, "temps": left}


def answer(message: dict[str, str]) -> dict[str, object]:
    said: dict[str, object] = {"seq": message["seq"], "result": "accept", "view": {}}
    try:
        if message["op"] == "write":
            if MODE == "early":
                say(said)
            write(message["input"], message["output"])
            name = hashlib.sha1(b"crash").hexdigest() + ".kv"
            said["view"] = {"name": name}
        elif message["op"] == "recover":
            said["view"] = recover(message["input"])
        else:
            return {"seq": message["seq"], "result": "unsupported", "reason": "no such operation"}
    except OSError as error:
        if MODE != "always":
            return {"seq": message["seq"], "result": "error", "message": str(error)}
    return said


def main() -> None:
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if message["cmd"] == "stop":
            return
        if message["cmd"] == "start":
            say({"implementation": "miniature", "operations": ["write", "recover"], "profiles": ["ds4-abi0", "auto"]})
            continue
        said = answer(message)
        if not (MODE == "early" and message["op"] == "write"):
            say(said)


if __name__ == "__main__":
    main()
