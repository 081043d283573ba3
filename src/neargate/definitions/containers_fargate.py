"""Rules of one container definition on Fargate: what Fargate forbids, and what Neargate does not have yet.

Owns AWS's words for each. Invariant: a member that passes has an effect in the sandbox; `launch` carries it there.
"""

import re

from ..model.errors import ClientError
from .awslogs import check_awslogs
from .capabilities import CAPABILITIES, CAPABILITIES_ADD
from .own_images import is_ecr_image
from .own_kernel import check_added_capabilities, check_controls, check_devices, check_swap
from .reading import Document, check_between, invalid_setting, members, not_yet, structure, words
from .splunk import check_splunk
from .system_controls import check_system_controls
from .volumes import check_tmpfs

TIMEOUT_MIN_S = 2
TIMEOUT_MAX_S = 120
RESTART_PERIOD_MIN_S = 60
RESTART_PERIOD_MAX_S = 1800
IGNORED_EXIT_CODES_MAX = 50

# Member -> AWS's words. Empty lists and null count as absent.
FORBIDDEN: dict[str, str] = {
    "links": "Links are not supported when networkMode=awsvpc.",
    "hostname": "hostname is not supported on container when networkMode=awsvpc.",
    "disableNetworking": "Disable Networking is not supported on container when networkMode=awsvpc.",
    "dnsServers": "DNS servers are not supported on container when networkMode=awsvpc.",
    "dnsSearchDomains": "DNS search domains are not supported on container when networkMode=awsvpc.",
    "extraHosts": "Extra hosts are not supported on container when networkMode=awsvpc.",
    "privileged": "Fargate requires that the 'privileged' setting be 'false'",
    "dockerSecurityOptions": "Fargate compatible task definitions do not support dockerSecurityOptions",
    "credentialSpecs": "Fargate compatible task definitions do not support credentialSpecs",
}
# Of these, what a container may have in a kernel of its own, where its account has the operator's leave.
WITH_OWN_KERNEL = frozenset({"privileged", "devices", "maxSwap", "swappiness"})
FORBIDDEN_LINUX = ("devices", "sharedMemorySize", "maxSwap", "swappiness")
# What AWS accepts on Fargate and Neargate refuses until it has it.
NOT_YET = ("environmentFiles",)

_PORT_NAME = re.compile(r"\A[a-zA-Z0-9_][a-zA-Z0-9_-]{0,63}\Z")


def check_fargate_container(container: Document, task: Document, *, own_kernel: bool = False) -> None:
    """Raises ClientException. The container passed the rules of every launch type.

    `own_kernel`: it may have what only a kernel of its task's own can give.
    """
    for member, text in FORBIDDEN.items():
        if container.get(member) and not (own_kernel and member in WITH_OWN_KERNEL):
            raise ClientError(text)
    for requirement in members(container, "resourceRequirements"):
        raise ClientError(
            f"Tasks using the Fargate launch type do not support {requirement.get('type')} resource requirements."
        )
    if container.get("firelensConfiguration"):
        raise not_yet("firelensConfiguration")
    for member in NOT_YET:
        if container.get(member):
            raise not_yet(member)
    name = container["name"]
    check_between(name, "startTimeout", container.get("startTimeout"), TIMEOUT_MIN_S, TIMEOUT_MAX_S)
    check_between(name, "stopTimeout", container.get("stopTimeout"), TIMEOUT_MIN_S, TIMEOUT_MAX_S)
    _check_linux(name, structure(container, "linuxParameters"), own_kernel=own_kernel)
    _check_restarts(name, structure(container, "restartPolicy"))
    (check_controls if own_kernel else check_system_controls)(name, members(container, "systemControls"))
    for mapping in members(container, "portMappings"):
        _check_port(name, mapping)
    _check_logs(container, task)
    if is_ecr_image(container["image"]) and not task.get("executionRoleArn"):
        raise ClientError("Fargate requires task definition to have execution role ARN to support ECR images.")


def _check_linux(name: str, linux: Document, *, own_kernel: bool) -> None:
    for member in FORBIDDEN_LINUX:
        if own_kernel and member in WITH_OWN_KERNEL:
            continue
        value = linux.get(member)
        # Zero is a setting (swappiness 0); an empty list of devices is none.
        if value is not None and value != []:
            raise ClientError(f"Fargate compatible task definitions do not support {member}")
    capabilities = structure(linux, "capabilities")
    added = words(capabilities, "add")
    if own_kernel:
        check_added_capabilities(name, added)
        check_devices(name, members(linux, "devices"))
        check_swap(name, linux)
    for capability in added:
        if not own_kernel and capability not in CAPABILITIES_ADD:
            raise ClientError(f"{capability} is not allowed on Fargate.")
    for capability in words(capabilities, "drop"):
        if capability not in CAPABILITIES:
            raise invalid_setting(name, "linuxParameters.capabilities.drop")
    for tmpfs in members(linux, "tmpfs"):
        check_tmpfs(name, tmpfs)


def _check_restarts(name: str, policy: Document) -> None:
    period = policy.get("restartAttemptPeriod")
    check_between(name, "restartAttemptPeriod", period, RESTART_PERIOD_MIN_S, RESTART_PERIOD_MAX_S)
    if len(policy.get("ignoredExitCodes") or ()) > IGNORED_EXIT_CODES_MAX:
        raise invalid_setting(name, "restartPolicy.ignoredExitCodes")


def _check_port(name: str, mapping: Document) -> None:
    if mapping.get("containerPortRange"):
        raise not_yet("containerPortRange")
    port = mapping.get("containerPort")
    if port is None or not 1 <= port <= 65535:
        raise invalid_setting(name, "containerPort")
    if mapping.get("hostPort") not in (None, port):
        raise ClientError("When networkMode=awsvpc, the host ports and container ports in port mappings must match.")
    if mapping.get("name") and not _PORT_NAME.match(mapping["name"]):
        raise invalid_setting(name, "portMappings.name")
    if mapping.get("appProtocol") and mapping.get("protocol") == "udp":
        raise invalid_setting(name, "portMappings.appProtocol")


def _check_logs(container: Document, task: Document) -> None:
    configuration = container.get("logConfiguration")
    if not configuration:
        return
    driver = configuration["logDriver"]
    if driver == "splunk":
        check_splunk(container["name"], configuration, task)
        return
    if driver == "awsfirelens":
        raise not_yet(f"log driver {driver}")
    if driver != "awslogs":
        raise ClientError(f"Fargate compatible task definitions do not support log driver {driver}")
    if configuration.get("secretOptions"):
        raise not_yet("secretOptions of log driver awslogs")
    check_awslogs(container["name"], configuration.get("options") or {})
    if not task.get("executionRoleArn"):
        raise ClientError("Fargate requires task definition to have execution role ARN to support log driver awslogs.")
