"""What a guest's runtime is told of a container: the container engine's specification, in the guest's places."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.interfaces.sandbox import BindMount, ContainerConfig, Image, PauseConfig, TaskSize
from neargate.sandbox.microvm import places
from neargate.sandbox.microvm.plan import (
    Directory,
    File,
    Mount,
    bundle_steps,
    guest_memory_mib,
    guest_vcpus,
    images_of,
    machine_steps,
)
from neargate.sandbox.microvm.specs import container_blueprint, guest_facts, pause_blueprint, sharing_processes
from neargate.sandbox.users import ResolvedUser

DISK = "/var/lib/neargate/disks/mnt/task-1"
FACTS = guest_facts("amd64")
USER = ResolvedUser(uid=1000, gid=1000)


def image(number: int) -> Image:
    digest = f"sha256:{number:064x}"
    return Image(
        reference=f"r/{number}",
        digest=digest,
        index_digest=None,
        config_digest=digest,
        snapshot=digest,
        unpacked_bytes=1,
        compressed_bytes=1,
    )


def config(**fields: Any) -> ContainerConfig:
    known = ContainerConfig(
        runtime_id="task-1-0000000001",
        task_id="task-1",
        name="web",
        image=image(1),
        disk_path=DISK,
        netns_path="/run/netns/task-1",
        hostname="ip-10-0-0-1",
        args=("/web",),
        environment=(("PASSWORD", "hunter2"),),
        cgroup_path="/neargate-1a2b/task-1/web",
    )
    return replace(known, **fields)


def spec(made: ContainerConfig) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(container_blueprint(made, USER, FACTS).spec)
    return found


def test_a_container_is_in_the_guests_own_network() -> None:
    kinds = [item["type"] for item in spec(config())["linux"]["namespaces"]]
    assert sorted(kinds) == ["cgroup", "ipc", "mount", "pid", "uts"]


def test_its_cgroup_is_below_the_tasks_in_the_guest() -> None:
    made = container_blueprint(config(), USER, FACTS)
    assert json.loads(made.spec)["linux"]["cgroupsPath"] == "/task/web"
    assert made.host_cgroup == "/neargate-1a2b/task-1"


def test_what_lies_on_the_disk_is_found_there() -> None:
    mounts = (
        BindMount(source=f"{DISK}/etc/hosts", target="/etc/hosts"),
        BindMount(source=f"{DISK}/volumes/../volumes/0", target="/data"),
    )
    sources = {item["destination"]: item["source"] for item in spec(config(mounts=mounts))["mounts"]}
    assert (sources["/etc/hosts"], sources["/data"]) == ("/disk/etc/hosts", "/disk/volumes/0")


def test_what_the_host_holds_in_memory_is_given_as_a_file_of_the_guests_memory() -> None:
    secret = BindMount(source=f"{DISK}.memory/0-0", target="/secret", read_only=True, is_data=True)
    made = container_blueprint(config(mounts=(secret,)), USER, FACTS)
    [given] = made.given
    assert given.source == secret.source and given.place.startswith(places.GIVEN)
    [mount] = [item for item in json.loads(made.spec)["mounts"] if item["destination"] == "/secret"]
    assert mount["source"] == given.place and "ro" in mount["options"]


def test_no_path_of_the_host_gets_into_a_specification() -> None:
    """But those that a container itself sees are its own."""
    mounts = (
        BindMount(source=f"{DISK}/etc/hosts", target="/etc/hosts"),
        BindMount(source=f"{DISK}.memory/0-0", target="/secret"),
    )
    text = json.dumps(spec(config(mounts=mounts, init_process=True)))
    for word in ("/var/lib/neargate", "/run/netns", "neargate-1a2b", "containerd"):
        assert word not in text


@pytest.mark.parametrize("path", [f"{DISK}-2/x", f"{DISK}.memory/x", f"{DISK}/../task-2/x", "/etc/passwd"])
def test_what_is_beside_the_disk_is_not_on_it(path: str) -> None:
    assert places.on_disk(path, DISK) is None


def test_an_environment_shows_in_no_text_of_a_blueprint() -> None:
    assert "hunter2" not in repr(container_blueprint(config(), USER, FACTS))


def test_the_init_program_is_the_one_on_the_disk() -> None:
    made = spec(config(init_process=True))
    assert made["process"]["args"][-1] == "/web" and len(made["process"]["args"]) > 1
    [init] = [item for item in made["mounts"] if item["destination"] == made["process"]["args"][0]]
    assert init["source"] == "/disk/.programs/init"


def test_a_pause_container_holds_its_namespace_without_the_hosts_network() -> None:
    pause = PauseConfig(
        runtime_id="task-1-pause",
        task_id="task-1",
        netns_path="/run/netns/x",
        cgroup_path="/neargate-1a2b/task-1/~pause",
    )
    made = pause_blueprint(pause, FACTS)
    text = json.loads(made.spec)
    assert made.is_pause and made.host_cgroup == "/neargate-1a2b/task-1"
    assert text["linux"]["cgroupsPath"] == "/task/~pause"
    assert "network" not in [item["type"] for item in text["linux"]["namespaces"]]
    assert text["root"]["path"] == places.PAUSE_ROOT


def test_sharing_processes_names_the_guests_process() -> None:
    shared = sharing_processes(spec(config()), 77)["linux"]["namespaces"]
    assert [item for item in shared if item["type"] == "pid"] == [{"type": "pid", "path": "/proc/77/ns/pid"}]


def test_each_image_is_one_disk_whoever_uses_it() -> None:
    made = [
        container_blueprint(config(name=name, image=image(number)), USER, FACTS)
        for name, number in (("a", 2), ("b", 1), ("c", 2))
    ]
    assert [item.digest for item in images_of(made)] == [image(1).digest, image(2).digest]


def test_a_machine_has_its_disks_its_limits_and_its_address() -> None:
    steps = machine_steps(TaskSize(cpu_units=256, memory_mib=512, pids=100), 2, (b"address",))
    mounts = [(step.source, step.target, step.flags) for step in steps if isinstance(step, Mount)]
    images = [("serial:image-0", "/images/0", 1), ("serial:image-1", "/images/1", 1)]
    assert mounts == [("serial:disk", "/disk", 0), *images]
    files = [(step.path, step.content) for step in steps if isinstance(step, File)]
    assert ("/sys/fs/cgroup/task/memory.max", str(512 << 20).encode()) in files
    assert ("/sys/fs/cgroup/task/pids.max", b"100") in files
    made = steps.index(Directory(path="/sys/fs/cgroup/task"))
    assert all(made < steps.index(step) for step in steps if isinstance(step, File))


def test_a_root_is_an_image_below_and_a_layer_of_the_disk_above() -> None:
    made = container_blueprint(config(), USER, FACTS)
    [root] = [step for step in bundle_steps(made, 3) if isinstance(step, Mount)]
    assert root.target == "/run/containers/task-1-0000000001/rootfs" and root.kind == "overlay"
    assert root.data == "lowerdir=/images/3,upperdir=/disk/u-web,workdir=/disk/w-web"


@pytest.mark.parametrize(("units", "processors"), [(256, 1), (1024, 1), (2048, 2), (16384, 16)])
def test_a_machine_has_whole_processors(units: int, processors: int) -> None:
    assert guest_vcpus(TaskSize(cpu_units=units)) == processors


@pytest.mark.parametrize(("memory_mib", "kept_mib"), [(512, 4), (8192, 12), (122880, 48)])
def test_a_guests_kernel_keeps_little_from_its_task(memory_mib: int, kept_mib: int) -> None:
    steps = machine_steps(TaskSize(memory_mib=memory_mib), 1, ())
    written = {step.path: step.content for step in steps if isinstance(step, File)}
    assert 2 << 10 < int(written["/proc/sys/vm/min_free_kbytes"]) < kept_mib << 10
    assert set(written["/proc/sys/vm/lowmem_reserve_ratio"].split()) == {b"0"}


def test_a_task_may_have_all_of_its_memory() -> None:
    for memory_mib in (512, 4096, 122880):
        pages_mib = guest_memory_mib(TaskSize(memory_mib=memory_mib)) // 64  # 64 bytes for each page of 4 KiB
        assert guest_memory_mib(TaskSize(memory_mib=memory_mib)) - memory_mib - pages_mib >= 96
