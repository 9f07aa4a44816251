"""One temporary file: unique, locked for as long as its writer lives, published or removed.

The protocol is spec/saving.md, "Temporary files" (KVS-TEMP) and "Publication" (KVS-SAVE).
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from kvformat.errors import CleanupFailure
from kvformat.filesystem import CREATE_EXCLUSIVE, FileSystem
from kvformat.temp_names import Purpose, TempKind, new_temp_name
from kvformat.transfer import Transfer, TransferError

_ATTEMPTS_MAX = 16

NO_UNNAMED = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.EISDIR, errno.EINVAL, errno.ENOSYS, errno.ENOENT})
"""Errors by which open(2) says that it has no O_TMPFILE here (open(2), ERRORS; EISDIR: old kernels)."""


class OvertakenError(TransferError):
    """The file that was to be replaced no longer has its name: another change has succeeded meanwhile."""


class TempFile(Transfer):
    """A file on its way to publication. Not a context manager: its writer decides how it ends.

    `visible`: whether the content is now under its final name.
    """

    __slots__ = ("_name", "_publishing", "purpose", "visible")

    def __init__(self, fs: FileSystem, purpose: Purpose) -> None:
        super().__init__(fs)
        self._name: str | None = None
        self._publishing: str | None = None
        self.purpose = purpose
        self.visible = False

    @property
    def fd(self) -> int:
        """The open descriptor; it holds the lock."""
        return self._fd

    @property
    def unnamed(self) -> bool:
        """Whether the file has no name now."""
        return self._fd >= 0 and self._name is None and not self.visible

    def create(self, kind: TempKind, mode: int) -> None:
        """Creates and locks the file (KVS-TEMP-2, KVS-TEMP-3). Raises OSError."""
        if kind is not TempKind.NAMED:
            try:
                self._fd = self._fs.open_unnamed(mode)
            except OSError as error:
                if kind is TempKind.UNNAMED or error.errno not in NO_UNNAMED:
                    raise
            else:
                # Nobody can have it open: the lock is for the time after it gets a name.
                self.step = "flock"
                if not self._fs.try_lock(self._fd):
                    raise OSError(errno.EWOULDBLOCK, "a new unnamed file is already locked")
                return
        for _ in range(_ATTEMPTS_MAX):
            if self._create_named(mode):
                return
        raise OSError(errno.EEXIST, f"{os.strerror(errno.EEXIST)}: no free temp name in {_ATTEMPTS_MAX} attempts")

    def _create_named(self, mode: int) -> bool:
        name = new_temp_name(self.purpose)
        # Noted before the call: whatever interrupts it after the file exists, cleaning up knows the name.
        self._name = name
        self.step = "open"
        try:
            self._fd = self._fs.open(name, CREATE_EXCLUSIVE, mode)
        except FileExistsError:
            self._name = None  # somebody else's: never ours to remove
            return False
        # A recovery may have seen the new name before it is locked here. Then it holds the lock now, or
        # has removed the name already; either way this name is given up (KVS-TEMP-3).
        self.step = "flock"
        if self._fs.try_lock(self._fd):
            self.step = "fstat"
            if self._fs.fstat(self._fd).links:
                return True
        self.step = "close"
        fd, self._fd = self._fd, -1
        self._fs.close(fd)
        self._unlink()
        return False

    def finish(self, *, durable: bool, mode: int | None = None) -> None:
        """Everything is written: syncs if told to, and closes a duplicate to learn of late write errors.

        close(2) is where NFS and quotas report them; the first descriptor stays, it holds the lock (KVS-SAVE-5).
        `mode`: the permissions of the file that this one replaces, which the umask must not cut (KVS-TOOLMAP-2).
        """
        if mode is not None:
            self.step = "fchmod"
            self._fs.chmod(self._fd, mode)
        if durable:
            self.step = "fsync"
            self._fs.sync(self._fd)
        self.step = "dup"
        duplicate = self._fs.dup(self._fd)
        self.step = "close"
        self._fs.close(duplicate)

    def publish(self, final: str, *, durable: bool, only_over: int | None = None) -> None:
        """Gives the file its final name, atomically, replacing what has it (KVS-SAVE-6).

        `only_over`: the inode that is to be replaced; OvertakenError where the name leads to another by now, or to
        none. rename(2) cannot ask this itself: what happens between the last look and it is not seen (KVS-TOOLMAP-1).
        """
        if self._name is None:
            self._link()
        name = self._name
        assert name is not None
        if only_over is not None:
            self._check_not_overtaken(final, only_over)
        self.step = "rename"
        self._publishing = final
        self._fs.rename(name, final)
        self.visible = True
        self._name = None
        if durable:
            self.step = "fsync directory"
            self._fs.sync_directory()

    def _link(self) -> None:
        """Gives an unnamed file a temp name, for rename(2) (KVS-TEMP-5); one that exists is not ours (KVS-TEMP-2)."""
        self.step = "link"
        for _ in range(_ATTEMPTS_MAX):
            # Noted before the call, as in `_create_named`.
            self._name = new_temp_name(self.purpose)
            try:
                self._fs.link_unnamed(self._fd, self._name)
                return
            except FileExistsError:
                self._name = None
        raise OSError(errno.EEXIST, f"{os.strerror(errno.EEXIST)}: no free temp name in {_ATTEMPTS_MAX} attempts")

    def _check_not_overtaken(self, final: str, inode: int) -> None:
        self.step = "stat"
        try:
            now = self._fs.stat(final).inode
        except FileNotFoundError:
            raise OvertakenError("the entry was removed meanwhile") from None
        if now != inode:
            raise OvertakenError("the entry was replaced meanwhile")

    def release(self) -> None:
        """Closes the descriptor, and with it gives the lock up (KVS-SAVE-8)."""
        self.step = "close"
        fd, self._fd = self._fd, -1
        self._fs.close(fd)

    def remove(self) -> None:
        """Removes the file after use (a staged one, KVS-STAGED-3). Raises OSError; `abandon` may follow."""
        if self._name is not None:
            self.step = "unlink"
            self._unlink()
        self.release()

    def _unlink(self) -> None:
        name = self._name
        if name is not None:
            # No such name: an open that failed, or a recovery that was quicker. The aim is reached.
            with suppress(FileNotFoundError):
                self._fs.unlink(name)
            self._name = None

    def abandon(self) -> tuple[list[CleanupFailure], str | None, bool | None]:
        """After a failure: every step of cleaning up is tried, whatever the others do (KVS-FAIL-2).

        Returns what failed, the name that is left (None: none), and whether the content is visible
        (None: cannot be told).
        """
        failures: list[CleanupFailure] = []
        visible: bool | None = self.visible
        if self._publishing is not None and not self.visible:
            visible = self._look(self._publishing, failures)
            if visible:
                self._name = None
        if self._name is not None:
            name = self._name
            try:
                self._unlink()
            except BaseException as error:  # noqa: BLE001 - nothing may stop the remaining steps; it is reported
                failures.append(CleanupFailure("unlink", name, error))
                if self._exists(name, failures):
                    self._give_up_lock(failures)
                else:
                    self._name = None
        left = self._name
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            try:
                self._fs.close(fd)
            except BaseException as error:  # noqa: BLE001 - as above
                failures.append(CleanupFailure("close", left or "(unnamed)", error))
        return failures, left, visible

    def _exists(self, name: str, failures: list[CleanupFailure]) -> bool:
        """A read-only file system refuses unlink(2) of a name that never was: that leaves nothing behind."""
        try:
            self._fs.stat(name)
        except FileNotFoundError:
            return False
        except BaseException as error:  # noqa: BLE001 - as above; the name is taken for one that is left
            failures.append(CleanupFailure("stat", name, error))
        return True

    def _give_up_lock(self, failures: list[CleanupFailure]) -> None:
        """What is left is a dead writer's: its lock goes even if a duplicate was left open (KVS-FAIL-3)."""
        try:
            if self._fd >= 0:
                self._fs.unlock(self._fd)
        except BaseException as error:  # noqa: BLE001 - as above
            failures.append(CleanupFailure("flock", self._name or "", error))

    def _look(self, final: str, failures: list[CleanupFailure]) -> bool | None:
        """rename(2) failed or was interrupted: which file has the final name now?"""
        try:
            return self._fs.stat(final).inode == self._fs.fstat(self._fd).inode
        except FileNotFoundError:
            return False
        except BaseException as error:  # noqa: BLE001 - as above
            failures.append(CleanupFailure("stat", final, error))
            return None
