"""Members that several operations have: values, tags, times, what a list or description shows of a secret. Pure."""

from collections.abc import Mapping
from typing import Any

from ...authorize import Values, request_tags
from ...call import Params
from ...secrets.errors import SecretInvalid
from ...secrets.records import Opened, Secret
from ...services import Services

TAGS_MAX = 50
VALUE_MAX_BYTES = 65_536

Tags = tuple[tuple[str, str], ...]


def given_value(params: Params) -> Opened | None:
    """The request's value; None when it brings none. Raises SecretInvalid."""
    text, binary = params.get("SecretString"), params.get("SecretBinary")
    if text is not None and binary is not None:
        raise SecretInvalid(
            "You can't specify both a binary secret value and a string secret value in the same secret."
        )
    value = binary if text is None else text.encode()
    if value is None:
        return None
    if len(value) > VALUE_MAX_BYTES:
        raise SecretInvalid(f"The secret value has more than {VALUE_MAX_BYTES} bytes.")
    return Opened(secret=value, is_binary=text is None)


def given_tags(params: Params) -> Tags:
    """Raises SecretInvalid."""
    given: list[dict[str, str]] = params.get("Tags") or []
    tags = {tag.get("Key") or "": tag.get("Value") or "" for tag in given}
    for name in tags:
        if not name:
            raise SecretInvalid("A tag has no key.")
        if name.lower().startswith("aws:"):
            raise SecretInvalid("Tag keys that begin with aws: are reserved.")
    if len(tags) != len(given):
        raise SecretInvalid("A tag's key occurs twice.")
    if len(tags) > TAGS_MAX:
        raise SecretInvalid(f"A secret has at most {TAGS_MAX} tags.")
    return tuple(tags.items())


def tag_keys(tags: Tags) -> Mapping[str, Values]:
    """The condition keys of tags that a request brings."""
    return request_tags(dict(tags)) if tags else {}


def named_tags(secret: Secret) -> list[dict[str, str]]:
    return [{"Key": name, "Value": value} for name, value in secret.tags]


def described(services: Services, secret: Secret) -> dict[str, Any]:
    """What ListSecrets and DescribeSecret have in common; members without a value are left out."""
    found: dict[str, Any] = {
        "ARN": secret.arn,
        "Name": secret.name,
        "Description": secret.description or None,
        "KmsKeyId": secret.kms_key,
        "LastChangedDate": secret.changed,
        "LastAccessedDate": services.secrets.accessed(secret),
        "DeletedDate": secret.deletion,
        "Tags": named_tags(secret) or None,
        "CreatedDate": secret.created,
    }
    return {name: value for name, value in found.items() if value is not None}


def stages_by_version(secret: Secret) -> dict[str, list[str]]:
    return {one.id: list(one.stages) for one in secret.versions if one.stages}
