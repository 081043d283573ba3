"""Tenancy at the command line: what is said of it, kept of it and shown of it."""

from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins
from msgspec.structs import replace

from neargate.cli import account, hosts
from neargate.cli import config as configs
from neargate.cli import server as servers
from neargate.cli.agent import _facts
from neargate.cli.commands import parser as commands
from neargate.cli.config import RegionConfig
from neargate.cli.desks.hosts_seen import held_off
from neargate.cli.inspect import room
from neargate.cli.paths import RegionPaths
from neargate.cli.problems import Problem
from neargate.cli.stories.service import service_story
from neargate.cli.up import banner
from neargate.model.capacity import Tenancy
from neargate.placement.tenancy import ONE_TASK, SEVERAL
from neargate.scheduling.services.blocking import Blocking

ACCOUNT, THEIRS = "123456789012", "210987654321"


@pytest.fixture
def paths(tmp_path_factory: pytest.TempPathFactory) -> RegionPaths:
    return RegionPaths(tmp_path_factory.mktemp("region"))


def test_hosts_are_not_shared_unless_that_was_said(paths: RegionPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[RegionConfig] = []
    monkeypatch.setattr("neargate.cli.prepare.check_root", lambda *_: None)

    def noted(_paths: RegionPaths, wanted: RegionConfig, _say: object) -> int:
        seen.append(wanted)
        return 0

    monkeypatch.setattr("neargate.cli.up.up", noted)
    for words in ([], ["--tenancy", "shared"], [], ["--tenancy", "one-task"], ["--tenancy", "strict"]):
        assert commands.run(["up", "--data", str(paths.data), *words]) == 0
        configs.save(paths, seen[-1])
    assert [config.tenancy for config in seen] == ["strict", "shared", "shared", "one-task", "strict"]
    plans = [servers._plan(paths, replace(config, public_pool="198.18.0.0/24")) for config in seen]
    assert [plan.tenancy for plan in plans] == [
        Tenancy.STRICT,
        Tenancy.SHARED,
        Tenancy.SHARED,
        Tenancy.ONE_TASK,
        Tenancy.STRICT,
    ]


def test_another_word_is_refused_with_those_there_are() -> None:
    with pytest.raises(Problem, match=r"--tenancy 'none': choose strict or shared or one-task"):
        configs.check(replace(RegionConfig(), tenancy="none"))


def test_up_warns_of_a_kernel_that_all_share(paths: RegionPaths) -> None:
    def warns(config: RegionConfig) -> bool:
        return "WARNING: --tenancy shared: tasks of all accounts share" in banner(paths, config, [])

    config = RegionConfig(tenancy="shared")
    assert warns(config) and not warns(replace(config, tenancy="strict"))
    assert not warns(replace(config, sandbox="simulated")) and not warns(replace(config, sandbox="microvm"))
    emulated = banner(paths, replace(config, sandbox="microvm", allow_emulated="yes"), [])
    assert "share this machine's emulator, which is no security boundary" in emulated


@pytest.mark.parametrize(
    ("tenancy", "sandbox", "emulated", "is_told"),
    [
        ("strict", "container", "no", True),
        ("shared", "container", "no", False),
        ("one-task", "container", "no", False),
        ("strict", "simulated", "no", False),
        ("strict", "microvm", "no", False),
        ("strict", "microvm", "yes", True),
    ],
)
def test_who_makes_an_account_hears_that_it_shares_no_host(
    paths: RegionPaths,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tenancy: str,
    sandbox: str,
    emulated: str,
    is_told: bool,
) -> None:
    configs.save(paths, RegionConfig(tenancy=tenancy, sandbox=sandbox, allow_emulated=emulated))
    made = {"id": THEIRS, "access_key_id": "AKID", "secret_access_key": "secret"}
    monkeypatch.setattr(account, "ask", lambda *_, **__: made)
    assert commands.run(["account", "create", "theirs", "--data", str(paths.data)]) == 0
    said = capsys.readouterr()
    assert ("tasks of two accounts never share a host" in said.err) == is_told
    assert "never share" not in said.out, "that is for eval"


def test_hosts_shows_whose_tasks_they_have_and_their_software(
    paths: RegionPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = {"kernel": "6.1.0-21-amd64", "guest_image": "2026.11.1", "vmm": "QEMU 7.2"}
    new = {"accounts": [ACCOUNT, THEIRS], "software": "0.4.0", "platform": below}
    some = {"accounts": [], "software": "0.4.0", "platform": {**below, "guest_image": "", "vmm": ""}}
    host = {"zone": None, "connected": True, "tasks": 2, "pool": "", "nodes": 0}
    found = [{"host_id": "h1", **host, **new}, {"host_id": "h2", **host, **some}, {"host_id": "h3", **host}]
    monkeypatch.setattr(hosts, "ask", lambda *_, **__: {"hosts": found})
    head, first, second, old = hosts.listed(paths).splitlines()
    assert head.split()[-7:-5] == ["TASKS", "OF"] and head.endswith("SANDBOX  MEMORY USED/RESERVED/ALL MiB  SOFTWARE")
    assert first.split()[6] == f"{ACCOUNT},{THEIRS}"
    assert first.endswith("  0.4.0, kernel 6.1.0-21-amd64, guest image 2026.11.1, VMM QEMU 7.2")
    assert second.split(maxsplit=6)[6].split(maxsplit=3) == ["-", "-", "-", "0.4.0, kernel 6.1.0-21-amd64"]
    assert old.split()[-4:] == ["-"] * 4, "an agent, or a server, of the release before"


def test_this_machine_says_its_kernel(paths: RegionPaths) -> None:
    paths.agent.mkdir(parents=True)
    paths.disks.mkdir(parents=True)
    platform = _facts(paths, RegionConfig()).platform
    assert platform is not None and platform.kernel == Path("/proc/sys/kernel/osrelease").read_text().strip()
    assert (platform.guest_image, platform.vmm) == ("", "")


def test_where_one_task_is_on_a_host_status_counts_hosts_and_not_their_room() -> None:
    free: dict[str, Any] = {"connected": True, "accepts_tasks": True, "free_cpu_units": 4096}
    free |= {"free_memory_mib": 8192, "free_disk_gib": 400, "sharing": "nobody", "tasks": 0}
    words = "room for {} more task{} of 256 CPU units, 512 MiB and 20 GiB disk; the limit is {}"
    assert room([free, free, free | {"tasks": 1}]) == words.format(2, "s", "hosts")
    assert room([free | {"sharing": "its account", "tasks": 1}]) == words.format(16, "s", "CPU")


def test_a_service_without_a_place_is_told_of_the_hosts_that_are_anothers() -> None:
    def host(tenant: str | None, *, connected: bool = True) -> dict[str, Any]:
        return {"connected": connected, "tenant": tenant}

    found = [host(None), host(ACCOUNT), host(THEIRS), host(SEVERAL), host(THEIRS, connected=False), host(ONE_TASK)]
    assert held_off(found, ACCOUNT) == {"accounts": 2, "tasks": 1}
    told = "\n".join(service_story(_waiting() | {"held_off": held_off(found, ACCOUNT)}, 0.0))
    assert "2 of the hosts that are connected have tasks of another account" in told
    assert "1 of the hosts that are connected have their one task (--tenancy one-task)" in told
    assert "of the hosts that are connected" not in "\n".join(service_story(_waiting(), 0.0))


def test_a_service_that_asks_for_a_kernel_is_told_of_the_hosts_that_give_none() -> None:
    kinds = ("container", "microvm", "emulated", "container", "container")
    found = [{"connected": n < 4, "tenant": None, "sandbox": kind} for n, kind in enumerate(kinds)]
    asks = {"containerDefinitions": [{"name": "a", "privileged": True}]}
    plain = {"containerDefinitions": [{"name": "a"}]}
    assert held_off(found, ACCOUNT, asks) == {"accounts": 0, "tasks": 0, "kernels": 2}
    assert held_off(found, ACCOUNT, plain) == {"accounts": 0, "tasks": 0}
    told = "\n".join(service_story(_waiting() | {"held_off": held_off(found, ACCOUNT, asks)}, 0.0))
    assert "2 of the hosts that are connected give tasks no kernel of their own" in told


def _waiting() -> dict[str, Any]:
    """A service that found no place, as a cell explains it."""
    service = {
        "serviceName": "web",
        "clusterArn": f"arn:aws:ecs:us-east-1:{ACCOUNT}:cluster/default",
        "status": "ACTIVE",
        "desiredCount": 1,
        "runningCount": 0,
        "pendingCount": 0,
        "deployments": [],
        "events": [],
    }
    return {
        "service": service,
        "is_steady": False,
        "rebalancing": False,
        "place_failures": 3,
        "place_retry_at": 5.0,
        "start_failures": {},
        "targets": [],
        "target_faults": [],
        "blocking": to_builtins(Blocking()),
        "looked_at_in_s": None,
    }
