"""The file systems, as data: how each is made and mounted so that what it does not promise can be seen.

Sources: ext4(5), xfs(5), btrfs(5), mkfs.ext4(8), mkfs.xfs(8), mkfs.btrfs(8).
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class FileSystem:
    """A kind of file system.

    make: the command that makes one; the device comes last. size_bytes: of the disk. sector_bytes: what the disk writes
    whole, and where writes are torn. usual: mount options that change no promise, and only make it write soon. harsh:
    options under which it promises least, None where it has no such options.
    """

    name: str
    make: tuple[str, ...]
    package: str
    size_bytes: int
    sector_bytes: int
    usual: str
    harsh: str | None


FILE_SYSTEMS = {
    one.name: one
    for one in (
        # Inode tables and journal are zeroed at once: a thread that does so later would fill the log.
        FileSystem(
            "ext4",
            ("mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0"),
            "e2fsprogs",
            64 * MIB,
            512,
            "commit=1",
            "commit=1,data=writeback,nodelalloc,noauto_da_alloc",
        ),
        # 300 MiB is the least that it supports.
        FileSystem("xfs", ("mkfs.xfs", "-q", "-f"), "xfsprogs", 300 * MIB, 512, "", None),
        # Its superblock of 4 KiB relies on being written whole (disks of 512-byte sectors do so in practice), so that
        # tearing it would make disks that nobody has.
        FileSystem("btrfs", ("mkfs.btrfs", "-q", "-f"), "btrfs-progs", 128 * MIB, 4096, "commit=1", None),
    )
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A file system with the options that it is mounted with; hashable, and sent to another process."""

    name: str
    options: str

    @property
    def file_system(self) -> FileSystem:
        """How it is made."""
        return FILE_SYSTEMS[self.name]

    def __str__(self) -> str:
        if self.options == self.file_system.usual:
            return self.name
        return f"{self.name} {'harsh' if self.options == self.file_system.harsh else self.options}"


def kinds(names: tuple[str, ...], options: tuple[str, ...], *, harsh: bool) -> list[Kind]:
    """Every file system with the usual options, or with each of `options`; harsh: with its harshest ones as well."""
    found = []
    for name in names:
        one = FILE_SYSTEMS[name]
        found += [Kind(name, given) for given in options or (one.usual,)]
        if harsh and one.harsh is not None:
            found.append(Kind(name, one.harsh))
    return list(dict.fromkeys(found))


def why_not(kind: Kind) -> str | None:
    """Why this machine cannot do it, and what helps; None where it can, as far as can be seen beforehand."""
    if os.geteuid() != 0:
        return "loss of power on real file systems needs root, to mount them: run it as root, in a machine or container"
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not os.path.exists(device):
            return (
                f"{device} is not there: load its kernel module (modprobe {device[5:9]}), or give it to the container"
            )
    command = kind.file_system.make[0]
    if shutil.which(command) is None:
        return f"{command} is not installed: install {kind.file_system.package}"
    if not _known(kind.name):
        return f"this kernel does not know {kind.name}: load its module (modprobe {kind.name})"
    return None


def _known(name: str) -> bool:
    """Whether the kernel has it built in or loaded, or has a module that mount(2) loads."""
    if any(line.split()[-1] == name for line in Path("/proc/filesystems").read_text("ascii").splitlines()):
        return True
    return any(Path("/lib/modules", os.uname().release).glob(f"kernel/fs/{name}/{name}.ko*"))
