"""`neargate hosts`: what the desk answers over a region in memory, and how the command shows it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from neargate.cli import hosts
from neargate.cli.commands import parser as commands
from neargate.cli.desks.hosts import HostRefused, HostsDesk
from neargate.cli.paths import RegionPaths, region_paths
from neargate.cli.problems import Problem
from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.envelope import Envelope
from neargate.model.capacity import HostCapacity, HostFacts, HostPlatform, TaskOverhead
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.region import RegionPlan, open_region
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.wire.shapes import Models
from neargate.world import OsWorld

ACCOUNT, ZONE = "123456789012", "us-east-1a"
PLAN = RegionPlan(
    region="us-east-1", account=ACCOUNT, zones=((ZONE, "use1-az1"),), public_pool="198.18.0.0/24", one_machine=True
)


async def opened(disk: MemoryDisk) -> HostsDesk:
    """A region with the hosts host-a and host-b and the cluster `blue`."""
    world = OsWorld()
    region = await open_region(
        world,
        MemoryStores(world, DEFAULT_KNOBS, disk),
        PLAN,
        models=Models(),
        credentials=Credentials(account=ACCOUNT, access_key_id="AKIDEXAMPLE", secret_access_key="secret"),
        envelope=Envelope(bytes(32), world),
        knobs=DEFAULT_KNOBS,
    )
    await region.cell.create_cluster(ACCOUNT, "us-east-1", "blue", {})
    room = HostCapacity(cpu_units=1024, memory_mib=2048, disk_gib=100)
    for name in ("host-a", "host-b"):
        facts = HostFacts(host_id=name, boot_id="boot", capacity=room, sandbox="simulated", zone=ZONE)
        await region.capacities[ZONE].register_host(facts)
    return HostsDesk(region)


def test_hosts_shows_what_is_used_of_what_is_reserved_and_what_machines_take(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    room = HostCapacity(cpu_units=1024, memory_mib=8192, disk_gib=100)
    plain = HostFacts(host_id="host-a", boot_id="boot", capacity=room, sandbox="container", zone=ZONE)
    beside = TaskOverhead(memory_mib=256, memory_part=50)
    machines = structs.replace(plain, host_id="host-b", sandbox="emulated", overhead=beside)

    async def body(desk: HostsDesk, _: MemoryDisk) -> None:
        capacity = desk._region.capacities[ZONE]
        for facts in (plain, machines, structs.replace(machines, machines=1, used_memory_mib=384)):
            await capacity.register_host(facts)
        shown = await desk.listed({})
        monkeypatch.setattr(hosts, "ask", lambda *_, **__: shown)

    story(body)
    _, first, second, more = hosts.listed(region_paths(str(tmp_path))).splitlines()
    assert first.split()[7:] == ["container", "0/0/8192", "-"] and second.split()[7:] == ["emulated", "384/0/8192", "-"]
    assert more == (
        "host-b: 1 machine; each takes 256 MiB and a part in 50 of its size beside its task, "
        "which is in what is reserved"
    )


def story(body: Callable[[HostsDesk, MemoryDisk], Awaitable[None]]) -> None:
    async def told() -> None:
        disk = MemoryDisk()
        await body(await opened(disk), disk)

    asyncio.run(asyncio.wait_for(told(), 60))


async def pools(desk: HostsDesk) -> dict[str, str]:
    return {host["host_id"]: host["pool"] for host in (await desk.listed({}))["hosts"]}


def test_a_host_is_kept_and_shared_and_a_restart_knows_it() -> None:
    async def body(desk: HostsDesk, disk: MemoryDisk) -> None:
        assert await desk.keep({"host": "host-a", "account": ACCOUNT, "cluster": "blue"}) == {
            "host": "host-a",
            "pool": f"{ACCOUNT}/blue",
            "tasks": 0,
        }
        await desk.keep({"host": "host-b", "account": ACCOUNT})
        assert await pools(await opened(disk)) == {"host-a": f"{ACCOUNT}/blue", "host-b": ACCOUNT}
        await desk.share({"host": "host-b"})
        assert await pools(desk) == {"host-a": f"{ACCOUNT}/blue", "host-b": ""}

    story(body)


def test_whose_tasks_a_host_has_and_its_software_are_told() -> None:
    async def body(desk: HostsDesk, _: MemoryDisk) -> None:
        platform = HostPlatform(kernel="6.1.0-21-amd64")
        room = HostCapacity(cpu_units=1024, memory_mib=2048, disk_gib=100)
        facts = HostFacts(host_id="host-a", boot_id="boot", capacity=room, software="0.4.0", platform=platform)
        await desk._region.capacities[ZONE].register_host(facts)
        one, two = (await desk.listed({}))["hosts"]
        assert (one["software"], one["platform"]["kernel"], one["accounts"]) == ("0.4.0", platform.kernel, [])
        assert (two["software"], two["platform"]) == ("", None)

    story(body)


async def states(desk: HostsDesk) -> dict[str, tuple[bool, str]]:
    return {host["host_id"]: (host["connected"], host["word"]) for host in (await desk.listed({}))["hosts"]}


def test_a_host_is_drained_given_up_and_resumed_and_a_restart_knows_it() -> None:
    async def body(desk: HostsDesk, disk: MemoryDisk) -> None:
        assert await desk.drain({"host": "host-a"}) == {"host": "host-a", "tasks": 0, "nodes": 0}
        with pytest.raises(HostRefused, match="host-b is connected; to empty it: neargate hosts drain host-b"):
            await desk.give_up({"host": "host-b"})
        await desk._region.capacities[ZONE].host_seen("host-b", False)
        await desk.give_up({"host": "host-b"})
        assert await states(desk) == {"host-a": (True, "draining"), "host-b": (False, "given-up")}
        again = await opened(disk)  # host-b joins, too: it runs something after all
        assert await states(again) == {"host-a": (True, "draining"), "host-b": (True, "draining")}
        await again.resume({"host": "host-a"})
        assert await states(again) == {"host-a": (True, ""), "host-b": (True, "draining")}

    story(body)


def test_a_host_that_connects_while_it_is_given_up_is_emptied_instead() -> None:
    async def body(desk: HostsDesk, _: MemoryDisk) -> None:
        capacity = desk._region.capacities[ZONE]
        room = HostCapacity(cpu_units=1024, memory_mib=2048, disk_gib=100)
        facts = HostFacts(host_id="host-b", boot_id="boot", capacity=room, sandbox="simulated", zone=ZONE)
        await capacity.host_seen("host-b", False)
        say = desk._region.own_hosts.say

        async def said_late(host_id: str, word: str) -> None:
            if word == "given-up":
                await capacity.register_host(facts)
            await say(host_id, word)

        desk._region.own_hosts.say = said_late  # type: ignore[method-assign]
        with pytest.raises(HostRefused, match="host-b has just connected; it is emptied instead"):
            await desk.give_up({"host": "host-b"})
        assert (await states(desk))["host-b"] == (True, "draining")

    story(body)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"host": "host-x", "account": ACCOUNT}, "no host begins with 'host-x'"),
        ({"host": "", "account": ACCOUNT}, "no host begins with ''"),
        ({"host": "host", "account": ACCOUNT}, "several hosts begin with 'host'"),
        ({"host": "host-a", "account": "999999999999"}, "there is no account '999999999999'"),
        ({"host": "host-a", "account": ACCOUNT, "cluster": "red"}, "has no active cluster 'red'"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(request_: dict[str, Any], sentence: str) -> None:
    async def body(desk: HostsDesk, _: MemoryDisk) -> None:
        with pytest.raises(HostRefused, match=sentence):
            await desk.keep(request_)
        assert set((await pools(desk)).values()) == {""}

    story(body)


def test_the_command_asks_and_tells(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[str, dict[str, object]]] = []

    def ask(_: RegionPaths, request: str, **arguments: object) -> dict[str, Any]:
        asked.append((request, arguments))
        if request == "hosts-list":
            return {"hosts": [{"host_id": "h1", "zone": None, "connected": True, "tasks": 2, "pool": ACCOUNT}]}
        return {"host": "h1", "pool": ACCOUNT, "tasks": 2}

    monkeypatch.setattr(hosts, "ask", ask)
    for words in (["hosts"], ["hosts", "keep", "h1", "--account", ACCOUNT], ["hosts", "share", "h"]):
        assert commands.run(words) == 0
    assert asked[1:] == [
        ("hosts-keep", {"host": "h1", "account": ACCOUNT, "cluster": ""}),
        ("hosts-share", {"host": "h"}),
    ]
    told = capsys.readouterr().out
    assert f"h1    any   connected  2      {ACCOUNT}" in told
    assert f"h1 is kept for {ACCOUNT}" in told and "2 tasks run there; they stay" in told
    with pytest.raises(Problem, match="--account ID, --cluster NAME"):
        hosts.keep(region_paths(None), "h1", "", "")


def test_the_command_says_what_is_said_of_hosts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, dict[str, object]]] = []
    other = {"host_id": "h2", "zone": None, "connected": False, "tasks": 2, "pool": "", "nodes": 3, "word": ""}

    def ask(_: RegionPaths, request: str, **arguments: object) -> dict[str, Any]:
        if request != "hosts-list":
            asked.append((request, arguments))
        if request == "hosts-list":
            return {"hosts": [{**other, "host_id": "h1", "word": "given-up"}, other]}
        return {"host": "h1", "tasks": 2, "nodes": 3}

    monkeypatch.setattr(hosts, "ask", ask)
    for words in (["hosts"], *(["hosts", verb, "h1"] for verb in ("drain", "give-up", "resume"))):
        assert commands.run(words) == 0
    given = {"host": "h1"}
    assert asked == [("hosts-drain", given), ("hosts-give-up", given), ("hosts-resume", given)]
    told = capsys.readouterr().out
    assert "h1    any   away,given-up  2      -         3" in told and "h2    any   away           2" in told
    assert "h1 takes nothing new from now on" in told
    assert "3 nodes of load balancers and gateways there stay, as no other host takes them: neargate hosts" in told
    assert "2 tasks run there: those of services go when others run in their places" in told
    assert "h1 is given up: other hosts take over" in told and "2 tasks are recorded there" in told
    assert "h1 takes tasks again as soon as it is connected" in told
    other["connected"] = True
    assert commands.run(["hosts", "drain", "h1"]) == 0
    assert "3 nodes of load balancers and gateways there go to other hosts: neargate hosts" in capsys.readouterr().out


MACHINES = HostPlatform(kernel="6.1.0-21", guest_image="6.1 b", vmm="QEMU 7.2")


def test_a_rollout_is_of_what_hosts_have_then_and_a_restart_knows_it() -> None:
    async def body(desk: HostsDesk, disk: MemoryDisk) -> None:
        with pytest.raises(HostRefused, match="no connected host has microVMs"):
            await desk.rollout({})
        room = HostCapacity(cpu_units=1024, memory_mib=2048, disk_gib=100)
        facts = HostFacts(host_id="host-a", boot_id="boot", capacity=room, software="0.4.0", platform=MACHINES)
        old = structs.replace(facts, host_id="host-b", platform=structs.replace(MACHINES, kernel="6.1.0-9"))
        for one in (facts, old):
            await desk._region.capacities[ZONE].register_host(one)
        desk._region.cell.retiring.heard(structs.replace(facts, old_machines=("task-1", "task-2")))
        assert await desk.rollout({}) == {
            "software": ["6.1 b, QEMU 7.2"],
            "old_machines": {"host-a": 2},
            "older_hosts": ["host-b"],
        }
        again = await opened(disk)
        assert again._region.rollouts.software == {("6.1 b", "QEMU 7.2")}
        assert await again.call_off({}) == {}
        await desk._region.rollouts.load()
        assert desk._region.rollouts.software == frozenset()

    story(body)


def test_the_account_s_setting_says_how_long_its_tasks_stay() -> None:
    async def body(desk: HostsDesk, _: MemoryDisk) -> None:
        region = desk._region
        rules, settings = region.cell.retiring._rules, region.services.account_settings
        assert rules.wait_s(ACCOUNT) == 7 * 86_400
        for days in ("14", "0"):
            await settings.put(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", "fargateTaskRetirementWaitPeriod", days)
            assert rules.wait_s(ACCOUNT) == int(days) * 86_400
        assert rules.wait_s("210987654321") == 7 * 86_400

    story(body)


def test_the_operator_s_word_reaches_those_who_retire_tasks() -> None:
    async def body(desk: HostsDesk, _: MemoryDisk) -> None:
        retiring = desk._region.cell.retiring
        await retiring.settle()
        await desk.drain({"host": "host-a"})
        assert retiring._rules.emptied() == {"host-a"} and retiring._due.is_set()
        await retiring.settle()
        await desk.resume({"host": "host-a"})
        assert retiring._rules.emptied() == frozenset() and retiring._due.is_set()
        await retiring.settle()
        await desk._region.rollouts.begin({("6.1 b", "QEMU 7.2")})
        assert retiring._due.is_set()

    story(body)


def test_what_retires_is_shown_and_a_rollout_says_what_it_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host = {"host_id": "h1", "zone": None, "connected": True, "tasks": 3, "pool": "", "word": "draining"}
    told = {"served": 1, "alone": 2, "next_at": 1_800_000_000.0}
    others = {**host, "host_id": "h2", "word": "", "old_machines": 1, "is_rolled_out": False, "retiring": None}

    def ask(_: RegionPaths, request: str, **__: object) -> dict[str, Any]:
        if request == "hosts-list":
            return {"hosts": [{**host, "retiring": told, "old_machines": 0, "is_rolled_out": False}, others]}
        if request == "hosts-rollout":
            return {"software": ["6.1 b, QEMU 7.2"], "old_machines": {"h2": 2}, "older_hosts": ["h1"]}
        assert request == "hosts-rollout-off"
        return {}

    monkeypatch.setattr(hosts, "ask", ask)
    assert commands.run(["hosts"]) == 0
    shown = capsys.readouterr().out
    assert (
        "h1 loses 1 task of services, as soon as others run in their places; 2 tasks of none, the first on "
        "2027-01-15 08:00:00 UTC"
    ) in shown
    assert (
        "h2: 1 task in a machine of another guest image or VMM than it has now; they stay until: neargate hosts rollout"
    ) in shown
    assert commands.run(["hosts", "rollout"]) == 0
    shown = capsys.readouterr().out
    assert "machines of tasks are to have what new ones get: 6.1 b, QEMU 7.2" in shown
    assert (
        "h2: 2 tasks in machines of another guest image or VMM" in shown and "fargateTaskRetirementWaitPeriod" in shown
    )
    assert "h1 itself has older software than another host: neargate hosts drain h1" in shown
    assert commands.run(["hosts", "rollout", "--off"]) == 0
    assert "tasks stay in the machines that they have" in capsys.readouterr().out
