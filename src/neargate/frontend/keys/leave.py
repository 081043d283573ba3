"""How an operation asks whether its caller may use a key: the key's policy and the caller's own, as KMS decides.

For services that seal for their callers (`via`), and for KMS's own operations. An operation's row in the reviewed
table must name the action: `actions/kms.py` has `using_key` for that.
"""

from collections.abc import Mapping

from ..authorize import Resource, Values, authorize
from ..call import Call
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
    given: dict[str, Values] = {"kms:CallerAccount": call.account, **(more or {})}
    if via is not None:
        given["kms:ViaService"] = via_service(via, call.region)
    if context:
        given["kms:EncryptionContextKeys"] = list(context)
        given |= {f"kms:EncryptionContext:{name}": value for name, value in context.items()}
    resource = Resource(arn=key.arn, tags=dict(key.tags), keys=given, shown=shown)
    authorize(call, action, [resource], resource_policy=keys.policy(key))
