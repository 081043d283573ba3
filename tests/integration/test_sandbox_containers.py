"""Real containers on a private containerd: what each field of ContainerConfig does inside, and how containers end."""

import asyncio
import errno
import os
import socket
import struct
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.interfaces.sandbox import BindMount, ContainerConfig, ContainerState, Image, SandboxError
from neargate.model.launch import Tmpfs, Ulimit
from neargate.sandbox.engine import ContainerdSandbox
from neargate.testing.container_rig import ContainerRig
from neargate.testing.oci_image import BuiltImage, Entry, build_image, build_layer, busybox_entries, busybox_layer

from .engine_waits import stopped

pytestmark = pytest.mark.root

LOOKS = 400


def read(path: str) -> str:
    return Path(path).read_text()


async def run_to_end(engine: ContainerdSandbox, config: ContainerConfig) -> ContainerState:
    await engine.create_container(config)
    await engine.start_container(config.runtime_id)
    state = await stopped(engine, config.runtime_id)
    await engine.delete_container(config.runtime_id)
    return state


def inside(rig: ContainerRig, reference: str, script: str, **fields: object) -> str:
    """What a shell script prints in a container made with these fields."""

    async def story(engine: ContainerdSandbox) -> str:
        config = rig.config(await rig.pull(engine, reference), "sh", "-c", script, **fields)
        state = await run_to_end(engine, config)
        assert state.exit_code == 0, rig.log(config)
        return rig.log(config)

    return rig.run(story)


# -------------------------------------------------------------------- life


def test_life_of_a_container(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        config = rig.config(await rig.pull(engine, reference), "sh", "-c", "echo out; echo err >&2; exit 42")
        exits = engine.exits()
        next_exit = asyncio.ensure_future(anext(exits))
        await engine.create_container(config)
        created = await engine.get_container(config.runtime_id)
        assert created is not None and created.status == "created" and created.exit_code is None
        pid = await engine.start_container(config.runtime_id)
        assert pid > 1
        ended = await asyncio.wait_for(next_exit, 20)
        assert (ended.runtime_id, ended.exit_code) == (config.runtime_id, 42)
        state = await stopped(engine, config.runtime_id)
        assert state.exit_code == 42 and state.exited_at == ended.exited_at
        assert sorted(rig.log(config).split()) == ["err", "out"]
        await engine.delete_container(config.runtime_id)
        assert await engine.get_container(config.runtime_id) is None

    rig.run(story)


def test_what_is_said_after_stdout_was_closed_is_kept(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        script = "echo out; exec 1>&-; sleep 0.3; echo last words >&2"
        config = rig.config(await rig.pull(engine, reference), "sh", "-c", script)
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        await stopped(engine, config.runtime_id)
        await engine.delete_container(config.runtime_id)
        assert rig.log(config).splitlines() == ["out", "last words"]

    rig.run(story)


def test_a_container_begins_again_in_its_own_file_system(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        script = "n=$(ls /run-* 2>/dev/null | wc -l); touch /run-$n; echo run $n as $(id -u); sleep 1000"
        config = replace(rig.config(await rig.pull(engine, reference), "sh", "-c", script), may_restart=True)
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        for number in range(3):
            for _ in range(LOOKS):
                if rig.log(config).count("run") == number + 1:
                    break
                await asyncio.sleep(0.05)
            await engine.kill_container(config.runtime_id, 9)
            await stopped(engine, config.runtime_id)
            if number == 1:  # as an agent leaves it that is killed between the two steps
                engine._containers._engine.delete_task(config.runtime_id)
            if number < 2:
                await engine.restart_container(config.runtime_id)
        assert rig.log(config).splitlines() == ["run 0 as 0", "run 1 as 0", "run 2 as 0"]
        await engine.delete_container(config.runtime_id)
        assert await engine.get_container(config.runtime_id) is None

    rig.run(story)


def test_every_step_may_be_repeated(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        config = rig.config(await rig.pull(engine, reference), "sleep", "100")
        await engine.create_container(config)
        await engine.create_container(config)
        pid = await engine.start_container(config.runtime_id)
        assert await engine.start_container(config.runtime_id) == pid
        await engine.create_container(config)
        state = await engine.get_container(config.runtime_id)
        assert state is not None and (state.status, state.pid) == ("running", pid)
        await engine.kill_container(config.runtime_id, 9)
        await stopped(engine, config.runtime_id)
        await engine.kill_container(config.runtime_id, 9)
        await engine.delete_container(config.runtime_id)
        await engine.delete_container(config.runtime_id)
        await engine.kill_container(config.runtime_id, 9)

    rig.run(story)


def test_delete_ends_what_still_runs(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        config = rig.config(await rig.pull(engine, reference), "sleep", "100")
        await engine.create_container(config)
        pid = await engine.start_container(config.runtime_id)
        await engine.delete_container(config.runtime_id)
        assert await engine.get_container(config.runtime_id) is None
        assert not Path(f"/proc/{pid}/root/bin").exists()  # noqa: ASYNC240 - a look, not work

    rig.run(story)


def test_signals_reach_the_first_process(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        script = 'trap "echo got TERM; exit 5" TERM; echo ready; while :; do sleep 0.05; done'
        config = rig.config(await rig.pull(engine, reference), "sh", "-c", script)
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        for _ in range(LOOKS):
            if "ready" in rig.log(config):
                break
            await asyncio.sleep(0.02)
        await engine.kill_container(config.runtime_id, 15)
        assert (await stopped(engine, config.runtime_id)).exit_code == 5
        assert "got TERM" in rig.log(config)
        await engine.delete_container(config.runtime_id)

    rig.run(story)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("nope",), 'exec: "nope": executable file not found in $PATH: unknown'),
        (("/no/such",), 'exec: "/no/such": stat /no/such: no such file or directory: unknown'),
        (("/etc/passwd",), 'exec: "/etc/passwd": permission denied: unknown'),
    ],
)
def test_a_command_that_cannot_run(rig: ContainerRig, reference: str, command: tuple[str, ...], sentence: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        config = rig.config(await rig.pull(engine, reference), *command)
        with pytest.raises(SandboxError) as caught:
            await engine.create_container(config)
        assert caught.value.reason == (
            "CannotStartContainerError: ResourceInitializationError: failed to create new container runtime task: "
            "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container "
            f"process: {sentence}"
        )
        await engine.delete_container(config.runtime_id)
        assert await engine.get_container(config.runtime_id) is None

    rig.run(story)


def test_nothing_is_left(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        image = await rig.pull(engine, reference)
        await run_to_end(engine, rig.config(image, "true"))
        client = rig.client()
        before = (client.list_snapshots(), client.list_leases())
        config = rig.config(image, "true", interactive=True)
        await run_to_end(engine, config)
        assert (client.list_snapshots(), client.list_leases()) == before
        assert client.list_containers() == []
        client.close()
        assert rig.mounts_of(config) == []
        assert os.listdir(os.path.join(rig.run_dir, "fifos")) == []

    rig.run(story)


def test_an_image_that_was_removed_is_fetched_again(rig: ContainerRig) -> None:
    reference = rig.push(
        "removed", build_image([busybox_layer(), build_layer([Entry(path="only-here", content=b"x")])])
    )

    async def story(engine: ContainerdSandbox) -> None:
        image = await rig.pull(engine, reference)
        client = rig.client()
        client.delete_image(f"neargate/amd64/{reference.removesuffix(':latest')}@{image.digest}")
        for _ in range(LOOKS):
            if not client.has_snapshot(image.snapshot):
                break
            await asyncio.sleep(0.05)
        client.close()
        config = rig.config(image, "true")
        with pytest.raises(SandboxError, match=r"CannotCreateContainerError: .*not found"):
            await engine.create_container(config)
        await engine.delete_container(config.runtime_id)
        assert (
            await run_to_end(engine, rig.config(await rig.pull(engine, reference), "cat", "/only-here"))
        ).exit_code == 0

    rig.run(story)


# -------------------------------------------------------------------- limits


def test_out_of_memory(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        image = await rig.pull(engine, reference)
        config = rig.config(image, "sh", "-c", "exec tail /dev/zero", memory_limit_bytes=24 * 1024 * 1024)
        sibling = rig.config(image, "sleep", "100", name="sibling", task_id=config.task_id)
        for one in (config, sibling):
            await engine.create_container(one)
            await engine.start_container(one.runtime_id)
        assert (await stopped(engine, config.runtime_id)).exit_code == 137
        assert await engine.oom_kills(config.runtime_id) >= 1
        assert await engine.oom_kills(sibling.runtime_id) == 0
        for one in (config, sibling):
            await engine.delete_container(one.runtime_id)

    rig.run(story)


def test_limits_of_cpu_and_processes(rig: ContainerRig, reference: str) -> None:
    where = "/sys/fs/cgroup"
    script = f"cat {where}/cpu/cpu.shares {where}/cpu.weight {where}/pids/pids.max {where}/pids.max 2>/dev/null; true"
    shown = inside(rig, reference, script, cpu_shares=512, pids_limit=77).split()
    assert shown in (["512", "77"], ["20", "77"])


def test_ulimits(rig: ContainerRig, reference: str) -> None:
    script = "ulimit -Sn; ulimit -Hn; ulimit -c"
    limits = (Ulimit(name="nofile", soft=1000, hard=2000), Ulimit(name="core", soft=0, hard=0))
    assert inside(rig, reference, script, ulimits=limits).split() == ["1000", "2000", "0"]
    # Without any: Fargate's 65535, or what this machine's own hard limit allows.
    assert 1024 < int(inside(rig, reference, "ulimit -Sn")) <= 65535


# -------------------------------------------------------------------- what is allowed


def test_capabilities(rig: ContainerRig, reference: str) -> None:
    script = "grep CapEff /proc/self/status | cut -f2"
    assert int(inside(rig, reference, script), 16) == 0xA80425FB
    assert int(inside(rig, reference, script, capabilities_drop=("ALL",)), 16) == 0
    added = inside(rig, reference, script, capabilities_add=("SYS_PTRACE", "SYS_ADMIN"), capabilities_drop=("CHOWN",))
    assert int(added, 16) == (0xA80425FB | 1 << 19) & ~1


def test_other_users_start_without_capabilities(rig: ContainerRig, reference: str) -> None:
    assert int(inside(rig, reference, "grep CapEff /proc/self/status | cut -f2", user="1000"), 16) == 0


def test_seccomp(rig: ContainerRig, reference: str) -> None:
    shown = inside(
        rig, reference, "grep Seccomp: /proc/self/status; unshare -U true 2>&1; mount -t tmpfs x /tmp 2>&1; true"
    )
    assert shown.split("\n")[0].split() == ["Seccomp:", "2"]
    assert shown.count("Operation not permitted") + shown.count("permission denied") == 2


def program_of_32_bits(code: bytes) -> bytes:
    """An ELF file for i386 around machine code; its status is the error that the code leaves in eax, or 0."""
    code += bytes.fromhex("85c0 7802 31c0 f7d8 89c3 b801000000 cd80")  # a result that is no error is 0; exit(eax)
    base, start = 0x08048000, 52 + 32
    header = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    header += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + start, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    size = start + len(code)
    return header + struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 0x1000) + code


def test_programs_of_32_bits_get_no_other_sockets_than_those_of_64(rig: ContainerRig) -> None:
    def by_socketcall(family: int, kind: int) -> bytes:
        arguments = bytes((0x6A, 0, 0x6A, kind, 0x6A, family))  # pushed: protocol, type, family
        return program_of_32_bits(arguments + bytes.fromhex("89e1 bb01000000 b866000000 cd80"))

    def by_socket(family: int, kind: int) -> bytes:
        registers = bytes((0xBB, family, 0, 0, 0, 0xB9, kind, 0, 0, 0, 0xBA, 0, 0, 0, 0))
        return program_of_32_bits(registers + bytes.fromhex("b867010000 cd80"))

    programs = {
        "alg-by-socketcall": by_socketcall(socket.AF_ALG, socket.SOCK_SEQPACKET),
        "vsock-by-socketcall": by_socketcall(socket.AF_VSOCK, socket.SOCK_STREAM),
        "inet-by-socketcall": by_socketcall(socket.AF_INET, socket.SOCK_STREAM),
        "alg": by_socket(socket.AF_ALG, socket.SOCK_SEQPACKET),
        "vsock": by_socket(socket.AF_VSOCK, socket.SOCK_STREAM),
        "inet": by_socket(socket.AF_INET, socket.SOCK_STREAM),
    }
    files = build_layer([Entry(path=name, content=code, mode=0o755) for name, code in programs.items()])
    reference = rig.push("sockets-of-32-bits", build_image([busybox_layer(), files]))
    shown = inside(rig, reference, "; ".join(f"/{name}; echo {name} $?" for name in programs))
    statuses = {name: int(status) for name, status in (line.split() for line in shown.strip().split("\n"))}
    if statuses["inet"] != 0:
        pytest.skip("this kernel runs no 32-bit programs")
    assert statuses == {
        "alg-by-socketcall": errno.ENOSYS,
        "vsock-by-socketcall": errno.ENOSYS,
        "inet-by-socketcall": errno.ENOSYS,
        "alg": errno.EPERM,
        "vsock": errno.EPERM,
        "inet": 0,
    }


def test_masked_and_readonly_paths(rig: ContainerRig, reference: str) -> None:
    script = (
        "wc -c < /proc/keys; ls /sys/firmware | wc -l; echo 1 2>/dev/null > /proc/sys/kernel/hostname || echo denied"
    )
    assert inside(rig, reference, script).split() == ["0", "0", "denied"]


def test_readonly_root(rig: ContainerRig, reference: str) -> None:
    script = "touch /x 2>/dev/null || echo denied; touch /dev/shm/x && echo shm"
    assert inside(rig, reference, script, readonly_root=True).split() == ["denied", "shm"]


# -------------------------------------------------------------------- what is there


def test_environment_hostname_and_directory(rig: ContainerRig, reference: str) -> None:
    shown = inside(
        rig,
        reference,
        "hostname; pwd; echo $HOSTNAME $HOME $A; echo $PATH",
        environment=(("A", "one two"),),
        working_directory="/made/for this",
    )
    assert shown.split("\n")[:3] == ["ip-10-0-0-1", "/made/for this", "ip-10-0-0-1 /root one two"]
    assert "/usr/local/sbin" in shown


def test_mounts(rig: ContainerRig, reference: str) -> None:
    disk = rig.made("disk-with-volumes")
    volume, single = os.path.join(disk, "volume"), os.path.join(disk, "single")
    os.makedirs(volume, exist_ok=True)
    with open(single, "w", encoding="utf-8") as file:
        file.write("one file\n")
    mounts = (
        BindMount(source=volume, target="/data/here"),
        BindMount(source=volume, target="/readonly", read_only=True),
        BindMount(source=single, target="/new/file", read_only=True),
    )
    script = "echo kept > /data/here/f; cat /readonly/f; echo x 2>/dev/null > /readonly/g || echo denied; cat /new/file"
    said = inside(rig, reference, script, mounts=mounts, disk_path=disk)
    assert said.split("\n")[:3] == ["kept", "denied", "one file"]
    assert os.listdir(volume) == ["f"]


def test_tmpfs(rig: ContainerRig, reference: str) -> None:
    mount = Tmpfs(container_path="/scratch/here", size_mib=3, mount_options=("exec", "mode=0700"))
    script = "grep ' /scratch/here ' /proc/mounts; stat -c %a /scratch/here"
    line, mode, _ = inside(rig, reference, script, tmpfs=(mount,)).split("\n")
    options = line.split()[3].split(",")
    assert inside(rig, reference, "stat -c %a /t", tmpfs=(Tmpfs(container_path="/t", size_mib=1),)).strip() == "1777"
    assert "size=3072k" in options and "nosuid" in options and "noexec" not in options and mode == "700"


def test_init_process(rig: ContainerRig, reference: str) -> None:
    shown = inside(rig, reference, "cat /proc/1/comm; echo $$", init_process=True).split()
    assert shown[0] in ("tini-static", "docker-init", "init") and int(shown[1]) > 1


def test_interactive_input_stays_open(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        image = await rig.pull(engine, reference)
        held = rig.config(image, "cat", interactive=True)
        await engine.create_container(held)
        await engine.start_container(held.runtime_id)
        closed = rig.config(image, "cat")
        assert (await run_to_end(engine, closed)).exit_code == 0
        state = await engine.get_container(held.runtime_id)
        assert state is not None and state.status == "running"
        await engine.delete_container(held.runtime_id)

    rig.run(story)


def test_terminal(rig: ContainerRig, reference: str) -> None:
    shown = inside(rig, reference, "test -t 0 && test -t 1 && echo terminal $TERM", terminal=True, interactive=True)
    assert shown.split() == ["terminal", "xterm"]


def test_shared_process_namespace(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        image = await rig.pull(engine, reference)
        first = rig.config(image, "sleep", "4242")
        await engine.create_container(first)
        await engine.start_container(first.runtime_id)
        second = rig.config(
            image,
            "sh",
            "-c",
            "sleep 77 & ps | grep -c 'sleep 4242'; wait",
            name="second",
            task_id=first.task_id,
            share_pid_with=first.runtime_id,
        )
        await engine.create_container(second)
        await engine.start_container(second.runtime_id)
        for _ in range(LOOKS):
            if rig.log(second):
                break
            await asyncio.sleep(0.02)
        assert int(rig.log(second)) >= 1
        await engine.kill_container(second.runtime_id, 9)
        assert (await stopped(engine, second.runtime_id)).exit_code == 137
        # Its child lived in a namespace whose first process is another container's: it must be gone all the same.
        for _ in range(LOOKS):
            seen = await engine.exec(first.runtime_id, "look", ("ps",), timeout_s=10)
            if b"sleep 77" not in seen.output:
                break
            await asyncio.sleep(0.05)
        assert b"sleep 4242" in seen.output and b"sleep 77" not in seen.output
        for one in (second, first):
            await engine.delete_container(one.runtime_id)

    rig.run(story)


def test_containers_of_a_task_share_a_shim(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        image = await rig.pull(engine, reference)
        first = rig.config(image, "sh", "-c", "sleep 1; exit 3")
        second = rig.config(image, "sh", "-c", "sleep 1; exit 4", name="second", task_id=first.task_id)
        for one in (first, second):
            await engine.create_container(one)
        pids = [await engine.start_container(one.runtime_id) for one in (first, second)]
        parents = {read(f"/proc/{pid}/stat").rpartition(")")[2].split()[1] for pid in pids}
        assert len(parents) == 1
        assert (await stopped(engine, first.runtime_id)).exit_code == 3
        assert (await stopped(engine, second.runtime_id)).exit_code == 4
        # The one whose name the shim carries goes first; the other must still be answered for.
        await engine.delete_container(first.runtime_id)
        state = await engine.get_container(second.runtime_id)
        assert state is not None and state.exit_code == 4
        await engine.delete_container(second.runtime_id)

    rig.run(story)


# -------------------------------------------------------------------- users, and hostile images


def test_users(rig: ContainerRig, reference: str) -> None:
    for user, shown in (
        ("", "0:0:0:/root"),
        ("web", "1000:1000:1000 1001:/home/web"),
        ("1000:0", "1000:0:0:/home/web"),
        ("4711", "4711:0:0:/"),
        ("web:extra", "1000:1001:1001:/home/web"),
    ):
        assert inside(rig, reference, "echo $(id -u):$(id -g):$(id -G):$HOME", user=user).strip() == shown


def test_a_user_that_is_not_in_the_image(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        config = rig.config(await rig.pull(engine, reference), "true", user="nobody-here")
        with pytest.raises(SandboxError, match="unable to find user nobody-here: no matching entries in passwd file"):
            await engine.create_container(config)
        await engine.delete_container(config.runtime_id)

    rig.run(story)


def hostile_image(*entries: Entry) -> BuiltImage:
    kept = [entry for entry in busybox_entries() if entry.path not in {item.path for item in entries}]
    return build_image([build_layer(kept), build_layer(entries)])


def test_links_of_an_image_do_not_lead_out_of_it(rig: ContainerRig) -> None:
    secret = os.path.join(rig.base, "secret-passwd")
    with open(secret, "w", encoding="utf-8") as file:
        file.write("intruder:x:666:666::/:/bin/sh\n")
    outside = os.path.join(rig.base, "outside")
    os.makedirs(outside, exist_ok=True)
    climb = "../" * 20
    image = hostile_image(
        Entry(path="etc/passwd", target=climb + secret.lstrip("/")),
        Entry(path="etc/group", target=secret),
        Entry(path="absolute", target=outside),
        Entry(path="climbing", target=climb + outside.lstrip("/")),
    )
    reference = rig.push("hostile", image)

    async def story(engine: ContainerdSandbox) -> None:
        pulled: Image = await rig.pull(engine, reference)
        config = rig.config(pulled, "true", user="intruder")
        with pytest.raises(SandboxError, match="unable to find user intruder"):
            await engine.create_container(config)
        await engine.delete_container(config.runtime_id)
        for link in ("absolute", "climbing"):
            mounts = (BindMount(source=secret, target=f"/{link}/made/file"),)
            config = rig.config(pulled, "true", working_directory=f"/{link}/workdir", mounts=mounts)
            try:
                await run_to_end(engine, config)
            except SandboxError:
                await engine.delete_container(config.runtime_id)  # refusing is as good as staying inside
            assert os.listdir(outside) == []

    rig.run(story)


def test_a_passwd_that_is_no_file(rig: ContainerRig) -> None:
    reference = rig.push("no-passwd", hostile_image(Entry(path="etc/passwd", target="/dev/zero")))

    async def story(engine: ContainerdSandbox) -> None:
        # The agent reads nothing from it; runc does, inside the container, and gives up by itself. crun does without.
        config = rig.config(await rig.pull(engine, reference), "true", user="5")
        if engine.runtime.endswith("/crun"):
            assert (await run_to_end(engine, config)).exit_code == 0
            return
        with pytest.raises(SandboxError, match=r"^CannotStartContainerError: "):
            await engine.create_container(config)
        await engine.delete_container(config.runtime_id)

    rig.run(story)


# -------------------------------------------------------------------- exec


def test_exec(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        config = rig.config(await rig.pull(engine, reference), "sleep", "100", environment=(("A", "b"),), user="web")
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        done = await engine.exec(config.runtime_id, "a", ("sh", "-c", "id -u; echo $A >&2; exit 3"), timeout_s=20)
        assert done.exit_code == 3 and sorted(done.output.split()) == [b"1000", b"b"]
        late = await engine.exec(config.runtime_id, "b", ("sleep", "60"), timeout_s=0.2)
        assert late.exit_code is None
        flood = await engine.exec(config.runtime_id, "c", ("sh", "-c", "yes | head -c 300000"), timeout_s=20)
        assert flood.exit_code == 0 and len(flood.output) == 4096
        missing = await engine.exec(config.runtime_id, "d", ("nope",), timeout_s=20)
        assert missing.exit_code == 127 and b"executable file not found" in missing.output
        # The name can be used again: health checks do.
        again = await engine.exec(config.runtime_id, "a", ("true",), timeout_s=20)
        assert again.exit_code == 0
        seen = await engine.exec(config.runtime_id, "e", ("ps",), timeout_s=20)
        assert b"sleep 60" not in seen.output
        await engine.delete_container(config.runtime_id)
        gone = await engine.exec(config.runtime_id, "f", ("true",), timeout_s=20)
        assert gone.exit_code == 137
        assert os.listdir(os.path.join(rig.run_dir, "fifos")) == []

    rig.run(story)


def test_exec_in_a_container_that_ends_meanwhile(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        config = rig.config(await rig.pull(engine, reference), "sleep", "100")
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        check = asyncio.ensure_future(engine.exec(config.runtime_id, "check", ("sleep", "50"), timeout_s=40))
        for _ in range(LOOKS):
            if b"sleep 50" in (await engine.exec(config.runtime_id, "look", ("ps",), timeout_s=10)).output:
                break
        await engine.delete_container(config.runtime_id)
        assert (await asyncio.wait_for(check, 20)).exit_code == 137

    rig.run(story)


def test_pause_and_resume(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        script = "while :; do echo x; sleep 0.02; done"
        config = rig.config(await rig.pull(engine, reference), "sh", "-c", script)
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        await engine.pause_container(config.runtime_id)
        state = await engine.get_container(config.runtime_id)
        assert state is not None and state.status == "running"
        await engine.pause_container(config.runtime_id)
        frozen = rig.log(config)
        await asyncio.sleep(0.2)
        assert rig.log(config) == frozen
        await engine.resume_container(config.runtime_id)
        for _ in range(LOOKS):
            if len(rig.log(config)) > len(frozen):
                break
            await asyncio.sleep(0.02)
        assert len(rig.log(config)) > len(frozen)
        await engine.resume_container(config.runtime_id)
        # Frozen (a task that filled the host's disk) and then stopped.
        await engine.pause_container(config.runtime_id)
        await engine.kill_container(config.runtime_id, 9)
        assert (await stopped(engine, config.runtime_id)).exit_code == 137
        await engine.delete_container(config.runtime_id)
        await engine.pause_container(config.runtime_id)

    rig.run(story)
