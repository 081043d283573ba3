"""CreateSecret, DescribeSecret, UpdateSecret, DeleteSecret, RestoreSecret."""

import hmac
import re
from functools import partial
from typing import Any

from msgspec.structs import replace

from ....model.ids import uuid4
from ...call import Answer, Call, Params
from ...regional.shelves import Change, Kept, Shelf
from ...secrets.errors import InvalidRequest, InvalidSecretName, SecretExists, SecretInvalid, SecretNotFound
from ...secrets.records import CURRENT, Opened, Secret, SecretValue, Version
from ...secrets.registry import check_room, gone_with
from ...secrets.stages import with_new_version
from ...services import Services
from .asking import ask_for_missing, ask_for_new, ask_to_open, key_to_seal, secret_meant
from .refused import NO_REPLICAS
from .shapes import described, given_tags, given_value, stages_by_version, tag_keys

_NAME = re.compile(r"[A-Za-z0-9/_+=.@!-]{1,512}", re.ASCII)
_DAY_S = 86_400
WINDOW_DAYS_DEFAULT = 30


async def create_secret(call: Call, services: Services, params: Params) -> Answer:
    name: str = params["Name"]
    tags = given_tags(params)
    new = Secret(
        account=call.account,
        name=name,
        region=services.region,
        suffix=services.secrets.new_suffix(),
        created=round(call.now, 3),
        changed=round(call.now, 3),
        description=params.get("Description"),
        kms_key=params.get("KmsKeyId") or None,
        tags=tags,
    )
    ask_for_new(call, new.arn, name, params, dict(tags), tag_keys(tags))
    _check_new(name, params)
    value = given_value(params)
    if value is None:
        made = await services.secrets.change(call.account, partial(_created, services, new, None, None, now=call.now))
        return {"ARN": made.arn, "Name": made.name}
    version_id = params.get("ClientRequestToken") or uuid4(services.world.random.getrandbits)
    found = services.secrets.find(call.account, name)
    if found is not None:
        ask_to_open(call, services, found, version_id)  # it is compared with what is there
    taken = _refused_if_taken(services, found, name, version_id, value)
    if taken is not None:  # before a default key is made for it
        return {"ARN": taken.arn, "Name": taken.name, "VersionId": version_id}
    key = await key_to_seal(call, services, new, version_id)
    version = Version(id=version_id, created=new.created, stages=(CURRENT,), key=key.arn, size=len(value.secret))
    kept = services.secrets.sealed(new, version_id, value, key)
    new = with_new_version(new, version)
    made = await services.secrets.change(call.account, partial(_created, services, new, kept, value, now=call.now))
    return {"ARN": made.arn, "Name": made.name, "VersionId": version_id}


async def describe_secret(call: Call, services: Services, params: Params) -> Answer:
    secret = secret_meant(call, services, params["SecretId"], also_deleted=True)
    found = described(services, secret)
    stages = stages_by_version(secret)
    return found | {"VersionIdsToStages": stages} if stages else found


async def update_secret(call: Call, services: Services, params: Params) -> Answer:
    """A new value, a new key, a new description, each where it is given."""
    keys = {f"secretsmanager:{name}": params[name] for name in ("Description", "KmsKeyId") if params.get(name)}
    secret = secret_meant(call, services, params["SecretId"], keys)
    if params.get("Type"):
        raise SecretInvalid("Neargate has no managed external secrets: Type can't be set.")
    value = given_value(params)
    kms_key = params.get("KmsKeyId")
    meant = secret if kms_key is None else replace(secret, kms_key=kms_key or None)
    version, values = None, []
    if value is not None:
        version_id = params.get("ClientRequestToken") or uuid4(services.world.random.getrandbits)
        key = await key_to_seal(call, services, meant, version_id)
        ask_to_open(call, services, secret, version_id)  # it is compared with what is there
        version = Version(
            id=version_id, created=round(call.now, 3), stages=(CURRENT,), key=key.arn, size=len(value.secret)
        )
        values.append(services.secrets.sealed(meant, version_id, value, key))
    moved = {} if kms_key is None else await _sealed_anew(call, services, meant)
    values += [kept for kept, _ in moved.values()]

    def changed(now: Secret) -> Secret:
        after = now if params.get("Description") is None else replace(now, description=params["Description"])
        if kms_key is not None:
            versions = (replace(one, key=moved[one.id][1]) if one.id in moved else one for one in after.versions)
            after = replace(after, kms_key=kms_key or None, versions=tuple(versions))
        if version is not None and value is not None and not is_repeated(services, now, version.id, value):
            after = with_new_version(after, version)
        return now if after == now else replace(after, changed=round(call.now, 3))

    after = await services.secrets.change_secret(secret, changed, values)
    answer: dict[str, Any] = {"ARN": after.arn, "Name": after.name}
    return answer if version is None else answer | {"VersionId": version.id}


async def delete_secret(call: Call, services: Services, params: Params) -> Answer:
    days, forced = params.get("RecoveryWindowInDays"), bool(params.get("ForceDeleteWithoutRecovery"))
    keys = {"secretsmanager:ForceDeleteWithoutRecovery": "true" if forced else "false"}
    if days is not None:
        keys["secretsmanager:RecoveryWindowInDays"] = str(days)
    named: str = params["SecretId"]
    if forced and services.secrets.find(call.account, named) is None:
        ask_for_missing(call, services, named, keys)  # as on AWS it is no error to force away what is not there
        return {"ARN": _arn_of_missing(services, call, named), "Name": named, "DeletionDate": round(call.now, 3)}
    secret = secret_meant(call, services, named, keys, also_deleted=True)
    if forced and days is not None:
        raise SecretInvalid("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
    if days is not None and not 7 <= days <= 30:
        raise SecretInvalid("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
    if forced:
        await services.secrets.change(secret.account, partial(_forced_away, secret=secret))
        return {"ARN": secret.arn, "Name": secret.name, "DeletionDate": round(call.now, 3)}
    if secret.deletion is not None:
        raise InvalidRequest(
            "You can't perform this operation on the secret because it was already scheduled for deletion."
        )
    ends = round(call.now + (days or WINDOW_DAYS_DEFAULT) * _DAY_S, 3)
    after = await services.secrets.change_secret(secret, lambda now: replace(now, deletion=ends))
    return {"ARN": after.arn, "Name": after.name, "DeletionDate": ends}


async def restore_secret(call: Call, services: Services, params: Params) -> Answer:
    secret = secret_meant(call, services, params["SecretId"], also_deleted=True)
    await services.secrets.change_secret(secret, lambda now: replace(now, deletion=None), also_deleted=True)
    return {"ARN": secret.arn, "Name": secret.name}


def is_repeated(services: Services, secret: Secret, version_id: str, value: Opened) -> bool:
    """Whether the secret has this version with this value already. Raises SecretExists: it has another.

    Who asks has leave to open it (`ask_to_open`): the answer tells whether a guess is right.
    """
    version = secret.version(version_id)
    if version is None:
        return False
    there = services.secrets.opened(secret, version)
    if there.is_binary == value.is_binary and hmac.compare_digest(there.secret, value.secret):
        return True
    raise SecretExists(
        f"You can't use ClientRequestToken {version_id} because that value is already in use for a version of secret "
        f"{secret.arn}."
    )


def _check_new(name: str, params: Params) -> None:
    if _NAME.fullmatch(name) is None:
        raise InvalidSecretName
    if params.get("AddReplicaRegions"):
        raise SecretInvalid(NO_REPLICAS)
    if params.get("CrossAccountPrimaryARN"):
        raise SecretInvalid(NO_REPLICAS)
    if params.get("Type"):
        raise SecretInvalid("Neargate has no managed external secrets: Type can't be set.")


def _created(
    services: Services, new: Secret, kept: SecretValue | None, value: Opened | None, shelf: Shelf, *, now: float
) -> Change[Secret]:
    """Repeated with the same token and value, it is the answer of the first time.

    Secrets whose recovery window is over leave their rows to new ones.
    """
    found = shelf.find(Secret, new.name)
    due = [one for one in shelf.all(Secret) if one.is_gone(now)]
    drop: tuple[Kept, ...] = tuple(record for one in due for record in gone_with(shelf, one))
    if found is not None and found.is_gone(now):
        found = None
    taken = _refused_if_taken(services, found, new.name, new.versions[0].id if new.versions else "", value)
    if taken is not None:
        return Change(result=taken)
    check_room(shelf, new, leaving=due)
    return Change(result=new, put=(new,) if kept is None else (new, kept), drop=drop)


def _refused_if_taken(
    services: Services, found: Secret | None, name: str, version_id: str, value: Opened | None
) -> Secret | None:
    """The secret that this request made when it came before. Raises SecretExists, InvalidRequest for any other."""
    if found is None:
        return None
    if found.deletion is not None:
        raise InvalidRequest(
            "You can't create this secret because a secret with this name is already scheduled for deletion."
        )
    if value is not None and is_repeated(services, found, version_id, value):
        return found
    raise SecretExists(f"The operation failed because the secret {name} already exists.")


def _forced_away(shelf: Shelf, *, secret: Secret) -> Change[None]:
    found = shelf.find(Secret, secret.name)
    if found is None or found.suffix != secret.suffix:
        raise SecretNotFound
    return Change(result=None, drop=gone_with(shelf, found))


def _arn_of_missing(services: Services, call: Call, named: str) -> str:
    if named.startswith("arn:"):
        return named
    return f"arn:aws:secretsmanager:{services.region}:{call.account}:secret:{named}"


async def _sealed_anew(call: Call, services: Services, secret: Secret) -> dict[str, tuple[SecretValue, str]]:
    """By version: its value under the secret's new key, and that key. Labelled versions only, as on AWS."""
    found = {}
    for version in secret.versions:
        if version.stages:
            key = await key_to_seal(call, services, secret, version.id)
            if key.arn != version.key:
                ask_to_open(call, services, secret, version.id)
                opened = services.secrets.opened(secret, version)
                found[version.id] = services.secrets.sealed(secret, version.id, opened, key), key.arn
    return found
