"""Touch, replacement of the tool map, removal (KVS-TOUCH, KVS-TOOLMAP, KVS-REMOVE)."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from faultinject.faults import ERRNOS, Fault, FaultClass, Form
from faultinject.inject import InjectingFileSystem
from faultinject.memory import MemoryFileSystem
from faultinject.ops import Op, Trace
from faultinject.record import RecordingFileSystem
from kvformat import identity, layout
from kvformat.errors import BadSectionError, IdentityMismatchError, KvcError, SaveError
from kvformat.filesystem import Buffer, OsFileSystem
from kvformat.limits import Limits
from kvformat.model import Header, ToolEntry
from kvformat.options import Options
from kvformat.temp_names import TempKind, is_temp_name
from kvformat.testing import broken_files, headers, texts, titles, tool_maps
from tests.kvformat.saving import (
    ENTRY,
    NAME,
    NEW,
    NOW,
    OLD,
    PAYLOAD,
    SESSION_ENTRY,
    Failing,
    Racing,
    descriptors,
    directory,
    options,
    store_of,
    with_byte,
)

NEW_TOOLS = (ToolEntry(b"id", b"another block"),)


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def map_bytes(tools: tuple[ToolEntry, ...] | None) -> bytes:
    if tools is None:
        return b""
    entries = b"".join(u32(len(tool.id)) + u32(len(tool.block)) + tool.id + tool.block for tool in tools)
    return b"KTM\x01" + u32(len(tools)) + entries


def file_with(
    header: Header, text: bytes, payload: bytes, tools: tuple[ToolEntry, ...] | None, title: bytes | None, rest: bytes
) -> tuple[str, bytes]:
    """Name and bytes of a file with any header that a reader takes; bits 0 and 3 follow from the sections."""
    flags = header.flags & ~9 | (0 if tools is None else 1) | (0 if title is None else 8)
    header = replace(header, flags=flags, payload_bytes=len(payload))
    titled = b"" if title is None else u32(len(title)) + title
    data = layout.encode_header(header) + u32(len(text)) + text + payload + map_bytes(tools) + titled + rest
    return identity.expected_name(header, text, title), data


_PARTS = {
    "header": headers(),
    "text": texts(max_bytes=40),
    "payload": st.binary(min_size=1, max_size=40),
    "tools": st.none() | tool_maps(),
    "title": st.none() | titles(),
    "rest": st.binary(max_size=20),
}


# Touch.


@given(added=st.integers(0, 2**33), last_used=st.integers(0, layout.U64_MAX), durable=st.booleans(), **_PARTS)
def test_touch_changes_two_fields_and_not_a_bit_more(added: int, last_used: int, durable: bool, **parts: Any) -> None:
    """KVS-TOUCH-3, KVC-HEADER-5, -9, -11, -13, -14: for every header that a reader takes, unknown bits included."""
    name, data = file_with(**parts)
    fs = MemoryFileSystem()
    fs.put(name, data)
    told = store_of(fs).touch(name, hits_added=added, last_used=last_used, durable=durable)
    old = layout.decode_header(data)
    hits = min(old.hits + added, 2**32 - 1)
    assert fs.contents() == {name: data[:12] + u32(hits) + data[16:32] + last_used.to_bytes(8, "little") + data[40:]}
    assert told == replace(old, hits=hits, last_used=last_used) == layout.decode_header(fs.content(name) or b"")
    assert fs.open_descriptors() == 0


@pytest.mark.parametrize("hits", [0, 1, 2**32 - 3, 2**32 - 2, 2**32 - 1])
def test_hits_stop_at_the_largest(hits: int) -> None:
    """KVC-HEADER-11."""
    fs = directory()
    fs.put(NAME, NEW[:12] + u32(hits) + NEW[16:])
    store = store_of(fs)
    for times in range(1, 4):
        assert store.touch(NAME).hits == min(hits + times, 2**32 - 1)


def test_touch_says_now_and_adds_one_unless_told() -> None:
    fs = directory()
    header = store_of(fs).touch(NAME)
    assert (header.hits, header.last_used) == (5, NOW)


@pytest.mark.parametrize(("hits_added", "last_used"), [(-1, 0), (0, -1), (0, 2**64)])
def test_values_that_no_header_holds_are_refused_before_anything_is_done(hits_added: int, last_used: int) -> None:
    recorder = RecordingFileSystem(directory())
    with pytest.raises(ValueError, match="must not be"):
        store_of(recorder).touch(NAME, hits_added=hits_added, last_used=last_used)
    assert len(recorder.trace) == 0


def test_touch_is_one_write_inside_one_sector_under_the_lock() -> None:
    """KVS-TOUCH-1, KVS-TOUCH-2, KVS-ATOM-1, KVS-DURABLE-5."""
    recorder = RecordingFileSystem(directory())
    store_of(recorder).touch(NAME)
    done = [operation.op for operation in recorder.trace]
    (write,) = [operation for operation in recorder.trace if operation.op is Op.PWRITE]
    assert (write.offset, write.size_bytes) == (12, 28)
    assert done.index(Op.FLOCK) < done.index(Op.STAT) < done.index(Op.PREAD) < write.index < done.index(Op.FSYNC)
    assert done[-1] is Op.CLOSE
    assert Op.RENAME not in done
    recorder = RecordingFileSystem(directory())
    store_of(recorder).touch(NAME, durable=False)
    assert [op for op in done if op is not Op.FSYNC] == [operation.op for operation in recorder.trace]


@given(broken=broken_files())
def test_touch_rejects_what_a_lister_rejects_and_leaves_it(broken: Any) -> None:
    """KVS-TOUCH-2: with the same clause; damage behind the payload does not concern it."""
    fs = MemoryFileSystem()
    fs.put(NAME, broken.data)
    store = store_of(fs)
    if broken.clause.startswith(("KVC-TOOLMAP", "KVC-TITLE")):
        store.touch(NAME)
        return
    with pytest.raises(KvcError) as caught:
        store.touch(NAME)
    assert caught.value.clause == broken.clause
    assert fs.contents() == {NAME: broken.data}
    assert fs.open_descriptors() == 0


@pytest.mark.parametrize("call", ["touch", "replace"])
def test_an_update_works_under_the_profile_of_the_store(call: str) -> None:
    """KVC-PROFILE-3: "an entry that its profile rejects is not updated"."""
    fs = directory()
    store = store_of(fs, profile="ds4-abi3")
    with pytest.raises(KvcError) as caught:
        store.touch(NAME) if call == "touch" else store.replace_tool_map(NAME, NEW_TOOLS)
    assert caught.value.clause == "KVC-PROFILE-3"
    assert fs.content(NAME) == OLD


@pytest.mark.parametrize("call", ["touch", "replace"])
@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory", "missing"])
def test_only_regular_files_are_updated(call: str, kind: str, tmp_path: Path) -> None:
    """KVS-TOUCH-2, KVC-NAME-7: a link is not followed, a FIFO does not hang; both are step 0. Nothing stays open."""
    target = tmp_path / "target"
    target.write_bytes(NEW)
    path = tmp_path / NAME
    make: dict[str, Callable[[], object]] = {
        "symlink": lambda: path.symlink_to(target),
        "fifo": lambda: os.mkfifo(path),
        "directory": path.mkdir,
        "missing": lambda: None,
    }
    make[kind]()
    before = descriptors()
    names = sorted(os.listdir(tmp_path))
    with OsFileSystem(tmp_path) as fs, pytest.raises((SaveError, KvcError)) as caught:
        store_of(fs).touch(NAME) if call == "touch" else store_of(fs).replace_tool_map(NAME, NEW_TOOLS)
    if kind == "missing":
        assert isinstance(caught.value, SaveError)
    else:
        assert isinstance(caught.value, IdentityMismatchError)
        assert (caught.value.clause, caught.value.field) == ("KVC-NAME-7", "name")
    assert target.read_bytes() == NEW
    assert sorted(os.listdir(tmp_path)) == names
    assert descriptors() == before


def test_an_update_starts_over_with_the_file_that_took_the_place(tmp_path: Path) -> None:
    """KVS-TOUCH-1: a save that comes between opening and locking gets the hit."""
    (tmp_path / NAME).write_bytes(OLD)
    before = descriptors()
    with OsFileSystem(tmp_path) as fs:

        def save() -> None:
            store_of(fs).save(ENTRY, PAYLOAD, options=Options(durable=False))

        racing = Racing(fs, lambda op, _: op is Op.FLOCK, save, times=3)
        assert store_of(racing).touch(NAME, durable=False).hits == 1
        assert racing.fired == 3
    assert (tmp_path / NAME).read_bytes() == NEW[:12] + u32(1) + NEW[16:]
    assert descriptors() == before


@pytest.mark.parametrize("call", ["touch", "replace"])
def test_an_entry_that_is_always_replaced_or_gone_ends_the_update(call: str, tmp_path: Path) -> None:
    """KVS-FAIL-1: no endless loop."""
    (tmp_path / NAME).write_bytes(OLD)
    with OsFileSystem(tmp_path) as fs:
        for action in (
            lambda: store_of(fs).save(ENTRY, PAYLOAD, options=Options(durable=False)),
            lambda: fs.unlink(NAME),
        ):
            store = store_of(Racing(fs, lambda op, _: op is Op.STAT, action, times=1000))
            with pytest.raises(SaveError) as caught:
                store.touch(NAME) if call == "touch" else store.replace_tool_map(NAME, NEW_TOOLS)
            assert caught.value.visible is False


def trace_of(action: Callable[[Any], object], content: bytes) -> Trace:
    fs = directory()
    fs.put(NAME, content)
    recorder = RecordingFileSystem(fs)
    action(recorder)
    return recorder.trace


def single_faults(trace: Trace) -> Iterator[Fault]:
    for operation in trace:
        for number in ERRNOS[operation.op]:
            for sticky in (False, True):
                yield Fault(FaultClass.ERROR, Form.ERRNO, operation.index, operation.op, error=number, sticky=sticky)


def _touch(fs: Any) -> object:
    return store_of(fs).touch(NAME)


def _replace(temp: TempKind) -> Callable[[Any], object]:
    return lambda fs: store_of(fs).replace_tool_map(NAME, NEW_TOOLS, options=options(temp, durable=True))


@pytest.mark.parametrize(
    "action", [_touch, _replace(TempKind.NAMED), _replace(TempKind.UNNAMED)], ids=["touch", "named", "unnamed"]
)
def test_every_single_error_of_an_update_is_told_as_it_was(action: Callable[[Any], object]) -> None:
    """KVS-TOUCH-4, KVS-FAIL-1, KVS-INV-1, KVS-INV-2: old or new, nothing left, and `visible` is the truth."""
    fs = directory()
    fs.put(NAME, NEW)
    action(fs)
    new = fs.content(NAME)
    failed = 0
    for fault in single_faults(trace_of(action, NEW)):
        fs = directory()
        fs.put(NAME, NEW)
        injector = InjectingFileSystem(fs, fault)
        try:
            action(injector)
        except SaveError as error:
            if error.visible is None:  # after a failed fsync the old bytes may come back at any time
                assert action is _touch, fault.id
                assert error.operation == "fsync", fault.id
                assert fs.content(NAME) in (NEW, new), fault.id
            else:
                assert fs.content(NAME) == (new if error.visible else NEW), fault.id
            assert error.left_behind == (), fault.id
            # Sticky faults of a kind that the system does without are told by what came after them.
            assert fault.sticky or os.strerror(fault.error) in str(error), fault.id
            failed += 1
        else:
            assert fs.content(NAME) == new, fault.id
        assert injector.fired, fault.id
        assert not any(map(is_temp_name, fs.names())), fault.id
        assert fs.open_descriptors() == 0, fault.id
    assert failed > 15


def test_a_failed_fstat_is_told_as_such() -> None:
    """KVS-FAIL-1."""
    stats = [operation for operation in trace_of(_touch, NEW) if operation.op is Op.FSTAT]
    fault = Fault(FaultClass.ERROR, Form.ERRNO, stats[-1].index, Op.FSTAT, error=errno.EIO)
    with pytest.raises(SaveError) as caught:
        _touch(InjectingFileSystem(directory(), fault))
    assert caught.value.operation == "fstat"


@pytest.mark.parametrize(("op", "visible"), [(Op.FSYNC, None), (Op.CLOSE, True)])
def test_a_late_error_says_whether_the_new_values_are_visible(op: Op, visible: bool | None) -> None:
    """KVS-TOUCH-4."""
    fs = directory()

    def fail(got: Op, _: tuple[Any, ...]) -> OSError | None:
        return OSError(errno.EIO, "I/O error") if got is op else None

    with pytest.raises(SaveError, match="I/O error") as caught:
        store_of(Failing(fs, fail)).touch(NAME, hits_added=1)
    assert (caught.value.operation, caught.value.visible) == (str(op), visible)
    assert layout.decode_header(fs.content(NAME) or b"").hits == 5


class _AcceptsNothing(MemoryFileSystem):
    __slots__ = ("refused",)

    def pwrite(self, fd: int, data: Buffer, offset: int) -> int:
        self.refused = getattr(self, "refused", 0) + 1
        if self.refused > 5:
            pytest.fail("the touch tries for ever")
        return 0


def test_a_touch_of_which_nothing_is_accepted_ends() -> None:
    """KVS-SAVE-3, KVS-TOUCH-4: retrying for ever hangs; a reason without an error number is told in its own words."""
    fs = _AcceptsNothing()
    fs.put(NAME, OLD)
    with pytest.raises(SaveError, match="the system accepted no bytes and named no error") as caught:
        store_of(fs).touch(NAME)
    assert (caught.value.operation, caught.value.visible) == ("pwrite", False)
    assert fs.refused == 1
    assert fs.content(NAME) == OLD


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EIO, "Input/output error", "somewhere"), "Input/output error"),
        (OSError("no number"), "no number"),
        (OSError(), "OSError"),
    ],
)
def test_the_reason_of_a_failed_update_is_the_shortest_that_says_it(error: OSError, said: str) -> None:
    """KVS-FAIL-1: what the system calls the error, else what was said of it, else its kind."""
    fs = directory()
    with pytest.raises(SaveError) as caught:
        store_of(Failing(fs, lambda op, _: error if op is Op.PWRITE else None)).touch(NAME)
    assert caught.value.message == said
    assert caught.value.__cause__ is error


# The tool map.


@given(
    tools_after=st.none() | tool_maps(),
    temp=st.sampled_from([TempKind.NAMED, TempKind.UNNAMED]),
    durable=st.booleans(),
    **_PARTS,
)
def test_replacing_the_tool_map_changes_nothing_else(
    tools_after: tuple[ToolEntry, ...] | None, temp: TempKind, durable: bool, **parts: Any
) -> None:
    """KVS-TOOLMAP-1, KVS-TOOLMAP-2, KVC-FILE-5: header, text, payload and title stay; so does what unknown bits own.

    Trailing bytes go where bits 4 to 7 are clear, and stay where one is set.
    """
    if tools_after is None and parts["header"].flags & 0xF0:
        reject()  # see the next test
    name, data = file_with(**parts)
    fs = MemoryFileSystem()
    fs.put(name, data)
    result = store_of(fs).replace_tool_map(name, tools_after, options=options(temp, durable=durable))
    kept = parts["rest"] if parts["header"].flags & 0xF0 else b""
    _, expected = file_with(**{**parts, "tools": tools_after, "rest": kept})
    assert fs.contents() == {name: expected}
    assert (result.name, result.durable, result.file_bytes) == (name, durable, len(expected))
    assert fs.open_descriptors() == 0


@pytest.mark.parametrize("bit", [16, 32, 64, 128])
def test_removing_the_tool_map_preserves_unknown_bits_and_what_they_own(bit: int) -> None:
    """KVC-HEADER-5, KVC-FILE-5, KVS-TOOLMAP-1: "an update preserves them", "the bytes behind the last section"."""
    end = 52 + len(ENTRY.text) + len(PAYLOAD)
    fs = directory()
    fs.put(NAME, with_byte(NEW, 6, NEW[6] | bit) + b"section of that bit")
    store_of(fs).replace_tool_map(NAME, None)
    assert fs.content(NAME) == with_byte(NEW[:end], 6, (NEW[6] | bit) & 0xFE) + b"section of that bit"


def test_a_damaged_map_is_replaced_where_its_end_does_not_matter() -> None:
    """KVC-TOOLMAP-6: "an update of the map replaces it as a whole"."""
    fs = directory()
    end = 52 + len(ENTRY.text) + len(PAYLOAD)
    for damaged in (NEW[:-3], NEW[:end], NEW[:end] + b"XXX" + NEW[end + 3 :]):
        fs.put(NAME, damaged)
        store_of(fs).replace_tool_map(NAME, NEW_TOOLS)
        assert fs.content(NAME) == NEW[:end] + map_bytes(NEW_TOOLS)


@pytest.mark.parametrize("tools", [None, NEW_TOOLS])
def test_a_damaged_map_with_something_behind_it_refuses_the_update(tools: tuple[ToolEntry, ...] | None) -> None:
    """KVC-TITLE-2, KVC-FILE-5: the title, or the section of an unknown bit, would be lost."""
    unknown = with_byte(NEW[:-3], 6, NEW[6] | 16)
    session = with_byte(SESSION, SESSION_SECTIONS, ord("X"))
    for name, content in ((NAME, unknown), (SESSION_NAME, session)):
        fs = MemoryFileSystem()
        fs.put(name, content)
        with pytest.raises(BadSectionError):
            store_of(fs).replace_tool_map(name, tools)
        assert fs.contents() == {name: content}
        assert fs.open_descriptors() == 0


SESSION_NAME = identity.session_name(SESSION_ENTRY.title or b"", NOW)
SESSION_SECTIONS = 52 + len(SESSION_ENTRY.text) + len(PAYLOAD)
SESSION = file_with(
    layout.decode_header(NEW), SESSION_ENTRY.text, PAYLOAD, SESSION_ENTRY.tool_map, SESSION_ENTRY.title, b""
)[1]


def test_a_fixed_name_and_another_spelling_keep_their_names() -> None:
    """KVC-NAME-2, KVC-NAME-4."""
    upper = NAME[:40].upper() + ".kv"
    for name in ("sysprompt.kv", upper):
        fs = MemoryFileSystem()
        fs.put(name, NEW)
        assert store_of(fs).replace_tool_map(name, None).name == name
        assert fs.names() == [name]
        with store_of(fs).load(name) as reader:
            assert reader.tool_map() == ()


def test_a_file_of_another_identity_is_not_updated() -> None:
    """KVC-NAME-1: what no reader uses is not made anew under a name that is not its own."""
    fs = MemoryFileSystem()
    fs.put(SESSION_NAME, NEW)
    with pytest.raises(KvcError) as caught:
        store_of(fs).replace_tool_map(SESSION_NAME, NEW_TOOLS)
    assert caught.value.clause == "KVC-NAME-1"
    assert fs.contents() == {SESSION_NAME: NEW}


TOO_LONG = (ToolEntry(bytes(layout.TOOL_ID_BYTES_MAX + 1), b"b"),)


@pytest.mark.parametrize("tools", [TOO_LONG, (ToolEntry(b"", b"b"),), (ToolEntry(b"i", b""),)])
def test_a_map_over_the_limits_is_refused_and_nothing_is_created(tools: tuple[ToolEntry, ...]) -> None:
    """KVC-WRITER-3, KVS-SAVE-1."""
    recorder = RecordingFileSystem(directory())
    with pytest.raises((KvcError, ValueError), match="KVC-TOOLMAP"):
        store_of(recorder).replace_tool_map(NAME, tools)
    assert not {Op.PWRITE, Op.OPEN_UNNAMED, Op.RENAME} & {operation.op for operation in recorder.trace}


def test_a_map_over_the_limits_is_a_kvc_error() -> None:
    """As for `save`, which refuses the same map with a BadSectionError."""
    with pytest.raises(KvcError):
        store_of(directory()).replace_tool_map(NAME, TOO_LONG)


@pytest.mark.parametrize("temp", [TempKind.NAMED, TempKind.UNNAMED])
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o755])
def test_permissions_stay(temp: TempKind, mode: int, tmp_path: Path) -> None:
    """KVS-TOOLMAP-2."""
    mask = os.umask(0)
    try:
        _permissions_stay(temp, mode, tmp_path)
    finally:
        os.umask(mask)


@pytest.mark.parametrize("temp", [TempKind.NAMED, TempKind.UNNAMED])
@pytest.mark.parametrize("mode", [0o660, 0o664, 0o666])
def test_permissions_stay_whatever_the_umask(temp: TempKind, mode: int, tmp_path: Path) -> None:
    """KVS-TOOLMAP-2."""
    mask = os.umask(0o077)
    try:
        _permissions_stay(temp, mode, tmp_path)
    finally:
        os.umask(mask)


def _permissions_stay(temp: TempKind, mode: int, path: Path) -> None:
    (path / NAME).write_bytes(NEW)
    (path / NAME).chmod(mode)
    with OsFileSystem(path) as fs:
        store_of(fs).replace_tool_map(NAME, NEW_TOOLS, options=options(temp))
    assert stat.S_IMODE(os.stat(path / NAME).st_mode) == mode


def test_a_map_can_be_replaced_over_and_over(tmp_path: Path) -> None:
    """Real file system: the payload is copied from the file that is replaced, longer and shorter maps in turn."""
    (tmp_path / NAME).write_bytes(NEW)
    end = 52 + len(ENTRY.text) + len(PAYLOAD)
    before = descriptors()
    with OsFileSystem(tmp_path) as fs:
        for number in (3, 0, 200, 1):
            tools = tuple(ToolEntry(b"%d" % index, bytes(50)) for index in range(number))
            store_of(fs).replace_tool_map(NAME, tools, options=options(TempKind.AUTO))
            assert (tmp_path / NAME).read_bytes() == NEW[:end] + map_bytes(tools)
        store_of(fs).replace_tool_map(NAME, None, options=options(TempKind.AUTO))
    assert (tmp_path / NAME).read_bytes() == with_byte(NEW[:end], 6, 0)
    assert os.listdir(tmp_path) == [NAME]
    assert descriptors() == before


def test_the_lock_on_the_old_entry_is_held_until_the_new_one_is_there(tmp_path: Path) -> None:
    """KVS-TOOLMAP-1."""
    (tmp_path / NAME).write_bytes(NEW)
    locked: list[bool] = []
    with OsFileSystem(tmp_path) as fs:

        def try_it() -> None:
            fd = fs.open(NAME, os.O_RDWR)
            locked.append(not fs.try_lock(fd))
            fs.close(fd)

        racing = Racing(fs, lambda op, _: op in (Op.PREAD, Op.PWRITE, Op.COPY_RANGE, Op.RENAME), try_it, times=50)
        store_of(racing).replace_tool_map(NAME, NEW_TOOLS, options=options(TempKind.NAMED))
    assert len(locked) > 3
    assert all(locked)


def test_a_save_meanwhile_is_not_undone() -> None:
    """KVS-INV-6: the entry that was saved last is gone, though its save has reported success."""
    fs = directory()

    def save() -> None:
        assert store_of(fs).save(ENTRY, PAYLOAD).durable

    racing = Racing(fs, lambda op, _: op is Op.DUP, save)
    with contextlib.suppress(SaveError):  # to refuse is as good
        store_of(racing).replace_tool_map(NAME, NEW_TOOLS)
    assert racing.fired == 1
    with store_of(fs).load(NAME) as reader:
        assert reader.payload.read() == PAYLOAD


def test_a_removal_meanwhile_is_not_undone() -> None:
    """KVS-REMOVE-1: success was reported for it; an eviction is undone in the same way."""
    fs = directory()
    racing = Racing(fs, lambda op, _: op is Op.DUP, lambda: store_of(fs).remove(NAME))
    with contextlib.suppress(SaveError):  # to refuse is as good
        store_of(racing).replace_tool_map(NAME, NEW_TOOLS)
    assert racing.fired == 1
    assert fs.content(NAME) is None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ConnectionResetError("gone")])
def test_what_is_said_of_an_interrupted_replacement_is_said_once(error: BaseException) -> None:
    """KVS-FAIL-1: the save inside has told what is visible; the update around it must not contradict."""
    fs = directory()

    def lose(_: object = None) -> None:
        raise error

    if isinstance(error, OSError):
        ground: Any = fs
        chosen = Options(on_progress=lose)
        said = "nothing changed"
    else:
        ground = Racing(fs, lambda op, _: op is Op.RENAME, lose, after=True)
        chosen = Options()
        said = "IS visible"
    with pytest.raises(type(error)) as caught:
        store_of(ground).replace_tool_map(NAME, NEW_TOOLS, options=chosen)
    (note,) = caught.value.__notes__
    assert said in note
    assert fs.open_descriptors() == 0


def test_the_memory_limit_of_the_reader_is_kept() -> None:
    """KVC-LIMIT-4: what stands behind an unknown bit is copied through memory, within the bound."""
    fs = MemoryFileSystem()
    content = with_byte(NEW, 6, NEW[6] | 16) + bytes(1000)
    fs.put(NAME, content)
    store = store_of(fs, limits=Limits(memory_bytes_max=999))
    with pytest.raises(KvcError) as caught:
        store.replace_tool_map(NAME, NEW_TOOLS)
    assert caught.value.clause == "KVC-LIMIT-4"
    assert fs.content(NAME) == content


# Removal.


@pytest.mark.parametrize("durable", [True, False])
def test_remove_unlinks_and_syncs_the_directory(durable: bool) -> None:
    """KVS-REMOVE-1, KVS-DURABLE-5."""
    fs = directory()
    others = set(fs.names()) - {NAME}
    recorder = RecordingFileSystem(fs)
    store_of(recorder).remove(NAME, durable=durable)
    assert [operation.op for operation in recorder.trace] == [Op.UNLINK, Op.FSYNC_DIRECTORY][: 1 + durable]
    assert set(fs.names()) == others


def test_readers_keep_what_is_removed(tmp_path: Path) -> None:
    """KVS-REMOVE-1."""
    (tmp_path / NAME).write_bytes(NEW)
    store = store_of(OsFileSystem(tmp_path))
    with store.load(NAME) as reader:
        store.remove(NAME)
        assert reader.payload.read() == PAYLOAD
        with pytest.raises(SaveError) as caught:
            store.remove(NAME)
    assert (caught.value.operation, caught.value.visible) == ("unlink", False)


def test_the_name_goes_and_not_what_it_leads_to(tmp_path: Path) -> None:
    """KVS-REMOVE-1, KVC-NAME-7."""
    (tmp_path / "target").write_bytes(NEW)
    (tmp_path / NAME).symlink_to("target")
    (tmp_path / "sysprompt.kv").mkdir()
    with OsFileSystem(tmp_path) as fs:
        store_of(fs).remove(NAME)
        with pytest.raises(SaveError):
            store_of(fs).remove("sysprompt.kv")
    assert sorted(os.listdir(tmp_path)) == ["sysprompt.kv", "target"]


def _no_directory_sync(op: Op, _: tuple[Any, ...]) -> OSError | None:
    return OSError(errno.EIO, "I/O error") if op is Op.FSYNC_DIRECTORY else None


def test_a_removal_that_was_not_synced_says_that_it_shows() -> None:
    """KVS-FAIL-1."""
    fs = directory()
    with pytest.raises(SaveError) as caught:
        store_of(Failing(fs, _no_directory_sync)).remove(NAME)
    assert (caught.value.operation, caught.value.visible) == ("fsync directory", True)
    assert NAME not in fs.names()


def test_what_is_said_of_a_removal_is_true() -> None:
    """KVS-FAIL-1, for people."""
    with pytest.raises(SaveError) as caught:
        store_of(Failing(directory(), _no_directory_sync)).remove(NAME)
    assert "new content IS visible" not in str(caught.value)


def test_a_touch_that_is_not_durable_does_not_know_after_a_failed_close() -> None:
    """KVS-TOUCH-4: close(2) may report that the bytes are lost, and here they are; found by the state machine."""
    fs = directory()
    before = fs.content(NAME)
    touched = next(index for index, one in enumerate(_trace_of_touch()) if one.op is Op.PWRITE)
    closing = Fault(FaultClass.ERROR, Form.ERRNO, touched + 1, Op.CLOSE, error=errno.EIO)
    with pytest.raises(SaveError) as caught:
        store_of(InjectingFileSystem(fs, closing)).touch(NAME, durable=False)
    assert (caught.value.operation, caught.value.visible) == ("close", None)
    assert fs.content(NAME) == before


def _trace_of_touch() -> Trace:
    recorder = RecordingFileSystem(directory())
    store_of(recorder).touch(NAME, durable=False)
    return recorder.trace
