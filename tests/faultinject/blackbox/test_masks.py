"""What differs by nature is not compared, and no more than that."""

from __future__ import annotations

import random
import string
import struct
import time
import uuid

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from faultinject.blackbox.masks import Masks
from faultinject.blackbox.names import pattern_of
from faultinject.blackbox.state import DIRECTORY, Node, NodeKind


def file(data: bytes) -> Node:
    return Node(NodeKind.FILE, data)


def masks_of(one: bytes, other: bytes) -> Masks:
    return Masks.of({"f": file(one)}, {"f": file(other)})


def test_two_equal_runs_mask_nothing() -> None:
    state = {"a": file(b"x"), "d": DIRECTORY, "l": Node(NodeKind.SYMLINK, b"t")}
    masks = Masks.of(state, dict(state))
    assert (masks.ranges, masks.varying, masks.unpaired, masks.sentences()) == ({}, set(), set(), [])
    assert masks.same("a", file(b"x"), file(b"x"))
    for other in (file(b"y"), file(b""), DIRECTORY, Node(NodeKind.SYMLINK, b"x")):
        assert not masks.same("a", file(b"x"), other)


def test_a_binary_clock_ticks_on() -> None:
    def header(now: int) -> bytes:
        return b"MAGIC\0\0\1" + b"\xfe" * 16 + struct.pack("<Q", now) + b"\xff" * 16

    masks = masks_of(header(0x6700FE), header(0x6700FF))
    assert masks.ranges == {"f": ((24, 32),)}
    assert masks.same("f", file(header(1)), file(header(2**63)))
    for place in (0, 7, 8, 23, 32, 47):
        damaged = bytearray(header(1))
        damaged[place] ^= 1
        assert not masks.same("f", file(header(1)), file(bytes(damaged)))
    assert masks.sentences() == ["bytes 24 to 31 of 'f' differ between two runs without a fault and are not compared"]


@pytest.mark.parametrize(
    ("one", "other", "later", "wrong"),
    [
        (
            b'{"t":1790000001,"v":7}',
            b'{"t":1790000002,"v":7}',
            b'{"t":1812345678,"v":7}',
            b'{"t":1790000001,"v":8}',
        ),
        (
            b"saved 2026-01-31 23:59:58 ok\n",
            b"saved 2026-01-31 23:59:59 ok\n",
            b"saved 2027-02-01 00:00:07 ok\n",
            b"saved 2026-01-31 23:59:58 no\n",
        ),
        (
            b"at 2026-01-31T10:00:00.123Z;",
            b"at 2026-01-31T10:00:00.456Z;",
            b"at 2031-12-09T23:59:59.999Z;",
            b"at 2026-01-31T10:00:00.123Z!",
        ),
        (b"id aZ3kQ9xV end", b"id bZ7kW2yU end", b"id 00000000 end", b"id aZ3kQ9xV eNd"),
        (b"1 a 2 x", b"3 a 4 x", b"9 a 9 x", b"1 b 2 x"),
    ],
)
def test_the_whole_word_of_a_text_is_masked_and_not_its_neighbours(
    one: bytes, other: bytes, later: bytes, wrong: bytes
) -> None:
    masks = masks_of(one, other)
    assert masks.same("f", file(one), file(other))
    assert masks.same("f", file(one), file(later))
    assert not masks.same("f", file(one), file(wrong))
    assert not masks.same("f", file(one), file(later[:-1]))
    assert not masks.same("f", file(one), file(b""))


@given(
    st.binary(min_size=1, max_size=300),
    st.lists(st.tuples(st.integers(0, 299), st.integers(1, 255)), max_size=6),
    st.sampled_from([0, 65_530]),
)
def test_what_differed_is_masked_and_what_did_not_is_bounded(
    data: bytes, flips: list[tuple[int, int]], before: int
) -> None:
    one = b"\xfe" * before + data
    other = bytearray(one)
    places = {before + place % len(data): change for place, change in flips}
    for place, change in places.items():
        other[place] ^= change
    masks = masks_of(one, bytes(other))
    assert masks.same("f", file(one), file(bytes(other)))
    covered = {place for start, end in masks.ranges.get("f", ()) for place in range(start, end)}
    if "f" not in masks.varying:
        assert set(places) <= covered
        printable = all(0x20 <= byte < 0x7F or byte in b"\t\n\r" for byte in data)
        if not printable:
            assert all(any(abs(place - near) < 256 for near in places) for place in covered)
        spared = next((place for place in range(len(one)) if place not in covered), None)
        if spared is not None:
            damaged = bytearray(one)
            damaged[spared] ^= 1
            assert not masks.same("f", file(one), file(bytes(damaged)))


def test_content_of_another_size_varies_as_a_whole() -> None:
    masks = masks_of(b"pid 999\n", b"pid 1000\n")
    assert masks.varying == {"f"}
    assert masks.same("f", file(b"pid 999\n"), file(b"pid 54321\n"))
    assert not masks.same("f", file(b"pid 999\n"), file(b""))
    assert not masks.same("f", file(b"pid 999\n"), DIRECTORY)
    assert "'f' differs as a whole" in masks.sentences()[0]


def test_random_content_is_masked_quickly_and_its_size_still_counts() -> None:
    maker = random.Random(1)
    one, other, third = (b"MAGIC..." + maker.randbytes(4_000_001) + b"\xff" * 16 for _ in range(3))
    started = time.process_time()
    masks = masks_of(one, other)
    assert time.process_time() - started < 2
    ((start, end),) = masks.ranges["f"]
    assert (start, len(one) - 16 <= end <= len(one) - 8) == (8, True)
    assert masks.same("f", file(one), file(third))
    assert not masks.same("f", file(one), file(third[:-1]))
    assert not masks.same("f", file(one), file(b"m" + third[1:]))
    assert not masks.same("f", file(one), file(third[:-1] + b"!"))


def test_very_many_differences_become_one() -> None:
    one, other = (b"".join(bytes([n, 255] + [254] * 30) for _ in range(5000)) for n in (1, 2))
    masks = masks_of(one, other)
    assert masks.ranges == {"f": ((0, 4999 * 32 + 8),)}
    assert not masks.same("f", file(one), file(other[:-1] + b"!"))


def test_a_link_whose_text_differs_varies() -> None:
    masks = Masks.of({"l": Node(NodeKind.SYMLINK, b"1")}, {"l": Node(NodeKind.SYMLINK, b"2")})
    assert masks.varying == {"l"}


def test_a_format_says_what_does_not_count() -> None:
    def normalise(path: str, data: bytes) -> bytes:
        return bytes(4) + data[4:] if path == "f" else data

    masks = Masks.of(
        {"f": file(b"0001good"), "g": file(b"1")}, {"f": file(b"0002good"), "g": file(b"1")}, normalise=normalise
    )
    assert masks.sentences() == []
    assert masks.same("f", file(b"0001good"), file(b"9999good"))
    assert not masks.same("f", file(b"0001good"), file(b"0001gooD"))
    assert not masks.same("g", file(b"0001good"), file(b"0002good"))


@pytest.mark.parametrize(
    ("one", "other", "also", "never"),
    [
        (
            ".save-123.tmp",
            ".save-987.tmp",
            [".save-5.tmp", ".save-123456.tmp"],
            [".save-.tmp", ".save-12a.tmp", "save-123.tmp"],
        ),
        ("log.999", "log.1000", ["log.1"], ["log.", "log.x", "log"]),
        ("log.1", "log.11", ["log.7"], ["log."]),
        ("at-1790000001", "at-1790000002", ["at-1800000000"], ["at-179000000x"]),
        ("2026-01-31T23:59:58.log", "2026-01-31T23:59:59.log", ["2027-02-01T00:00:00.log"], ["x.log", ".log"]),
        ("tmpa8_k2xq1", "tmpzz91mmd0", ["tmpq1q1q1q1"], ["tmpa8_k2xq", "tmpa8_k2xq11", "data.json", "xmpa8_k2xq1"]),
        ("f.kv.aX3kQ9", "f.kv.aZ0pL2", ["f.kv.bbbbbb"], ["f.kv", "f.kv.", "f.kv.aX3kQ9.bak", "g.kv.aX3kQ9"]),
        ("run-3fa9c0.d", "run-3fb1d2.d", ["run-000000.d"], ["run-3fa9g0.d", "run-3fa9c.d"]),
        ("0f3d9a77c2", "a1b2c3d4e5", ["ffffffffff"], ["readme-txt", "0f3d9a77c2.tmp"]),
        (
            "x-9998-a3f0c1",
            "x-9999-77bd02",
            ["x-10000-000000", "x-1-ffffff"],
            ["x-10000-00000", "x-10000-00000g", "x--000000", "x-10000"],
        ),
        ("x-9998-a3f0c1", "x-10001-77bd02", ["x-123456-000000"], ["x-10001-77bd0", "x-10001"]),
        ("x-9990-a3f", "x-10001-77bd0", ["x-99-1", "x-100000-123456"], ["x-99-", "x-99-g"]),
        ("x_9998_a3f0c1", "x_9999_77bd02", ["x_10000_000000"], ["x_10000_00000"]),
        ("x.9998.a3f0c1.tmp", "x.10001.77bd02.tmp", ["x.99.abcdef.tmp"], ["x.99.abcdef", "x.99.abcdef.tmp2"]),
        ("s-9998-a8_k2xq1", "s-9999-zz91m_d0", ["s-10000-q1q1q1q1"], ["s-10000-q1q1q1q"]),
        ("h7-9998.aX3kQ9", "h7-10001.aZ0pL2", ["h7-3.bbbbbb"], ["h8-3.bbbbbb", "h7-3.bbbbb"]),
        (
            "00000000-12ab-4000-8abc-000000000000",
            "123e4567-e89b-42d3-a456-426614174000",
            ["ffffffff-ffff-4fff-8fff-ffffffffffff"],
            ["ffffffff-ffff-4fff-8fff-fffffffffff"],
        ),
        ("save 998 a3f0", "save 1001 77bd", ["save 10000 0000"], ["save 10000 0"]),
    ],
)
def test_names_of_one_pattern(one: str, other: str, also: list[str], never: list[str]) -> None:
    pattern = pattern_of(one, other)
    assert pattern is not None
    assert all(pattern.matches(name) for name in (one, other, *also))
    assert [name for name in never if pattern.matches(name)] == []
    assert pattern_of(other, one) == pattern


@pytest.mark.parametrize(
    ("one", "other"), [("a", "ab"), ("log", "log.1"), ("x y", "x z"), ("readme", "a.out"), ("é1", "ü1")]
)
def test_names_that_do_not_vary(one: str, other: str) -> None:
    pattern = pattern_of(one, other)
    assert pattern is None or pattern.matches(one)
    if one in ("a", "log", "readme", "é1"):
        assert pattern is None


random_part = st.text(st.sampled_from(string.ascii_letters + string.digits), min_size=6, max_size=6)


@given(random_part, random_part, random_part, st.sampled_from([("", ""), (".tmp-", ""), ("f.", ".new"), ("d@", "~")]))
def test_a_third_run_has_the_same_canonical_name(one: str, other: str, third: str, frame: tuple[str, str]) -> None:
    """What the libc's mkstemp(3) makes: six letters and digits. Rare coincidences (three equal ends) are set aside."""
    assume(one[:3] != other[:3] and one[-3:] != other[-3:])
    names = [frame[0] + part + frame[1] for part in (one, other, third)]
    pattern = pattern_of(names[0], names[1])
    assert pattern is not None
    assume(pattern.varying[0].characters == "letters and digits")
    assert pattern.matches(names[2])


@given(
    st.integers(1, 4_000_000),
    st.integers(1, 300),
    st.integers(1, 300),
    st.tuples(st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4)),
    st.sampled_from("-._ ,"),
)
def test_a_process_number_may_gain_a_digit(
    pid: int, second: int, third: int, randoms: tuple[bytes, bytes, bytes], sign: str
) -> None:
    """A third run has the same canonical name, however long its number is."""
    names = [
        f"x{sign}{number}{sign}{random.hex()}.tmp"
        for number, random in zip((pid, pid + second, pid + second + third), randoms, strict=True)
    ]
    assume(randoms[0] != randoms[1] and any(byte >= 0xA0 for byte in randoms[0] + randoms[1]))
    pattern = pattern_of(names[0], names[1])
    assert pattern is not None
    assert [pattern.matches(name) for name in names] == [True] * 3
    assert pattern == pattern_of(names[1], names[0])


@given(st.text(max_size=12), st.text(max_size=12))
def test_any_two_names_match_the_pattern_that_they_have(one: str, other: str) -> None:
    assume(one != other)
    pattern = pattern_of(one, other)
    if pattern is not None:
        assert pattern.matches(one)
        assert pattern.matches(other)
        assert not pattern.matches(one + "/")


def test_varying_directories_and_what_is_in_them() -> None:
    one = {"d": DIRECTORY, "d/run-111": DIRECTORY, "d/run-111/f": file(b"1"), "d/run-111/7.tmp": file(b"x")}
    other = {"d": DIRECTORY, "d/run-222": DIRECTORY, "d/run-222/f": file(b"2"), "d/run-222/8.tmp": file(b"x")}
    masks = Masks.of(one, other)
    assert masks.path("d/run-333/f") == masks.path("d/run-111/f") == "d/run-*/f"
    assert masks.path("d/run-333/99.tmp") == "d/run-*/*.tmp"
    assert masks.path("d/fun-333/99.tmp") == "d/fun-333/99.tmp"
    assert masks.path("run-333") == "run-333"
    assert masks.ranges == {"d/run-*/f": ((0, 1),)}
    assert masks.unpaired == set()
    assert "'d/run-*' stands for a name" in masks.sentences()[0]


@pytest.mark.parametrize("label", ["$TMPDIR/", "/srv/x/", "./$TMPDIR/"])
def test_names_in_other_roots_vary_as_well(label: str) -> None:
    masks = Masks.of({f"{label}t1": file(b"")}, {f"{label}t2": file(b"")})
    assert masks.path(f"{label}t77") == f"{label}t*"
    assert masks.path("t77") == "t77"


def test_patterns_of_the_first_root_do_not_touch_labels() -> None:
    masks = Masks.of({"abc": file(b"1")}, {"xyz": file(b"1")})
    assert masks.path("/srv/abc") == "/srv/abc"
    assert masks.path("$TMPDIR/abc") == "$TMPDIR/abc"


def test_a_pattern_that_fits_a_label_does_not_touch_what_is_in_that_root() -> None:
    common = {"$TMPDIR/a": file(b"1")}
    masks = Masks.of({"$TMPQ7K": file(b""), **common}, {"$TMPX2Z": file(b""), **common})
    assert masks.path("$TMPB3B") == "$T*"
    assert masks.path("$TMPDIR/a") == "$TMPDIR/a"


def test_names_of_both_runs_and_of_the_start_stay_what_they_are() -> None:
    fixed = {"log-1": file(b"")}
    masks = Masks.of({**fixed, "log-22": file(b"")}, {**fixed, "log-33": file(b"")}, start={"log-7": file(b"")})
    assert masks.path("log-1") == "log-1"
    assert masks.path("log-7") == "log-7"
    assert masks.path("log-44") == "log-*"


def test_names_without_a_partner_say_nothing() -> None:
    masks = Masks.of({"sometimes": DIRECTORY, "sometimes/f": file(b""), "a": file(b"")}, {"a": file(b"")})
    assert masks.unpaired == {"sometimes"}
    assert not masks.is_judged("sometimes")
    assert not masks.is_judged("sometimes/f")
    assert masks.is_judged("a")
    assert masks.is_judged("sometimes2")
    assert "'sometimes' was there after one of two runs" in masks.sentences()[0]


def test_a_file_and_a_directory_are_no_pair() -> None:
    masks = Masks.of({"t1": file(b"")}, {"t2": DIRECTORY})
    assert masks.unpaired == {"t1", "t2"}


def test_uuids_and_process_numbers_are_paired_by_what_they_share() -> None:
    def run(pid: int, seed: int) -> dict[str, Node]:
        name = uuid.UUID(int=random.Random(seed).getrandbits(128), version=4)
        return {f"{name}.json": file(b"{}"), f"app.{pid}.lock": file(b""), f"app.{pid}.log": file(b"")}

    masks = Masks.of(run(1234, 1), run(1301, 2))
    assert masks.unpaired == set()
    keys = {masks.path(key) for key in run(99, 3)}
    assert keys == {masks.path(key) for key in run(1234, 1)}
    assert {"app.*.lock", "app.*.log"} <= keys


def test_many_ranges_are_shown_short() -> None:
    one = b"\xff".join(struct.pack("<15Q", *([n] * 15)) for n in range(12))
    other = b"\xff".join(struct.pack("<15Q", *([n + 1] + [n] * 14)) for n in range(12))
    assert masks_of(one, other).sentences()[0].count(" to ") == 8
    assert "and 4 more ranges" in masks_of(one, other).sentences()[0]
