"""Persistence profiles on the command line: the option that chooses them, and the command that shows them."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich import box
from rich.console import Console
from rich.table import Table

from faultinject.persistence.profiles import STRICT, Profile, profiles

ALL = "all"

profile_option = click.option(
    "--profile",
    "named_profiles",
    multiple=True,
    type=click.Choice([*profiles(), ALL]),
    metavar="NAME",
    help="Persistence profile of class power (default strict, which L3 needs); may be repeated; or all.",
)


def chosen_profiles(named: tuple[str, ...]) -> tuple[str, ...]:
    """The profiles that were asked for, each once."""
    if ALL in named:
        return tuple(profiles())
    return tuple(dict.fromkeys(named)) or (STRICT,)


@click.command("profiles")
@click.argument("name", required=False, type=click.Choice(list(profiles())))
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every source.")
def profiles_command(name: str | None, as_json: bool) -> None:
    """Show the persistence profiles: what a file system may lose when power fails.

    With the NAME of one, every rule of it and the source that the rule rests on.

    \b
    faultinject profiles
    faultinject profiles ext4-ordered
    """
    if as_json:
        wanted = [profiles()[name]] if name else list(profiles().values())
        click.echo(json.dumps([{**asdict(one), "sources": dict(one.sources)} for one in wanted], indent=2))
        return
    Console().print(_overview() if name is None else _rules(profiles()[name]))


def _overview() -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("rule", no_wrap=True)
    for name in profiles():
        table.add_column(name)
    for rule, _ in next(iter(profiles().values())).sources:
        table.add_row(rule, *[_value(one, rule) for one in profiles().values()])
    return table


def _rules(profile: Profile) -> Table:
    table = Table(title=profile.description, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("rule", "value", "source"):
        table.add_column(column)
    for rule, source in profile.sources:
        table.add_row(rule, _value(profile, rule), source)
    return table


def _value(profile: Profile, rule: str) -> str:
    value = getattr(profile, rule)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
