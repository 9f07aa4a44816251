"""An entry of a KVC store, saved through its real file system; what a kill leaves, the next start reclaims."""

from kvformat import Entry, Options, Store
from kvformat.filesystem import OsFileSystem

ENTRY = Entry(text=b"You are", tokens=3)


def save(directory, **options):
    with OsFileSystem(directory) as fs:
        Store(fs).save(ENTRY, payload=b"0123456789", options=Options(**options))


def recover(directory):
    with OsFileSystem(directory) as fs:
        Store(fs).recover()


def test_wrong(fault_sweep):
    fault_sweep(lambda directory: save(directory, durable=False), recover=recover)


def test_right(fault_sweep):
    fault_sweep(save, recover=recover)
