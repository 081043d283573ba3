"""Which secret a request means, and whether its caller may do that with it and with its KMS key.

Nobody learns without leave whether a secret is there, nor its ARN's end: what is and what is not is refused under the
name that it was called by, in the same words.
"""

from collections.abc import Mapping

from ....model.errors import AccessDenied
from ...authorize import Resource, Tags, Values, authorize
from ...call import Call, Params
from ...keys import leave
from ...keys.errors import InvalidArn, InvalidCiphertext, InvalidState, KeyDisabled, NotFound
from ...keys.records import KmsKey
from ...secrets.errors import EncryptionFailed, InvalidRequest, MarkedDeleted, SecretNotFound
from ...secrets.records import Secret, context_of, secret_arn
from ...services import Services

SERVICE = "secretsmanager"
_NO_KMS = "Access to KMS is not allowed"


def secret_meant(
    call: Call,
    services: Services,
    named: str,
    context: Mapping[str, Values] | None = None,
    *,
    action: str | None = None,
    also_deleted: bool = False,
) -> Secret:
    """The secret, after leave for it. `action`: the operation's own unless given. `context`: condition keys.

    Raises AccessDenied, SecretNotFound, and MarkedDeleted unless `also_deleted`.
    """
    found = services.secrets.find(call.account, named)
    if found is None:
        ask_for_missing(call, services, named, context, action=action)
        raise SecretNotFound
    keys: dict[str, Values] = {"secretsmanager:SecretId": found.arn}
    resource = Resource(arn=found.arn, tags=dict(found.tags), keys=keys, shown=named)
    policy = services.secrets.policy(found)
    authorize(call, action or f"{SERVICE}:{call.operation}", [resource], context, resource_policy=policy)
    if found.deletion is not None and not also_deleted:
        raise MarkedDeleted
    return found


def ask_for_missing(
    call: Call, services: Services, named: str, context: Mapping[str, Values] | None, *, action: str | None = None
) -> None:
    owner, name = services.secrets.meant(call.account, named)
    arn = secret_arn(services.region, owner or call.account, name)
    resource = Resource(arn=arn, keys={"secretsmanager:SecretId": arn}, shown=named)
    authorize(call, action or f"{SERVICE}:{call.operation}", [resource], context)


def ask_for_new(call: Call, arn: str, name: str, params: Params, tags: Tags, given: Mapping[str, Values]) -> None:
    """For a secret that is to be made. `given`: the condition keys of the request's tags."""
    keys: dict[str, Values] = {"secretsmanager:Name": name}
    for member in ("Description", "KmsKeyId"):
        if params.get(member):
            keys[f"secretsmanager:{member}"] = params[member]
    authorize(call, "secretsmanager:CreateSecret", [Resource(arn=arn, keys=keys, shown=name)], given)
    if tags:
        authorize(call, "secretsmanager:TagResource", [Resource(arn=arn, shown=name)], given)


async def key_to_seal(call: Call, services: Services, secret: Secret, version_id: str) -> KmsKey:
    """The key under which the secret's values are kept, after leave for it. Raises AccessDenied, EncryptionFailed."""
    if secret.kms_key is None:
        _refuse_strangers(call, secret)
    actions, context = ("kms:GenerateDataKey", "kms:Decrypt"), context_of(secret.arn, version_id)
    try:
        return await leave.key_to_seal(call, services.keys, secret.account, secret.kms_key, SERVICE, actions, context)
    except (NotFound, InvalidArn, KeyDisabled, InvalidState):
        raise EncryptionFailed from None
    except AccessDenied:
        raise AccessDenied(_NO_KMS) from None


def ask_to_open(call: Call, services: Services, secret: Secret, version_id: str) -> None:
    """Leave for the key that the version's value is sealed under. What is wrong with the key is found on opening."""
    kept = services.secrets.kept_value(secret, version_id)
    try:
        key = None if kept is None else services.keys.key_of(kept.sealed)
    except InvalidCiphertext:
        key = None
    if key is None:
        return
    if key.service is not None:
        _refuse_strangers(call, secret)
    try:
        leave.ask_for_key(call, services.keys, key, "kms:Decrypt", context_of(secret.arn, version_id), via=SERVICE)
    except AccessDenied:
        raise AccessDenied(_NO_KMS) from None


def _refuse_strangers(call: Call, secret: Secret) -> None:
    if call.account != secret.account:
        raise InvalidRequest(
            "You can't access a secret from a different AWS account if you encrypt the secret with the default KMS "
            "service key."
        )
