"""What a key policy must be before it is kept: valid, of principals that there are, and no lock without a door."""

from ....iam.document import MalformedPolicy, PolicyKind, compile_policy
from ....iam.evaluate import decide
from ....iam.policy import Policy
from ....iam.request import Request
from ...authorize import global_keys
from ...call import Call
from ...keys.errors import LimitExceeded, MalformedKeyPolicy
from ...keys.key_policies import POLICY_MAX_BYTES
from ...keys.records import KmsKey
from ...services import Services


def kept_policy(call: Call, services: Services, key: KmsKey, document: str, *, is_checked: bool) -> str:
    """The document as it is kept. Raises MalformedKeyPolicy, LimitExceeded.

    `is_checked`: whoever gives the key this policy must be able to change it again.
    """
    if len(document.encode()) > POLICY_MAX_BYTES:
        raise LimitExceeded(f"A key policy has at most {POLICY_MAX_BYTES} bytes.")
    try:
        compile_policy(document, kind=PolicyKind.KEY)
        pinned = services.identity.pinned(document)
        policy = compile_policy(pinned, kind=PolicyKind.KEY)
    except MalformedPolicy as refused:
        raise MalformedKeyPolicy(_sentence(refused.message)) from None
    if is_checked and not _may_change(call, key, policy):
        raise MalformedKeyPolicy("The new key policy will not allow you to update the key policy in the future.")
    return pinned


def _may_change(call: Call, key: KmsKey, policy: Policy) -> bool:
    """Where the policy leaves it to the account's IAM, the caller's own policies must allow it: so does AWS."""
    keys = {**global_keys(call), **call.principal.keys, "kms:calleraccount": (call.account,)}
    request = Request(action="kms:PutKeyPolicy", resource=key.arn, keys=keys)
    return decide(request, call.principal.caller, call.principal.grants, policy).allowed


def _sentence(message: str) -> str:
    if message.startswith("Invalid principal"):
        return "Policy contains a statement with one or more invalid principals."
    return message
