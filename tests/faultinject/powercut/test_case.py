"""Cases as reports name them."""

from __future__ import annotations

import json
import pickle

import pytest

from faultinject.blackbox.subject import Audited, Start
from faultinject.powercut.case import Case, check_directory_name
from faultinject.powercut.filesystems import Kind

SUBJECT = Case(Audited(("/usr/bin/save", "{dir}/x")), Kind("ext4", "commit=1")).subject


def test_a_subject_names_program_file_system_and_start() -> None:
    assert (SUBJECT.subject, SUBJECT.strategy, SUBJECT.scenario) == ("save {dir}/x", "-", "ext4, empty")
    assert SUBJECT.heading == SUBJECT.subject
    assert SUBJECT.label == (SUBJECT.scenario,)
    assert json.loads(json.dumps(SUBJECT.description()))["powercut"] == {
        "file_system": "ext4",
        "mount_options": "commit=1",
    }
    assert SUBJECT.description()["program"]["argv"] == ("/usr/bin/save", "{dir}/x")
    assert pickle.loads(pickle.dumps(SUBJECT)) == SUBJECT
    assert (
        Case(SUBJECT.audited, Kind("ext4", "data=journal"), Start.OLD).subject.scenario
        == "ext4 data=journal, old-entry"
    )


@pytest.mark.parametrize("name", ["directory", "a/b", "odd\nname", "\udcff", "…"])
def test_directories_below_the_top(name: str) -> None:
    assert check_directory_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a\0b", "tmp", "tmp/x", "witness", "lost+found"]
)
def test_names_that_lead_elsewhere_or_are_taken(name: str) -> None:
    with pytest.raises(ValueError, match=r"is no path|is taken"):
        check_directory_name(name)
