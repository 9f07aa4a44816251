"""A progress bar for saves that take a while, on standard error and only where a person sees it."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

SHOWN_AFTER_SECONDS = 2.0


class SaveProgress:
    """Called with the count of payload bytes written so far. A context manager; `total` of None: not known."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._console = Console(stderr=True)
        self._started = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int) -> None:
        """Shows how far the save is, once it has taken long enough to wonder."""
        if self._bar is None:
            if not self._console.is_terminal or time.monotonic() - self._started < SHOWN_AFTER_SECONDS:
                return
            self._bar = self._made()
            self._bar.add_task("saving", total=self._total)
            self._bar.start()
        # A durable save syncs behind the last byte, which can take as long as the writing.
        what = "finishing" if done == self._total else "saving"
        self._bar.update(self._bar.task_ids[0], completed=done, description=what)

    def _made(self) -> Progress:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
        return Progress(
            *columns,
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            # Standard output is not the bar's to take over.
            redirect_stdout=False,
            redirect_stderr=False,
        )
