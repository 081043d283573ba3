"""A task's shared process namespace, for real: its own first process, whoever comes and goes."""

import asyncio
from pathlib import Path

import pytest

from neargate.interfaces.sandbox import ContainerConfig, PauseConfig
from neargate.model.host_ids import UserNamespace
from neargate.sandbox.engine import ContainerdSandbox
from neargate.testing.container_rig import ContainerRig

from .engine_waits import stopped

pytestmark = pytest.mark.root

LOOKS = 400
TASK = "shared"
PAUSE = "shared-pause"
ALONE = [
    "/bin/busybox sh -c trap '' INT; while :; do /bin/busybox sleep 2147483647 & wait; done",
    "/bin/busybox sleep 2147483647",
]
KILLS = (*range(1, 32), 34, 64)


def pause_config(rig: ContainerRig) -> PauseConfig:
    return PauseConfig(
        runtime_id=PAUSE,
        task_id=TASK,
        **rig.namespaces_of(TASK),
        cgroup_path=f"{rig.cgroup}/{TASK}/~pause",
        labels=(("kind", "pause"),),
    )


async def paused(rig: ContainerRig, engine: ContainerdSandbox) -> int:
    config = pause_config(rig)
    await engine.create_pause(config)
    return await engine.start_container(config.runtime_id)


async def member(
    rig: ContainerRig, engine: ContainerdSandbox, reference: str, name: str, script: str
) -> ContainerConfig:
    image = await rig.pull(engine, reference)
    config = rig.config(image, "sh", "-c", script, name=name, task_id=TASK, share_pid_with=PAUSE)
    await engine.create_container(config)
    await engine.start_container(config.runtime_id)
    return config


async def removed(engine: ContainerdSandbox, *configs: ContainerConfig) -> None:
    for config in configs:
        await engine.delete_container(config.runtime_id)
    await engine.kill_container(PAUSE, 9)
    await engine.delete_container(PAUSE)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def inside(pid: int) -> list[str]:
    """Commands of all processes of that process's namespace, as this machine sees them."""
    namespace = Path(f"/proc/{pid}/ns/pid").readlink()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and (entry / "ns/pid").readlink() == namespace:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip())
        except OSError:
            continue  # it ended meanwhile
    return sorted(found)


async def until_alone(pid: int) -> None:
    for _ in range(LOOKS):
        if inside(pid) == ALONE:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(inside(pid))


def test_what_the_first_process_may(rig: ContainerRig) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        pid = await paused(rig, engine)
        assert await paused(rig, engine) == pid, "making and starting it may be repeated"
        status = dict(
            line.split(":", 1)
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()  # noqa: ASYNC240
        )
        fields = rig.namespaces_of(TASK)
        users: UserNamespace | None = fields.get("user_namespace")
        nobody = 65534 if users is None else users.of_host(65534)
        assert status["NSpid"].split()[-1] == "1" and status["Uid"].split() == [str(nobody)] * 4
        assert {status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")} == {"0" * 16}
        assert status["Seccomp"].strip() == "2" and status["NoNewPrivs"].strip() == "1"
        assert Path(f"/proc/{pid}/ns/net").stat().st_ino == Path(fields["netns_path"]).stat().st_ino  # noqa: ASYNC240
        mounts = {line.split()[4]: line.split()[5] for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()}  # noqa: ASYNC240
        assert {mounts[path].split(",")[0] for path in ("/", "/bin/busybox")} == {"ro"}
        assert f"{rig.cgroup}/{TASK}/~pause" in Path(f"/proc/{pid}/cgroup").read_text()  # noqa: ASYNC240
        (state,) = [item for item in await engine.list_containers() if item.runtime_id == PAUSE]
        assert state.status == "running" and dict(state.labels)["kind"] == "pause"
        await removed(engine)
        assert await engine.get_container(PAUSE) is None and not Path(f"/proc/{pid}").exists()  # noqa: ASYNC240

    rig.run(story)


def test_containers_come_and_go_in_any_order(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        pid = await paused(rig, engine)
        first = await member(rig, engine, reference, "first", "sleep 1001 & sleep 1002 & sleep 0.2; exit 3")
        second = await member(rig, engine, reference, "second", "sleep 2001 & sleep 2002")
        assert (await stopped(engine, first.runtime_id)).exit_code == 3
        # What the first container left is gone with its first process; the second one, which may still begin, does not
        # notice.
        for _ in range(LOOKS):
            if [line for line in inside(pid) if line.startswith("sleep")] == ["sleep 2001", "sleep 2002"]:
                break
            await asyncio.sleep(0.05)
        assert [line for line in inside(pid) if line.startswith("sleep")] == ["sleep 2001", "sleep 2002"]
        await engine.delete_container(first.runtime_id)
        third = await member(rig, engine, reference, "third", "ps -o pid,args | grep -E 'sleep [0-9]'; exit 5")
        assert (await stopped(engine, third.runtime_id)).exit_code == 5
        seen = [line.split(None, 1) for line in rig.log(third).splitlines()]
        assert ["1", ALONE[0]] in seen
        assert {"sleep 2001", "sleep 2002"} <= {args for _, args in seen}
        await engine.kill_container(second.runtime_id, 9)
        assert (await stopped(engine, second.runtime_id)).exit_code == 137
        await until_alone(pid)
        await removed(engine, second, third)

    rig.run(story)


def test_orphans_are_reaped(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        pid = await paused(rig, engine)
        # Their parents are gone before they end: only the namespace's first process could wait for them.
        script = "for n in $(seq 20); do (sleep 0.1 &); done; sleep 1; cat /proc/[0-9]*/stat | cut -d' ' -f 3 | sort -u"
        one = await member(rig, engine, reference, "orphans", script)
        assert (await stopped(engine, one.runtime_id)).exit_code == 0
        assert "Z" not in rig.log(one).split() and rig.log(one).split(), rig.log(one)
        assert len(children(pid)) == 1, "the one that it sleeps by"
        await removed(engine, one)

    rig.run(story)


def test_no_container_can_end_it(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        pid = await paused(rig, engine)
        kills = "; ".join(f"kill -{signal} 1" for signal in KILLS)
        one = await member(rig, engine, reference, "hostile", f"{kills}; kill -9 -1; echo still here")
        state = await stopped(engine, one.runtime_id)
        assert (state.exit_code, rig.log(one).strip()) == (0, "still here")
        await until_alone(pid)
        two = await member(rig, engine, reference, "looks", "ls /proc/1/root/ 2>&1; cat /proc/1/environ | wc -c")
        await stopped(engine, two.runtime_id)
        assert set(rig.log(two).split()) <= {"bin", "dev", "proc", "0"} or "denied" in rig.log(two)
        await removed(engine, one, two)

    rig.run(story)


def test_its_end_is_the_end_of_all(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        await paused(rig, engine)
        one = await member(rig, engine, reference, "one", "sleep 3001")
        await engine.kill_container(PAUSE, 9)
        assert (await stopped(engine, one.runtime_id)).exit_code == 137
        assert (await stopped(engine, PAUSE)).exit_code == 137
        await removed(engine, one)

    rig.run(story)
