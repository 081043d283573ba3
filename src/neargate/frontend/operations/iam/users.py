"""Users."""

from ...call import Answer, Call, Params
from ...identity import rules
from ...identity import users as decisions
from ...identity.records import User
from ...services import Services
from .asking import ask_for, ask_for_new, ask_for_renamed, ask_for_user, ask_to_list, book_of, user_meant
from .paging import page
from .shapes import user_brief, user_shown


async def create_user(call: Call, services: Services, params: Params) -> Answer:
    name, boundary = params["UserName"], params.get("PermissionsBoundary")
    ask_for_new(call, User, name, params, "TagUser")
    user = await services.identity.change(
        call.account,
        lambda book: decisions.create_user(
            book,
            name,
            path=params.get("Path") or "/",
            boundary=boundary,
            tags=params.get("Tags"),
            now=int(call.now),
            bits=services.world.random.getrandbits,
        ),
    )
    return {"User": user_shown(user)}


async def get_user(call: Call, services: Services, params: Params) -> Answer:
    book, name = book_of(call, services), user_meant(call, params)
    ask_for_user(call, book, name)
    if name is not None:
        return {"User": user_shown(rules.required(book, User, name))}
    principal = call.principal
    return {
        "User": {
            "Path": "/",
            "UserName": rules.ADMINISTRATOR,
            "UserId": principal.user_id,
            "Arn": principal.arn,
            "CreateDate": book.account.created,
        }
    }


async def list_users(call: Call, services: Services, params: Params) -> Answer:
    prefix = params.get("PathPrefix") or "/"
    ask_to_list(call, User, params)
    found = [user for user in book_of(call, services).all(User) if user.path.startswith(prefix)]
    users, more = page(call, params, found, lambda user: user.key)
    return {"Users": [user_brief(user) for user in users], **more}


async def update_user(call: Call, services: Services, params: Params) -> Answer:
    name, new_name, new_path = params["UserName"], params.get("NewUserName"), params.get("NewPath")
    ask_for_renamed(call, book_of(call, services), User, name, new_name=new_name, new_path=new_path)
    await services.identity.change(
        call.account,
        lambda book: decisions.update_user(book, name, new_name=new_name, new_path=new_path),
    )
    return {}


async def delete_user(call: Call, services: Services, params: Params) -> Answer:
    name = params["UserName"]
    ask_for(call, book_of(call, services), User, name)
    await services.identity.change(call.account, lambda book: decisions.delete_user(book, name))
    return {}
