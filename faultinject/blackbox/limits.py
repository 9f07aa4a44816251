"""The limit on the size of files under which a program runs. Sources: setrlimit(2), prlimit(2)."""

from __future__ import annotations

import resource
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What the program inherits. file_bytes: RLIMIT_FSIZE. ignore_sigxfsz: then write returns EFBIG (setrlimit(2))."""

    file_bytes: int | None = None
    ignore_sigxfsz: bool = False

    def impose(self, pid: int) -> None:
        """Sets the limit on a process that stands at the end of its exec. Raises OSError."""
        if self.file_bytes is not None:
            # Not in the new process before its exec: other programs come from the same nursery, without the limit.
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            soft = self.file_bytes if hard == resource.RLIM_INFINITY else min(self.file_bytes, hard)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
