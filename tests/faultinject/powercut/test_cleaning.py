"""What dead commands have left is reclaimed, and nothing of anybody who lives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faultinject.powercut.cleaning import PREFIX, in_use, make_directory, reclaim, remove


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_directory_is_reclaimed_once_nobody_uses_it(temporary: Path) -> None:
    path, fd = make_directory()
    other = in_use(path)
    (path / "mount").mkdir()
    assert reclaim() == []
    os.close(fd)
    assert reclaim() == [], "the other process still uses it"
    os.close(other)
    assert reclaim() == [str(path)]
    assert not path.exists()
    assert reclaim() == []


def test_names_of_others_are_left_alone(temporary: Path) -> None:
    (temporary / "faultinject-audit").mkdir()
    (temporary / f"{PREFIX}file").write_bytes(b"no directory")
    (temporary / "elsewhere").mkdir()
    (temporary / "elsewhere" / "precious").write_bytes(b"x")
    (temporary / f"{PREFIX}link").symlink_to(temporary / "elsewhere")
    os.mkfifo(temporary / f"{PREFIX}fifo")
    (temporary / (PREFIX + "odd\n\udcff")).mkdir()
    assert reclaim() == [str(temporary / (PREFIX + "odd\n\udcff"))]
    assert (temporary / "elsewhere" / "precious").exists()
    assert len(list(temporary.iterdir())) == 5


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away (chown(2))")
def test_directories_of_other_users_are_left_alone(temporary: Path) -> None:
    path, fd = make_directory()
    os.close(fd)
    os.chown(path, 12345, 12345)
    assert reclaim() == []
    assert path.exists()


def test_removing_twice_is_no_error(temporary: Path) -> None:
    path, fd = make_directory()
    remove(path)
    remove(path)
    os.close(fd)


def test_a_directory_that_was_reclaimed_too_early_is_made_again(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, made = in_use, []

    def late(path: Path) -> int:
        made.append(path)
        if len(made) == 1:
            path.rmdir()
        return real(path)

    monkeypatch.setattr("faultinject.powercut.cleaning.in_use", late)
    path, fd = make_directory()
    os.close(fd)
    assert len(made) == 2
    assert path == made[1]
    assert path.exists()
