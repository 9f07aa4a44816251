"""The names of temp files, and the choice whether there is one (KVS-TEMP-1, KVS-TEMP-5)."""

from __future__ import annotations

import os
import re
from enum import StrEnum

TEMP_NAME = re.compile(r"\.kvc-(?:save|stage)-[0-9a-f]{32}\.tmp", re.ASCII)
"""What such a name looks like (KVS-TEMP-1)."""


class TempKind(StrEnum):
    """Whether a temp file has a name while it is written (KVS-TEMP-5)."""

    AUTO = "auto"
    NAMED = "named"
    UNNAMED = "unnamed"


class Purpose(StrEnum):
    """What a temp file is for; it stands in its name (KVS-TEMP-1)."""

    SAVE = "save"
    STAGE = "stage"


def is_temp_name(name: str) -> bool:
    """Whether `name` is one that this protocol gives to temp files, and recovery may look at (KVS-TEMP-1)."""
    return TEMP_NAME.fullmatch(name) is not None


def new_temp_name(purpose: Purpose) -> str:
    """A name that nobody else has: 128 random bits, so also across PID namespaces on one volume (KVS-TEMP-1)."""
    return f".kvc-{purpose}-{os.urandom(16).hex()}.tmp"
