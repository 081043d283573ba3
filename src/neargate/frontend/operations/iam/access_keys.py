"""Access keys of users, and of the account's administrator where no user is named."""

from ...call import Answer, Call, Params
from ...identity import rules, unique_ids
from ...identity import users as decisions
from ...identity.errors import NoSuchEntity
from ...identity.records import AccessKey, User, entity_arn
from ...services import Services
from .asking import ask, ask_for_user, book_of, user_meant
from .paging import page_in_order
from .shapes import key_brief


async def create_access_key(call: Call, services: Services, params: Params) -> Answer:
    """The only time that the secret is told."""
    user = user_meant(call, params)
    ask_for_user(call, book_of(call, services), user)
    bits = services.world.random.getrandbits
    key_id, secret = unique_ids.unique_id(unique_ids.KEY, bits), unique_ids.secret_access_key(bits)
    sealed = services.identity.seal_secret(call.account, key_id, secret)
    key = await services.identity.change(
        call.account,
        lambda book: decisions.create_key(book, user, key_id=key_id, sealed=sealed, now=int(call.now)),
    )
    return {"AccessKey": key_brief(key, user or rules.ADMINISTRATOR) | {"SecretAccessKey": secret}}


async def list_access_keys(call: Call, services: Services, params: Params) -> Answer:
    book, name = book_of(call, services), user_meant(call, params)
    ask_for_user(call, book, name)
    user = None if name is None else rules.required(book, User, name).uid
    keys, more = page_in_order(call, params, book.keys_of(user))
    return {"AccessKeyMetadata": [key_brief(key, name or rules.ADMINISTRATOR) for key in keys], **more}


async def update_access_key(call: Call, services: Services, params: Params) -> Answer:
    user = user_meant(call, params)
    ask_for_user(call, book_of(call, services), user)
    await services.identity.change(
        call.account,
        lambda book: decisions.set_key_active(
            book, user, params["AccessKeyId"], is_active=params["Status"] == "Active"
        ),
    )
    return {}


async def delete_access_key(call: Call, services: Services, params: Params) -> Answer:
    user = user_meant(call, params)
    ask_for_user(call, book_of(call, services), user)
    await services.identity.change(call.account, lambda book: decisions.delete_key(book, user, params["AccessKeyId"]))
    return {}


async def get_access_key_last_used(call: Call, services: Services, params: Params) -> Answer:
    """Of the caller's own account; a key of another one is as unknown as one that does not exist."""
    key_id, book = params["AccessKeyId"], book_of(call, services)
    key = book.find(AccessKey, key_id)
    owner = None if key is None or key.user is None else book.by_uid(key.user)
    ask(call, owner.arn if isinstance(owner, User) else entity_arn(call.account, User.kind, "/", "*"))
    if key is None:
        raise NoSuchEntity(f"The Access Key with id {key_id} cannot be found.")
    used = services.identity.last_used(key_id)
    shown: dict[str, int | str] = {"ServiceName": "N/A", "Region": "N/A"}
    if used is not None:
        shown = {"LastUsedDate": used.at, "ServiceName": used.service, "Region": used.region}
    return {"UserName": owner.name if owner is not None else rules.ADMINISTRATOR, "AccessKeyLastUsed": shown}
