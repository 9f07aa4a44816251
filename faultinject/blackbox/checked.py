"""The copy of the scratch directory that a command judges: whatever it changes there, the next stage does not see."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faultinject.blackbox.place import remove
from faultinject.blackbox.state import entries, opened_directory, opened_file
from faultinject.inject import HarnessError

_PIECE_BYTES = 1 << 20


@contextmanager
def copied(directory: str) -> Iterator[str]:
    """A copy of a directory, beside it, with the same name; it is gone afterwards.

    Names, contents, texts of links and permissions are those of the original, times and owners are not. Raises
    HarnessError where it cannot be made.
    """
    try:
        base = Path(tempfile.mkdtemp(prefix="checked-", dir=os.path.dirname(directory)))
    except OSError as error:
        raise _impossible(directory, error) from error
    try:
        copy = str(base / os.path.basename(directory))
        try:
            with opened_directory(directory) as fd:
                _copy_below(fd, copy, stat.S_IMODE(os.fstat(fd).st_mode))
        except OSError as error:
            raise _impossible(directory, error) from error
        yield copy
    finally:
        remove(base)


def _impossible(directory: str, error: OSError) -> HarnessError:
    return HarnessError(f"the copy of {directory!r} that the checker judges cannot be made: {error}")


def _copy_below(directory_fd: int, target: str, mode: int) -> None:
    os.mkdir(target, 0o700)
    for entry in entries(directory_fd):
        _copy(entry, directory_fd, os.path.join(target, entry.name))
    os.chmod(target, mode)


def _copy(entry: os.DirEntry[str], directory_fd: int, target: str) -> None:
    mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
    if entry.is_symlink():
        os.symlink(os.readlink(entry.name, dir_fd=directory_fd), target)
    elif entry.is_dir(follow_symlinks=False):
        with opened_directory(entry.name, directory_fd) as fd:
            _copy_below(fd, target, mode)
    elif entry.is_file(follow_symlinks=False):
        with (
            opened_file(entry.name, directory_fd) as fd,
            open(fd, "rb", closefd=False) as source,
            open(target, "xb") as to,
        ):
            shutil.copyfileobj(source, to, _PIECE_BYTES)
        os.chmod(target, mode)
    else:
        os.mkfifo(target, mode)  # what is no file has no content, and is never opened by us
