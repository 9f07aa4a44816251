"""Crash images as files, so that a finding can be looked at with mount(8) and nothing of ours."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from faultinject.powercut.case import Case

_PIECE_BYTES = 1 << 20


def write_sparse(source: Path, target: Path) -> None:
    """Copies a disk to a new file with holes for zeros. Raises OSError."""
    with open(source, "rb", buffering=0) as disk, open(target, "xb") as file:
        while piece := disk.read(_PIECE_BYTES):
            if any(piece):
                file.write(piece)
            else:
                file.seek(len(piece), os.SEEK_CUR)
        file.truncate()


def image_name(case: Case, number: int) -> str:
    """The file for an image of a case; the same for no other one."""
    options = "".join(one if one.isalnum() else "-" for one in case.kind.options)
    return "-".join(filter(None, (case.kind.name, options, str(case.start), str(number)))) + ".img"


def script(case: Case, path: str) -> str:
    """Shell commands that mount a kept image and list what a program finds. For root; the image is left as it is."""
    options = ",".join(filter(None, ("loop", case.kind.options)))
    return f"""#!/bin/sh
# Mounts the disk as a loss of power has left it, and lists what is there. Run as root.
set -e
copy=$(mktemp) top=$(mktemp -d)
trap 'umount "$top" || true; rm -rf "$copy"; rmdir "$top"' EXIT
cp --sparse=always {shlex.quote(path)} "$copy"
mount -t {case.kind.name} -o {shlex.quote(options)} "$copy" "$top"
ls -lAR "$top"/{shlex.quote(case.directory_name)}
"""
