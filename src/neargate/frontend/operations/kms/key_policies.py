"""GetKeyPolicy, PutKeyPolicy, ListKeyPolicies. A key has one policy, whose name is `default`."""

from msgspec.structs import replace

from ...call import Answer, Call, Params
from ...keys.errors import InvalidState, NotFound
from ...keys.key_policies import DEFAULT_NAME
from ...keys.records import KeyState, KmsKey
from ...services import Services
from .asking import key_to_manage
from .policy_check import kept_policy


async def get_key_policy(call: Call, services: Services, params: Params) -> Answer:
    key = key_to_manage(call, services, params["KeyId"])
    _check_name(params)
    return {"Policy": services.identity.shown(key.policy), "PolicyName": DEFAULT_NAME}


async def put_key_policy(call: Call, services: Services, params: Params) -> Answer:
    is_bypassed = bool(params.get("BypassPolicyLockoutSafetyCheck"))
    more = {"kms:BypassPolicyLockoutSafetyCheck": "true" if is_bypassed else "false"}
    key = key_to_manage(call, services, params["KeyId"], more)
    _check_name(params)
    policy = kept_policy(call, services, key, params["Policy"], is_checked=not is_bypassed)

    def changed(key: KmsKey) -> KmsKey:
        if key.state is KeyState.PENDING_DELETION:
            raise InvalidState(f"{key.arn} is pending deletion.")
        return replace(key, policy=policy)

    await services.keys.change_key(key, changed)
    return {}


async def list_key_policies(call: Call, services: Services, params: Params) -> Answer:
    key_to_manage(call, services, params["KeyId"])
    return {"PolicyNames": [DEFAULT_NAME], "Truncated": False}


def _check_name(params: Params) -> None:
    if (params.get("PolicyName") or DEFAULT_NAME) != DEFAULT_NAME:
        raise NotFound("No such policy exists")
