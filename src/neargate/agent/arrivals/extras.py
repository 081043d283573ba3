"""What an order says of kernel parameters, restarts, events and files of a container, judged before it is believed.

A part of `messages.py`, whose rules hold: the sender may be anybody. Invariant: what passes is what the control plane
would let a definition say, so that no name of a kernel parameter comes from the wire alone.
"""

from collections.abc import Sequence

from ...definitions.awslogs_events import EXPRESSION_MAX
from ...definitions.containers_fargate import IGNORED_EXIT_CODES_MAX, RESTART_PERIOD_MAX_S, RESTART_PERIOD_MIN_S
from ...definitions.files import paths_problem
from ...definitions.rules import DOCUMENT_MAX_BYTES
from ...definitions.system_controls import check_system_controls
from ...model.errors import ClientError
from ...model.launch import ContainerLaunch

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
    if container.logs is not None and len(container.logs.event_start or "") > EXPRESSION_MAX:
        return "an expression for events is too long"
    return None


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
