"""Where keys of certificates lie on a host: in memory, for who shows them, and called by what they are."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.agent.balancers.keys import KeyFiles, has_keys, key_files, with_keys, without_keys
from neargate.hostnet.proxy_users import NOBODY, fresh_user, is_fresh
from neargate.model.balancing import BalancerPlan, FixedResponse, PlannedCertificate, PlannedListener

SHOWN = PlannedCertificate(arn="arn:c", names=("example.com",), pem="a key")
OTHER = PlannedCertificate(arn="arn:d", names=("example.org",), pem="another key")
ANSWER = FixedResponse(code=200)
TLS = PlannedListener(arn="l", port=443, protocol="HTTPS", default=ANSWER, certificates=(SHOWN, OTHER))
PLAN = BalancerPlan(arn="lb", vpc_id="vpc-1", name="lb", kind="application", generation=7, listeners=(TLS,))
ALL_IDS = "         0          0 4294967295\n"


def test_a_plan_comes_back_whole_from_what_is_without_keys(tmp_path: Path) -> None:
    files = KeyFiles(tmp_path)
    files.save(PLAN)
    files.save(PLAN)
    bare = without_keys(PLAN)
    assert has_keys(PLAN) and not has_keys(bare)
    assert without_keys(bare) == bare
    assert with_keys(bare, files.load()) == PLAN
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_file_that_holds_something_else_than_its_name_says_does_not_count(tmp_path: Path) -> None:
    files = KeyFiles(tmp_path)
    files.save(PLAN)
    for path in tmp_path.iterdir():
        if path.read_text() == SHOWN.pem:
            path.write_text("a stranger's key")
    left = with_keys(without_keys(PLAN), files.load())
    assert left == replace(PLAN, generation=0, listeners=(replace(TLS, certificates=(OTHER,)),))


def test_keys_that_no_plan_shows_go(tmp_path: Path) -> None:
    files = KeyFiles(tmp_path)
    files.save(PLAN)
    (tmp_path / "0123.unfinished").write_text("half a k")
    fewer = replace(PLAN, listeners=(replace(TLS, certificates=(OTHER,)),))
    files.keep([fewer])
    assert list(files.load().values()) == [OTHER.pem]
    files.keep([])
    assert list(tmp_path.iterdir()) == []


def test_a_directory_on_a_disk_keeps_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neargate.agent.balancers.keys.is_in_memory", lambda *_: False)
    assert key_files(tmp_path / "keys") is None
    monkeypatch.setattr("neargate.agent.balancers.keys.is_in_memory", lambda *_: True)
    assert key_files(tmp_path / "keys") is not None
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


def test_each_node_is_a_user_of_its_own_whoever_else_is_there() -> None:
    first = fresh_user("/run/neargate/a/balancers/eni-1", (), ALL_IDS)
    assert first == fresh_user("/run/neargate/a/balancers/eni-1", (), ALL_IDS)
    assert fresh_user("/run/neargate/a/balancers/eni-1", {first.uid}, ALL_IDS) != first
    assert fresh_user("/run/neargate/b/balancers/eni-1", (), ALL_IDS) != first
    assert first.uid == first.gid and is_fresh(first.uid) and not is_fresh(0) and not is_fresh(1000)


def test_a_container_with_few_ids_has_users_for_nodes_too() -> None:
    few = fresh_user("/a/eni-1", (), "0 100000 65536\n")
    assert 60578 <= few.uid < 61184
    assert fresh_user("/a/eni-1", (), "0 1000 1\n").uid == NOBODY
