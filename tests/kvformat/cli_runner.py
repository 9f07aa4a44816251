"""Runs the command line in this process, and holds every JSON document against its schema."""

from __future__ import annotations

import json
import os
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
from click.testing import CliRunner, Result

from kvformat.cli import main


@cache
def schema(command: str) -> dict[str, Any]:
    text = resources.files("kvformat").joinpath("schemas", f"{command}.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@cache
def validator(command: str) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema(command))
    return jsonschema.Draft202012Validator(schema(command))


def run(*args: str | os.PathLike[str], stdin: bytes | None = None, exit_code: int = 0) -> Result:
    """Runs `kvformat args`; no exception but SystemExit, nothing on the terminal that a terminal obeys."""
    result = CliRunner().invoke(main, [str(os.fspath(arg)) for arg in args], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    for text in (result.stdout, result.stderr):
        assert all(character.isprintable() or character == "\n" for character in text), text
    return result


def run_json(*args: str | os.PathLike[str], stdin: bytes | None = None, exit_code: int = 0) -> dict[str, Any]:
    """The same with --json: the document, which its schema accepts."""
    result = run(*args, "--json", stdin=stdin, exit_code=exit_code)
    document: dict[str, Any] = json.loads(result.stdout)
    validator(os.fspath(args[0])).validate(document)
    return document


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
