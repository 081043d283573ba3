"""How an operation asks whether its caller may use a key: the key's policy and the caller's own, as KMS decides.

For services that seal for their callers (`via`), and for KMS's own operations. An operation's row in the reviewed
table must name the action: `actions/kms.py` has `using_key` for that.
"""

from collections.abc import Mapping, Sequence

from ...model.arn import Arn
from ..authorize import Resource, Values, authorize
from ..call import Call
from .errors import InvalidState, KeyDisabled, NotFound
from .key_policies import via_service
from .records import KmsKey
from .registry import KeyRegistry


def ask_for_key(
    call: Call,
    keys: KeyRegistry,
    key: KmsKey,
    action: str,
    context: Mapping[str, str] | None = None,
    *,
    via: str | None = None,
    more: Mapping[str, Values] | None = None,
    shown: str | None = None,
) -> None:
    """Raises AccessDenied in AWS's words. `action`: `kms:Decrypt`; `context`: the encryption context.

    `via`: the service that asks for its caller (`ssm`); None when the caller calls KMS itself.
    `more`: condition keys by AWS's names that only some actions have. `shown`: what a refusal names instead of the
    key's ARN.
    """
    given = _condition_keys(call, context, via, more)
    resource = Resource(arn=key.arn, tags=dict(key.tags), keys=given, shown=shown)
    authorize(call, action, [resource], resource_policy=keys.policy(key))


async def key_to_seal(
    call: Call,
    keys: KeyRegistry,
    account: str,
    named: str | None,
    service: str,
    actions: Sequence[str],
    context: Mapping[str, str],
) -> KmsKey:
    """The key under which `service` keeps a value of this account for its caller, after leave for all `actions`.

    `named` as for `sealing_key`. Whether another account has a key or an alias, which key that is of and in what
    state, nobody learns without leave: he is refused in the same words, with the name that he gave.
    Raises AccessDenied, and what `sealing_key` raises.
    """
    arn = None if named is None else Arn.parse(named)
    shown = named if arn is not None and arn.account != call.account else None
    try:
        key = await keys.sealing_key(account, named, service)
    except (NotFound, KeyDisabled, InvalidState):
        if shown is not None:
            _ask_for_strangers(call, keys, shown, service, actions, context)
        raise
    for action in actions:
        ask_for_key(call, keys, key, action, context, via=service, shown=shown)
    return key


def _ask_for_strangers(
    call: Call, keys: KeyRegistry, named: str, service: str, actions: Sequence[str], context: Mapping[str, str]
) -> None:
    """Of a key that cannot be used: not there, or not now."""
    try:
        key = keys.find(call.account, named)
    except NotFound:
        given = _condition_keys(call, context, service, None)
        authorize(call, actions[0], [Resource(arn=named, keys=given)])
        return
    for action in actions:
        ask_for_key(call, keys, key, action, context, via=service, shown=named)


def _condition_keys(
    call: Call, context: Mapping[str, str] | None, via: str | None, more: Mapping[str, Values] | None
) -> dict[str, Values]:
    given: dict[str, Values] = {"kms:CallerAccount": call.account, **(more or {})}
    if via is not None:
        given["kms:ViaService"] = via_service(via, call.region)
    if context:
        given["kms:EncryptionContextKeys"] = list(context)
        given |= {f"kms:EncryptionContext:{name}": value for name, value in context.items()}
    return given
