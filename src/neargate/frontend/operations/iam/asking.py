"""How an operation of IAM asks leave: the entity's ARN, its tags, what the request brings. And whose name is meant.

An entity that does not exist is asked for under the ARN it would have, so that nobody learns of names without leave. A
refusal names what is there by its name as the request has it, without its path, and what is to be made by its ARN.
"""

from collections.abc import Mapping

from ...authorize import Resource, Values, authorize, request_tags
from ...call import Call, Params
from ...identity.book import AccountBook
from ...identity.errors import InvalidRequest
from ...identity.records import ManagedPolicy, Pathed, Tags, User, entity_arn
from ...services import Services


def ask(
    call: Call,
    resource: str,
    *,
    tags: Tags = (),
    keys: Mapping[str, Values] | None = None,
    shown: str | None = None,
) -> None:
    """Raises AccessDenied. The action is the operation's own. `tags` are the resource's; `shown`: see Resource."""
    authorize(call, f"iam:{call.operation}", [Resource(arn=resource, tags=dict(tags), shown=shown)], keys)


def ask_for(
    call: Call, book: AccountBook, kind: type[Pathed], name: str, *, keys: Mapping[str, Values] | None = None
) -> None:
    """For an entity by name."""
    found = book.find(kind, name)
    arn = entity_arn(call.account, kind.kind, "/", name) if found is None else found.arn
    ask(call, arn, tags=getattr(found, "tags", ()), keys=keys, shown=f"{kind.kind.replace('-', ' ')} {name}")


def ask_for_renamed(
    call: Call, book: AccountBook, kind: type[Pathed], name: str, *, new_name: str | None, new_path: str | None
) -> None:
    """For an entity and for what it is to become: leave is needed on both."""
    ask_for(call, book, kind, name)
    found = book.find(kind, name)
    path = "/" if found is None else found.path
    if new_name is not None or new_path is not None:
        ask(call, entity_arn(call.account, kind.kind, new_path or path, new_name or name))


def ask_for_new(call: Call, kind: type[Pathed], name: str, params: Params, tagging: str | None = None) -> None:
    """For an entity that the request describes. `tagging`: the action that tags of the request need, too."""
    arn = entity_arn(call.account, kind.kind, params.get("Path") or "/", name)
    ask_creating(call, arn, params, tagging, shown=f"policy {name}" if kind is ManagedPolicy else None)


def ask_creating(call: Call, arn: str, params: Params, tagging: str | None, *, shown: str | None = None) -> None:
    tags = given_tags(params)
    boundary = params.get("PermissionsBoundary")
    ask(call, arn, keys=tags | ({} if boundary is None else {"iam:PermissionsBoundary": boundary}), shown=shown)
    if tags and tagging is not None:
        authorize(call, f"iam:{tagging}", [Resource(arn=arn, shown=shown)], tags)


def given_tags(params: Params) -> dict[str, Values]:
    """The condition keys of the request's tags; none when it brings none."""
    tags: list[dict[str, str]] = params.get("Tags") or []
    return request_tags({tag["Key"]: tag["Value"] for tag in tags}) if tags else {}


def ask_for_account(call: Call) -> None:
    """For what bears on no entity: the account itself, lists without paths."""
    ask(call, "*")


def ask_to_list(call: Call, kind: type[Pathed], params: Params) -> None:
    """For the entities below a path, all of them below `/`."""
    ask(call, entity_arn(call.account, kind.kind, params.get("PathPrefix") or "/", ""))


def book_of(call: Call, services: Services) -> AccountBook:
    return services.identity.book(call.account)


def user_meant(call: Call, params: Params) -> str | None:
    """The user a request names, or else the user who asks; None when that is the account's administrator.

    Raises InvalidRequest for sessions: they are nobody's own.
    """
    given = params.get("UserName")
    if given is not None:
        return str(given)
    principal = call.principal
    resource = principal.arn.rpartition(":")[2]
    if principal.role_arn is not None or not resource.startswith("user/"):
        raise InvalidRequest("Must specify userName when calling with non-User credentials")
    return None if principal.is_administrator else resource.rpartition("/")[2]


def ask_for_user(call: Call, book: AccountBook, name: str | None) -> None:
    """`name` None: the administrator."""
    if name is None:
        ask(call, call.principal.arn)
    else:
        ask_for(call, book, User, name)
