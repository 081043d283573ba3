"""What a container may have where its task has a kernel of its own, and its account the operator's leave.

Pure. Owns which members these are and their rules; what happens without leave is Fargate's refusal
(`containers_fargate`). Must not know accounts or hosts. Invariant: a definition with any of these is placed on no host
whose kernel others have too, since `kernel_rights` is what placement, the agent and the sandbox all ask.
"""

import re
from collections.abc import Sequence

from ..model.errors import ClientError
from ..model.launch import Device, KernelRights
from ..model.own_kernel import DEVICES
from .capabilities import CAPABILITIES, CAPABILITIES_ADD
from .reading import Document, check_between, invalid_setting, is_absolute_path, members, structure, words
from .sizes import EPHEMERAL_MAX_GIB
from .system_controls import CONTROLS_MAX, check_system_controls

DEVICES_MAX = 16
CONTROL_VALUE_MAX = 512
SWAP_MAX_MIB = EPHEMERAL_MAX_GIB * 1024
_CONTROL = re.compile(r"[a-z][a-z0-9_-]{0,63}(\.[A-Za-z0-9_-]{1,64}){1,8}", re.ASCII)
_ACCESS = {"read": "r", "write": "w", "mknod": "m"}


def needs_own_kernel(definition: Document) -> bool:
    """Of a definition, stored or about to be."""
    return any(kernel_rights(container) is not None for container in definition["containerDefinitions"])


def kernel_rights(container: Document) -> KernelRights | None:
    """What of the container needs a kernel of the task's own; None: nothing does."""
    linux = structure(container, "linuxParameters")
    added = words(structure(linux, "capabilities"), "add")
    rights = KernelRights(
        privileged=bool(container.get("privileged")),
        capabilities=tuple(name for name in added if name not in CAPABILITIES_ADD),
        devices=tuple(_device(item) for item in members(linux, "devices")),
        controls=tuple(
            (item.get("namespace") or "", item.get("value") or "")
            for item in members(container, "systemControls")
            if not is_kept_apart(item)
        )
        + _swappiness(linux),
        max_swap_mib=linux.get("maxSwap"),
    )
    return None if rights == KernelRights() else rights


def is_kept_apart(control: Document) -> bool:
    """A kernel parameter that every task may set, since the kernel has it once for each."""
    try:
        check_system_controls("", [control])
    except ClientError:
        # Not a failure: this is how we learn which of the two kinds it is.
        return False
    return True


def check_added_capabilities(name: str, added: Sequence[str]) -> None:
    """Raises ClientError."""
    if not set(added) <= CAPABILITIES:
        raise invalid_setting(name, "linuxParameters.capabilities.add")


def check_devices(name: str, devices: Sequence[Document]) -> None:
    """Raises ClientError."""
    if len(devices) > DEVICES_MAX:
        raise invalid_setting(name, "linuxParameters.devices")
    seen: set[str] = set()
    for item in devices:
        path = item.get("hostPath") or ""
        if path not in DEVICES:
            raise ClientError(
                f"The device '{path}' of container '{name}' is not supported: the kernel of a task has "
                f"{' and '.join(sorted(DEVICES))}."
            )
        target = item.get("containerPath") or path
        if not is_absolute_path(target) or "\0" in target or target in seen:
            raise invalid_setting(name, "linuxParameters.devices.containerPath")
        seen.add(target)


def check_swap(name: str, linux: Document) -> None:
    """Raises ClientError."""
    check_between(name, "maxSwap", linux.get("maxSwap"), 0, SWAP_MAX_MIB)
    check_between(name, "swappiness", linux.get("swappiness"), 0, 100)


def check_controls(name: str, controls: Sequence[Document]) -> None:
    """Any of the kernel's parameters, since it is the task's own. Raises ClientError."""
    if len(controls) > CONTROLS_MAX:
        raise invalid_setting(name, "systemControls")
    for item in controls:
        if not is_control(item.get("namespace") or "", item.get("value") or ""):
            raise invalid_setting(name, "systemControls")


def is_control(name: str, value: str) -> bool:
    """Something that can be the name of a kernel parameter and its value. The name becomes a path in the guest."""
    return (
        _CONTROL.fullmatch(name) is not None
        and 0 < len(value) <= CONTROL_VALUE_MAX
        and all(character.isprintable() or character == "\t" for character in value)
    )


def _swappiness(linux: Document) -> tuple[tuple[str, str], ...]:
    """The guest's, which has one for all its containers. As on AWS it says nothing where no swap was asked for."""
    given = linux.get("swappiness")
    return () if given is None or linux.get("maxSwap") is None else (("vm.swappiness", str(given)),)


def _device(item: Document) -> Device:
    path = item.get("hostPath") or ""
    access = words(item, "permissions") or tuple(_ACCESS)
    return Device(
        kind=path,
        path=item.get("containerPath") or path,
        access="".join(letter for word, letter in _ACCESS.items() if word in access),
    )
