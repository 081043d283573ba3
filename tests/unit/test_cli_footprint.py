"""A first `up` that fails leaves what it found: no data directory, no /run directory, and nobody else's files gone."""

import os
import shutil
from pathlib import Path

import pytest

from neargate.cli import config as configs
from neargate.cli import footprint, last_resort, leftovers, locks, processes
from neargate.cli.config import RegionConfig
from neargate.cli.down import down
from neargate.cli.paths import RegionPaths
from neargate.cli.problems import Problem
from neargate.cli.processes import Running


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RegionPaths:
    monkeypatch.setattr(RegionPaths, "run", property(lambda self: tmp_path / "run" / "abc"))
    return RegionPaths(tmp_path / "not" / "there" / "data")


def make(paths: RegionPaths) -> int:
    """As `up` does, up to where it fails."""
    for path in (paths.databases, paths.logs, paths.secrets, paths.server_run):
        path.mkdir(parents=True, exist_ok=True)
    paths.administrator.write_text("{}")
    (paths.logs / "up.log").write_text("x")
    lock = locks.take(paths.up_lock)
    assert lock is not None
    return lock


def test_all_that_was_made_is_gone(paths: RegionPaths, tmp_path: Path) -> None:
    before = footprint.look(paths)

    def fails() -> None:
        with before.removed_on_failure():
            locked.append(make(paths))
            raise Problem("no room")

    locked: list[int] = []
    with pytest.raises(Problem, match="no room"):
        fails()
    os.close(locked[0])
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["run"]


def test_what_was_there_stays(paths: RegionPaths) -> None:
    paths.data.mkdir(parents=True)
    paths.registry_auth.write_text("{}")
    paths.logs.mkdir()
    before = footprint.look(paths)
    os.close(make(paths))
    (paths.data / "of-somebody-else").write_text("")
    before.remove()
    assert sorted(path.name for path in paths.data.iterdir()) == ["log", "of-somebody-else", "registry-auth.json"]


def test_a_region_is_never_removed(paths: RegionPaths) -> None:
    before = footprint.look(paths)
    lock = make(paths)
    before.remove_unless_up()
    assert paths.administrator.exists(), "another up is at it"
    os.close(lock)
    configs.save(paths, RegionConfig())
    before.remove()
    before.remove_unless_up()
    assert paths.administrator.exists() and paths.databases.exists()
    paths.config.unlink()
    before.remove_unless_up()
    assert not paths.data.exists()


def test_down_clears_what_a_killed_first_up_left_but_no_region_without_its_file(paths: RegionPaths) -> None:
    os.close(make(paths))
    said: list[str] = []
    processes.remember(paths.pid_file("agent"), Running(os.getpid(), processes.start_ticks(os.getpid()) or 0))
    with pytest.raises(Problem, match="is gone, but processes or mounts of the region are there"):
        down(paths, said.append)
    assert paths.server_run.exists() and said == []
    paths.pid_file("agent").unlink()
    down(paths, said.append)
    assert not paths.run.exists() and said == [f"no region under {paths.data}; nothing to stop"]


def test_an_up_that_fails_leaves_no_run_directory_of_a_region_that_is_down(paths: RegionPaths) -> None:
    os.close(make(paths))
    configs.save(paths, RegionConfig())
    shutil.rmtree(paths.run)
    before = footprint.look(paths)
    os.close(make(paths))
    (paths.run / "images.yml").write_text("")
    before.remove_unless_up()
    assert not paths.run.exists() and paths.administrator.exists() and paths.config.exists()
    before = footprint.look(paths)
    os.close(make(paths))
    processes.remember(paths.pid_file("agent"), Running(os.getpid(), processes.start_ticks(os.getpid()) or 0))
    before.remove_unless_up()
    assert paths.run.exists(), "an agent lives there, with its tasks"


def test_down_waits_for_an_up_that_makes_the_region(paths: RegionPaths) -> None:
    lock = make(paths)
    for by_force in (False, True):
        with pytest.raises(Problem, match="just now; try again when it is up"):
            down(paths, print, by_force=by_force)
    os.close(lock)
    assert paths.server_run.exists()


def test_what_a_region_left_is_known_by_its_data(
    paths: RegionPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not where the data is there, nor where another region's directory says that it is this one's."""
    monkeypatch.setattr(RegionPaths, "run", property(lambda self: tmp_path / "run" / self.instance))
    monkeypatch.setattr(leftovers, "RUNS", tmp_path / "run")
    (tmp_path / "run" / "forged").mkdir(parents=True)
    (tmp_path / "run" / "forged" / "data").symlink_to(paths.data)
    paths.run.mkdir()
    assert leftovers.found() == []
    paths.data_link.symlink_to(paths.data)
    [left] = leftovers.found()
    assert (left.paths.data, left.processes, left.mounts) == (paths.data, 0, 0)
    lock = make(paths)
    assert leftovers.found() == [], "it is being made"
    os.close(lock)
    configs.save(paths, RegionConfig())
    assert leftovers.found() == []


def test_mounts_are_read_as_the_kernel_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_resort, "MOUNTS", tmp_path / "mounts")
    lines = ["tmpfs /run tmpfs rw 0 0", r"/dev/loop0 /srv/größe/a\040b ext4 rw 0 0", r"x /srv/gr\134 ext4 rw 0 0"]
    last_resort.MOUNTS.write_text("".join(f"{line}\n" for line in lines))
    assert last_resort.mount_points() == ["/srv/gr\\", "/srv/größe/a b", "/run"]
