"""Runs a check as an ordinary user, whoever runs the tests: root may read and remove everything."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable

_NOBODY = 65534


def unprivileged(check: Callable[[str], None]) -> None:
    """Runs `check` with a directory of its own in a child process that is not root; fails where it does."""
    home = os.path.realpath(tempfile.mkdtemp())
    if os.geteuid() == 0:
        os.chown(home, _NOBODY, _NOBODY)
    sys.stdout.flush()
    child = os.fork()
    if not child:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(_NOBODY)
                os.setuid(_NOBODY)
            check(home)
            status = 0
        except BaseException:  # noqa: BLE001 - the parent sees the status, people the trace
            traceback.print_exc()
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    shutil.rmtree(home)
    assert os.waitstatus_to_exitcode(ended) == 0, "the check failed; its trace is in the captured output"
