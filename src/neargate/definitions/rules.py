"""Whether RegisterTaskDefinition accepts a request, and with which words it refuses.

Owns the order of the checks; each topic has its own module. Knows no account state: what a definition names (roles,
images, log groups) is looked up when a task starts, as on AWS. Invariant: AWS reports one problem at a time, and so
does this: the first one found is raised.
"""

import re

from ..model.arn import Arn
from ..model.errors import ClientError
from .containers import check_container
from .containers_fargate import check_fargate_container
from .dependencies import check_dependencies
from .own_kernel import needs_own_kernel
from .reading import NAME, Document, has_null_character, members, not_yet, structure, words
from .resources import check_container_sums, check_fargate_size, check_task_size
from .volumes import check_ephemeral_storage, check_fargate_volumes, check_volumes

CONTAINERS_MAX = 10
DOCUMENT_MAX_BYTES = 65536

_ROLE_NAME = re.compile(r"\A[\w+=,.@-]{1,64}\Z", re.ASCII)
_ROLE_PATH = re.compile(r"\Arole/([\w+=,.@/-]{1,512}/)?[\w+=,.@-]{1,64}\Z", re.ASCII)

FARGATE = "FARGATE"


def check_definition(request: Document, *, account: str, own_kernel: bool = False) -> None:
    """Raises ClientException. `request` is RegisterTaskDefinition's, its shape already checked, tags apart.

    `own_kernel`: the account's tasks may have what only a kernel of their own can give.
    """
    if has_null_character(request):
        raise ClientError("The task definition contains a null character.")
    _check_names(request)
    for role in ("taskRoleArn", "executionRoleArn"):
        check_role(request.get(role), account)
    if request.get("inferenceAccelerators"):
        raise ClientError("Unsupported field 'inferenceAccelerators'.")
    check_task_size(request)
    check_volumes(request)
    for container in request["containerDefinitions"]:
        check_container(container, request)
    check_dependencies(request["containerDefinitions"])
    check_container_sums(request)
    if FARGATE in words(request, "requiresCompatibilities"):
        check_fargate(request, own_kernel=own_kernel)
    elif request.get("ephemeralStorage"):
        raise ClientError("Tasks using the EC2 launch type do not support EphemeralStorage.")


def check_fargate(request: Document, *, own_kernel: bool = False) -> None:
    """Raises ClientException when the definition cannot run on Fargate. Assumes the checks of every launch type."""
    if request.get("networkMode") != "awsvpc":
        raise ClientError("Fargate only supports network mode ‘awsvpc’.")
    check_fargate_size(request)
    _check_fargate_task(request)
    _check_platform(structure(request, "runtimePlatform"))
    check_ephemeral_storage(request)
    check_fargate_volumes(request)
    for container in request["containerDefinitions"]:
        check_fargate_container(container, request, own_kernel=own_kernel)
    _check_ports_of_task(request)


def compatibilities(request: Document, *, own_kernel: bool = False) -> list[str]:
    """What the definition could run on, as AWS lists it. `request` passed `check_definition`, with the same leave."""
    wanted = words(request, "requiresCompatibilities")
    found = ["EC2"]
    try:
        check_fargate(request, own_kernel=own_kernel)
    except ClientError:
        # Not a failure: a definition for EC2 is stored as data, and this is how we learn that Fargate cannot run it.
        pass
    else:
        found.append(FARGATE)
    return found + [name for name in ("EXTERNAL", "MANAGED_INSTANCES") if name in wanted]


def check_leave(definition: Document, *, own_kernel: bool) -> None:
    """Raises ClientException for a stored definition that the account's tasks have no leave for (any more)."""
    if not own_kernel and needs_own_kernel(definition):
        check_fargate(definition)


def check_role(role: str | None, account: str) -> None:
    """A role's ARN of this account, or its bare name. What it grants is asked when a task needs it."""
    if not role:
        return
    if _ROLE_NAME.match(role):
        return
    arn = Arn.parse(role)
    is_role = arn is not None and (arn.partition, arn.service, arn.region) == ("aws", "iam", "")
    if arn is None or not is_role or not _ROLE_PATH.match(arn.resource):
        raise ClientError("Role is not valid")
    if arn.account != account:
        raise ClientError("Cross-account pass role is not allowed.")


def role_arn(role: str, account: str) -> str:
    """The full form of a role that passed `check_role`."""
    return role if role.startswith("arn:") else f"arn:aws:iam::{account}:role/{role}"


def check_size(encoded: bytes) -> None:
    """`encoded` is the document as it would be stored."""
    if len(encoded) > DOCUMENT_MAX_BYTES:
        raise ClientError(f"Actual length: '{len(encoded)}'. Max allowed length is '{DOCUMENT_MAX_BYTES}' bytes.")


def _check_names(request: Document) -> None:
    if not request["family"]:
        raise ClientError("Family should not be null or blank.")
    if not NAME.match(request["family"]):
        raise ClientError("Family contains invalid characters.")
    containers = request["containerDefinitions"]
    if not containers:
        raise ClientError("Container list cannot be empty.")
    if len(containers) > CONTAINERS_MAX:
        raise ClientError("Too many containers.")
    names = [container.get("name") for container in containers]
    if len(set(names)) != len(names):
        raise ClientError("Container names must be unique within a task definition.")
    if all(container.get("essential") is False for container in containers):
        raise ClientError("Task definition doesn't have any essential container.")


def _check_fargate_task(request: Document) -> None:
    if request.get("pidMode") not in (None, "task"):
        raise ClientError(
            f"Tasks using the Fargate launch type do not support pidMode '{request['pidMode']}'. "
            "The supported value for pidMode is 'task'."
        )
    if request.get("ipcMode"):
        raise ClientError("Tasks using the Fargate launch type do not support ipcMode.")
    if request.get("placementConstraints"):
        raise ClientError("Fargate does not support task placement constraints.")
    if request.get("trustedExecutionConfiguration"):
        raise ClientError("Fargate compatible task definitions do not support trustedExecutionConfiguration")
    if request.get("proxyConfiguration"):
        raise not_yet("proxyConfiguration")
    if request.get("enableFaultInjection"):
        raise not_yet("enableFaultInjection")


def _check_platform(platform: Document) -> None:
    family = platform.get("operatingSystemFamily") or "LINUX"
    architecture = platform.get("cpuArchitecture") or "X86_64"
    if family != "LINUX":
        raise ClientError(f"The operating system family {family} is not supported: no host of this region runs it.")
    if architecture != "X86_64":
        raise ClientError(f"The CPU architecture {architecture} is not supported: no host of this region has it.")


def _check_ports_of_task(request: Document) -> None:
    """Containers of a task share one network interface: a port can be given once, and so can a mapping's name."""
    taken: set[tuple[int, str]] = set()
    named: set[str] = set()
    for container in request["containerDefinitions"]:
        for mapping in members(container, "portMappings"):
            port = (mapping["containerPort"], mapping.get("protocol") or "tcp")
            if port in taken:
                raise ClientError("container port is used multiple times in task")
            taken.add(port)
            name = mapping.get("name")
            if name in named:
                raise ClientError("port mapping name is already used")
            if name:
                named.add(name)
