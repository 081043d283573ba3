"""Cgroups of tasks: the machine's own version for real, version 2 also as a tree of files."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from neargate.hostnet.cgroups import LinuxCgroups
from neargate.interfaces.hostnet import CgroupStats, HostError, TaskLimits
from neargate.model.knobs import Knobs
from neargate.testing.cgroup_paths import ROOT, cgroup_paths
from neargate.world import OsWorld

LIMITS = TaskLimits(cpu_units=512, memory_mib=256, pids=100)
QUICK = Knobs(unmount_attempts=3, unmount_retry_s=0.01)


def _version_1() -> bool:
    return not (ROOT / "cgroup.controllers").exists()


@pytest.fixture
def instance() -> Iterator[str]:
    name = f"{OsWorld().random.getrandbits(24):06x}"
    yield name
    left = [path for path in cgroup_paths() if path.endswith(f"/neargate-{name}")]
    assert left == [], "a cgroup was left behind"


@pytest.mark.root
def test_limits_are_the_kernels_and_nothing_is_left(instance: str) -> None:
    async def scenario() -> None:
        cgroups = LinuxCgroups(OsWorld(), instance=instance, knobs=QUICK)
        assert cgroups.task_path("task") == f"/neargate-{instance}/task"
        assert await cgroups.task_stats("task") is None
        await cgroups.create_task("task", LIMITS)
        await cgroups.create_task("task", LIMITS)
        assert _cpu_quota(instance, "task") == -1
        await cgroups.limit_cpu("task", LIMITS)
        stats = await cgroups.task_stats("task")
        assert stats is not None
        assert stats.memory_limit == 256 << 20
        assert (stats.pids, stats.oom_kills) == (0, 0)
        assert _cpu_quota(instance, "task") == 50_000
        assert await cgroups.list_tasks() == ["task"]
        # A change of the size, up and down, keeps memory and swap together.
        for memory_mib in (512, 128):
            await cgroups.create_task("task", TaskLimits(cpu_units=512, memory_mib=memory_mib))
            changed = await cgroups.task_stats("task")
            assert changed is not None and changed.memory_limit == memory_mib << 20
        await cgroups.delete_task("task")
        await cgroups.delete_task("task")
        assert await cgroups.list_tasks() == []

    asyncio.run(scenario())


@pytest.mark.root
def test_a_process_in_the_cgroup_is_counted_limited_and_keeps_it(instance: str) -> None:
    async def scenario() -> None:
        cgroups = LinuxCgroups(OsWorld(), instance=instance, knobs=QUICK)
        await cgroups.create_task("task", TaskLimits(cpu_units=256, memory_mib=64))
        container = f"neargate-{instance}/task/web"
        joined = [path for path in _roots() if (path / f"neargate-{instance}/task").is_dir()]
        for root in joined:
            (root / container).mkdir()
        process = _hog()
        try:
            for root in joined:
                (root / container / "cgroup.procs").write_text(str(process.pid))
            alive = await cgroups.container_stats("task", "web")
            assert alive is not None and alive.pids == 1
            with pytest.raises(HostError, match="processes are still in"):
                await cgroups.delete_task("task")
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.close()
            # `tail` of an endless line takes memory until the task's limit kills it.
            assert process.wait(timeout=60) == -9
            dead = await cgroups.container_stats("task", "web")
            assert dead is not None and dead.oom_kills == 1 and dead.memory_max_usage > 0
        finally:
            process.kill()
            process.wait()
            await cgroups.delete_task("task")

    asyncio.run(scenario())


def test_version_2_switches_controllers_on_and_writes_its_files(tmp_path: Path) -> None:
    async def scenario() -> None:
        root = _fake_version_2(tmp_path)
        cgroups = LinuxCgroups(OsWorld(), instance="abcdef", root=root, knobs=QUICK)
        task = root / "neargate-abcdef" / "task"
        task.mkdir(parents=True)
        (task / "memory.swap.max").write_text("max")
        await cgroups.create_task("task", LIMITS)
        assert not (task / "cpu.max").exists()
        await cgroups.limit_cpu("task", LIMITS)
        written = {name: (task / name).read_text() for name in ("memory.max", "memory.swap.max", "cpu.max", "pids.max")}
        assert written == {
            "memory.max": str(256 << 20),
            "memory.swap.max": "0ax",  # a plain file keeps the old tail; a cgroup file takes the write as its value
            "cpu.max": "50000 100000",
            "pids.max": "100",
        }
        assert (task / "cpu.weight").read_text() == "20"
        for directory in (root, task.parent, task):
            assert (directory / "cgroup.subtree_control").read_text() == "+cpu +memory +pids +io"
        assert await cgroups.list_tasks() == ["task"]

    asyncio.run(scenario())


def test_version_2_statistics_are_normalised(tmp_path: Path) -> None:
    async def scenario() -> None:
        root = _fake_version_2(tmp_path)
        cgroups = LinuxCgroups(OsWorld(), instance="abcdef", root=root)
        web = root / "neargate-abcdef" / "task" / "web"
        web.mkdir(parents=True)
        assert await cgroups.container_stats("task", "web") is None
        assert await cgroups.used_memory() == await cgroups.used_cpu_ns() == 0, "no task was there yet"
        for name, text in {
            "memory.current": "5000\n",
            "memory.peak": "9000\n",
            "memory.max": "max\n",
            "memory.stat": "anon 3000\nfile 2000\n",
            "memory.events": "low 0\noom 1\noom_kill 2\n",
            "cpu.stat": "usage_usec 10\nuser_usec 7\nsystem_usec 3\nnr_periods 4\nnr_throttled 2\nthrottled_usec 5\n",
            "pids.current": "6\n",
        }.items():
            (web / name).write_text(text)
            (root / "neargate-abcdef" / name).write_text(text.replace("5000", "7000"))
        assert (await cgroups.used_memory(), await cgroups.used_cpu_ns()) == (7000, 10_000), "of all tasks"
        assert await cgroups.container_stats("task", "web") == CgroupStats(
            cpu_total_ns=10_000,
            cpu_user_ns=7_000,
            cpu_system_ns=3_000,
            cpu_periods=4,
            cpu_throttled_periods=2,
            cpu_throttled_ns=5_000,
            memory_usage=5000,
            memory_max_usage=9000,
            memory_limit=0,
            memory_cache=2000,
            memory_rss=3000,
            oom_kills=2,
            pids=6,
        )

    asyncio.run(scenario())


def test_a_machine_without_a_memory_controller_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no memory controller"):
        LinuxCgroups(OsWorld(), instance="abcdef", root=tmp_path)


def _hog() -> "subprocess.Popen[bytes]":
    """Takes memory without end once it is told to go."""
    return subprocess.Popen(["sh", "-c", "read go; exec tail /dev/zero"], stdin=subprocess.PIPE)


def _fake_version_2(root: Path) -> Path:
    (root / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids rdma misc\n")
    return root


def _roots() -> list[Path]:
    return [path for path in ROOT.iterdir() if path.is_dir() and not path.is_symlink()] if _version_1() else [ROOT]


def _cpu_quota(instance: str, task_id: str) -> int:
    if _version_1():
        return int((ROOT / "cpu" / f"neargate-{instance}" / task_id / "cpu.cfs_quota_us").read_text())
    return int((ROOT / f"neargate-{instance}" / task_id / "cpu.max").read_text().split()[0].replace("max", "-1"))
