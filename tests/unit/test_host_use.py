"""What of a host is in use: as its agent measures it, and as `neargate hosts` shows it beside what is reserved."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs, to_builtins

from neargate.agent.host_use import UseWatch, coarse
from neargate.cli import hosts
from neargate.cli.host_use import used, waste
from neargate.cli.paths import region_paths
from neargate.interfaces.sandbox import SandboxFacts
from neargate.model.capacity import HostCapacity, HostUse, WaitingMachines
from neargate.testing.agent_host import TASK_ID, AgentHost, launch, play

SECOND = 10**9
GIB = 1 << 30
ROOM = HostCapacity(cpu_units=2048, memory_mib=16384, disk_gib=100)
POOL = (WaitingMachines(vcpus=1, memory_mib=650, count=2),)
ENGINE = SandboxFacts(kind="emulated", machines=3, waiting=POOL, starts=(5, 2, 1))


def test_processors_are_counted_over_half_a_minute_and_told_in_steps() -> None:
    watch = UseWatch(ROOM)
    assert watch.look(100.0, 50 * SECOND, 0, ENGINE).cpu_units == 0, "of before nothing is known"
    assert watch.look(129.0, 60 * SECOND, 0, ENGINE).cpu_units == 0, "and the window is not over"
    assert watch.look(130.0, 65 * SECOND, 0, ENGINE).cpu_units == 512, "15 s of 30, of one processor"
    assert watch.look(140.0, 95 * SECOND, 0, ENGINE).cpu_units == 512, "it stays until the next window is over"
    assert watch.look(160.0, 65 * SECOND + 1, 0, ENGINE).cpu_units == 32, "a little is a step"
    assert watch.look(190.0, 65 * SECOND + 1, 0, ENGINE).cpu_units == 0


def test_a_counter_that_begins_anew_is_no_use_below_zero() -> None:
    watch = UseWatch(ROOM)
    watch.look(0.0, 50 * SECOND, 0, ENGINE)
    assert watch.look(30.0, 65 * SECOND, 0, ENGINE).cpu_units == 512
    assert watch.look(35.0, 0, 0, ENGINE).cpu_units == 0, "the last task has gone"
    assert watch.look(65.0, 30 * SECOND, 0, ENGINE).cpu_units == 1024


def test_memory_and_disk_are_rounded_up_to_steps() -> None:
    watch = UseWatch(ROOM)
    assert [watch.memory_mib(used) for used in (0, 1, 256 << 20, (256 << 20) + 1)] == [0, 256, 256, 512]
    assert [watch.look(0.0, 0, used, ENGINE).disk_mib for used in (0, 1, 2 * GIB)] == [0, 1600, 3200]


def test_what_the_engine_says_of_its_machines_is_passed_on() -> None:
    said = UseWatch(ROOM).look(0.0, 0, 0, ENGINE)
    assert (said.waiting, said.came_warm, said.came_saved, said.came_cold) == (POOL, 5, 2, 1)


@given(st.integers(0, 2**70), st.integers(1, 2**30), st.integers(1, 2**20))
def test_coarse_is_never_less_and_less_than_a_step_more(used_: int, unit: int, step: int) -> None:
    told = coarse(used_, unit, step)
    assert told % step == 0 and 0 <= told * unit - used_ < step * unit


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 2**62)), max_size=20))
def test_whatever_the_kernel_counts_what_is_told_is_no_less_than_nothing(looks: list[tuple[float, int]]) -> None:
    watch, now = UseWatch(ROOM), 0.0
    for passed_s, cpu_ns in looks:
        now += passed_s
        assert watch.look(now, cpu_ns, 0, ENGINE).cpu_units >= 0


def test_an_agent_says_what_its_tasks_use(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(launch())
        await host.server.status(TASK_ID, "RUNNING")
        began = host.host.cgroups.used_ns
        while (use := host.server.hosts[-1].use) is None or use.cpu_units < 1024:
            host.host.cgroups.used_ns += 5 * SECOND  # as often as the agent looks: one processor
            assert host.host.cgroups.used_ns < began + 500 * SECOND, use
            await host.clock.sleep(5)
        assert use.waiting == () and use.cpu_units <= 1280, "a look more or less in the window"

    play(tmp_path, scenario)


# -- shown


def host(**changes: Any) -> dict[str, Any]:
    use = HostUse(cpu_units=320, disk_mib=512, waiting=POOL, came_warm=5, came_saved=2, came_cold=1)
    known: dict[str, Any] = {
        "host_id": "host-a",
        "zone": None,
        "connected": True,
        "tasks": 3,
        "pool": "",
        "sandbox": "microvm",
        "machines": 3,
        "used_memory_mib": 384,
        "use": to_builtins(use),
        "reserved": structs.asdict(HostCapacity(cpu_units=1024, memory_mib=1557, disk_gib=60)),
        "offered": structs.asdict(ROOM),
    }
    return known | changes


def test_each_host_shows_use_reservation_waste_pool_and_how_machines_came() -> None:
    blank, head, line = used([host()])
    assert blank == "" and head.split("  ")[0] == "HOST"
    assert line.split(maxsplit=5)[:5] == ["host-a", "320/1024/704", "384/1557/1173", "0.5/60/59.5", "3"]
    assert line.split(maxsplit=5)[5].split("  ") == ["2 of 1 vCPU 650 MiB", "    5/2/1"[4:]]


def test_hosts_without_machines_and_those_that_say_nothing() -> None:
    containers = host(sandbox="container", use=to_builtins(HostUse(cpu_units=2048)))
    line = used([containers])[-1]
    assert line.split() == ["host-a", "2048/1024/0", "384/1557/1173", "0/60/60", "-", "-", "-"], "no waste below zero"
    assert used([host(use=None), host(connected=False)]) == []
    assert used([{"host_id": "h", "connected": False}]) == [], "one that is kept and has not joined"
    assert used([host(use=to_builtins(HostUse()))])[-1].split()[-2:] == ["0", "0/0/0"]


def test_a_host_that_lies_makes_no_line_without_end() -> None:
    most = WaitingMachines(vcpus=2**63 - 1, memory_mib=2**63 - 1, count=2**63 - 1)
    line = used([host(use=to_builtins(HostUse(waiting=(most,) * 64)))])[-1]
    assert line.split("  ")[-2].endswith(f", {60 * (2**63 - 1)} of other sizes") and len(line) < 500


def test_waste_is_what_is_reserved_and_not_used() -> None:
    assert (waste(1, 3), waste(3, 3), waste(5, 3)) == (2, 0, 0)


def test_the_command_shows_it_below_the_hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hosts, "ask", lambda *_, **__: {"hosts": [host()]})
    text = hosts.listed(region_paths(str(tmp_path)))
    assert text.index("MEMORY USED/RESERVED/ALL MiB") < text.index("WASTE") < text.index("704")
