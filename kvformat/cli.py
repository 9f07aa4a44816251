"""The command line of kvformat."""

from __future__ import annotations

import click

from kvformat.commands.changes import rm, tool_map, touch
from kvformat.commands.conform import conform
from kvformat.commands.group import CommandGroup
from kvformat.commands.inspect import inspect
from kvformat.commands.lookup import lookup
from kvformat.commands.ls import ls
from kvformat.commands.prove import prove
from kvformat.commands.recover import recover
from kvformat.commands.save import save
from kvformat.commands.verify import verify

_EPILOG = (
    "Exit codes: 0 done, 1 the answer is no (a problem, no entry, a change that failed), 2 wrong use or something "
    "that cannot be read; 128 + the number of the signal that ended it: 130 Ctrl-C, 141 nobody reads the output, "
    "143 SIGTERM."
)


@click.group(cls=CommandGroup, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kvformat", prog_name="kvformat")
def main() -> None:
    """Read, check and write KVC cache files, and the directories that hold them.

    \b
    Examples:
      kvformat ls DIR                 what is there
      kvformat inspect FILE           what one entry holds
      kvformat verify DIR             what is broken
      kvformat save DIR --text prompt.txt --payload state.bin --tokens 1234
      kvformat lookup DIR --prompt prompt.txt
      kvformat conform -- ./adapter   whether an implementation keeps the specification
      kvformat prove                  that saves are safe, for every size and fault

    inspect, verify, ls and lookup never change anything. The others first reclaim what killed saves left. JSON
    documents (--json) are described by the schemas in the package, kvformat/schemas. Specification: spec/kvc.md and
    spec/saving.md.
    """


for _command in (inspect, verify, ls, save, lookup, touch, tool_map, recover, rm, conform, prove):
    main.add_command(_command)
