"""Fault points and faults: what is done to a program, where, as values with a readable id (KVS-FAULT)."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass, replace
from enum import StrEnum

from faultinject.ops import Op


class FaultClass(StrEnum):
    """The fault classes of spec/saving.md (KVS-FAULT-1)."""

    ERROR = "error"
    INTERRUPT = "interrupt"
    KILL = "kill"
    POWER = "power"
    CONCURRENT = "concurrent"
    DAMAGE = "damage"


class Form(StrEnum):
    """How a fault acts.

    errno: the operation does nothing and fails. short: it accepts `byte` bytes, and what follows succeeds.
    cut: it accepts `byte` bytes, and the next transfer fails with the errno. raise-before, raise-after: an
    exception comes out of the operation, before or after its effect. signal: one arrives before it.
    kill: SIGKILL after `byte` bytes of it. file-limit: RLIMIT_FSIZE ends the file there, and `what` says whether
    SIGXFSZ is ignored or kills (setrlimit(2)). payload-raises, payload-ends, payload-goes-on: the producer
    raises after `byte` bytes, ends there without a word, or gives one byte too many. power-loss: the machine stops
    after the operation, or after `byte` bytes of it, and leaves a state that the profile `what` allows. image: power is
    lost, and the disk holds the `index`-th crash image of a recorded run. none: no fault at all, for what is wrong
    without one.
    """

    NONE = "none"
    ERRNO = "errno"
    SHORT = "short"
    CUT = "cut"
    RAISE_BEFORE = "raise-before"
    RAISE_AFTER = "raise-after"
    SIGNAL = "signal"
    KILL = "kill"
    FILE_LIMIT = "file-limit"
    PAYLOAD_RAISES = "payload-raises"
    PAYLOAD_ENDS = "payload-ends"
    PAYLOAD_GOES_ON = "payload-goes-on"
    POWER_LOSS = "power-loss"
    IMAGE = "image"

    @property
    def on_payload(self) -> bool:
        """Whether the producer of the payload is at fault and not an operation."""
        return self in (Form.PAYLOAD_RAISES, Form.PAYLOAD_ENDS, Form.PAYLOAD_GOES_ON)


_SPACE = (errno.ENOSPC, errno.EDQUOT)
_WRITE = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NAMES = (errno.EACCES, errno.EIO, errno.EROFS)
_ATTRIBUTES = (errno.EIO, errno.EPERM, errno.EROFS)

ERRNOS: dict[Op, tuple[int, ...]] = {
    # Each from the ERRORS section of the call's man page (Linux man-pages 6), as far as a call that is right
    # in itself can meet it. EINTR is missing: os retries it (PEP 475), so no caller of the port sees it, and
    # calls on regular files do not return it.
    Op.OPEN: (errno.EACCES, errno.EEXIST, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EROFS, *_SPACE),
    Op.OPEN_UNNAMED: (errno.EACCES, errno.EIO, errno.EMFILE, errno.EOPNOTSUPP, errno.EROFS, *_SPACE),
    Op.LINK: (errno.EACCES, errno.EEXIST, errno.EIO, errno.EMLINK, errno.EPERM, errno.EROFS, *_SPACE),
    Op.DUP: (errno.EMFILE, errno.ENOMEM),
    Op.CLOSE: (errno.EIO, *_SPACE),
    Op.READ: (errno.EIO,),
    Op.PREAD: (errno.EIO,),
    Op.WRITE: _WRITE,
    Op.PWRITE: _WRITE,
    Op.WRITEV: _WRITE,
    Op.PWRITEV: _WRITE,
    Op.SENDFILE: (*_WRITE, errno.EINVAL, errno.ENOMEM),
    Op.SPLICE: (*_WRITE, errno.EINVAL, errno.ENOMEM),
    Op.COPY_RANGE: (*_WRITE, errno.EINVAL, errno.ENOMEM, errno.EOPNOTSUPP, errno.EXDEV),
    Op.CLONE: (errno.EIO, errno.EINVAL, errno.EOPNOTSUPP, errno.EXDEV, *_SPACE),
    Op.TRUNCATE: (errno.EIO, errno.EFBIG, errno.EPERM),
    Op.FALLOCATE: (errno.EIO, errno.EFBIG, errno.EOPNOTSUPP, *_SPACE),
    Op.CHMOD: _ATTRIBUTES,
    Op.CHOWN: (*_ATTRIBUTES, errno.EDQUOT),
    Op.UTIMENS: (errno.EACCES, errno.EPERM, errno.EROFS),
    Op.SETXATTR: (errno.EOPNOTSUPP, errno.EPERM, *_SPACE),
    Op.FSYNC: (errno.EIO, *_SPACE),
    Op.FSYNC_DIRECTORY: (errno.EIO, errno.EINVAL),
    Op.FDATASYNC: (errno.EIO, *_SPACE),
    Op.SYNC_RANGE: (errno.EIO, errno.ENOSPC),
    Op.SYNC: (errno.EIO, *_SPACE),
    Op.MMAP: (errno.ENODEV, errno.ENOMEM),
    Op.MSYNC: (errno.EIO, errno.ENOMEM),
    Op.RENAME: (errno.EACCES, errno.EBUSY, errno.EIO, errno.EROFS, *_SPACE),
    Op.UNLINK: (errno.EACCES, errno.EBUSY, errno.EIO, errno.EROFS),
    Op.MKNOD: (*_NAMES, errno.EEXIST, *_SPACE),
    Op.MKDIR: (*_NAMES, errno.EEXIST, *_SPACE),
    Op.RMDIR: (*_NAMES, errno.EBUSY),
    Op.SYMLINK: (*_NAMES, errno.EEXIST, *_SPACE),
    Op.STAT: (errno.EACCES, errno.EIO, errno.ENOMEM),
    Op.FSTAT: (errno.EIO,),
    Op.READDIR: (errno.EIO, errno.ENOMEM),
    Op.FLOCK: (errno.ENOLCK, errno.EIO),
    Op.LOCK: (errno.ENOLCK, errno.EAGAIN),
}

_NEED_SPACE = (Op.OPEN_UNNAMED, Op.LINK, Op.MKNOD, Op.MKDIR, Op.SYMLINK, Op.FALLOCATE)

KEYBOARD_INTERRUPT = "KeyboardInterrupt"
INJECTED_ERROR = "InjectedError"
SIGNALS = ("SIGINT", "SIGTERM")
IGNORED, DEADLY = "ignored", "deadly"
"""What SIGXFSZ does where a file meets its limit."""


_PAYLOAD, _DISK = "payload", "disk"
"""What a fault acts on that belongs to no operation, in its id."""


class InjectedError(Exception):
    """An exception that no writer can expect, raised by a fault."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault at one point. `id` names it for people, reports and replay.

    index: of the operation (-1 where the payload's producer is at fault), op: what that operation must be.
    byte: bytes accepted, or produced, before it acts. error: the errno. sticky: it stays (a full disk), else
    one-shot. what: the exception, the signal or the persistence profile. second: another fault that hits while the
    first is cleaned up. state: which of those that a loss of power may leave, as `Survivor.number`.
    """

    fault_class: FaultClass
    form: Form
    index: int = -1
    op: Op | None = None
    byte: int | None = None
    error: int = 0
    sticky: bool = False
    what: str = ""
    second: Fault | None = None
    state: str | None = None

    @property
    def id(self) -> str:
        """For example `error/5/pwrite/cut@123/ENOSPC/sticky`; `+` joins a second fault."""
        form = str(self.form) if self.byte is None else f"{self.form}@{self.byte}"
        if self.state is not None:
            form += f"#{self.state}"
        where = _DISK if self.form is Form.IMAGE else _PAYLOAD
        parts = [str(self.fault_class), str(self.index), str(self.op or where), form]
        if self.error:
            parts.append(errno.errorcode[self.error])
        if self.sticky:
            parts.append("sticky")
        if self.what:
            parts.append(self.what)
        own = "/".join(parts)
        return own if self.second is None else f"{own}+{self.second.id}"

    def lasts_over(self, op: Op, *, creates: bool) -> bool:
        """Whether this fault, when sticky, hits a later operation as well (KVS-FAULT-3).

        Its own kind it hits always, and for a lack of space all that need some. creates: an open that may create.
        """
        if op is self.op or (op.transfers and self.op is not None and self.op.transfers):
            return True
        if self.error not in _SPACE:
            return False
        return creates or op.transfers or op in _NEED_SPACE

    def then(self, second: Fault) -> Fault:
        """This fault, and `second` after it."""
        return replace(self, second=second)


_ID = re.compile(
    r"(?P<cls>[a-z]+)/(?P<index>-?\d+)/(?P<op>[^/]+)/(?P<form>[a-z-]+)(?:@(?P<byte>\d+))?"
    r"(?:#(?P<state>\d+(?:\.\d+)*))?(?:/(?P<error>E[A-Z0-9]+))?(?P<sticky>/sticky)?(?:/(?P<what>[A-Za-z][A-Za-z0-9-]*))?"
)


def parse_fault(text: str) -> Fault:
    """The inverse of `Fault.id`. Raises ValueError, saying which part is not understood."""
    first, plus, rest = text.partition("+")
    match = _ID.fullmatch(first)
    if match is None:
        raise ValueError(f"{first!r} is not the id of a fault, such as error/5/pwrite/cut@123/ENOSPC/sticky")
    error_name = match["error"]
    if error_name is not None and not hasattr(errno, error_name):
        raise ValueError(f"{first!r}: {error_name} is no errno of this system")
    return Fault(
        FaultClass(match["cls"]),
        Form(match["form"]),
        int(match["index"]),
        None if match["op"] in (_PAYLOAD, _DISK) else Op(match["op"]),
        None if match["byte"] is None else int(match["byte"]),
        0 if error_name is None else getattr(errno, error_name),
        match["sticky"] is not None,
        match["what"] or "",
        parse_fault(rest) if plus else None,
        match["state"],
    )
