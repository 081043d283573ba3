"""Groups and their members."""

from ...call import Answer, Call, Params
from ...identity import groups as decisions
from ...identity.records import Group, User
from ...identity.rules import required
from ...services import Services
from .asking import ask_for, ask_for_new, ask_for_renamed, ask_to_list, book_of
from .paging import page
from .shapes import group_shown, user_brief


async def create_group(call: Call, services: Services, params: Params) -> Answer:
    name = params["GroupName"]
    ask_for_new(call, Group, name, params)
    group = await services.identity.change(
        call.account,
        lambda book: decisions.create_group(
            book,
            name,
            path=params.get("Path") or "/",
            now=int(call.now),
            bits=services.world.random.getrandbits,
        ),
    )
    return {"Group": group_shown(group)}


async def get_group(call: Call, services: Services, params: Params) -> Answer:
    book, name = book_of(call, services), params["GroupName"]
    ask_for(call, book, Group, name)
    group = required(book, Group, name)
    users, more = page(call, params, book.members(group), lambda user: user.key)
    return {"Group": group_shown(group), "Users": [user_brief(user) for user in users], **more}


async def list_groups(call: Call, services: Services, params: Params) -> Answer:
    prefix = params.get("PathPrefix") or "/"
    ask_to_list(call, Group, params)
    found = [group for group in book_of(call, services).all(Group) if group.path.startswith(prefix)]
    groups, more = page(call, params, found, lambda group: group.key)
    return {"Groups": [group_shown(group) for group in groups], **more}


async def list_groups_for_user(call: Call, services: Services, params: Params) -> Answer:
    book, name = book_of(call, services), params["UserName"]
    ask_for(call, book, User, name)
    groups, more = page(call, params, book.groups_of(required(book, User, name)), lambda group: group.key)
    return {"Groups": [group_shown(group) for group in groups], **more}


async def update_group(call: Call, services: Services, params: Params) -> Answer:
    name, new_name, new_path = params["GroupName"], params.get("NewGroupName"), params.get("NewPath")
    ask_for_renamed(call, book_of(call, services), Group, name, new_name=new_name, new_path=new_path)
    await services.identity.change(
        call.account,
        lambda book: decisions.update_group(book, name, new_name=new_name, new_path=new_path),
    )
    return {}


async def delete_group(call: Call, services: Services, params: Params) -> Answer:
    name = params["GroupName"]
    ask_for(call, book_of(call, services), Group, name)
    await services.identity.change(call.account, lambda book: decisions.delete_group(book, name))
    return {}


async def add_user_to_group(call: Call, services: Services, params: Params) -> Answer:
    name, user = params["GroupName"], params["UserName"]
    ask_for(call, book_of(call, services), Group, name)
    await services.identity.change(call.account, lambda book: decisions.add_user(book, name, user))
    return {}


async def remove_user_from_group(call: Call, services: Services, params: Params) -> Answer:
    name, user = params["GroupName"], params["UserName"]
    ask_for(call, book_of(call, services), Group, name)
    await services.identity.change(call.account, lambda book: decisions.remove_user(book, name, user))
    return {}
