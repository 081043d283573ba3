"""`requiresAttributes`: what an EC2 container instance would need. Fargate shows the list too; clients print it.

Owns the table of AWS's attribute names. Invariant: the names come out in a stable order without doubles.
"""

from .own_images import is_ecr_image
from .reading import Document, members, structure

_PREFIX = "com.amazonaws.ecs.capability."


def required_attributes(definition: Document) -> list[str]:
    """Names for a stored document."""
    names: list[str] = []
    for container in definition["containerDefinitions"]:
        names += _of_container(container, bool(definition.get("executionRoleArn")))
    if definition.get("taskRoleArn"):
        names.append(f"{_PREFIX}task-iam-role")
    names.append(f"{_PREFIX}docker-remote-api.1.18")
    if definition.get("networkMode") == "awsvpc":
        names.append("ecs.capability.task-eni")
    if definition.get("pidMode") or definition.get("ipcMode"):
        names.append("ecs.capability.pid-ipc-namespace-sharing")
    return list(dict.fromkeys(names))


def _of_container(container: Document, has_execution_role: bool) -> list[str]:
    names: list[str] = []
    driver = structure(container, "logConfiguration").get("logDriver")
    if driver:
        names.append(f"{_PREFIX}logging-driver.{driver}")
        if driver == "awslogs" and has_execution_role:
            names.append("ecs.capability.execution-role-awslogs")
        names.append(f"{_PREFIX}docker-remote-api.1.19")
    if is_ecr_image(container["image"]):
        names.append(f"{_PREFIX}ecr-auth")
        if has_execution_role:
            names.append("ecs.capability.execution-role-ecr-pull")
    names += (
        f"ecs.capability.secrets.{_store_of(secret)}.environment-variables" for secret in members(container, "secrets")
    )
    names += (
        f"ecs.capability.secrets.{_store_of(secret)}.bootstrap.log-driver"
        for secret in members(structure(container, "logConfiguration"), "secretOptions")
    )
    if container.get("repositoryCredentials"):
        names.append("ecs.capability.private-registry-authentication.secretsmanager")
    if container.get("healthCheck"):
        names += ["ecs.capability.container-health-check", f"{_PREFIX}docker-remote-api.1.24"]
    if members(container, "dependsOn"):
        names.append("ecs.capability.container-ordering")
    if members(structure(container, "linuxParameters"), "tmpfs"):
        names.append(f"{_PREFIX}docker-remote-api.1.22")
    if structure(container, "linuxParameters").get("initProcessEnabled"):
        names.append(f"{_PREFIX}docker-remote-api.1.25")
    if container.get("privileged"):
        names.append(f"{_PREFIX}privileged-container")
    return names


def _store_of(secret: Document) -> str:
    return "asm" if ":secretsmanager:" in secret["valueFrom"] else "ssm"
