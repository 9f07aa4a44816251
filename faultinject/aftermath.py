"""What comes after a fault, in process: the directory is judged, the recovery runs, the operation is done again."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from faultinject.ground import Ground
from faultinject.memory import MemoryFileSystem
from faultinject.oracle import Finding, Kind, Outcome, Reported, judge, lost_after_acknowledgement
from faultinject.target import Expectation, Files, Prepared
from kvformat.filesystem import FileSystem

KILLED = Outcome(Reported.NOTHING)

Findings = tuple[Finding, ...]


class Aftermath:
    """Judges what runs of one prepared target leave. What repeats itself is judged once."""

    def __init__(self, prepared: Prepared, ground: Ground) -> None:
        self._prepared = prepared
        self._ground = ground
        self.before: Files = ground.files(ground.fresh())
        self._judged: dict[Hashable, Findings] = {}
        self._healed: dict[Hashable, Findings] = {}

    def of_run(self, fs: FileSystem, outcome: Outcome) -> Findings:
        """After a run that ended by itself."""
        after = self._ground.files(fs)
        # The verdict depends on the state, on what was reported and on what may be left, and on nothing else.
        key = None if outcome.excused else self._state_key(fs, after, outcome.reported)
        if key is not None and key in self._judged:
            return self._judged[key]
        findings = self.judged(after, outcome, recovered=False)
        left = [name for name in outcome.excused if name in after and name not in self.before]
        if left:
            # It could not be removed and the failure says so: then recovery must be able to.
            findings += self.recover(fs)
            after = self._ground.files(fs)
            findings += self.judged(after, outcome, recovered=True)
        found = (*findings, *self.heal(fs, after))
        if key is not None:
            self._judged[key] = found
        return found

    def of_crash(self, fs: FileSystem) -> Findings:
        """What a kill has left: never visible before recovery, gone after it, and the operation works again."""
        return self._crashed(fs, self._prepared.expectation, None)

    def of_power_loss(self, fs: FileSystem, *, acknowledged: bool) -> Findings:
        """The same after a loss of power: no writer lives, and what was reported as done is there (KVS-INV-7)."""
        return self._crashed(fs, rebooted(self._prepared.expectation), acknowledged)

    def at_power_loss(self, files: Files, *, acknowledged: bool) -> list[Finding]:
        """The violations that show at once, before any recovery."""
        expectation = rebooted(self._prepared.expectation)
        findings = self.judged(files, KILLED, recovered=False, expectation=expectation)
        return findings + (lost_after_acknowledgement(expectation, files) if acknowledged else [])

    def _crashed(self, fs: FileSystem, expectation: Expectation, acknowledged: bool | None) -> Findings:
        left = self._ground.files(fs)
        key = self._state_key(fs, left, acknowledged)
        if key is not None and key in self._judged:
            return self._judged[key]
        findings = self.judged(left, KILLED, recovered=False, expectation=expectation)
        if acknowledged:
            findings += lost_after_acknowledgement(expectation, left)
        findings += self.recover(fs)
        recovered = self._ground.files(fs)
        findings += self.judged(recovered, KILLED, recovered=True, expectation=expectation)
        found = (*dict.fromkeys(findings), *self.heal(fs, recovered, after_reboot=acknowledged is not None))
        if key is not None:
            self._judged[key] = found
        return found

    def judged(
        self, files: Files, outcome: Outcome, *, recovered: bool, expectation: Expectation | None = None
    ) -> list[Finding]:
        """What the oracle has against the directory."""
        return judge(self._prepared, self.before, files, outcome, recovered=recovered, expectation=expectation)

    def recover(self, fs: FileSystem) -> list[Finding]:
        """Runs the program's recovery. One that fails has not reclaimed what it should (KVS-INV-3)."""
        try:
            self._prepared.recover(fs)
        except Exception as error:  # noqa: BLE001 - whatever it raises, it is a verdict on the program
            return [
                Finding(Kind.ORPHAN_UNRECLAIMED, self._prepared.expectation.target or "", f"recovery failed: {error}")
            ]
        return []

    def heal(self, fs: FileSystem, after: Files, *, after_reboot: bool = False) -> Findings:
        """Repeats the operation without a fault: it must succeed, whatever the fault left (KVS-INV-9)."""
        # Every crash that recovery has undone comes by here in the same state: it is repeated once.
        key = self._state_key(fs, after, after_reboot)
        if key is not None and key in self._healed:
            return self._healed[key]
        prepared = self._prepared
        expectation = prepared.expectation_of_repetition(after)
        if after_reboot:
            expectation = rebooted(expectation)
        excused = frozenset(after)
        findings: list[Finding] = []
        try:
            prepared.act(fs)
        except Exception as error:  # noqa: BLE001 - whatever it is, the program did not recover from the fault
            if not _is_removed(expectation, after):
                findings.append(Finding(Kind.NEVER_HEALS, expectation.target or "", f"the repetition failed: {error}"))
        else:
            outcome = Outcome(Reported.SUCCESS, excused=excused)
            healed_files = self._ground.files(fs)
            again = self.judged(healed_files, outcome, recovered=False, expectation=expectation)
            findings += [
                Finding(Kind.NEVER_HEALS, finding.name, f"after the repetition: {finding.kind}: {finding.detail}")
                for finding in again
            ]
        healed = tuple(findings)
        if key is not None:
            self._healed[key] = healed
        return healed

    def _state_key(self, fs: FileSystem, after: Files, what: Hashable) -> Hashable | None:
        """All that a verdict depends on, where that is cheap to tell: None means that it is not."""
        if not isinstance(fs, MemoryFileSystem) or fs.open_descriptors():
            return None
        if after == self.before:
            return what, "before"
        new = self._prepared.expectation.new
        labels = []
        for name, file in after.items():
            if file is self.before.get(name):
                labels.append((name, "before"))
            elif new is not None and file.same_content(new):
                labels.append((name, "new"))
            else:
                return None
        return what, frozenset(labels)


def rebooted(expectation: Expectation) -> Expectation:
    """What holds when the machine was started anew: there is no living writer, its temp file is an orphan."""
    if not expectation.live:
        return expectation
    return replace(expectation, live=frozenset(), stale=expectation.stale | expectation.live)


def _is_removed(expectation: Expectation, after: Files) -> bool:
    """Whether the operation was to remove the target and has: then its repetition rightly fails."""
    return expectation.target is not None and expectation.new is None and expectation.target not in after
