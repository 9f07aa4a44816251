from __future__ import annotations

import errno
import os
import platform
import re
import stat
from pathlib import Path

import pytest

from faultinject.blackbox.abi import native
from faultinject.blackbox.describe import CALLS, REFUSED
from faultinject.blackbox.state import Root, Roots
from faultinject.blackbox.tree import ModelError
from faultinject.ops import Op
from tests.faultinject.blackbox.recorded import Watched, only, snippet
from tests.faultinject.blackbox.traced import compiled, needs_linux

pytestmark = needs_linux


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched.in_directory(tmp_path)


def number(call: str) -> int:
    return native().numbers[call]


# Each leaves something that only the right names, inodes, offsets and bytes explain. The second part: the operations
# that must be among those recorded.
SNIPPETS: dict[str, tuple[str, set[Op]]] = {
    "write": ("open(d + '/a', 'wb').write(b'abc')", {Op.OPEN, Op.WRITE, Op.CLOSE}),
    "append": (
        "open(d + '/a', 'wb').write(b'abc')\nf = open(d + '/a', 'ab', 0)\nf.write(b'de')\nf.write(b'f')",
        {Op.WRITE},
    ),
    "pwrite on an append-only descriptor goes to the end": (
        "f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT | os.O_APPEND)\nos.write(f, b'abc')\nos.pwrite(f, b'Z', 0)",
        {Op.PWRITE},
    ),
    "pwritev2 RWF_APPEND and the descriptor's own offset": (
        "f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT)\nos.write(f, b'abc')\nos.lseek(f, 1, 0)\n"
        "os.pwritev(f, [b'Z', b'Y'], -1)\nos.pwritev(f, [b'end'], 0, 0x10)",
        {Op.PWRITEV},
    ),
    "writev with empty pieces": (
        "f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT)\nos.writev(f, [b'', b'ab', b'', b'c'])\nos.writev(f, [b''])",
        {Op.WRITEV},
    ),
    "pwrite makes a hole": ("f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT)\nos.pwrite(f, b'x', 5000)", {Op.PWRITE}),
    "truncate by name and descriptor": (
        "f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT)\nos.write(f, b'abcdef')\nos.ftruncate(f, 4)\nos.truncate(d + '/a', 9)",
        {Op.TRUNCATE},
    ),
    "fallocate": ("f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT)\nos.posix_fallocate(f, 0, 100)", {Op.FALLOCATE}),
    "creat": ("f = call(NUMBER_creat, (d + '/a').encode(), 0o600)\nos.write(f, b'x')", {Op.OPEN, Op.WRITE}),
    "openat2": (
        "how = struct.pack('QQQ', os.O_WRONLY | os.O_CREAT, 0o600, 0)\n"
        "f = call(NUMBER_openat2, os.open(d, os.O_RDONLY), b'a', how, len(how))\nos.write(f, b'x')",
        {Op.OPEN, Op.WRITE},
    ),
    "an unnamed file linked by /proc/self/fd": (
        "f = os.open(d, os.O_TMPFILE | os.O_RDWR, 0o600)\nos.write(f, b'abc')\n"
        "call(NUMBER_linkat, -100, f'/proc/self/fd/{f}'.encode(), -100, (d + '/a').encode(), 0x400)\nos.write(f, b'd')",
        {Op.OPEN_UNNAMED, Op.LINK},
    ),
    "an unnamed file linked by /dev/fd, written by another descriptor": (
        "f = os.open(d, os.O_TMPFILE | os.O_RDWR, 0o600)\ng = os.open(f'/dev/fd/{f}', os.O_WRONLY)\nos.write(g, b'abc')\n"
        "call(NUMBER_linkat, -100, f'/dev/fd/{f}'.encode(), -100, (d + '/a').encode(), 0x400)",
        {Op.OPEN_UNNAMED, Op.OPEN, Op.LINK},
    ),
    "an unnamed file linked by its descriptor": (
        "f = os.open(d, os.O_TMPFILE | os.O_RDWR, 0o600)\nos.write(f, b'abc')\n"
        "try:\n    call(NUMBER_linkat, f, b'', -100, (d + '/a').encode(), 0x1000)\nexcept OSError:\n    os.symlink('needs a capability', d + '/a')",
        {Op.OPEN_UNNAMED, Op.LINK},
    ),
    "renameat2": (
        "open(d + '/a', 'w').write('a')\nopen(d + '/b', 'w').write('b')\n"
        "call(NUMBER_renameat2, -100, (d + '/a').encode(), -100, (d + '/b').encode(), 2)\n"
        "call(NUMBER_renameat2, -100, (d + '/a').encode(), -100, (d + '/c').encode(), 1)",
        {Op.RENAME},
    ),
    "a file from outside, and one to outside": (
        "open(out + '/x', 'w').write('from outside')\nos.rename(out + '/x', d + '/a')\n"
        "open(d + '/b', 'w').write('gone')\nos.rename(d + '/b', out + '/b')",
        {Op.RENAME},
    ),
    "a file from outside exchanged for one inside": (
        "open(out + '/x', 'w').write('from outside')\nopen(d + '/a', 'w').write('inside')\n"
        "call(NUMBER_renameat2, -100, (d + '/a').encode(), -100, (out + '/x').encode(), 2)",
        {Op.RENAME},
    ),
    "a link to a file outside": ("open(out + '/x', 'w').write('outside')\nos.link(out + '/x', d + '/a')", {Op.LINK}),
    "from one watched directory to the other": (
        "open(t + '/x', 'w').write('temporary')\nos.rename(t + '/x', d + '/a')",
        {Op.RENAME},
    ),
    "hard links": (
        "f = open(d + '/a', 'wb', 0)\nf.write(b'one')\nos.link(d + '/a', d + '/b')\nos.unlink(d + '/a')\nf.write(b' two')",
        {Op.LINK, Op.UNLINK},
    ),
    "a hard link to a symbolic link": (
        "os.symlink('nowhere', d + '/s')\nos.link(d + '/s', d + '/l', follow_symlinks=False)",
        {Op.SYMLINK, Op.LINK},
    ),
    "through symbolic links and dots": (
        "os.mkdir(d + '/sub')\nos.symlink('sub', d + '/s')\nos.symlink(d + '/s/../target', d + '/abs')\n"
        "open(d + '/s/../s//./a', 'w').write('a')\nopen(d + '/abs', 'w').write('b')\nos.chdir(d + '/s')\n"
        "open('../c', 'w').write('c')\nopen('./e', 'w').write('e')",
        {Op.MKDIR, Op.SYMLINK, Op.OPEN},
    ),
    "a link from outside into the directory": (
        "os.symlink('../d', out + '/in')\nopen(out + '/in/a', 'w').write('a')\nos.rename(out + '/in/a', out + '/in/b')",
        {Op.RENAME},
    ),
    "a link out of the directory": (
        "os.symlink(out, d + '/o')\nopen(d + '/o/a', 'w').write('not watched')",
        {Op.SYMLINK},
    ),
    "relative to descriptors": (
        "o = os.open(d, os.O_RDONLY | os.O_DIRECTORY)\nos.mkdir('sub', dir_fd=o)\ns = os.open('sub', os.O_RDONLY, dir_fd=o)\n"
        "f = os.open('x', os.O_WRONLY | os.O_CREAT, dir_fd=s)\nos.write(f, b'x')\n"
        "os.rename('x', 'y', src_dir_fd=s, dst_dir_fd=o)\nos.rmdir('sub', dir_fd=o)\nos.symlink('y', 'z', dir_fd=o)",
        {Op.RENAME, Op.RMDIR, Op.SYMLINK},
    ),
    "directories are moved": (
        "os.makedirs(d + '/a/b')\nopen(d + '/a/b/x', 'w').write('x')\nos.rename(d + '/a', d + '/z')\n"
        "f = open(d + '/z/b/x', 'a')\nf.write('y')",
        {Op.RENAME},
    ),
    "odd names": (
        "for name in (b'new\\nline', b'\\xff\\xfe', b'x (deleted)', b'\\x1b[31m', b'a\\rb', b' '):\n"
        "    f = os.open(d.encode() + b'/' + name, os.O_WRONLY | os.O_CREAT)\n    os.write(f, name)\n    os.fsync(f)",
        {Op.FSYNC},
    ),
    "an open file without a name": (
        "f = open(d + '/a', 'wb', 0)\nos.unlink(d + '/a')\nf.write(b'lost')\nopen(d + '/a (deleted)', 'w').write('kept')\nf.write(b'!')",
        {Op.UNLINK, Op.WRITE},
    ),
    "an unlinked file opened again by its descriptor": (
        "f = open(d + '/a', 'wb', 0)\nos.unlink(d + '/a')\ng = os.open(f'/proc/self/fd/{f.fileno()}', os.O_WRONLY)\nos.write(g, b'x')",
        {Op.WRITE},
    ),
    "copies of descriptors": (
        "f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT)\ng = os.dup(f)\nos.write(g, b'ab')\nos.dup2(g, 17)\nos.write(17, b'cd')\n"
        "h = fcntl.fcntl(f, fcntl.F_DUPFD, 30)\nos.write(h, b'ef')",
        {Op.DUP},
    ),
    "copy_file_range": (
        "open(out + '/x', 'w').write('0123456789')\ns = os.open(out + '/x', os.O_RDONLY)\nf = os.open(d + '/a', os.O_WRONLY | os.O_CREAT)\n"
        "os.copy_file_range(s, f, 4)\nos.copy_file_range(s, f, 3, 0, 6)",
        {Op.COPY_RANGE},
    ),
    "sendfile": (
        "open(out + '/x', 'w').write('0123456789')\ns = os.open(out + '/x', os.O_RDONLY)\nf = os.open(d + '/a', os.O_WRONLY | os.O_CREAT)\n"
        "os.write(f, b'__')\nos.sendfile(f, s, 2, 5)",
        {Op.SENDFILE},
    ),
    "splice": (
        "r, w = os.pipe()\nos.write(w, b'piped')\nf = os.open(d + '/a', os.O_WRONLY | os.O_CREAT)\n"
        "os.splice(r, f, 2)\nos.splice(r, f, 3, offset_dst=10)",
        {Op.SPLICE},
    ),
    "a shared mapping": (
        "f = os.open(d + '/a', os.O_RDWR | os.O_CREAT)\nos.ftruncate(f, 8192)\nm = mmap.mmap(f, 8192)\nm[10:13] = b'abc'\n"
        "m.flush()\nm[5000] = 7\nos.fsync(f)\nm[0] = 1",
        {Op.MMAP, Op.MSYNC, Op.STORE},
    ),
    "attributes": (
        "f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT)\nos.fchmod(f, 0o640)\nos.chmod(d + '/a', 0o600)\nos.utime(f)\n"
        "os.utime(d + '/a')\nos.fchown(f, os.getuid(), -1)\nos.symlink('a', d + '/s')\nos.chown(d + '/s', os.getuid(), -1, follow_symlinks=False)",
        {Op.CHMOD, Op.UTIMENS, Op.CHOWN},
    ),
    "reading": (
        "open(d + '/a', 'w').write('abc')\nf = os.open(d + '/a', os.O_RDONLY)\nos.read(f, 2)\nos.pread(f, 2, 0)\nos.preadv(f, [bytearray(1)], 0)",
        {Op.READ, Op.PREAD},
    ),
    "durability": (
        "f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT)\nos.fsync(f)\nos.fdatasync(f)\nos.fsync(os.open(d, os.O_RDONLY))\nos.sync()",
        {Op.FSYNC, Op.FDATASYNC, Op.FSYNC_DIRECTORY, Op.SYNC},
    ),
    "calls that fail": (
        'for code in (\'os.unlink(d + "/no")\', \'os.rename(d + "/no", d + "/x")\', \'os.mkdir(d)\', \'open(d + "/no/no", "w")\',\n'
        '    \'os.link(d + "/no", d + "/x")\', \'os.rmdir(d + "/no")\', \'os.open(d + "/a", os.O_WRONLY, dir_fd=99)\', \'open("")\'):\n'
        "    try:\n        eval(code)\n    except (OSError, ValueError):\n        pass\nopen(d + '/a', 'w').write('a')",
        {Op.UNLINK, Op.RENAME, Op.MKDIR, Op.LINK, Op.RMDIR},
    ),
    "children and what they inherit": (
        "f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT)\nos.set_inheritable(f, True)\nif not os.fork():\n    os.write(f, b'child ')\n    os._exit(0)\n"
        "os.wait()\nos.write(f, b'parent ')\nos.spawnlp(os.P_WAIT, 'sh', 'sh', '-c', f'echo shell >&{f}')",
        {Op.WRITE},
    ),
    "threads": (
        "import threading\nf = os.open(d + '/a', os.O_WRONLY | os.O_CREAT)\n"
        "ts = [threading.Thread(target=os.pwrite, args=(f, b'x' * 10, 10 * i)) for i in range(4)]\n"
        "[one.start() for one in ts]\n[one.join() for one in ts]",
        {Op.PWRITE},
    ),
    "locks that wait for another process": (
        "f = os.open(d + '/a', os.O_RDWR | os.O_CREAT)\nr, w = os.pipe()\nfcntl.flock(f, fcntl.LOCK_EX)\nif not os.fork():\n"
        "    g = os.open(d + '/a', os.O_RDWR)\n    os.write(w, b'!')\n    fcntl.flock(g, fcntl.LOCK_EX)\n    fcntl.lockf(g, fcntl.LOCK_EX)\n"
        "    os.pwrite(g, b'child', 0)\n    os._exit(0)\n"
        "fcntl.lockf(f, fcntl.LOCK_EX)\nos.read(r, 1)\nos.write(f, b'p')\nfcntl.flock(f, fcntl.LOCK_UN)\nos.fsync(f)\n"
        "fcntl.lockf(f, fcntl.LOCK_UN)\nos.wait()",
        {Op.FLOCK, Op.LOCK},
    ),
    "splice waits for another process": (
        "r, w = os.pipe()\nq, v = os.pipe()\nif not os.fork():\n    os.read(q, 1)\n    g = os.open(d + '/b', os.O_WRONLY | os.O_CREAT)\n"
        "    os.write(w, b'piped')\n    os._exit(0)\n"
        "f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT)\nos.write(v, b'!')\nos.splice(r, f, 5)\nos.wait()",
        {Op.SPLICE},
    ),
}


@pytest.mark.parametrize("what", SNIPPETS)
def test_what_was_recorded_explains_what_is_there(what: str, watched: Watched) -> None:
    code, expected = SNIPPETS[what]
    for call in set(re.findall(r"NUMBER_(\w+)", code)):
        if call not in native().numbers:
            pytest.skip(f"this machine has no {call}")
        code = code.replace(f"NUMBER_{call},", f"{native().numbers[call]},")
    ran = watched.explained(snippet(code))
    assert expected <= {operation.op for operation in ran.trace}
    assert all(operation.index == place for place, operation in enumerate(ran.trace))


def test_every_operation_has_a_place_by_task_and_number(watched: Watched) -> None:
    ran = watched.explained(snippet(SNIPPETS["children and what they inherit"][0]))
    places = [(operation.task, operation.nth) for operation in ran.trace]
    assert len(set(places)) == len(places)
    for task in {task for task, _ in places}:
        assert [nth for one, nth in places if one == task] == list(range(sum(one == task for one, _ in places)))
    assert {task for task, _ in places} >= {"0", "0.0"}


def test_the_operations_of_a_plain_save(watched: Watched) -> None:
    code = "f = os.open(d + '/x', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)\nos.write(f, b'abc')\nos.fsync(f)\nos.close(f)\nos.rename(d + '/x', d + '/y')"
    trace = watched.explained(snippet(code)).trace
    assert [str(one.op) for one in trace] == ["open", "write", "fsync", "close", "rename", "exit"]
    assert [one.name for one in trace] == ["x"] * 5 + [None]
    assert trace[4].target == "y"
    assert trace[0].flags & os.O_CREAT
    assert (trace[1].offset, trace[1].size_bytes, trace[1].result, trace[1].data) == (0, 3, 3, b"abc")
    assert trace[1].inode == trace[0].inode == os.stat(watched.directory + "/y").st_ino


def test_offsets_of_transfers(watched: Watched) -> None:
    code = (
        "f = os.open(d + '/x', os.O_RDWR | os.O_CREAT)\nos.write(f, b'abc')\nos.lseek(f, 10, 0)\nos.writev(f, [b'de'])\nos.lseek(f, 1, 0)\n"
        "os.read(f, 1)\ng = os.open(d + '/x', os.O_RDWR | os.O_APPEND)\nos.write(g, b'f')\nos.pwrite(g, b'g', 0)\nos.lseek(g, 2, 0)\nos.read(g, 1)"
    )
    trace = watched.explained(snippet(code)).trace
    found = [(str(one.op), one.offset) for one in trace if one.offset is not None]
    assert found == [("write", 0), ("writev", 10), ("read", 1), ("write", 12), ("pwrite", 13), ("read", 2)]


def test_a_name_that_looks_deleted_is_its_own(watched: Watched) -> None:
    trace = watched.explained(snippet("open(d + '/x (deleted)', 'w').write('x')")).trace
    assert {one.name for one in trace if one.op is Op.WRITE} == {"x (deleted)"}


def test_an_unlinked_file_has_no_name(watched: Watched) -> None:
    code = "f = open(d + '/x', 'wb', 0)\nos.unlink(d + '/x')\nf.write(b'1')"
    trace = watched.explained(snippet(code)).trace
    assert [one.name for one in trace if one.op is Op.WRITE] == [None]


def test_msync_knows_a_file_with_a_newline_in_its_name(watched: Watched) -> None:
    code = (
        "f = os.open(d + '/a\\r\\nb', os.O_RDWR | os.O_CREAT)\nos.ftruncate(f, 4096)\nm = mmap.mmap(f, 4096)\nm.flush()"
    )
    (sync,) = only(watched.explained(snippet(code)), Op.MSYNC)
    assert (sync.name, sync.size_bytes, sync.flags) == ("a\r\nb", 4096, 4), "all of it, MS_SYNC"


def test_pointers_to_nothing_are_the_programs_own_mistake(watched: Watched) -> None:
    source = """
    #include <fcntl.h>
    #include <unistd.h>
    #include <stdio.h>
    #include <sys/uio.h>
    #include <sys/syscall.h>
    int main(int n, char **argv) {
        (void)n;
        char *bad = (char *)8;
        syscall(SYS_openat, AT_FDCWD, bad, O_WRONLY | O_CREAT, 0600);
        syscall(SYS_openat, AT_FDCWD, (char *)-8, O_WRONLY);
        syscall(SYS_renameat2, AT_FDCWD, bad, AT_FDCWD, argv[1], 0);
        syscall(SYS_unlinkat, AT_FDCWD, (char *)0, 0);
        syscall(SYS_openat2, AT_FDCWD, argv[1], bad, 24);
        int fd = open(argv[1], O_WRONLY | O_CREAT, 0600);
        syscall(SYS_writev, fd, bad, 2);
        syscall(SYS_writev, fd, bad, -1L);
        syscall(SYS_write, fd, bad, 5);
        syscall(SYS_copy_file_range, 0, 0, fd, bad, 5L, 0);
        syscall(SYS_write, 99, "x", 1);
        return write(fd, "good", 4) == 4 ? 0 : 1;
    }
    """
    watched.explained([compiled(source), watched.directory + "/a"])


def test_a_fifo_does_not_keep_the_program_waiting(watched: Watched) -> None:
    os.mkfifo(watched.directory + "/pipe")
    code = (
        "if not os.fork():\n    f = open(d + '/pipe', 'w')\n    open(d + '/b', 'w').write('child')\n    f.write('x')\n    f.close()\n    os._exit(0)\n"
        "assert open(d + '/pipe').read() == 'x'\nos.wait()\nopen(d + '/a', 'w').write('a')"
    )
    ran = watched.explained(snippet(code))
    assert not [one for one in ran.trace if one.name == "pipe"]


def test_calls_that_would_hide_writes_are_refused(watched: Watched) -> None:
    calls = [call for call in sorted(REFUSED) if call in native().numbers]
    code = (
        f"for n in {[number(call) for call in calls]}:\n    try:\n        call(n, 0, 0, 0, 0, 0)\n        sys.exit(1)\n"
    )
    code += f"    except OSError as e:\n        assert e.errno == {errno.ENOSYS}, e\nopen(d + '/a', 'w').write('a')"
    ran = watched.explained(snippet(code))
    assert {note.split()[0] for note in ran.notes} == set(calls)


def test_files_outside_are_told_once(watched: Watched) -> None:
    code = "for _ in '12':\n    open(out + '/x', 'w').write('1')\nopen('/dev/null', 'w')\nopen(d + '/a', 'w')\nopen(out + '/x').read()\n"
    code += "try:\n    os.open('rel', os.O_WRONLY, dir_fd=99)\nexcept OSError:\n    pass"
    assert watched.explained(snippet(code)).outside == {str(watched.base / "out" / "x")}


def test_clones_where_the_file_system_has_them(watched: Watched) -> None:
    code = (
        "import errno\nopen(d + '/s', 'wb').write(b'0123456789' * 1000)\ns = os.open(d + '/s', os.O_RDONLY)\n"
        "f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT)\n"
        "for request, argument in ((0x40049409, s), (0x4020940D, struct.pack('qQQQ', s, 0, 4096, 8192))):\n"
        "    try:\n        fcntl.ioctl(f, request, argument)\n    except OSError as error:\n        assert error.errno in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL), error"
    )
    clones = only(watched.explained(snippet(code)), Op.CLONE)
    assert [clone.offset for clone in clones] == [0, 8192]


def test_special_files_are_made_and_have_no_content(watched: Watched) -> None:
    code = (
        "import socket, stat\nos.chdir(d)\nos.mkfifo('pipe', 0o640)\nos.mknod(d + '/raw', stat.S_IFSOCK | 0o600)\n"
        "s = [socket.socket(socket.AF_UNIX) for _ in range(4)]\ns[0].bind('short')\ns[1].bind(d + '/long')\ns[2].bind('\\0abstract')\n"
        "s[3].bind(out + '/sock')\nsocket.socket().bind(('127.0.0.1', 0))\nos.rename('short', 'moved')\nos.unlink('long')\n"
        "try:\n    os.mkfifo('pipe')\nexcept FileExistsError:\n    pass\nos.link('pipe', 'second')\nopen('a', 'w')"
    )
    ran = watched.explained(snippet(code))
    kinds = {name: str(node.kind) for name, node in watched.read().items()}
    assert kinds == {"a": "file", "moved": "socket", "pipe": "FIFO", "raw": "socket", "second": "FIFO"}
    made = only(ran, Op.MKNOD)
    assert [(one.name, one.error) for one in made] == [
        ("pipe", 0), ("raw", 0), ("short", 0), ("long", 0), ("pipe", errno.EEXIST),
    ]  # fmt: skip


def test_a_device_node_has_its_numbers(watched: Watched) -> None:
    if os.geteuid():
        pytest.skip("only root may make device nodes (mknod(2))")
    code = "import stat\nfor kind, name in ((stat.S_IFCHR, 'c'), (stat.S_IFBLK, 'b')):\n    os.mknod(d + '/' + name, kind | 0o600, os.makedev(1234, 70000))"
    watched.explained(snippet(code))
    state = watched.read()
    assert {name: (str(node.kind), node.data) for name, node in state.items()} == {
        "b": ("device node", b"b 1234:70000"),
        "c": ("device node", b"c 1234:70000"),
    }
    for name, node in state.items():
        node.make(str(watched.base / "out" / name))
    assert Roots([Root(str(watched.base / "out"))]).read() == state


def test_a_directory_from_outside_is_told_of(watched: Watched) -> None:
    with pytest.raises(ModelError, match="nobody knows what 'x' brings in from outside"):
        watched.explained(
            snippet("os.mkdir(out + '/x')\nopen(out + '/x/f', 'w').write('f')\nos.rename(out + '/x', d + '/x')")
        )


def test_a_regular_file_by_mknod(watched: Watched) -> None:
    code = (
        f"os.mknod(d + '/a', 0o{stat.S_IFREG | 0o600:o})\nos.rename(d + '/a', d + '/b')\nopen(d + '/b', 'w').write('b')"
    )
    assert next(one.call for one in only(watched.explained(snippet(code)), Op.OPEN)) == "mknodat"


def test_every_call_of_the_table_exists_here() -> None:
    if platform.machine() == "x86_64":
        assert set(native().numbers) >= CALLS
    assert CALLS >= REFUSED
