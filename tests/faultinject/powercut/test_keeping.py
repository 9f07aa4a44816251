"""Images as files: every byte is there, holes are holes, and names are of one case."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faultinject.blackbox.subject import Audited, Start
from faultinject.powercut.case import Case
from faultinject.powercut.filesystems import Kind
from faultinject.powercut.keeping import image_name, script, write_sparse

CASE = Case(Audited(("save", "{dir}")), Kind("ext4", "commit=1,data=writeback"))


@given(pieces=st.lists(st.tuples(st.sampled_from([b"\0", b"x"]), st.integers(1, 3 << 20)), max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
def test_every_byte_is_copied(tmp_path: Path, pieces: list[tuple[bytes, int]]) -> None:
    content = b"".join(byte * count for byte, count in pieces)
    (tmp_path / "disk").write_bytes(content)
    (tmp_path / "image").unlink(missing_ok=True)
    write_sparse(tmp_path / "disk", tmp_path / "image")
    assert (tmp_path / "image").read_bytes() == content


def test_zeros_take_no_room_and_nothing_is_replaced(tmp_path: Path) -> None:
    with open(tmp_path / "disk", "wb") as disk:
        disk.truncate(32 << 20)
    write_sparse(tmp_path / "disk", tmp_path / "image")
    assert (tmp_path / "image").stat().st_size == 32 << 20
    assert (tmp_path / "image").stat().st_blocks == 0
    with pytest.raises(FileExistsError):
        write_sparse(tmp_path / "disk", tmp_path / "image")


def test_names_are_of_one_image_of_one_case() -> None:
    others = [
        CASE,
        replace(CASE, start=Start.OLD),
        replace(CASE, kind=Kind("ext4", "")),
        replace(CASE, kind=Kind("xfs", "")),
    ]
    names = {image_name(one, number) for one in others for number in (0, 1)}
    assert len(names) == 8
    assert image_name(CASE, 3) == "ext4-commit-1-data-writeback-empty-3.img"
    assert not [name for name in names if "/" in name]


def test_a_script_quotes_what_it_is_given() -> None:
    text = script(replace(CASE, directory_name="a; b"), "/tmp/it's here.img")
    assert shlex.quote("/tmp/it's here.img") in text
    assert "\"$top\"/'a; b'" in text
    assert "mount -t ext4 -o loop,commit=1,data=writeback " in text
