"""What a task may do with a kernel of its own, in real guests, emulated: nothing unasked, all of it when asked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neargate.interfaces.sandbox import BindMount, SandboxError
from neargate.model.launch import Device, KernelRights
from neargate.testing.machine_rig import MachineRig, guest_is_built
from neargate.testing.oci_image import build_image, busybox_layer

from .test_sandbox_microvm import NO_IMAGE, inside

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not guest_is_built(), reason="no guest was built: make guest"),
]
ALL_CAPABILITIES = f"{(1 << 41) - 1:016x}"
OVERLAY = (
    "mkdir -p /data/l /data/u /data/w /data/m && "
    "mount -t overlay -o lowerdir=/data/l,upperdir=/data/u,workdir=/data/w overlay /data/m"
)


@pytest.fixture(scope="module")
def rig() -> Iterator[MachineRig]:
    made = MachineRig()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def reference(rig: MachineRig) -> str:
    return rig.containers.push("busybox", build_image([busybox_layer()]))


def volume(rig: MachineRig, task_id: str) -> BindMount:
    place = Path(rig.config(NO_IMAGE, task_id=task_id).disk_path) / "volumes"
    place.mkdir(exist_ok=True)
    return BindMount(source=str(place), target="/data")


def said(rig: MachineRig, reference: str, task_id: str, *script: str, **fields: Any) -> list[str]:
    mounts = (volume(rig, task_id),)
    return inside(rig, reference, "; ".join(script), task_id=task_id, mounts=mounts, **fields).splitlines()


def test_elasticsearch_finds_the_map_count_that_it_asks_for(rig: MachineRig, reference: str) -> None:
    """Its bootstrap check reads this file, as a user who may not change it."""
    found = said(
        rig,
        reference,
        "task-maps",
        "cat /proc/sys/vm/max_map_count",
        "(echo 1 > /proc/sys/vm/max_map_count) 2>/dev/null || echo kept",
        user="1000",
        kernel=KernelRights(controls=(("vm.max_map_count", "262144"),)),
    )
    assert found == ["262144", "kept"]


def test_a_privileged_container_has_its_guest_to_itself(rig: MachineRig, reference: str) -> None:
    found = said(
        rig,
        reference,
        "task-privileged",
        "grep CapEff /proc/self/status | cut -f2",
        f"{OVERLAY} && echo layered > /data/m/file && cat /data/u/file",
        "tunctl -t tun7 >/dev/null && cat /sys/class/net/tun7/tun_flags",
        "(: <> /dev/fuse) && echo fuse",
        "ip link add br7 type bridge && ip link add v7 type veth peer name v8",
        "ip link set v7 master br7 && echo bridged",
        "mkdir /sys/fs/cgroup/inner && echo $$ > /sys/fs/cgroup/inner/cgroup.procs && cat /proc/self/cgroup",
        "echo 300000 > /proc/sys/vm/max_map_count && cat /proc/sys/vm/max_map_count",
        "unshare -m -p -f sh -c 'echo $$'",
        kernel=KernelRights(privileged=True),
    )
    assert found == [ALL_CAPABILITIES, "layered", "0x1802", "fuse", "bridged", "0::/inner", "300000", "1"]


def test_a_tunnel_needs_no_more_than_its_device_and_one_capability(rig: MachineRig, reference: str) -> None:
    found = said(
        rig,
        reference,
        "task-tunnel",
        "tunctl -t tun7 >/dev/null && ip addr add 10.9.0.1/24 dev tun7 && ip link set tun7 up && echo up",
        f"({OVERLAY}) 2>/dev/null || echo not mounted",
        "test -c /dev/fuse || echo no fuse",
        kernel=KernelRights(capabilities=("NET_ADMIN",), devices=(Device(kind="/dev/net/tun", path="/dev/net/tun"),)),
        capabilities_add=("NET_ADMIN",),
    )
    assert found == ["up", "not mounted", "no fuse"]


def test_memory_that_does_not_fit_goes_to_the_tasks_disk(rig: MachineRig, reference: str) -> None:
    found = said(
        rig,
        reference,
        "task-swap",
        "grep -c /disk/.swap-main /proc/swaps",
        "cat /sys/fs/cgroup/memory.swap.max /proc/sys/vm/swappiness",
        "dd if=/dev/zero of=/dev/null bs=24M count=1 2>/dev/null && echo fits",
        kernel=KernelRights(max_swap_mib=24, controls=(("vm.swappiness", "70"),)),
        memory_limit_bytes=16 << 20,
    )
    assert found == ["1", str(24 << 20), "70", "fits"]


def test_a_container_that_asks_for_nothing_gets_nothing(rig: MachineRig, reference: str) -> None:
    found = said(
        rig,
        reference,
        "task-plain",
        f"({OVERLAY}) 2>/dev/null || echo not mounted",
        "mknod /tun c 10 200 && ((: <> /tun) 2>/dev/null || echo no tun)",
        "cat /proc/sys/kernel/modprobe",
        "grep CapEff /proc/self/status | cut -f2",
    )
    assert found == ["not mounted", "no tun", "/sbin/modprobe", "00000000a80425fb"]


def test_a_parameter_that_its_kernel_does_not_have_is_told_of(rig: MachineRig, reference: str) -> None:
    rights = KernelRights(controls=(("vm.no_such_thing", "1"),))
    with pytest.raises(SandboxError, match=r"/proc/sys/vm/no_such_thing"):
        inside(rig, reference, "true", task_id="task-missing", kernel=rights)
