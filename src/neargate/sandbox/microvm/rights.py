"""What a container with a kernel of its task's own has more than others, in the guest's specification. Pure.

As Docker gives it: `privileged` has every capability, no filter of system calls, nothing masked or read-only; added
capabilities bring the calls that are of no use without them. All of it is within the guest, whose owner is taken for an
enemy in any case: the wall is around the machine. Must not know accounts or hosts.
"""

import struct
from typing import Any

from ...model.launch import Device, KernelRights
from ...model.own_kernel import DEVICES
from ..oci_spec import DEFAULT_CAPABILITIES, capability_name, process_capabilities
from .plan import File

# Where a kernel looks for the program that loads a module which something asks for: none, until a task may have it.
_LOADER = "/proc/sys/kernel/modprobe"
_LOADS = b"/usr/sbin/modprobe"
_MODE = 0o666
# In the order of their numbers; the last is 40, of Linux 5.9.
_ALL = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
ALL_CAPABILITIES = tuple(f"CAP_{name}" for name in _ALL.split())
# Docker's: calls that a capability brings. `clone3` stays refused: programs fall back to `clone`.
_CALLS = {
    "CAP_BPF": ("bpf",),
    "CAP_DAC_READ_SEARCH": ("open_by_handle_at",),
    "CAP_PERFMON": ("perf_event_open",),
    "CAP_SYS_ADMIN": (
        *("bpf", "clone", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "lookup_dcookie", "mount"),
        *("mount_setattr", "move_mount", "open_tree", "perf_event_open", "pivot_root", "quotactl", "quotactl_fd"),
        *("setdomainname", "sethostname", "setns", "syslog", "umount", "umount2", "unshare"),
    ),
    "CAP_SYS_BOOT": ("reboot",),
    "CAP_SYS_MODULE": ("delete_module", "init_module", "finit_module"),
    "CAP_SYS_NICE": ("get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"),
    "CAP_SYS_PACCT": ("acct",),
    "CAP_SYS_PTRACE": ("kcmp", "pidfd_getfd", "process_madvise"),
    "CAP_SYS_RAWIO": ("iopl", "ioperm"),
    "CAP_SYS_TIME": ("settimeofday", "stime", "clock_settime", "clock_settime64"),
    "CAP_SYS_TTY_CONFIG": ("vhangup",),
    "CAP_SYSLOG": ("syslog",),
}
SWAP_PAGE = 4096
_SWAP_HEADER = struct.Struct("<1024xIII3050x10s")  # version, last page, bad pages; to the end of the first page
_SYSTEM = ("/sys", "/sys/fs/cgroup")


def steps(rights: KernelRights | None) -> tuple[File, ...]:
    """Before each start. Parameters are the whole guest's: of a name the last container to be started wins."""
    if rights is None:
        return ()
    controls = (
        File(path=f"/proc/sys/{name.replace('.', '/')}", content=value.encode(), mode=0o644)
        for name, value in rights.controls
    )
    return (File(path=_LOADER, content=_LOADS, mode=0o644), *controls)


def swap_header(mib: int) -> bytes:
    """The first page of a file of that size and a page (what mkswap writes)."""
    return _SWAP_HEADER.pack(1, (mib << 20) // SWAP_PAGE, 0, b"SWAPSPACE2")


def with_rights(
    spec: dict[str, Any], rights: KernelRights, added: tuple[str, ...], dropped: tuple[str, ...]
) -> dict[str, Any]:
    """`spec`: as of a container without. `added`, `dropped`: capabilities by the definition's names."""
    capabilities = ALL_CAPABILITIES if rights.privileged else capabilities_of(added, dropped)
    linux, process = spec["linux"], spec["process"]
    devices = (*_all_devices(rights), *rights.devices) if rights.privileged else rights.devices
    linux = {
        **linux,
        "devices": [_node(device) for device in devices],
        "resources": {
            **linux["resources"],
            **_swap(rights),
            "devices": _allowed(linux["resources"]["devices"], devices, rights),
        },
        "seccomp": _filter(linux["seccomp"], capabilities),
    }
    made = {
        **spec,
        "process": {**process, "capabilities": process_capabilities(capabilities, process["user"]["uid"])},
        "linux": linux,
    }
    return _opened(made) if rights.privileged else made


def capabilities_of(added: tuple[str, ...], dropped: tuple[str, ...]) -> tuple[str, ...]:
    """Docker's rule: ALL stands for all of them, and a name that is added wins over ALL that is dropped."""
    names = {capability_name(name) for name in added}
    gone = {capability_name(name) for name in dropped}
    base = ALL_CAPABILITIES if "CAP_ALL" in names else DEFAULT_CAPABILITIES
    kept = () if "CAP_ALL" in gone else base
    wanted = {*kept, *names} - (gone - {"CAP_ALL"})
    return tuple(name for name in ALL_CAPABILITIES if name in wanted)


def _swap(rights: KernelRights) -> dict[str, Any]:
    """Beside its memory, and not with it together as OCI's own member counts."""
    if rights.max_swap_mib is None:
        return {}
    return {"unified": {"memory.swap.max": str(rights.max_swap_mib << 20)}}


def _opened(spec: dict[str, Any]) -> dict[str, Any]:
    linux = {name: value for name, value in spec["linux"].items() if name != "seccomp"}
    mounts = [_writable(mount) if mount["destination"] in _SYSTEM else mount for mount in spec["mounts"]]
    return {**spec, "mounts": mounts, "linux": {**linux, "maskedPaths": [], "readonlyPaths": []}}


def _writable(mount: dict[str, Any]) -> dict[str, Any]:
    return {**mount, "options": [option for option in mount["options"] if option != "ro"]}


def _all_devices(rights: KernelRights) -> tuple[Device, ...]:
    """Of those that were not asked for by name, each at its own place."""
    taken = {device.path for device in rights.devices}
    return tuple(Device(kind=kind, path=kind) for kind in DEVICES if kind not in taken)


def _node(device: Device) -> dict[str, Any]:
    major, minor = DEVICES[device.kind]
    return {
        "path": device.path,
        "type": "c",
        "major": major,
        "minor": minor,
        "fileMode": _MODE,
        "uid": 0,
        "gid": 0,
    }


def _allowed(present: list[dict[str, Any]], devices: tuple[Device, ...], rights: KernelRights) -> list[dict[str, Any]]:
    if rights.privileged:
        return [{"allow": True, "access": "rwm"}]
    numbers = [(DEVICES[device.kind], device.access) for device in devices]
    added = [
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": access}
        for (major, minor), access in numbers
    ]
    return [*present, *added]


def _filter(seccomp: dict[str, Any], capabilities: tuple[str, ...]) -> dict[str, Any]:
    calls = list(dict.fromkeys(call for name in capabilities for call in _CALLS.get(name, ())))
    if not calls:
        return seccomp
    # One rule of a call without conditions beside one with: the first says all, and libseccomp may refuse the second.
    others = [rule for rule in seccomp["syscalls"] if not ("args" in rule and set(rule["names"]) <= set(calls))]
    return {**seccomp, "syscalls": [*others, {"names": calls, "action": "SCMP_ACT_ALLOW"}]}
