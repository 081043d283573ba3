"""The bound of the processes' own logs: writers keep their descriptors, the newest lines stay, also on a full disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from neargate.cli import locks, process_logs
from neargate.cli.process_logs import bound_all

MAX = 1000


def line(number: int) -> bytes:
    return b"%019d\n" % number


def held(directory: Path) -> bytes:
    """Both parts of the log, the older first."""
    return b"".join(path.read_bytes() for path in (directory / "a.log.1", directory / "a.log") if path.exists())


def test_a_writer_goes_on_where_it_was_and_the_newest_lines_stay(tmp_path: Path) -> None:
    """As the supervisor attaches it: one descriptor, opened once to append, inherited."""
    with (tmp_path / "a.log").open("ab", buffering=0) as writer:
        for number in range(1000):
            writer.write(line(number))
            bound_all(tmp_path, MAX)
            sizes = [path.stat().st_size for path in tmp_path.glob("a.log*")]
            assert max(sizes) <= MAX + len(line(0)) and sum(sizes) <= 2 * MAX + len(line(0))
            lines = held(tmp_path).splitlines(keepends=True)
            assert lines == [line(n) for n in range(number + 1 - len(lines), number + 1)], "none lost, none twice"
            assert number < 60 or len(lines) * len(line(0)) >= MAX - len(line(0))


def test_a_log_that_exploded_keeps_its_end(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"".join(line(n) for n in range(10_000)))
    (tmp_path / "b.log").write_bytes(b"small\n")
    bound_all(tmp_path, MAX)
    kept = (tmp_path / "a.log.1").read_bytes()
    assert kept.endswith(line(9_999)) and len(kept) <= MAX and kept.startswith(b"0"), "whole lines"
    assert (tmp_path / "a.log").read_bytes() == b"" and (tmp_path / "b.log").read_bytes() == b"small\n"
    assert (tmp_path / "a.log.1").stat().st_mode & 0o777 == 0o600


def test_a_full_disk_gives_up_the_older_part_not_the_bound(tmp_path: Path) -> None:
    (tmp_path / "a.log.1").write_bytes(b"older\n")
    (tmp_path / "a.log").write_bytes(b"".join(line(n) for n in range(500)))
    (tmp_path / "a.log.1.new").mkdir()  # nothing can be written there
    bound_all(tmp_path, MAX)
    assert (tmp_path / "a.log").stat().st_size == 0 and not (tmp_path / "a.log.1").exists()


def test_who_was_killed_between_copy_and_cut_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = b"".join(line(n) for n in range(60))
    (tmp_path / "a.log").write_bytes(whole)

    def killed(_descriptor: int, _size: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "ftruncate", killed)
    with pytest.raises(KeyboardInterrupt):
        bound_all(tmp_path, MAX)
    monkeypatch.undo()
    assert (tmp_path / "a.log").read_bytes() == whole
    bound_all(tmp_path, MAX)
    assert held(tmp_path) == whole[-MAX + len(line(0)) :] or held(tmp_path) == whole[-MAX:]


def test_what_is_written_while_the_copy_is_made_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.log").write_bytes(b"".join(line(n) for n in range(60)))
    keep = process_logs._keep

    def slow(before: Path, newest: bytes) -> bool:
        with (tmp_path / "a.log").open("ab") as log:
            log.write(b"late\n")
        return keep(before, newest)

    monkeypatch.setattr(process_logs, "_keep", slow)
    bound_all(tmp_path, MAX)
    assert held(tmp_path).endswith(line(59) + b"late\n")


def test_two_that_look_at_once_do_not_cut_twice(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"x" * 2 * MAX)
    lock = locks.take(tmp_path / ".rotate.lock")
    assert lock is not None
    bound_all(tmp_path, MAX)
    assert (tmp_path / "a.log").stat().st_size == 2 * MAX
    os.close(lock)
    bound_all(tmp_path, MAX)
    assert (tmp_path / "a.log").stat().st_size == 0


def test_a_program_of_others_writes_on_after_the_cut(tmp_path: Path) -> None:
    script = "import sys\nfor line in sys.stdin: sys.stderr.write(line * 100); print('done', flush=True)"
    with (tmp_path / "a.log").open("ab") as log:
        argv = [sys.executable, "-c", script]
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
    with child:
        assert child.stdin is not None and child.stdout is not None
        for number in range(5):
            child.stdin.write(line(number))
            child.stdin.flush()
            child.stdout.readline()
            bound_all(tmp_path, MAX)
        child.stdin.close()
    assert (tmp_path / "a.log").read_bytes() == b"" and (tmp_path / "a.log.1").read_bytes().endswith(line(4))
