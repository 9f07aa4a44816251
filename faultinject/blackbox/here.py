"""An audit in this process, from start to end, of which nothing is left."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from faultinject.blackbox.audit import close_all, plan_audit
from faultinject.blackbox.place import remove
from faultinject.blackbox.subject import Audited
from faultinject.coverage import Run
from faultinject.faults import FaultClass
from faultinject.persistence.profiles import STRICT
from faultinject.sweep import sweep


def audit_here(
    audited: Audited, classes: Iterable[FaultClass], *, exhaustive: bool = False, profiles: Sequence[str] = (STRICT,)
) -> list[Run]:
    """The runs of every start. Raises UnusableError, LaunchError and HarnessError where there is nothing to judge.

    Meanwhile this process stays on one processor, as a worker of an audit does.
    """
    processors = os.sched_getaffinity(0)
    base = Path(tempfile.mkdtemp(prefix="faultinject-"))
    try:
        audit = plan_audit(audited, base, classes, jobs=1, exhaustive=exhaustive, profiles=profiles)
        runs = sweep(list(audit.units))
    finally:
        close_all()
        os.sched_setaffinity(0, processors)
        remove(base)
    for run in runs:
        run.notes += [note for note in audit.notes if note not in run.notes]
    return runs
