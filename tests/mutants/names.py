"""The temp names of the writers in this folder."""

TEMP_PREFIX = ".textbook-"
SHARED_NAME = ".textbook-shared"
LOCK_NAME = "writer.lock"


def is_temp(name: str) -> bool:
    return name.startswith(TEMP_PREFIX)
