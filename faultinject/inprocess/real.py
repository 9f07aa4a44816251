"""The calls of the system as they are without us."""

from __future__ import annotations

import builtins
import fcntl
import os
from collections.abc import Callable
from typing import Any

NAMES = (
    "open", "close", "dup", "dup2", "read", "pread", "readv", "preadv", "write", "pwrite", "writev", "pwritev",
    "sendfile", "copy_file_range", "truncate", "ftruncate", "posix_fallocate", "fsync", "fdatasync", "sync", "rename",
    "replace", "link", "symlink", "unlink", "remove", "mkdir", "rmdir", "mkfifo", "mknod", "chmod", "fchmod", "chown",
    "fchown", "lchown", "utime", "setxattr", "removexattr", "lockf",
)  # fmt: skip
"""Functions of `os` that are watched. Those that only look, such as stat and listdir, are not."""

REAL: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in NAMES}
REAL_FLOCK, REAL_LOCKF = fcntl.flock, fcntl.lockf
REAL_OPEN = builtins.open
