"""Which key a KMS request means, and whether its caller may do that with it.

Nobody learns without leave whether a key is there: what is not is asked for under the ARN that it would have. Reads
only. Other services ask through `keys/leave.py`.
"""

from collections.abc import Mapping

from ....model.errors import AccessDenied
from ...authorize import Resource, Values, authorize
from ...call import Call, Params
from ...keys.errors import InvalidCiphertext, InvalidGrantToken, NotFound, Unsupported
from ...keys.leave import ask_for_key
from ...keys.records import KmsKey, alias_arn, key_arn
from ...services import Services

DRY_RUN = "The request would have succeeded, but the DryRun option is set."


async def key_for_use(
    call: Call,
    services: Services,
    named: str,
    action: str,
    *,
    context: Mapping[str, str] | None = None,
) -> KmsKey:
    """By id, ARN, alias or alias ARN, also of another account, whose key policy then must let the caller in."""
    keys = services.keys
    try:
        key = keys.find(call.account, named)
    except NotFound:
        _ask_for_missing(call, services, named, action)
        key = await keys.named_key(call.account, named)  # AWS's own aliases make their key, for who may name it
    given: dict[str, Values] = {"kms:ResourceAliases": services.keys.aliases(key)}
    if _is_alias(named):
        given["kms:RequestAlias"] = named.rpartition(":")[2]
    # Whose alias it is must not tell strangers which key it is of.
    shown = named if key.account != call.account else None
    ask_for_key(call, keys, key, action, context, more=given, shown=shown)
    return key


def key_to_manage(call: Call, services: Services, named: str, more: Mapping[str, Values] | None = None) -> KmsKey:
    """By id or ARN, of the caller's own account: AWS lets nobody else manage a key. The action is the operation's."""
    action = f"kms:{call.operation}"
    if _is_alias(named):
        _ask_for_missing(call, services, named, action)
        raise NotFound(f"Invalid keyId '{named}'")
    try:
        key = services.keys.find(call.account, named)
    except NotFound:
        _ask_for_missing(call, services, named, action)
        raise
    if key.account != call.account:
        authorize(call, action, [key.arn])  # without the key's policy: refused, in AWS's words
    given: dict[str, Values] = {**(more or {}), "kms:ResourceAliases": services.keys.aliases(key)}
    ask_for_key(call, services.keys, key, action, more=given)
    return key


def key_of_blob(call: Call, services: Services, blob: bytes, action: str, context: Mapping[str, str]) -> KmsKey:
    """The key that a ciphertext names. A refusal says nothing of a key that the caller has no business with.

    Raises AccessDenied, and after leave InvalidCiphertext for what was never sealed here.
    """
    try:
        key = services.keys.key_of(blob)
    except InvalidCiphertext:
        _ask_for_any(call, services, action)
        raise
    if key is None:
        _ask_for_any(call, services, action)
        raise _nobodys(call, action)
    given: dict[str, Values] = {"kms:ResourceAliases": services.keys.aliases(key)}
    try:
        ask_for_key(call, services.keys, key, action, context, more=given)
    except AccessDenied:
        if key.account != call.account:
            raise _nobodys(call, action) from None
        raise
    return key


def _ask_for_any(call: Call, services: Services, action: str) -> None:
    """Where no key is known: whether the caller may do that with keys at all."""
    authorize(call, action, [key_arn(services.region, call.account, "*")])


def _nobodys(call: Call, action: str) -> AccessDenied:
    return AccessDenied(
        f"User: {call.principal.arn} is not authorized to perform: {action} on the resource associated with this "
        "ciphertext because the resource does not exist in this Region, no resource-based policies allow access, or a "
        "resource-based policy explicitly denies access"
    )


def ask_for_alias(call: Call, services: Services, name: str) -> None:
    """For the alias itself, which has no policy of its own. `name` with its `alias/`."""
    arn = alias_arn(services.region, call.account, name)
    authorize(call, f"kms:{call.operation}", [Resource(arn=arn, keys={"kms:CallerAccount": call.account})])


def refuse_grants(params: Params) -> None:
    """There are no grants here, so that no token is of one. Raises InvalidGrantToken, Unsupported."""
    if params.get("GrantTokens"):
        raise InvalidGrantToken("No grant token is valid here: Neargate has no grants.")
    if params.get("Recipient"):
        raise Unsupported("Recipient is not supported: tasks here have no Nitro enclaves.")


def _ask_for_missing(call: Call, services: Services, named: str, action: str) -> None:
    if named.startswith("arn:"):
        arn = named
    elif named.startswith("alias/"):
        arn = alias_arn(services.region, call.account, named)
    else:
        arn = key_arn(services.region, call.account, named)
    authorize(call, action, [arn])


def _is_alias(named: str) -> bool:
    return named.rpartition(":")[2].startswith("alias/")
