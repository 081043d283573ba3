"""Repository policies and the registry's own: set, shown, taken away. What they say counts from the next request on."""

from msgspec.structs import replace

from ....iam.document import MalformedPolicy, PolicyKind
from ....iam.evaluate import decide
from ....iam.request import Request
from ....model.errors import InvalidParameter
from ...authorize import authorize, global_keys
from ...call import Answer, Call, Params
from ...images.asking import repository_arn
from ...images.book import RepositoryBook
from ...images.errors import RegistryPolicyNotFound, RepositoryPolicyNotFound
from ...images.records import RegistrySettings
from ...images.registry import Change
from ...services import Services
from .asking import asked_book, images_of, named

_PROBLEM = "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid {} policy provided'"


async def set_repository_policy(call: Call, services: Services, params: Params) -> Answer:
    images, book = asked_book(call, services, params)
    text = _pinned(services, params["policyText"], "repository")
    repository = book.repository
    if not params.get("force"):
        _refuse_lockout(call, services, repository_arn(call.region, repository.account, repository.name), text)

    def change(book: RepositoryBook) -> Change[None]:
        return Change(result=None, repository=replace(book.repository, policy=text))

    await images.registry.change(repository.account, repository.name, change)
    return named(repository) | {"policyText": services.identity.shown(text)}


async def get_repository_policy(call: Call, services: Services, params: Params) -> Answer:
    _, book = asked_book(call, services, params)
    repository = book.repository
    if repository.policy is None:
        raise RepositoryPolicyNotFound(repository.name, repository.account)
    return named(repository) | {"policyText": services.identity.shown(repository.policy)}


async def delete_repository_policy(call: Call, services: Services, params: Params) -> Answer:
    images, book = asked_book(call, services, params)
    account, name = book.repository.account, book.repository.name

    def change(book: RepositoryBook) -> Change[str]:
        if book.repository.policy is None:
            raise RepositoryPolicyNotFound(name, account)
        return Change(result=book.repository.policy, repository=replace(book.repository, policy=None))

    text = await images.registry.change(account, name, change)
    return named(book.repository) | {"policyText": services.identity.shown(text)}


async def put_registry_policy(call: Call, services: Services, params: Params) -> Answer:
    images = images_of(services)
    authorize(call, "ecr:PutRegistryPolicy", ["*"])
    text = _pinned(services, params["policyText"], "registry")
    await images.registry.change_settings(call.account, lambda now: replace(now, policy=text))
    return {"registryId": call.account, "policyText": services.identity.shown(text)}


async def get_registry_policy(call: Call, services: Services, params: Params) -> Answer:
    del params
    authorize(call, "ecr:GetRegistryPolicy", ["*"])
    policy = images_of(services).registry.settings(call.account).policy
    if policy is None:
        raise RegistryPolicyNotFound(call.account)
    return {"registryId": call.account, "policyText": services.identity.shown(policy)}


async def delete_registry_policy(call: Call, services: Services, params: Params) -> Answer:
    del params
    authorize(call, "ecr:DeleteRegistryPolicy", ["*"])
    images = images_of(services)
    before: list[str] = []

    def change(now: RegistrySettings) -> RegistrySettings:
        if now.policy is None:
            raise RegistryPolicyNotFound(call.account)
        before[:] = [now.policy]
        return replace(now, policy=None)

    await images.registry.change_settings(call.account, change)
    return {"registryId": call.account, "policyText": services.identity.shown(before[0])}


def _pinned(services: Services, text: str, what: str) -> str:
    """Its principals by unique id, so that who is made again under a name inherits nothing. Raises InvalidParameter."""
    try:
        pinned = services.identity.pinned(text)
        images_of(services).policies.policy(pinned, PolicyKind.RESOURCE)
    except MalformedPolicy:
        raise InvalidParameter(_PROBLEM.format(what)) from None
    return pinned


def _refuse_lockout(call: Call, services: Services, arn: str, text: str) -> None:
    """A policy that denies its own author the next change needs `force`. Raises InvalidParameter."""
    policy = images_of(services).policies.policy(text, PolicyKind.RESOURCE)
    request = Request(action="ecr:SetRepositoryPolicy", resource=arn, keys={**global_keys(call), **call.principal.keys})
    decision = decide(request, call.principal.caller, call.principal.grants, policy)
    if decision.explicit:
        raise InvalidParameter(
            "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'The policy would prevent you from "
            "setting another policy; use force to set it anyway'"
        )
