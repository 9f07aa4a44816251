"""What a directory holds, name by name: KVC-NAME-5 to -7, KVC-FILE-3, KVS-RECOVER-5."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.memory import MemoryFileSystem
from faultinject.ops import Op
from faultinject.record import RecordingFileSystem
from kvformat import layout
from kvformat.errors import Category, Problem
from kvformat.filesystem import FileSystem, OsFileSystem
from kvformat.limits import DEFAULT_LIMITS, Limits
from kvformat.listing import Listing, StoredEntry, is_foreign_temp, read_entry, scan
from kvformat.temp_names import is_temp_name
from kvformat.testing import broken_files, files
from tests.kvformat.saving import NAME, NEW, Failing, Racing, descriptors

UPPER = NAME[:40].upper() + ".kv"
TEMP = f".kvc-save-{'0a' * 16}.tmp"


def listed(fs: FileSystem, **chosen: Any) -> Listing:
    return scan(fs, **{"profile": "auto", "limits": DEFAULT_LIMITS, **chosen})


def names(listing: Listing) -> dict[str, list[str]]:
    return {
        field.name: [item if isinstance(item, str) else item.name for item in getattr(listing, field.name)]
        for field in fields(Listing)
    }


_HEX = st.sampled_from("0123456789abcdefABCDEF")
_DIGESTS = st.lists(_HEX, min_size=40, max_size=40).map("".join)
_NAMES = st.one_of(
    _DIGESTS.map(lambda digest: f"{digest}.kv"),
    st.builds("{}.kv{}".format, _DIGESTS, st.text(max_size=5)),
    st.builds("{}.kv.tmp{}".format, _DIGESTS, st.text(max_size=5)),
    st.just("sysprompt.kv"),
    st.text(max_size=5).map("sysprompt.kv{}".format),
    st.text(max_size=5).map("sysprompt.kv.tmp{}".format),
    st.lists(st.sampled_from("0123456789abcdef"), min_size=32, max_size=32).map(
        lambda digits: f".kvc-stage-{''.join(digits)}.tmp"
    ),
    st.binary(min_size=1, max_size=8).map(os.fsdecode),
)


@given(
    contents=st.dictionaries(_NAMES, st.one_of(files(), broken_files().map(lambda broken: broken.data), st.binary())),
    specials=st.dictionaries(_NAMES, st.sampled_from([stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO])),
)
def test_every_name_is_listed_once_and_for_what_it_is(contents: dict[str, bytes], specials: dict[str, int]) -> None:
    """KVC-NAME-5: and in the order of the names, whatever the directory's own."""
    fs = MemoryFileSystem()
    for name, content in contents.items():
        fs.put(name, content)
    for name, mode in specials.items():
        fs.put_special(name, mode)
    listing = listed(fs)
    by_kind = names(listing)
    assert sorted(name for kind in by_kind.values() for name in kind) == sorted({*contents, *specials})
    assert all(kind == sorted(kind) for kind in by_kind.values())
    for name in by_kind["temps"]:
        assert is_temp_name(name)
    for name in by_kind["foreign_temps"]:
        assert ".kv.tmp" in name
        assert not is_temp_name(name)
    for name in (*by_kind["entries"], *by_kind["damaged"]):
        assert name == "sysprompt.kv" or (len(name) == 43 and name.endswith(".kv"))
        int(name[:40], 16) if name != "sysprompt.kv" else None
    for entry in listing.entries:
        data = contents[entry.name]
        assert entry.name not in specials
        assert entry.header == layout.decode_header(data)
        assert entry.size_bytes == len(data) >= 52 + entry.text_bytes + entry.header.payload_bytes
    identities = [name.lower() for name in by_kind["entries"]]
    assert len(identities) == len(set(identities))
    assert fs.open_descriptors() == 0


@pytest.mark.parametrize(
    "name",
    [
        f"{NAME}\n",
        f"\n{NAME}",
        f" {NAME}",
        f"{NAME} ",
        f"{NAME}\udcff",
        f"\udcff{NAME[1:]}",
        NAME.replace(".kv", ".KV"),
        NAME.replace(".kv", "kv"),
        NAME[1:],
        f"0{NAME}",
        NAME.replace("9", "\N{ARABIC-INDIC DIGIT NINE}"),
        NAME.replace("9", "g"),
        "sysprompt.kv\n",
        "SYSPROMPT.kv",
    ],
)
def test_what_only_looks_like_an_entrys_name_is_not_opened(name: str, tmp_path: Path) -> None:
    """KVC-NAME-5: "passes over it without opening it"; on a real directory, odd bytes included."""
    (tmp_path / name).write_bytes(NEW)
    with OsFileSystem(tmp_path) as fs:
        recorder = RecordingFileSystem(fs)
        listing = listed(recorder)
    assert names(listing)["others"] == [name]
    assert listing.entries == []
    assert [operation.op for operation in recorder.trace] == [Op.READDIR]


@pytest.mark.parametrize(
    ("name", "foreign"),
    [
        (f"{NAME}.tmp", True),
        (f"{NAME}.tmp.12345", True),
        (f"{UPPER}.tmp\n", True),
        (f"{NAME}.tmp\nx", True),
        ("sysprompt.kv.tmp", True),
        (f"{NAME}.tm", False),
        (f"{NAME}tmp", False),
        (f"x{NAME}.tmp", False),
        (NAME, False),
        (TEMP, False),
        ("other.kv.tmp", False),
    ],
)
def test_temp_files_of_other_programs(name: str, foreign: bool) -> None:
    """KVS-RECOVER-5."""
    assert is_foreign_temp(name) is foreign


def test_of_several_spellings_the_greatest_that_passes_is_the_entry() -> None:
    """KVC-NAME-6: the others are named as such, also where they are the only sound ones but one."""
    mixed = NAME[:20].upper() + NAME[20:]
    for good in ([NAME], [UPPER], [mixed], [NAME, UPPER], [mixed, UPPER], [NAME, mixed, UPPER]):
        fs = MemoryFileSystem()
        for name in (UPPER, mixed, NAME):
            fs.put(name, NEW if name in good else NEW[:60])
        listing = listed(fs)
        assert [entry.name for entry in listing.entries] == [max(good)]
        clauses = {damaged.name: damaged.problem.clause for damaged in listing.damaged}
        assert clauses == {
            name: "KVC-NAME-6" if name in good else "KVC-FILE-3" for name in (UPPER, mixed, NAME) if name != max(good)
        }


def test_special_files_are_damaged_entries_and_never_followed(tmp_path: Path) -> None:
    """KVC-NAME-7."""
    (tmp_path / "target").write_bytes(NEW)
    (tmp_path / NAME).symlink_to("target")
    (tmp_path / UPPER).mkdir()
    os.mkfifo(tmp_path / "sysprompt.kv")
    before = descriptors()
    with OsFileSystem(tmp_path) as fs:
        listing = listed(fs)
    assert listing.entries == []
    assert {damaged.name for damaged in listing.damaged} == {NAME, UPPER, "sysprompt.kv"}
    assert {damaged.problem.clause for damaged in listing.damaged} == {"KVC-NAME-7"}
    assert {damaged.problem.category for damaged in listing.damaged} == {Category.IDENTITY_MISMATCH}
    assert descriptors() == before


@given(broken=broken_files())
def test_a_broken_file_is_said_to_be_broken_unless_only_its_sections_are(broken: Any) -> None:
    """1.4 of spec/kvc.md: "a lister does steps 1 to 9 and no more"."""
    fs = MemoryFileSystem()
    fs.put(NAME, broken.data)
    found = read_entry(fs, NAME, profile="auto", limits=DEFAULT_LIMITS)
    if broken.clause.startswith(("KVC-TOOLMAP", "KVC-TITLE")):
        assert isinstance(found, StoredEntry)
    else:
        assert isinstance(found, Problem)
        assert (found.clause, found.category) == (broken.clause, broken.category)


def test_profile_and_limits_are_those_of_the_caller() -> None:
    """KVC-PROFILE-3, KVC-LIMIT-3."""
    fs = MemoryFileSystem()
    fs.put(NAME, NEW)
    assert len(listed(fs).entries) == 1
    assert listed(fs, profile="ds4-abi2").damaged[0].problem.clause == "KVC-PROFILE-3"
    assert listed(fs, limits=Limits(text_bytes_max=3)).damaged[0].problem.clause == "KVC-LIMIT-3"


def test_a_name_that_is_gone_when_it_is_opened_is_not_listed() -> None:
    fs = MemoryFileSystem()
    fs.put(NAME, NEW)
    fs.put(UPPER, NEW)
    racing = Racing(fs, lambda op, arguments: op is Op.OPEN and arguments[0] == NAME, lambda: fs.unlink(NAME))
    listing = listed(racing)
    assert [entry.name for entry in listing.entries] == [UPPER]
    assert listing.damaged == []
    assert listing.unreadable == []


@pytest.mark.parametrize(
    ("op", "number"),
    [
        (Op.OPEN, errno.EACCES),
        (Op.OPEN, errno.EIO),
        (Op.OPEN, errno.ENXIO),
        (Op.FSTAT, errno.EIO),
        (Op.PREAD, errno.EIO),
    ],
)
def test_what_cannot_be_read_is_neither_damaged_nor_left_out(op: Op, number: int) -> None:
    """1.3 of spec/kvc.md: an error of the system is reported as it is; the other entries are listed."""
    fs = MemoryFileSystem()
    fs.put(NAME, NEW)
    fs.put("sysprompt.kv", NEW)
    failed: list[Op] = []

    def fail(got: Op, _: tuple[Any, ...]) -> OSError | None:
        if got is op and not failed:
            failed.append(got)
            return OSError(number, os.strerror(number))
        return None

    listing = listed(Failing(fs, fail))
    (unreadable,) = listing.unreadable
    assert unreadable.error.errno == number
    assert len(listing.entries) == 1
    assert listing.damaged == []
    assert fs.open_descriptors() == 0


def test_a_directory_that_cannot_be_read_is_an_error() -> None:
    def fail(op: Op, _: tuple[Any, ...]) -> OSError | None:
        return OSError(errno.EIO, "I/O error") if op is Op.READDIR else None

    with pytest.raises(OSError, match="I/O error"):
        listed(Failing(MemoryFileSystem(), fail))


def test_an_entry_is_judged_from_its_first_52_bytes() -> None:
    """KVC-LIMIT-1: one open, one stat, one read, whatever the file says of itself."""
    recorder = RecordingFileSystem(MemoryFileSystem())
    fd = recorder.open(NAME, os.O_RDWR | os.O_CREAT)
    recorder.pwrite(fd, NEW, 0)
    start = len(recorder.trace)
    listed(recorder)
    assert [operation.op for operation in recorder.trace][start:] == [
        Op.READDIR,
        Op.OPEN,
        Op.FSTAT,
        Op.PREAD,
        Op.CLOSE,
    ]
