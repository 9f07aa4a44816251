"""The watched directories on a mounted file system, and programs that run on them."""

from __future__ import annotations

import os
import shutil

from faultinject.blackbox.acknowledged import Acknowledgement
from faultinject.blackbox.formats import Known
from faultinject.blackbox.place import TEMPORARY_LABEL, Plainly, fill
from faultinject.blackbox.started import Program
from faultinject.blackbox.state import Root, Roots, State
from faultinject.blackbox.subject import DIRECTORY, environment, with_directory
from faultinject.powercut.case import TEMPORARY, WITNESS, Case
from faultinject.powercut.programs import run
from faultinject.powercut.session import Session


class MountedScene:
    """See `faultinject.blackbox.aftermath.Scene`. It can be used while its session is mounted."""

    def __init__(self, case: Case, session: Session) -> None:
        self.audited = case.audited
        self.directory = str(session.top / case.directory_name)
        self._case = case
        self._temporary = str(session.top / TEMPORARY)
        self._witness = str(session.top / WITNESS)
        self._roots = Roots([Root(self.directory), Root(self._temporary, TEMPORARY_LABEL)])
        self._environment = environment(self._temporary)

    def make(self, known: Known) -> None:
        """The start, on a new file system. Raises OSError."""
        os.makedirs(os.path.dirname(self.directory), exist_ok=True)
        if self.audited.given is None:
            os.mkdir(self.directory)
        else:
            shutil.copytree(self.audited.given, self.directory, symlinks=True)
        os.mkdir(self._temporary)
        name, content = known.another
        for key, data in [(name, content), *((key, node.data) for key, node in self._case.older.items())]:
            path = self._roots.path(key)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if not os.path.lexists(path) or key in self._case.older:
                with open(path, "wb") as file:
                    file.write(data)
        self.sync_witness()

    def sync_witness(self) -> None:
        """Another program syncs a file of its own: file systems with one journal for all then write that of others."""
        fd = os.open(self._witness, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, b"another program was here\n")
            os.fsync(fd)
        finally:
            os.close(fd)

    def program(self, command: tuple[str, ...] | None = None) -> Program:
        """The audited program, or another command, to be run here."""
        audited = self.audited
        return Program(
            with_directory(command or audited.argv, self.directory),
            self._environment,
            audited.directory.replace(DIRECTORY, self.directory),
            Acknowledgement(audited.acknowledgement.encode() if command is None else b""),
            audited.stdin if command is None else None,
            audited.timeout_seconds,
        )

    def put(self, state: State) -> None:
        """Makes the watched directories hold this state."""
        fill(self._roots, state)

    def read(self) -> State:
        """What is there now. Raises StateError where it cannot be read."""
        return self._roots.read()

    def run_plainly(self, program: Program) -> Plainly:
        """A run to its end."""
        return run(program)
