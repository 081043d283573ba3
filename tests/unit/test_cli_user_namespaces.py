"""`neargate up --user-namespaces`: what is asked before tasks get them."""

import asyncio
from pathlib import Path

import pytest

from neargate.cli import agent, config
from neargate.cli.agent import _against_users
from neargate.cli.config import RegionConfig
from neargate.cli.doctor import Finding, _user_namespaces
from neargate.cli.paths import RegionPaths
from neargate.cli.problems import Problem
from neargate.hostnet.task_namespaces import NO_USERS_NOTE
from neargate.model.host_ids import UserNamespace
from neargate.world import OsWorld

USERS = UserNamespace(path="/u", mounts_path="/u.mounts", first=1879048192)


@pytest.mark.parametrize(
    "given",
    [RegionConfig(), RegionConfig(sandbox="microvm", user_namespaces="auto"), RegionConfig(containerd="system")],
)
def test_nothing_is_tried_where_nobody_wants_them(tmp_path: Path, given: RegionConfig) -> None:
    assert _against_users(OsWorld(), RegionPaths(tmp_path), given) is None


def test_layers_of_another_containerd_are_left_alone(tmp_path: Path) -> None:
    given = RegionConfig(user_namespaces="auto", containerd="system")
    ask = _against_users(OsWorld(), RegionPaths(tmp_path), given)
    assert ask is not None
    assert asyncio.run(ask(USERS, "/n")) == "the layers of images are a containerd's that is not ours (--containerd)"  # type: ignore[arg-type]


def test_the_trial_is_on_the_filesystem_of_images_and_apart_from_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = RegionPaths(tmp_path)
    asked: dict[str, object] = {}

    def trial(users: UserNamespace, netns_path: str, **where: str) -> str:
        asked.update(where, users=users, netns_path=netns_path)
        return "crun: too old"

    monkeypatch.setattr(agent, "why_no_user_namespaces", trial)
    ask = _against_users(OsWorld(), paths, RegionConfig(user_namespaces="auto"))
    assert ask is not None
    assert asyncio.run(ask(USERS, "/n")) == "crun: too old"  # type: ignore[arg-type]
    assert (asked["users"], asked["netns_path"], asked["directory"]) == (USERS, "/n", str(paths.containerd))
    assert asked["run_dir"] not in (str(paths.run / "sandbox"), str(paths.run))
    assert paths.instance in str(asked["cgroup_path"])


def test_another_word_is_refused() -> None:
    with pytest.raises(Problem, match="--user-namespaces 'yes': choose no or auto"):
        config.check(RegionConfig(user_namespaces="yes"))


@pytest.mark.parametrize(
    ("word", "note", "said"),
    [
        ("auto", "", [Finding("ok", "tasks run in user namespaces")]),
        ("auto", "crun: x", [Finding("note", "tasks run without user namespaces, which fail here: crun: x")]),
        ("auto", None, []),
        ("no", "crun: x", []),
    ],
)
def test_doctor_says_what_the_trial_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, note: str | None, said: list[Finding]
) -> None:
    monkeypatch.setattr(RegionPaths, "run", tmp_path)
    (tmp_path / "net").mkdir()
    if note is not None:
        (tmp_path / "net" / NO_USERS_NOTE).write_text(note)
    assert _user_namespaces(RegionPaths(tmp_path), RegionConfig(user_namespaces=word)) == said
