"""What Firecracker is told, and its jailer's command line: pure, specification in, calls of the API out.

Knows the API's paths and members, the jailer's options, and where files are inside a jail; starts nothing. Source:
firecracker.yaml, docs/jailer.md and docs/snapshotting of Firecracker. Invariant: no word of a specification gets into a
command or a path but numbers, checked serials and a checked MAC.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from . import qemu_command
from .confinement import ConfinedFile
from .firecracker_api import Call
from .qemu_command import all_disks
from .vmm import MachineRefused, MachineSpec

API_SOCKET, CHANNEL_SOCKET = "api.sock", "channel.sock"
SAVED_STATE, SAVED_MEMORY = "saved-state", "saved-memory"
GUEST_PORT = 52  # of vsock, where a guest's agent would listen
INTERFACE = "eth0"
_GUEST_CID = 3  # the first that is no one's; machines do not see each other's
_VCPUS_MAX = 32
_DEVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")


class JailedInterface(Struct, frozen=True, kw_only=True):
    """A tap that nobody holds open, of the machine's own user: Firecracker opens it by its name, in its namespace."""

    namespace: str
    name: str


class FirecrackerProgram(Struct, frozen=True, kw_only=True):
    """`identity`: changes with either file."""

    path: str
    jailer: str
    version: str
    identity: str


def check(spec: MachineSpec, interface: JailedInterface | None) -> None:
    """Raises MachineRefused."""
    qemu_command.check(spec)
    if spec.accelerator != "kvm":
        raise MachineRefused("Firecracker makes machines with KVM alone")
    if spec.vcpus > _VCPUS_MAX:
        raise MachineRefused(f"{spec.vcpus} processors are more than the {_VCPUS_MAX} that Firecracker gives")
    if not spec.for_snapshot and not all(disk.path for disk in all_disks(spec)):
        raise MachineRefused("a disk without a file is for machines that are saved")
    if spec.mac is not None and interface is None:
        raise MachineRefused("a machine with an address has a tap by its name, and there is none")
    if interface is not None and not _DEVICE_NAME.fullmatch(interface.name):
        raise MachineRefused(f"{interface.name!r} is no name of an interface")


def jail_root(place: Path, program: FirecrackerProgram, machine_id: str) -> Path:
    """As the jailer makes it, below the machine's directory."""
    return place / "jail" / Path(program.path).name / machine_id / "root"


def jailer(
    program: FirecrackerProgram,
    spec: MachineSpec,
    *,
    uid: int,
    place: Path,
    interface: JailedInterface | None,
    written_bytes: int,
) -> tuple[str, ...]:
    """The process is in its cgroup and in namespaces of its own before: none is left for the jailer to make.

    With version 2 and no `--cgroup` the jailer changes no cgroup. Without `--daemonize` and `--new-pid-ns` its process
    becomes Firecracker's, and keeps its number.
    """
    words = [program.jailer, "--id", spec.machine_id, "--exec-file", program.path]
    words += ["--uid", str(uid), "--gid", str(uid), "--cgroup-version", "2"]
    words += ["--chroot-base-dir", str(place / "jail")]
    if interface is not None:
        words += ["--netns", interface.namespace]
    words += ["--resource-limit", f"fsize={written_bytes}", "--resource-limit", "no-file=512"]
    return (*words, "--", "--api-sock", f"/{API_SOCKET}")


def files(spec: MachineSpec, disks: Sequence[str], snapshot: str | None) -> tuple[ConfinedFile, ...]:
    """What is put into the jail. `disks`: of all of them, placeholders for those that have no file."""
    found = [
        ConfinedFile(source=spec.kernel, target="/kernel"),
        ConfinedFile(source=spec.initramfs, target="/initramfs"),
    ]
    for number, (disk, path) in enumerate(zip(all_disks(spec), disks, strict=True)):
        found.append(ConfinedFile(source=path, target=f"/disks/{number}", is_writable=not disk.read_only))
    if snapshot is not None:
        found.append(ConfinedFile(source=f"{snapshot}/memory", target="/memory"))
        found.append(ConfinedFile(source=f"{snapshot}/state", target="/state"))
    return tuple(found)


def boot_calls(spec: MachineSpec, interface: JailedInterface | None) -> tuple[Call, ...]:
    """In order; the last one starts it."""
    sizes = {"vcpu_count": spec.vcpus, "mem_size_mib": spec.memory_mib, "smt": False, "track_dirty_pages": False}
    source = {"kernel_image_path": "/kernel", "initrd_path": "/initramfs", "boot_args": _kernel_words(spec)}
    calls = [_put("/machine-config", sizes), _put("/boot-source", source)]
    for number, disk in enumerate(all_disks(spec)):
        drive = {
            "drive_id": drive_id(disk.serial),
            "path_on_host": f"/disks/{number}",
            "is_root_device": False,
            "is_read_only": disk.read_only,
        }
        calls.append(_put(f"/drives/{drive_id(disk.serial)}", drive))
    if interface is not None and spec.mac is not None:
        device = {"iface_id": INTERFACE, "host_dev_name": interface.name, "guest_mac": spec.mac}
        calls.append(_put(f"/network-interfaces/{INTERFACE}", device))
    calls.append(_put("/vsock", {"guest_cid": _GUEST_CID, "uds_path": f"/{CHANNEL_SOCKET}"}))
    calls.append(_put("/entropy", {}))
    return (*calls, _put("/actions", {"action_type": "InstanceStart"}))


def restore_calls(spec: MachineSpec, interface: JailedInterface | None) -> tuple[Call, ...]:
    """In order; the last one lets it go on. Each disk is opened again: the saved machine had placeholders."""
    load: dict[str, object] = {
        "snapshot_path": "/state",
        "mem_backend": {"backend_type": "File", "backend_path": "/memory"},
        "resume_vm": False,
    }
    if interface is not None:
        load["network_overrides"] = [{"iface_id": INTERFACE, "host_dev_name": interface.name}]
    drives = []
    for number, disk in enumerate(all_disks(spec)):
        body = {"drive_id": drive_id(disk.serial), "path_on_host": f"/disks/{number}"}
        drives.append(Call(method="PATCH", path=f"/drives/{drive_id(disk.serial)}", body=body))
    return (_put("/snapshot/load", load), *drives, state_call("Resumed"))


def save_call() -> Call:
    """Of a machine that stands still."""
    paths = {"snapshot_path": f"/{SAVED_STATE}", "mem_file_path": f"/{SAVED_MEMORY}"}
    return _put("/snapshot/create", {"snapshot_type": "Full", **paths})


def state_call(state: str) -> Call:
    """`Paused` or `Resumed`."""
    return Call(method="PATCH", path="/vm", body={"state": state})


def drive_id(serial: str) -> str:
    """Letters, digits and underscores alone; no two serials give one."""
    return serial.replace("-", "_")


def key(spec: MachineSpec, program: FirecrackerProgram, contents: tuple[str, ...]) -> str:
    """`contents`: digests of kernel, initramfs and tools."""
    kinds = "".join("r" if disk.read_only else "w" for disk in all_disks(spec))
    told = ("firecracker", program.version, program.identity, spec.vcpus, spec.memory_mib, kinds, spec.mac is not None)
    return sha256(repr((told, contents)).encode()).hexdigest()


def _put(path: str, body: Mapping[str, object]) -> Call:
    return Call(method="PUT", path=path, body=body)


def _kernel_words(spec: MachineSpec) -> str:
    words = ["console=ttyS0", "quiet", "reboot=k", "panic=-1", f"nr_cpus={spec.vcpus}", "nowatchdog", "audit=0"]
    return " ".join(words)
