"""Roles and their trust policies. Principals that a trust policy names are pinned to their unique ids."""

from ...call import Answer, Call, Params
from ...identity import roles as decisions
from ...identity.records import Role
from ...identity.rules import required
from ...services import Services
from .asking import ask_for, ask_for_new, ask_to_list, book_of
from .paging import page
from .shapes import role_brief, role_shown


async def create_role(call: Call, services: Services, params: Params) -> Answer:
    name, boundary = params["RoleName"], params.get("PermissionsBoundary")
    ask_for_new(call, Role, name, params, "TagRole")
    trust = _pinned(call, services, params["AssumeRolePolicyDocument"])
    role = await services.identity.change(
        call.account,
        lambda book: decisions.create_role(
            book,
            name,
            path=params.get("Path") or "/",
            trust=trust,
            description=params.get("Description"),
            max_session_s=params.get("MaxSessionDuration"),
            boundary=boundary,
            tags=params.get("Tags"),
            now=int(call.now),
            bits=services.world.random.getrandbits,
        ),
    )
    return {"Role": role_shown(services.identity, role)}


async def get_role(call: Call, services: Services, params: Params) -> Answer:
    book, name = book_of(call, services), params["RoleName"]
    ask_for(call, book, Role, name)
    return {"Role": role_shown(services.identity, required(book, Role, name))}


async def list_roles(call: Call, services: Services, params: Params) -> Answer:
    prefix = params.get("PathPrefix") or "/"
    ask_to_list(call, Role, params)
    found = [role for role in book_of(call, services).all(Role) if role.path.startswith(prefix)]
    roles, more = page(call, params, found, lambda role: role.key)
    return {"Roles": [role_brief(services.identity, role) for role in roles], **more}


async def update_role(call: Call, services: Services, params: Params) -> Answer:
    await _update(call, services, params)
    return {}


async def update_role_description(call: Call, services: Services, params: Params) -> Answer:
    return {"Role": role_shown(services.identity, await _update(call, services, params))}


async def _update(call: Call, services: Services, params: Params) -> Role:
    name = params["RoleName"]
    ask_for(call, book_of(call, services), Role, name)
    return await services.identity.change(
        call.account,
        lambda book: decisions.update_role(
            book, name, description=params.get("Description"), max_session_s=params.get("MaxSessionDuration")
        ),
    )


async def update_assume_role_policy(call: Call, services: Services, params: Params) -> Answer:
    name = params["RoleName"]
    ask_for(call, book_of(call, services), Role, name)
    trust = _pinned(call, services, params["PolicyDocument"])
    await services.identity.change(call.account, lambda book: decisions.set_trust(book, name, trust))
    return {}


async def delete_role(call: Call, services: Services, params: Params) -> Answer:
    name = params["RoleName"]
    ask_for(call, book_of(call, services), Role, name)
    await services.identity.change(call.account, lambda book: decisions.delete_role(book, name))
    return {}


def _pinned(call: Call, services: Services, document: str) -> str:
    decisions.check_trust(book_of(call, services), document)
    return services.identity.pinned(document)
