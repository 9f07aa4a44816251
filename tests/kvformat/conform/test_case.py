"""Cases and suites: what cannot be asked or judged is told, with the file and the place in it."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from kvformat.conform.case import Kind, Operation
from kvformat.conform.suite import Suite, load_suite
from kvformat.conform.tables import SuiteError
from tests.kvformat.cli_runner import validator
from tests.kvformat.conform.suites import small_suite


def test_the_small_suite_is_loaded(suite: Suite) -> None:
    assert suite.version == "9.1"
    assert {case.operation for case in suite.cases.values()} == set(Operation)
    assert list(suite.cases) == sorted(suite.cases)
    link = suite.cases["read-symlink"].input.node
    assert link is not None
    assert (link.kind, link.target) == (Kind.SYMLINK, b"\xffnowhere\n")
    sparse = suite.cases["read-sparse"].input.node
    assert sparse is not None
    assert sparse.extend_to_bytes == (5 << 30) + 56
    assert suite.cases["list-mixed"].input.directory is not None
    assert suite.cases["list-mixed"].input.directory[1][0] == b"odd\xff\n%"
    assert suite.clauses["KVC-HEADER-1"].sentence == "Bytes 0 to 2 are `4B 56 43`, the letters `KVC`."
    assert suite.clauses["KVC-HEADER-1"].duty("Writer") == "Writer: stores these bytes."


def test_the_published_schema_has_the_cases(folder: Path) -> None:
    paths = list(folder.glob("*/*.toml"))
    assert len(paths) > 20
    for path in paths:
        validator("conform-case").validate(tomllib.loads(path.read_text("utf-8")))


EDITS = [
    ("read/read-plain.toml", 'id = "read-plain"', 'id = "read-other"', "a file is named after its case"),
    ("read/read-plain.toml", 'id = "read-plain"', 'id = "Read/.."', "lower-case letters"),
    ("read/read-plain.toml", 'operation = "read"', 'operation = "list"', "its folder is called after it"),
    ("read/read-plain.toml", 'operation = "read"', 'operation = "eat"', "operation is 'eat'; known are"),
    ("read/read-plain.toml", 'profile = "auto"', 'profile = "ds5"', "profile is 'ds5'; known are"),
    ("read/read-plain.toml", 'level = "MUST"', 'level = "MAY"', "level is 'MAY'; known are MUST"),
    ("read/read-plain.toml", 'authority = "readme"', 'authority = "kvc"', "authority is 'kvc'"),
    ("read/read-plain.toml", '"KVC-FILE-2"', '"KVC-FILES"', "clauses: KVC-FILES"),
    ("read/read-plain.toml", '["KVC-FILE-2"]', "[]", "clauses: none"),
    ("read/read-plain.toml", '["strict"]', '["lax"]', "'lax' is not in flags.toml"),
    ("read/read-plain.toml", "comment", "coment", "comment is missing"),
    ("read/read-plain.toml", "[input]", "extra = 1\n[input]", "extra: no such key"),
    ("read/read-plain.toml", "[input]", "[input]\nnmae = 'x'", "nmae: no such key"),
    ("read/read-plain.toml", "[input]", "[input", "no TOML"),
    ("read/read-plain.toml", "[input]", "[limits]\nseconds = 0\n[input]", "expected a number above 0"),
    ("read/read-plain.toml", "[input]", "[limits]\nseconds = inf\n[input]", "expected a number above 0"),
    ("read/read-plain.toml", "[input]", "[limits]\nmemory_bytes = true\n[input]", "expected an integer"),
    ("read/read-plain.toml", "[input]", "[input]\nextend_to_bytes = -1", "expected an integer, 0 or more"),
    ("read/read-plain.toml", 'file = "read-plain.bin"', "", "file is missing"),
    ("read/read-plain.toml", 'file = "read-plain.bin"', 'file = "gone.bin"', "no regular file beside the case"),
    ("read/read-plain.toml", '"read-plain.bin"', '"../read/read-plain.bin"', "in the folder of the case"),
    ("read/read-plain.toml", '"read-plain.bin"', '"/etc/passwd"', "in the folder of the case"),
    ("read/read-plain.toml", 'view = "read-plain.json"', "", "view is missing"),
    ("read/read-plain.toml", '"accept"', '"accept"\ncategory = "limit"', "belong to a reject"),
    ("read/read-plain.toml", '"accept"', '"maybe"', "known are accept, reject"),
    ("read/read-plain.json", "{", "[{", "no JSON"),
    ("read/read-magic.toml", 'category = "bad-magic"\n', "", "category is missing"),
    ("read/read-magic.toml", "bad-magic", "bad", "category is 'bad'"),
    ("read/read-magic.toml", 'clause = "KVC-HEADER-1"', 'clause = "KVC-HEADER-2"', "clause is 'KVC-HEADER-2'"),
    ("read/read-symlink.toml", "target", "targt", "a symlink, and nothing else, has a target"),
    ("read/read-fifo.toml", "[input]", "[input]\nlocked = true", "a fifo has no bytes and no lock"),
    ("list/list-mixed.toml", "odd%FF%0A%25", "a/b", "the name of a file, without its directory"),
    ("list/list-mixed.toml", "odd%FF%0A%25", "%00", "the name of a file, without its directory"),
    ("list/list-mixed.toml", "odd%FF%0A%25", "..", "the name of a file, without its directory"),
    ("list/list-mixed.toml", "odd%FF%0A%25", "odd%F", "no escaped name"),
    ("list/list-mixed.toml", "odd%FF%0A%25", "0" * 40 + ".kv", "stands in the directory already"),
    ("list/list-mixed.toml", "directory", "directry", "needs a directory"),
    ("touch/touch-counts.toml", '[input]\nname = "', '[input]\nnme = "', "no such key"),
    ("touch/touch-counts.toml", 'output = "touched.bin"', "", "output is missing"),
    ("write/write-plain.toml", 'view = "plain.json"', "", "view is missing: what is to be written"),
    ("read/read-trailing-ignores.toml", '"ignores"', '"whispers"', "trailing-bytes = whispers is not in"),
    (
        "flags.toml",
        "[lenient]",
        "[unused]\ndescription='a'\nkind='b'\neffect='c'\n[lenient]",
        "no case refers to unused",
    ),
    ("flags.toml", "effect", "efect", "effect is missing"),
    ("behaviours.toml", "values", "value", "no such key"),
    ("suite.toml", "version", "verson", "version is missing"),
    ("suite.toml", "\n", "\n[withdrawn]\nread-plain = 'it was wrong'\n", "an id is never used again"),
]


@pytest.mark.parametrize(("name", "old", "new", "said"), EDITS, ids=lambda value: None)
def test_a_bad_suite_is_told(tmp_path: Path, name: str, old: str, new: str, said: str) -> None:
    where = small_suite(tmp_path / "cases")
    text = (where / name).read_text("utf-8")
    assert old in text
    (where / name).write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(SuiteError) as caught:
        load_suite(where)
    assert said in str(caught.value)
    assert (where / name).stem in str(caught.value)


def test_a_file_of_a_case_is_no_way_out_of_the_suite(tmp_path: Path) -> None:
    where = small_suite(tmp_path / "cases")
    (where / "read" / "read-plain.bin").unlink()
    os.symlink("/etc/passwd", where / "read" / "read-plain.bin")
    with pytest.raises(SuiteError, match="no regular file"):
        load_suite(where)


def test_a_folder_that_is_no_suite_is_told(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"no suite\.toml"):
        load_suite(tmp_path)
    with pytest.raises(SuiteError, match=r"no suite\.toml"):
        load_suite(tmp_path / "nowhere")


def test_a_suite_without_cases_proves_nothing(tmp_path: Path) -> None:
    for name, text in (("suite", "version = '1'"), ("flags", ""), ("behaviours", "")):
        (tmp_path / f"{name}.toml").write_text(text)
    with pytest.raises(SuiteError, match="no case at all"):
        load_suite(tmp_path)
    (tmp_path / "eat").mkdir()
    with pytest.raises(SuiteError, match="no operation is called so"):
        load_suite(tmp_path)


def test_a_suite_is_held_against_the_document_beside_it(tmp_path: Path) -> None:
    where = small_suite(tmp_path / "cases")
    (tmp_path / "saving.md").write_text("")
    (tmp_path / "kvc.md").write_text("#### KVC-FILE-2 · MUST · readme\n\nOther words.\n")
    with pytest.raises(SuiteError, match="cite ids"):
        load_suite(where)
