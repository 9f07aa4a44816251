"""Audits of small programs by the command itself, and replays of what they found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

DIRECT = "#!/bin/sh\nprintf 'some bytes' >\"$1/data\" || exit 1\n"
"""Writes to the final name: what a fault leaves is visible."""

LOCKING = '#!/bin/sh\nset -eC\n: >"$1/lock"\nprintf x >"$1/data.$$"\nmv "$1/data.$$" "$1/data"\nrm "$1/lock"\n'
"""A killed run leaves a lock file, and every later one fails because of it."""


def write_program(path: Path, text: str) -> Path:
    """A script that can be run."""
    path.write_text(text, "utf-8")
    path.chmod(0o755)
    return path


def faultinject(*args: str | Path, directory: Path, code: int | None = None) -> subprocess.CompletedProcess[str]:
    """The command, in a directory; code: how it has to end."""
    program = "from faultinject.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, args)],
        cwd=directory,
        env={**os.environ, "COLUMNS": "140"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert code is None or done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def audit(directory: Path, *args: str) -> dict[str, Any]:
    """The report of an audit that finds something; it is left as report.json."""
    faultinject("audit", "--jobs", "1", "--json", "report.json", *args, directory=directory, code=1)
    report: dict[str, Any] = json.loads((directory / "report.json").read_text("utf-8"))
    return report
