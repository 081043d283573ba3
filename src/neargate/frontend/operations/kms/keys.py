"""CreateKey, DescribeKey, ListKeys, and what changes a key's state or description."""

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace

from ....model.knobs import DEFAULT_KNOBS
from ...authorize import Resource, Values, authorize, request_tags
from ...call import Answer, Call, Params
from ...keys.errors import InvalidState, KmsValidation, LimitExceeded, Unsupported
from ...keys.key_policies import default_policy
from ...keys.records import KeyAlias, KeyState, KmsKey
from ...regional.shelves import Change, Shelf
from ...services import Services
from .asking import key_for_use, key_to_manage
from .paging import page
from .policy_check import kept_policy
from .tags import given_tags

_DAY_S = 86_400
WINDOW_DAYS_DEFAULT = 30
_SPEC = "SYMMETRIC_DEFAULT"


async def create_key(call: Call, services: Services, params: Params) -> Answer:
    tags = given_tags(params)
    _ask_to_create(call, params, dict(tags))
    _check_kind(params)
    made = services.keys.new_key(
        call.account, policy=default_policy(call.account), description=params.get("Description") or ""
    )
    policy = params.get("Policy")
    if policy:
        is_checked = not params.get("BypassPolicyLockoutSafetyCheck")
        made = replace(made, policy=kept_policy(call, services, made, policy, is_checked=is_checked))
    made = replace(made, tags=tags)
    key = await services.keys.change(call.account, partial(_with_new, made=made, now=call.now))
    return {"KeyMetadata": metadata(key)}


async def describe_key(call: Call, services: Services, params: Params) -> Answer:
    key = await key_for_use(call, services, params["KeyId"], "kms:DescribeKey")
    return {"KeyMetadata": metadata(key)}


async def list_keys(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "kms:ListKeys", ["*"])
    keys = [key for key in services.keys.shelf(call.account).all(KmsKey) if not key.is_due(call.now)]
    chosen, more = page(call, params, keys, lambda key: key.name)
    return {"Keys": [{"KeyId": key.name, "KeyArn": key.arn} for key in chosen], **more}


async def enable_key(call: Call, services: Services, params: Params) -> Answer:
    key = key_to_manage(call, services, params["KeyId"])
    await _change(services, key, partial(_in_state, state=KeyState.ENABLED))
    return {}


async def disable_key(call: Call, services: Services, params: Params) -> Answer:
    key = key_to_manage(call, services, params["KeyId"])
    await _change(services, key, partial(_in_state, state=KeyState.DISABLED))
    return {}


async def update_key_description(call: Call, services: Services, params: Params) -> Answer:
    key = key_to_manage(call, services, params["KeyId"])

    def described(key: KmsKey) -> KmsKey:
        return replace(_not_pending(key), description=params["Description"])

    await _change(services, key, described)
    return {}


async def schedule_key_deletion(call: Call, services: Services, params: Params) -> Answer:
    days = params.get("PendingWindowInDays") or WINDOW_DAYS_DEFAULT
    more = {"kms:ScheduleKeyDeletionPendingWindowInDays": str(days)}
    key = key_to_manage(call, services, params["KeyId"], more)
    if not 7 <= days <= 30:
        raise KmsValidation("PendingWindowInDays must be between 7 and 30.")

    def scheduled(key: KmsKey) -> KmsKey:
        deletion = float(int(call.now) + days * _DAY_S)
        return replace(_not_pending(key), state=KeyState.PENDING_DELETION, deletion=deletion)

    key = await _change(services, key, scheduled)
    return {
        "KeyId": key.arn,
        "DeletionDate": key.deletion,
        "KeyState": key.state.value,
        "PendingWindowInDays": days,
    }


async def cancel_key_deletion(call: Call, services: Services, params: Params) -> Answer:
    """As on AWS the key is disabled afterwards: whoever wants it enables it."""
    key = key_to_manage(call, services, params["KeyId"])

    def cancelled(key: KmsKey) -> KmsKey:
        if key.state is not KeyState.PENDING_DELETION:
            raise InvalidState(f"{key.arn} is not pending deletion.")
        return replace(key, state=KeyState.DISABLED, deletion=None)

    return {"KeyId": (await _change(services, key, cancelled)).arn}


async def get_key_rotation_status(call: Call, services: Services, params: Params) -> Answer:
    key = key_to_manage(call, services, params["KeyId"])
    return {"KeyId": key.arn, "KeyRotationEnabled": False}


async def enable_key_rotation(call: Call, services: Services, params: Params) -> Answer:
    key_to_manage(call, services, params["KeyId"])
    raise Unsupported("Neargate does not rotate keys: EnableKeyRotation is not supported.")


async def disable_key_rotation(call: Call, services: Services, params: Params) -> Answer:
    """Nothing to change: no key is ever rotated."""
    services.keys.check_usable(key_to_manage(call, services, params["KeyId"]))
    return {}


def metadata(key: KmsKey) -> dict[str, Any]:
    found: dict[str, Any] = {
        "AWSAccountId": key.account,
        "KeyId": key.name,
        "Arn": key.arn,
        "CreationDate": key.created,
        "Enabled": key.state is KeyState.ENABLED,
        "Description": key.description,
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": key.state.value,
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER" if key.service is None else "AWS",
        "CustomerMasterKeySpec": _SPEC,
        "KeySpec": _SPEC,
        "EncryptionAlgorithms": [_SPEC],
        "MultiRegion": False,
    }
    return found if key.deletion is None else found | {"DeletionDate": key.deletion}


def _ask_to_create(call: Call, params: Params, tags: dict[str, str]) -> None:
    keys: dict[str, Values] = {
        "kms:CallerAccount": call.account,
        "kms:KeySpec": params.get("KeySpec") or params.get("CustomerMasterKeySpec") or _SPEC,
        "kms:KeyUsage": params.get("KeyUsage") or "ENCRYPT_DECRYPT",
        "kms:KeyOrigin": params.get("Origin") or "AWS_KMS",
        "kms:MultiRegion": "true" if params.get("MultiRegion") else "false",
        "kms:BypassPolicyLockoutSafetyCheck": "true" if params.get("BypassPolicyLockoutSafetyCheck") else "false",
    }
    given = request_tags(tags) if tags else {}
    authorize(call, "kms:CreateKey", [Resource(arn="*", keys=keys)], given)
    if tags:
        authorize(call, "kms:TagResource", [Resource(arn="*", keys={"kms:CallerAccount": call.account})], given)


def _check_kind(params: Params) -> None:
    """Raises KmsValidation in AWS's words for what AWS refuses, Unsupported for kinds of keys that are not here."""
    spec, old = params.get("KeySpec"), params.get("CustomerMasterKeySpec")
    if spec and old:
        raise KmsValidation(
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. "
            "CustomerMasterKeySpec is deprecated."
        )
    spec = spec or old or _SPEC
    usage = params.get("KeyUsage") or "ENCRYPT_DECRYPT"
    if spec != _SPEC:
        raise Unsupported(f"KeySpec {spec} is not supported: Neargate has symmetric keys only ({_SPEC}).")
    if usage != "ENCRYPT_DECRYPT":
        raise KmsValidation(f"KeyUsage {usage} is not compatible with KeySpec {spec}")
    if (params.get("Origin") or "AWS_KMS") != "AWS_KMS" or params.get("CustomKeyStoreId") or params.get("XksKeyId"):
        raise Unsupported("Neargate makes the material of keys itself: Origin must be AWS_KMS, without a key store.")
    if params.get("MultiRegion"):
        raise Unsupported("Multi-Region keys are not supported: regions know nothing of each other.")


def _with_new(shelf: Shelf, *, made: KmsKey, now: float) -> Change[KmsKey]:
    """Keys whose waiting time is over leave their rows to new ones, with their aliases."""
    due = [key for key in shelf.all(KmsKey) if key.is_due(now)]
    names = {key.name for key in due}
    aliases = [alias for alias in shelf.all(KeyAlias) if alias.key in names]
    if shelf.count(KmsKey) - len(due) >= DEFAULT_KNOBS.kms_keys_max:
        raise LimitExceeded(f"You have reached the maximum of {DEFAULT_KNOBS.kms_keys_max} keys in this account.")
    return Change(result=made, put=(made,), drop=(*due, *aliases))


def _in_state(key: KmsKey, *, state: KeyState) -> KmsKey:
    return replace(_not_pending(key), state=state)


def _not_pending(key: KmsKey) -> KmsKey:
    if key.state is KeyState.PENDING_DELETION:
        raise InvalidState(f"{key.arn} is pending deletion.")
    return key


async def _change(services: Services, key: KmsKey, changed: Callable[[KmsKey], KmsKey]) -> KmsKey:
    return await services.keys.change_key(key, changed)
