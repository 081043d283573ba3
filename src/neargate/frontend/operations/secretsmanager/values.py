"""GetSecretValue, BatchGetSecretValue, PutSecretValue, ListSecretVersionIds, UpdateSecretVersionStage."""

from typing import Any

from msgspec.structs import replace

from ....model.errors import AwsError
from ....model.ids import uuid4
from ...authorize import Values, authorize
from ...call import Answer, Call, Params
from ...next_token import page
from ...secrets.errors import InvalidNextToken, InvalidRequest, SecretInvalid, SecretNotFound
from ...secrets.records import CURRENT, Secret, Version
from ...secrets.stages import with_label_moved, with_new_version
from ...services import Services
from .asking import ask_to_open, key_to_seal, secret_meant
from .filters import matching
from .secrets import is_repeated
from .shapes import given_value

_BATCH_DEFAULT, _LIST_DEFAULT = 20, 100


async def get_secret_value(call: Call, services: Services, params: Params) -> Answer:
    return _value(call, services, params["SecretId"], params.get("VersionId"), params.get("VersionStage"))


async def batch_get_secret_value(call: Call, services: Services, params: Params) -> Answer:
    """Each secret is asked for and answered by itself; what is refused is among the errors."""
    named, filters = params.get("SecretIdList"), params.get("Filters")
    authorize(call, "secretsmanager:BatchGetSecretValue", ["*"])
    if bool(named) == bool(filters):
        raise SecretInvalid("Either 'SecretIdList' or 'Filters' must be provided, but not both.")
    more: dict[str, Any] = {}
    if not named:
        authorize(call, "secretsmanager:ListSecrets", ["*"])
        found = [one for one in matching(services.secrets.secrets(call.account), filters or []) if not one.deletion]
        chosen, more = page(call, params, found, lambda one: one.name, default=_BATCH_DEFAULT, refused=InvalidNextToken)
        named = [one.arn for one in chosen]
    elif params.get("MaxResults"):
        raise SecretInvalid("'Filters' must be provided when 'MaxResults' is.")
    values, errors = [], []
    for secret_id in named:
        try:
            values.append(_value(call, services, secret_id, None, None))
        except AwsError as refused:
            errors.append({"SecretId": secret_id, "ErrorCode": refused.code, "Message": refused.message})
    return {"SecretValues": values, "Errors": errors, **more}


async def put_secret_value(call: Call, services: Services, params: Params) -> Answer:
    secret = secret_meant(call, services, params["SecretId"])
    value = given_value(params)
    if value is None:
        raise InvalidRequest("You must provide either SecretString or SecretBinary.")
    stages = tuple(dict.fromkeys(params.get("VersionStages") or [CURRENT]))
    version_id = params.get("ClientRequestToken") or uuid4(services.world.random.getrandbits)
    key = await key_to_seal(call, services, secret, version_id)
    ask_to_open(call, services, secret, version_id)  # it is compared with what is there
    now = round(call.now, 3)
    version = Version(id=version_id, created=now, stages=stages, key=key.arn, size=len(value.secret))
    kept = services.secrets.sealed(secret, version_id, value, key)

    def changed(secret: Secret) -> Secret:
        if is_repeated(services, secret, version_id, value):
            return secret
        return replace(with_new_version(secret, version), changed=now)

    after = await services.secrets.change_secret(secret, changed, (kept,))
    made = after.version(version_id)
    return {
        "ARN": after.arn,
        "Name": after.name,
        "VersionId": version_id,
        "VersionStages": [] if made is None else list(made.stages),
    }


async def list_secret_version_ids(call: Call, services: Services, params: Params) -> Answer:
    secret = secret_meant(call, services, params["SecretId"], also_deleted=True)
    shown = [one for one in secret.versions if one.stages or params.get("IncludeDeprecated")]
    shown.sort(key=lambda one: one.id)
    chosen, more = page(call, params, shown, lambda one: one.id, default=_LIST_DEFAULT, refused=InvalidNextToken)
    versions = [_listed(services, one) for one in chosen]
    return {"ARN": secret.arn, "Name": secret.name, "Versions": versions, **more}


async def update_secret_version_stage(call: Call, services: Services, params: Params) -> Answer:
    stage: str = params["VersionStage"]
    secret = secret_meant(call, services, params["SecretId"], {"secretsmanager:VersionStage": stage})
    remove_from, move_to = params.get("RemoveFromVersionId"), params.get("MoveToVersionId")

    def changed(secret: Secret) -> Secret:
        after = with_label_moved(secret, stage, remove_from=remove_from, move_to=move_to)
        return secret if after == secret else replace(after, changed=round(call.now, 3))

    after = await services.secrets.change_secret(secret, changed)
    return {"ARN": after.arn, "Name": after.name}


def _value(call: Call, services: Services, secret_id: str, version_id: str | None, stage: str | None) -> dict[str, Any]:
    keys: dict[str, Values] = {"secretsmanager:VersionStage": stage or (CURRENT if version_id is None else [])}
    if version_id is not None:
        keys["secretsmanager:VersionId"] = version_id
    secret = secret_meant(call, services, secret_id, keys, action="secretsmanager:GetSecretValue")
    version = _version(secret, version_id, stage)
    ask_to_open(call, services, secret, version.id)
    opened = services.secrets.opened(secret, version)
    services.secrets.note_access(secret)
    return {
        "ARN": secret.arn,
        "Name": secret.name,
        "VersionId": version.id,
        **({"SecretBinary": opened.secret} if opened.is_binary else {"SecretString": opened.secret.decode()}),
        "VersionStages": list(version.stages),
        "CreatedDate": version.created,
    }


def _version(secret: Secret, version_id: str | None, stage: str | None) -> Version:
    """Raises SecretNotFound, InvalidRequest."""
    if version_id is None:
        stage = stage or CURRENT
        found = secret.staged(stage)
        if found is None:
            raise SecretNotFound(f"Secrets Manager can't find the specified secret value for staging label: {stage}")
        return found
    found = secret.version(version_id)
    if found is None:
        raise SecretNotFound(f"Secrets Manager can't find the specified secret value for VersionId: {version_id}")
    if stage is not None and stage not in found.stages:
        raise InvalidRequest("You provided a VersionStage that is not associated to the provided VersionId.")
    return found


def _listed(services: Services, version: Version) -> dict[str, Any]:
    key = services.keys.by_id(version.key.rpartition("/")[2])
    is_default = key is not None and key.service is not None
    found: dict[str, Any] = {"VersionId": version.id, "CreatedDate": version.created}
    if version.stages:
        found["VersionStages"] = list(version.stages)
    return found | {"KmsKeyIds": ["DefaultEncryptionKey" if is_default else version.key]}
