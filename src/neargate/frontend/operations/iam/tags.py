"""Tags of users, roles, policies, instance profiles and OIDC providers: three operations for each.

`table.py` makes them from a `Taggable`: which parameter names the entity, how leave is asked for it, how it is found.
"""

from collections.abc import Callable

from msgspec import Struct

from ....model.errors import AwsError
from ...authorize import Values
from ...call import Answer, Call, Params
from ...identity import policies, providers, tagging
from ...identity.book import AccountBook
from ...identity.records import InstanceProfile, ManagedPolicy, OidcProvider, Pathed, Role, User
from ...identity.rules import required
from ...services import Operation, Services
from .asking import ask, book_of, given_tags
from .paging import page
from .shapes import tags_shown


class Taggable(Struct, frozen=True, kw_only=True):
    """`find` raises IAM's error for what is not there; `change` is the same for what may be changed."""

    member: str
    find: Callable[[AccountBook, str], tagging.Tagged]
    change: Callable[[AccountBook, str], tagging.Tagged]
    arn: Callable[[str, str], str]  # account, name: of what does not exist


def _of_name(kind: type[Pathed]) -> Callable[[str, str], str]:
    return lambda account, name: f"arn:aws:iam::{account}:{kind.kind}/{name}"


def _of_arn(kind: str) -> Callable[[str, str], str]:
    def arn(account: str, given: str) -> str:
        is_one = given.startswith("arn:aws:iam::") and f":{kind}/" in given
        return given if is_one else f"arn:aws:iam::{account}:{kind}/{given}"

    return arn


def _user(book: AccountBook, name: str) -> User:
    return required(book, User, name)


def _role(book: AccountBook, name: str) -> Role:
    return required(book, Role, name)


def _profile(book: AccountBook, name: str) -> InstanceProfile:
    return required(book, InstanceProfile, name)


USER = Taggable(member="UserName", find=_user, change=_user, arn=_of_name(User))
ROLE = Taggable(member="RoleName", find=_role, change=_role, arn=_of_name(Role))
PROFILE = Taggable(member="InstanceProfileName", find=_profile, change=_profile, arn=_of_name(InstanceProfile))
POLICY = Taggable(
    member="PolicyArn", find=policies.find_policy, change=policies.own_policy, arn=_of_arn(ManagedPolicy.kind)
)
PROVIDER = Taggable(
    member="OpenIDConnectProviderArn",
    find=providers.required_provider,
    change=providers.required_provider,
    arn=_of_arn(OidcProvider.kind),
)


def tag(what: Taggable) -> Operation:
    async def tag_it(call: Call, services: Services, params: Params) -> Answer:
        name = params[what.member]
        _ask(call, services, what, name, given_tags(params))
        await services.identity.change(call.account, lambda book: tagging.tag(what.change(book, name), params["Tags"]))
        return {}

    return tag_it


def untag(what: Taggable) -> Operation:
    async def untag_it(call: Call, services: Services, params: Params) -> Answer:
        name, keys = params[what.member], params["TagKeys"]
        _ask(call, services, what, name, {"aws:TagKeys": keys})
        await services.identity.change(call.account, lambda book: tagging.untag(what.change(book, name), keys))
        return {}

    return untag_it


def list_tags(what: Taggable) -> Operation:
    async def list_them(call: Call, services: Services, params: Params) -> Answer:
        book, name = book_of(call, services), params[what.member]
        _ask(call, services, what, name, {})
        ordered = sorted(what.find(book, name).tags)
        tags, more = page(call, params, ordered, lambda pair: pair[0])
        return {"Tags": tags_shown(tuple(tags)), **more}

    return list_them


def _ask(call: Call, services: Services, what: Taggable, name: str, keys: dict[str, Values]) -> None:
    try:
        found = what.find(book_of(call, services), name)
    except AwsError:
        ask(call, what.arn(call.account, name), keys=keys)
    else:
        ask(call, found.arn, tags=found.tags, keys=keys)
