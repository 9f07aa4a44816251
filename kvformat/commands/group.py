"""What all commands have in common from outside: signals, errors for people, exit codes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import click
from click.exceptions import Exit

from kvformat.commands.common import Failed, Fatal, system_message
from kvformat.display import make_output_total, safe_lines
from kvformat.errors import KvformatError

EXIT_SIGNAL = 128
"""Added to the number of the signal that ended a command, as shells do."""

_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(BaseException):
    """A signal that ends the process, turned into an exception so that a save cleans up (KVS-FAIL-4)."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class CommandGroup(click.Group):
    """A group whose commands never end in a traceback for what a user or a system can cause."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """As click; --help and wrong use of the group itself end as commands do."""
        make_output_total()
        with _ended_well():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; turns every foreseeable exception into one line and an exit code."""
        with _ended_well(), _signals_raise():
            return super().invoke(ctx)


@contextmanager
def _ended_well() -> Iterator[None]:
    try:
        with _safe_messages():
            yield
    except KeyboardInterrupt as error:
        _interrupted(error, signal.SIGINT)
    except Terminated as error:
        _interrupted(error, error.number)
    except BrokenPipeError as error:
        # Whoever read the output has seen enough: not an error, and nothing to say.
        raise Exit(EXIT_SIGNAL + signal.SIGPIPE) from error
    except MemoryError as error:
        raise Fatal("out of memory") from error
    finally:
        _settle_output()


@contextmanager
def _safe_messages() -> Iterator[None]:
    try:
        try:
            yield
        except KvformatError as error:
            raise Failed(str(error)) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Fatal(system_message(error)) from error
    except click.ClickException as error:
        message = error.format_message()
        if safe_lines(message) == message:
            raise
        raise _with_message(error, safe_lines(message)) from error


def _with_message(error: click.ClickException, message: str) -> click.ClickException:
    if isinstance(error, click.UsageError):
        return click.UsageError(message, error.ctx)
    return (Fatal if error.exit_code == Fatal.exit_code else Failed)(message)


@contextmanager
def _signals_raise() -> Iterator[None]:
    """SIGTERM and SIGHUP raise `Terminated` as Ctrl-C raises KeyboardInterrupt; ignored ones stay ignored."""
    taken: list[int] = []
    try:
        if threading.current_thread() is threading.main_thread():
            for number in _ENDING:
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, _raise_terminated)
                    taken.append(number)
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _raise_terminated(number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated(number)


def _interrupted(error: BaseException, number: int) -> NoReturn:
    """Says what the interrupted operation left, as it noted on the exception (KVS-FAIL-1)."""
    said = f"interrupted by {signal.Signals(number).name}"
    for line in (said, *getattr(error, "__notes__", ())):
        click.echo(safe_lines(line), err=True)
    raise Exit(EXIT_SIGNAL + number) from error


def _settle_output() -> None:
    """What standard output did not take is dropped now, or the interpreter would complain of it at its end."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        # The failure itself was raised where the output was written.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, sys.stdout.fileno())
        finally:
            os.close(nowhere)
