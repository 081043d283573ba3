"""Files with keys: nobody else may read them, at any moment, and what was left half written is in nobody's way."""

import stat
from pathlib import Path

import pytest

from neargate.cli import private_files


def test_it_is_its_owners_alone_whatever_was_there(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_bytes(b"a longer text than what comes")
    path.chmod(0o644)
    private_files.write(path, b"key")
    assert path.read_bytes() == b"key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["key.json"]


def test_what_a_kill_left_is_not_written_through(tmp_path: Path) -> None:
    """Whoever may write in the directory could have put a link there."""
    path, others = tmp_path / "key.json", tmp_path / "others"
    others.write_bytes(b"theirs")
    path.with_suffix(".new").symlink_to(others)
    private_files.write(path, b"key")
    assert others.read_bytes() == b"theirs"
    assert path.read_bytes() == b"key" and not path.is_symlink()


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_bytes(b"old")
    path.with_suffix(".new").mkdir()
    with pytest.raises(IsADirectoryError):
        private_files.write(path, b"new")
    assert path.read_bytes() == b"old"
