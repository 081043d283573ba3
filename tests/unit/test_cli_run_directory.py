"""The run directory of a region that is not root's: it may lie in /tmp, where others write as well."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from neargate.cli.paths import RegionPaths
from neargate.cli.prepare import make_run_directory
from neargate.cli.problems import Problem

NOBODY = 65534


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RegionPaths]:
    """Paths of an unprivileged user whose runtime directory is `tmp_path`. Under root its part is played by nobody."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    before = os.geteuid()
    parents = [parent for parent in shared.parents if parent.stat().st_uid == before and parent != Path("/")]
    modes = [(parent, parent.stat().st_mode) for parent in parents]
    if before == 0:
        for parent in parents:
            parent.chmod(parent.stat().st_mode | 0o011)
        os.seteuid(NOBODY)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(shared))
    try:
        yield RegionPaths(tmp_path / "data")
    finally:
        os.seteuid(before)
        for parent, mode in modes:
            parent.chmod(mode & 0o7777)


def test_it_is_ours_alone_and_its_parent_is_left_as_it_was(user: RegionPaths) -> None:
    make_run_directory(user)
    make_run_directory(user)
    assert user.run.stat().st_mode & 0o777 == 0o700
    assert user.run.parent.stat().st_mode & 0o7777 == 0o1777


def test_a_link_that_somebody_left_there_is_not_followed(user: RegionPaths, tmp_path: Path) -> None:
    target = user.run.parent / "precious"
    target.mkdir(mode=0o700)
    user.run.symlink_to(target)
    with pytest.raises(Problem, match="somebody else"):
        make_run_directory(user)
    assert target.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to play two users")
def test_a_directory_of_another_user_is_refused(user: RegionPaths) -> None:
    run = user.run  # root's own would lie below /run
    os.seteuid(0)
    run.mkdir(mode=0o777)
    os.seteuid(NOBODY)
    with pytest.raises(Problem, match="somebody else"):
        make_run_directory(user)
