"""What an order says of kernel parameters, restarts, events and files of a container, judged before it is believed.

A part of `messages.py`, whose rules hold: the sender may be anybody. Invariant: what passes is what the control plane
would let a definition say, so that no name of a kernel parameter comes from the wire alone.
"""

from collections.abc import Sequence

from ...definitions.awslogs_events import EXPRESSION_MAX
from ...definitions.containers_fargate import IGNORED_EXIT_CODES_MAX, RESTART_PERIOD_MAX_S, RESTART_PERIOD_MIN_S
from ...definitions.files import paths_problem
from ...definitions.own_kernel import DEVICES_MAX, SWAP_MAX_MIB, is_control
from ...definitions.reading import is_absolute_path
from ...definitions.rules import DOCUMENT_MAX_BYTES
from ...definitions.system_controls import CONTROLS_MAX, check_system_controls
from ...model.errors import ClientError
from ...model.launch import ContainerLaunch, Device, KernelRights
from ...model.own_kernel import DEVICES

_ACCESS = frozenset("rwm")
_CODE_MAX = 1 << 31


def extras_problem(container: ContainerLaunch) -> str | None:
    """A sentence, or None when nothing of it is wrong."""
    if not _are_controls(container.ipc_controls, of_network=False):
        return "a kernel parameter is none of an IPC namespace"
    if not _are_controls(container.network_controls, of_network=True):
        return "a kernel parameter is none of a network namespace"
    policy = container.restart_policy
    if policy is not None:
        if not RESTART_PERIOD_MIN_S <= policy.attempt_period_s <= RESTART_PERIOD_MAX_S:
            return "a restart's period is out of bounds"
        codes = policy.ignored_exit_codes
        if len(codes) > IGNORED_EXIT_CODES_MAX or any(abs(code) >= _CODE_MAX for code in codes):
            return "a restart ignores too many exit codes, or one that is none"
    problem = _files_problem(container)
    if problem is not None:
        return problem
    if container.kernel is not None and (problem := _kernel_problem(container.kernel)) is not None:
        return problem
    if container.logs is not None and len(container.logs.event_start or "") > EXPRESSION_MAX:
        return "an expression for events is too long"
    return None


def _kernel_problem(rights: KernelRights) -> str | None:
    """Whether this host gives them at all is its engine's to say."""
    if len(rights.controls) > CONTROLS_MAX or not all(is_control(name, value) for name, value in rights.controls):
        return "a kernel parameter is none"
    if len(rights.devices) > DEVICES_MAX or not all(map(_is_device, rights.devices)):
        return "a device is none of a task's kernel"
    if not 0 <= (rights.max_swap_mib or 0) <= SWAP_MAX_MIB:
        return "swap is out of bounds"
    return None


def _is_device(device: Device) -> bool:
    is_path = is_absolute_path(device.path) and "\0" not in device.path
    return device.kind in DEVICES and is_path and bool(device.access) and set(device.access) <= _ACCESS


def _files_problem(container: ContainerLaunch) -> str | None:
    """Paths become mount points, and their number memory of this host."""
    in_files = [path for secret in container.secrets for path in secret.file_paths]
    problem = paths_problem([*(file.path for file in container.files), *in_files])
    if problem is not None:
        return f"of a container's files {problem}"
    if sum(len(file.text.encode(errors="replace")) for file in container.files) > DOCUMENT_MAX_BYTES:
        return "a container's files are larger than a definition"
    return None


def _are_controls(controls: Sequence[tuple[str, str]], *, of_network: bool) -> bool:
    if any(name.startswith("net.") is not of_network for name, _ in controls):
        return False
    try:
        check_system_controls("", [{"namespace": name, "value": value} for name, value in controls])
    except ClientError:
        return False
    return True
