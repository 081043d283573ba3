"""GetResourcePolicy, PutResourcePolicy, DeleteResourcePolicy, ValidateResourcePolicy."""

from msgspec.structs import replace

from ....iam.document import MalformedPolicy, PolicyKind, compile_policy
from ....iam.policy import Policy
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...secrets.errors import MalformedSecretPolicy, PublicPolicy
from ...services import Services
from .asking import secret_meant


async def get_resource_policy(call: Call, services: Services, params: Params) -> Answer:
    secret = secret_meant(call, services, params["SecretId"], also_deleted=True)
    found = {"ARN": secret.arn, "Name": secret.name}
    return found if secret.policy is None else found | {"ResourcePolicy": services.identity.shown(secret.policy)}


async def put_resource_policy(call: Call, services: Services, params: Params) -> Answer:
    is_public_refused = bool(params.get("BlockPublicPolicy"))
    keys = {"secretsmanager:BlockPublicPolicy": "true" if is_public_refused else "false"}
    secret = secret_meant(call, services, params["SecretId"], keys)
    pinned, policy = _kept(services, params["ResourcePolicy"])
    if is_public_refused and _is_public(policy):
        raise PublicPolicy
    await services.secrets.change_secret(secret, lambda now: replace(now, policy=pinned))
    return {"ARN": secret.arn, "Name": secret.name}


async def delete_resource_policy(call: Call, services: Services, params: Params) -> Answer:
    secret = secret_meant(call, services, params["SecretId"])
    await services.secrets.change_secret(secret, lambda now: replace(now, policy=None))
    return {"ARN": secret.arn, "Name": secret.name}


async def validate_resource_policy(call: Call, services: Services, params: Params) -> Answer:
    """What PutResourcePolicy with BlockPublicPolicy would say, as a list."""
    named = params.get("SecretId")
    if named is None:
        authorize(call, "secretsmanager:ValidateResourcePolicy", ["*"])
    else:
        secret_meant(call, services, named)
    try:
        _, policy = _kept(services, params["ResourcePolicy"])
    except MalformedSecretPolicy as refused:
        errors = [{"CheckName": "POLICY_SYNTAX", "ErrorMessage": refused.message}]
    else:
        errors = [{"CheckName": "PUBLIC_POLICY", "ErrorMessage": PublicPolicy().message}] if _is_public(policy) else []
    return {"PolicyValidationPassed": not errors, "ValidationErrors": errors}


def _kept(services: Services, document: str) -> tuple[str, Policy]:
    """The document with its principals pinned, and compiled. Raises MalformedSecretPolicy."""
    try:
        compile_policy(document, kind=PolicyKind.RESOURCE)
        pinned = services.identity.pinned(document)
        return pinned, compile_policy(pinned, kind=PolicyKind.RESOURCE)
    except MalformedPolicy as refused:
        if refused.message.startswith("Invalid principal"):
            raise MalformedSecretPolicy("This resource policy contains an unsupported principal.") from None
        raise MalformedSecretPolicy(f"This resource policy contains a syntax error: {refused.message}") from None


def _is_public(policy: Policy) -> bool:
    """Whether a statement lets in everybody without a condition."""
    return any(
        one.allow
        and not one.conditions
        and (one.not_principal or (one.principals is not None and one.principals.everybody))
        for one in policy.statements
    )
