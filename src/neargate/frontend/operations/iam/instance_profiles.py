"""Instance profiles, kept as data: tools that set up roles make and read them; no instance here carries one."""

from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...identity import profiles as decisions
from ...identity.records import InstanceProfile, Role, entity_arn
from ...identity.rules import required
from ...services import Services
from .asking import ask_for, ask_for_new, ask_to_list, book_of
from .paging import page
from .shapes import profile_shown

_NAME = "InstanceProfileName"


async def create_instance_profile(call: Call, services: Services, params: Params) -> Answer:
    name = params[_NAME]
    ask_for_new(call, InstanceProfile, name, params, "TagInstanceProfile")
    profile = await services.identity.change(
        call.account,
        lambda book: decisions.create_profile(
            book,
            name,
            path=params.get("Path") or "/",
            tags=params.get("Tags"),
            now=int(call.now),
            bits=services.world.random.getrandbits,
        ),
    )
    return {"InstanceProfile": profile_shown(services.identity, profile)}


async def get_instance_profile(call: Call, services: Services, params: Params) -> Answer:
    book, name = book_of(call, services), params[_NAME]
    ask_for(call, book, InstanceProfile, name)
    return {"InstanceProfile": profile_shown(services.identity, required(book, InstanceProfile, name))}


async def list_instance_profiles(call: Call, services: Services, params: Params) -> Answer:
    ask_to_list(call, InstanceProfile, params)
    prefix = params.get("PathPrefix") or "/"
    found = [one for one in book_of(call, services).all(InstanceProfile) if one.path.startswith(prefix)]
    profiles, more = page(call, params, found, lambda one: one.key)
    return {"InstanceProfiles": [profile_shown(services.identity, one) for one in profiles], **more}


async def list_instance_profiles_for_role(call: Call, services: Services, params: Params) -> Answer:
    book, name = book_of(call, services), params["RoleName"]
    ask_for(call, book, Role, name)
    role = required(book, Role, name)
    found = [one for one in book.all(InstanceProfile) if role.uid in one.roles]
    profiles, more = page(call, params, found, lambda one: one.key)
    return {"InstanceProfiles": [profile_shown(services.identity, one) for one in profiles], **more}


async def delete_instance_profile(call: Call, services: Services, params: Params) -> Answer:
    name = params[_NAME]
    ask_for(call, book_of(call, services), InstanceProfile, name)
    await services.identity.change(call.account, lambda book: decisions.delete_profile(book, name))
    return {}


async def add_role_to_instance_profile(call: Call, services: Services, params: Params) -> Answer:
    book, name, role_name = book_of(call, services), params[_NAME], params["RoleName"]
    ask_for(call, book, InstanceProfile, name)
    role = book.find(Role, role_name)
    arn = entity_arn(call.account, Role.kind, "/", role_name) if role is None else role.arn
    passed = Resource(arn=arn, tags=dict(role.tags) if role is not None else {})
    authorize(call, "iam:PassRole", [passed], {"iam:PassedToService": "ec2.amazonaws.com"})
    await services.identity.change(call.account, lambda book: decisions.add_role(book, name, role_name))
    return {}


async def remove_role_from_instance_profile(call: Call, services: Services, params: Params) -> Answer:
    name, role_name = params[_NAME], params["RoleName"]
    ask_for(call, book_of(call, services), InstanceProfile, name)
    await services.identity.change(call.account, lambda book: decisions.remove_role(book, name, role_name))
    return {}
