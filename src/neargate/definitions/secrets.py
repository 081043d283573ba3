"""`secrets` and `repositoryCredentials` of a container definition: their rules, and what a `valueFrom` names.

Owns the forms of a reference, in AWS's words. Must not know values: what a definition names is looked up when a task
starts, as on AWS. Invariant: a reference that passes is asked for by its own words and nothing else.
"""

import re
from collections.abc import Collection, Sequence

from msgspec import Struct

from ..model.arn import Arn
from ..model.errors import ClientError
from ..model.launch import InjectedSecret
from .reading import Document, invalid_setting, members, structure

VALUE_FROM_MAX_CHARS = 2048

_PARAMETER_NAME = re.compile(r"\A[a-zA-Z0-9_.,/-]{1,2048}\Z")
_PARAMETER_RESOURCE = re.compile(r"\Aparameter/[a-zA-Z0-9_.,/:-]{1,2048}\Z")
_SECRET_RESOURCE = re.compile(r"\Asecret:[A-Za-z0-9/_+=.@!-]{1,512}\Z")
_VARIABLE_NAME = re.compile(r"\A[^=\x00]{1,1024}\Z")
_ARN_PARTS = 7  # arn:partition:secretsmanager:region:account:secret:name


class ParameterSource(Struct, frozen=True, kw_only=True):
    """A parameter of SSM by its name, or by its ARN."""

    name: str


class SecretSource(Struct, frozen=True, kw_only=True):
    """A secret of Secrets Manager; of its JSON only `json_key` if that is not empty."""

    arn: str
    json_key: str = ""
    version_stage: str = ""
    version_id: str = ""


def parse_value_from(text: str) -> ParameterSource | SecretSource | None:
    """None: an ARN of Secrets Manager in a form that names no secret."""
    parts = text.split(":")
    if parts[0] != "arn" or parts[2:3] != ["secretsmanager"]:
        return ParameterSource(name=text)
    arn, selectors = ":".join(parts[:_ARN_PARTS]), parts[_ARN_PARTS:]
    parsed = Arn.parse(arn)
    if parsed is None or not _SECRET_RESOURCE.match(parsed.resource) or len(selectors) not in (0, 3):
        return None
    json_key, version_stage, version_id = selectors or ("", "", "")
    return SecretSource(arn=arn, json_key=json_key, version_stage=version_stage, version_id=version_id)


def check_secrets(container: Document, task: Document) -> None:
    """Raises ClientException."""
    given = members(container, "secrets")
    if not given:
        return
    taken = {variable.get("name") for variable in members(container, "environment")}
    for secret in given:
        name, value_from = secret.get("name") or "", secret.get("valueFrom") or ""
        if not _VARIABLE_NAME.match(name):
            raise invalid_setting(container["name"], "secrets")
        check_unshared(name, taken)
        taken.add(name)
        check_value_from(name, value_from)
    if not task.get("executionRoleArn"):
        raise ClientError(
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."
        )


def check_unshared(name: str, taken: Collection[str | None]) -> None:
    """A secret's name and those of the container's other variables. Raises ClientException."""
    if name in taken:
        raise ClientError(
            "The secret name must be unique and not shared with any new or existing environment variables set on the "
            f"container, such as '{name}'."
        )


def check_repository_credentials(container: Document, task: Document) -> None:
    """Raises ClientException."""
    given = structure(container, "repositoryCredentials")
    if not given:
        return
    source = parse_value_from(given.get("credentialsParameter") or "")
    is_whole_secret = isinstance(source, SecretSource) and source == SecretSource(arn=source.arn)
    if not is_whole_secret:
        raise invalid_setting(container["name"], "repositoryCredentials.credentialsParameter")
    if not task.get("executionRoleArn"):
        raise ClientError(
            "When you are specifying repositoryCredentials, you must also specify a value for 'executionRoleArn'."
        )


def injected_secrets(given: Sequence[Document]) -> tuple[InjectedSecret, ...]:
    """What a launch carries: names and references, never a value."""
    return tuple(InjectedSecret(name=item["name"], value_from=item["valueFrom"]) for item in given)


def check_value_from(name: str, value_from: str) -> None:
    """Raises ClientException. Whether a secret's ARN is well-formed AWS finds out when a task starts."""
    if value_from.startswith("arn:aws:secretsmanager:") and len(value_from) <= VALUE_FROM_MAX_CHARS:
        return
    arn = Arn.parse(value_from)
    is_parameter = arn is not None and arn.service == "ssm" and _PARAMETER_RESOURCE.match(arn.resource)
    if not is_parameter and not _PARAMETER_NAME.match(value_from):
        raise ClientError(
            f"The Systems Manager parameter name specified for secret {name} is invalid. The parameter name can be up "
            "to 2048 characters and include the following letters and symbols: a-zA-Z0-9_.-,"
        )
