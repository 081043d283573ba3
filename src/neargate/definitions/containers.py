"""Rules of one container definition that hold for every launch type.

Owns names, images, commands, variables, health checks, limits. Invariant: what passes can be written into an OCI
configuration as it is.
"""

import re

from ..model.errors import ClientError
from .reading import NAME, Document, check_between, invalid_setting, members, words
from .resources import check_container_resources
from .secrets import check_repository_credentials, check_secrets

IMAGE_MAX_CHARS = 255

_IMAGE = re.compile(r"\A[A-Za-z0-9._/:#@\-]+\Z")
_DIGEST = re.compile(r"\Asha256:[A-Fa-f0-9]{64}\Z")
_USER = re.compile(r"\A[A-Za-z0-9_][A-Za-z0-9_.\-]{0,254}(:[A-Za-z0-9_][A-Za-z0-9_.\-]{0,254})?\Z")
_ENVIRONMENT_NAME = re.compile(r"\A[^=\x00]{1,1024}\Z")
_LABEL = re.compile(r"\A[^\x00-\x1f]{1,1024}\Z")
_UNLIMITED = -1


def check_container(container: Document, task: Document) -> None:
    """Raises ClientException. `task` is the request the container is in."""
    _check_name(container)
    _check_image(container)
    check_container_resources(container, task)
    _check_process(container)
    for variable in members(container, "environment"):
        if not _ENVIRONMENT_NAME.match(variable.get("name") or ""):
            raise invalid_setting(container["name"], "environment")
    check_secrets(container, task)
    check_repository_credentials(container, task)
    for key in container.get("dockerLabels") or {}:
        if not _LABEL.match(key):
            raise invalid_setting(container["name"], "dockerLabels")
    _check_ulimits(container)
    _check_health_check(container)


def _check_name(container: Document) -> None:
    if not container.get("name"):
        raise ClientError("Container.name should not be null or empty.")
    if not NAME.match(container["name"]):
        raise ClientError("Container.name contains invalid characters.")


def _check_image(container: Document) -> None:
    image = container.get("image")
    if not image:
        raise ClientError("Container.image should not be null or empty.")
    repository, _, digest = image.partition("@")
    if not repository:
        raise ClientError("Container.image repository should not be null or empty.")
    if not _IMAGE.match(image) or ("@" in image and not _DIGEST.match(digest)):
        raise ClientError("Container.image contains invalid characters.")
    if len(repository) > IMAGE_MAX_CHARS:
        raise ClientError(f"Container.image repository should not be longer than {IMAGE_MAX_CHARS} characters.")


def _check_process(container: Document) -> None:
    name = container["name"]
    user = container.get("user")
    if user and not _USER.match(user):
        raise invalid_setting(name, "user")
    directory = container.get("workingDirectory")
    # The root is allowed here: it is where a process without a directory starts.
    if directory and (not directory.startswith("/") or len(directory) > 4096):
        raise invalid_setting(name, "workingDirectory")


def _check_ulimits(container: Document) -> None:
    seen: set[str] = set()
    for ulimit in members(container, "ulimits"):
        name, soft, hard = ulimit["name"], ulimit["softLimit"], ulimit["hardLimit"]
        if name in seen:
            raise ClientError(f"Duplicate ulimit {name}")
        seen.add(name)
        if soft < _UNLIMITED or hard < _UNLIMITED:
            raise invalid_setting(container["name"], "ulimits")
        if hard != _UNLIMITED and (soft == _UNLIMITED or soft > hard):
            raise ClientError(f"Soft limit exceeds hard limit for ulimit {name}")


def _check_health_check(container: Document) -> None:
    check = container.get("healthCheck")
    if check is None:
        return
    name = container["name"]
    command = words(check, "command")
    # A first word of no meaning is accepted by AWS too (its own templates say ["/healthcheck"]) and nothing is asked.
    if not command or (len(command) == 1 and command[0] in ("CMD", "CMD-SHELL")):
        raise invalid_setting(name, "healthCheck.command")
    check_between(name, "healthCheck.interval", check.get("interval"), 5, 300)
    check_between(name, "healthCheck.timeout", check.get("timeout"), 2, 60)
    check_between(name, "healthCheck.retries", check.get("retries"), 1, 10)
    check_between(name, "healthCheck.startPeriod", check.get("startPeriod"), 0, 300)
