"""Inline policies, attached policies and boundaries of users, groups and roles: one function of each for all three.

`table.py` makes each operation with the kind of the holder; parameters and answers are named after it.
"""

from typing import TypeVar

from ...authorize import Values
from ...call import Answer, Call, Params
from ...identity import holders as decisions
from ...identity.book import AccountBook
from ...identity.records import Group, Role, User
from ...identity.rules import required
from ...services import Operation, Services
from .asking import ask_for, book_of
from .paging import page, page_of_names
from .shapes import attached_shown, document_shown

H = TypeVar("H", User, Group, Role)
B = TypeVar("B", User, Role)


def name_member(kind: type[User | Group | Role]) -> str:
    return f"{kind.kind.capitalize()}Name"


def put_policy(kind: type[H]) -> Operation:
    async def put(call: Call, services: Services, params: Params) -> Answer:
        name = params[name_member(kind)]
        _ask(call, book_of(call, services), kind, name)
        await services.identity.change(
            call.account,
            lambda book: decisions.put_inline(book, kind, name, params["PolicyName"], params["PolicyDocument"]),
        )
        return {}

    return put


def get_policy(kind: type[H]) -> Operation:
    async def get(call: Call, services: Services, params: Params) -> Answer:
        book, name, policy = book_of(call, services), params[name_member(kind)], params["PolicyName"]
        ask_for(call, book, kind, name)
        document = decisions.inline_document(required(book, kind, name), policy)
        return {name_member(kind): name, "PolicyName": policy, "PolicyDocument": document_shown(document)}

    return get


def delete_policy(kind: type[H]) -> Operation:
    async def delete(call: Call, services: Services, params: Params) -> Answer:
        name = params[name_member(kind)]
        _ask(call, book_of(call, services), kind, name)
        await services.identity.change(
            call.account, lambda book: decisions.delete_inline(book, kind, name, params["PolicyName"])
        )
        return {}

    return delete


def list_policies(kind: type[H]) -> Operation:
    async def list_them(call: Call, services: Services, params: Params) -> Answer:
        book, name = book_of(call, services), params[name_member(kind)]
        ask_for(call, book, kind, name)
        names, more = page_of_names(call, params, [policy for policy, _ in required(book, kind, name).inline])
        return {"PolicyNames": names, **more}

    return list_them


def attach(kind: type[H]) -> Operation:
    async def attach_one(call: Call, services: Services, params: Params) -> Answer:
        name, arn = params[name_member(kind)], params["PolicyArn"]
        _ask(call, book_of(call, services), kind, name, arn)
        await services.identity.change(call.account, lambda book: decisions.attach(book, kind, name, arn))
        return {}

    return attach_one


def detach(kind: type[H]) -> Operation:
    async def detach_one(call: Call, services: Services, params: Params) -> Answer:
        name, arn = params[name_member(kind)], params["PolicyArn"]
        _ask(call, book_of(call, services), kind, name, arn)
        await services.identity.change(call.account, lambda book: decisions.detach(book, kind, name, arn))
        return {}

    return detach_one


def list_attached(kind: type[H]) -> Operation:
    async def list_them(call: Call, services: Services, params: Params) -> Answer:
        book, name, prefix = book_of(call, services), params[name_member(kind)], params.get("PathPrefix") or "/"
        ask_for(call, book, kind, name)
        arns = [arn for arn in required(book, kind, name).attached if _path(arn).startswith(prefix)]
        chosen, more = page(call, params, sorted(arns), lambda arn: arn)
        return {"AttachedPolicies": attached_shown(chosen), **more}

    return list_them


def put_boundary(kind: type[B]) -> Operation:
    async def put(call: Call, services: Services, params: Params) -> Answer:
        name, arn = params[name_member(kind)], params["PermissionsBoundary"]
        ask_for(call, book_of(call, services), kind, name, keys={"iam:PermissionsBoundary": arn})
        await services.identity.change(call.account, lambda book: decisions.set_boundary(book, kind, name, arn))
        return {}

    return put


def delete_boundary(kind: type[B]) -> Operation:
    async def delete(call: Call, services: Services, params: Params) -> Answer:
        name = params[name_member(kind)]
        _ask(call, book_of(call, services), kind, name)
        await services.identity.change(call.account, lambda book: decisions.set_boundary(book, kind, name, None))
        return {}

    return delete


def _ask(call: Call, book: AccountBook, kind: type[H], name: str, policy_arn: str | None = None) -> None:
    """Conditions may ask for the boundary that the principal has, and for the policy to be attached."""
    holder = book.find(kind, name)
    keys: dict[str, Values] = {} if policy_arn is None else {"iam:PolicyARN": policy_arn}
    if isinstance(holder, User | Role) and holder.boundary is not None:
        keys["iam:PermissionsBoundary"] = holder.boundary
    ask_for(call, book, kind, name, keys=keys)


def _path(arn: str) -> str:
    """`/service-role/` of `arn:aws:iam::aws:policy/service-role/X`."""
    return arn.partition(":policy")[2].rpartition("/")[0] + "/"
