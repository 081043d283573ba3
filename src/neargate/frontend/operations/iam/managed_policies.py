"""Managed policies and their versions: the account's own, and AWS's to be read."""

from collections.abc import Iterable
from typing import Any

from ....iam.managed import MANAGED_POLICIES
from ...call import Answer, Call, Params
from ...identity import policies as decisions
from ...identity.book import AccountBook
from ...identity.records import Group, Holder, ManagedPolicy, Role, User
from ...services import Services
from .asking import ask, ask_for_new, book_of
from .paging import page
from .shapes import policy_brief, policy_shown, version_shown

_BOUNDARY_USE = "PermissionsBoundary"


def ask_for_policy(call: Call, book: AccountBook, arn: str) -> None:
    """Whatever the caller wrote is asked for as a policy: leave comes before the ARN's form."""
    found = None if arn in MANAGED_POLICIES else book.policy(arn)
    is_policy = arn.startswith("arn:aws:iam::") and ":policy/" in arn
    ask(
        call,
        arn if is_policy else f"arn:aws:iam::{call.account}:policy/{arn}",
        tags=() if found is None else found.tags,
        shown=f"policy {arn}",
    )


async def create_policy(call: Call, services: Services, params: Params) -> Answer:
    name = params["PolicyName"]
    ask_for_new(call, ManagedPolicy, name, params, "TagPolicy")
    policy = await services.identity.change(
        call.account,
        lambda book: decisions.create_policy(
            book,
            name,
            path=params.get("Path") or "/",
            document=params["PolicyDocument"],
            description=params.get("Description"),
            tags=params.get("Tags"),
            now=int(call.now),
            bits=services.world.random.getrandbits,
        ),
    )
    return {"Policy": policy_shown(book_of(call, services), policy)}


async def get_policy(call: Call, services: Services, params: Params) -> Answer:
    book, arn = book_of(call, services), params["PolicyArn"]
    ask_for_policy(call, book, arn)
    return {"Policy": policy_shown(book, decisions.find_policy(book, arn))}


async def list_policies(call: Call, services: Services, params: Params) -> Answer:
    ask(call, "*", shown=f"policy path {params.get('PathPrefix') or '/'}")
    book, scope, prefix = book_of(call, services), params.get("Scope") or "All", params.get("PathPrefix") or "/"
    usage, only_used = params.get("PolicyUsageFilter"), params.get("OnlyAttached") or False
    found = [] if scope == "AWS" else list(book.all(ManagedPolicy))
    if scope != "Local":
        found += [decisions.aws_policy(arn) for arn in MANAGED_POLICIES]

    def wanted(policy: ManagedPolicy) -> bool:
        attached, bounding = book.uses(policy.arn)
        uses = bounding if usage == _BOUNDARY_USE else attached
        return policy.path.startswith(prefix) and (uses > 0 or (not only_used and usage is None))

    chosen = sorted(filter(wanted, found), key=_place)
    policies, more = page(call, params, chosen, _place)
    return {"Policies": [policy_brief(book, policy) for policy in policies], **more}


def _place(policy: ManagedPolicy) -> str:
    """The account's own before AWS's: names of both may be equal."""
    return f"{'1' if policy.account == 'aws' else '0'}{policy.key}"


async def delete_policy(call: Call, services: Services, params: Params) -> Answer:
    arn = params["PolicyArn"]
    ask_for_policy(call, book_of(call, services), arn)
    await services.identity.change(call.account, lambda book: decisions.delete_policy(book, arn))
    return {}


async def create_policy_version(call: Call, services: Services, params: Params) -> Answer:
    arn = params["PolicyArn"]
    ask_for_policy(call, book_of(call, services), arn)
    policy, version = await services.identity.change(
        call.account,
        lambda book: decisions.create_version(
            book,
            arn,
            document=params["PolicyDocument"],
            is_default=params.get("SetAsDefault") or False,
            now=int(call.now),
        ),
    )
    return {"PolicyVersion": version_shown(policy, version, with_document=False)}


async def get_policy_version(call: Call, services: Services, params: Params) -> Answer:
    book, arn = book_of(call, services), params["PolicyArn"]
    ask_for_policy(call, book, arn)
    policy = decisions.find_policy(book, arn)
    version = decisions.find_version(policy, params["VersionId"])
    return {"PolicyVersion": version_shown(policy, version, with_document=True)}


async def list_policy_versions(call: Call, services: Services, params: Params) -> Answer:
    book, arn = book_of(call, services), params["PolicyArn"]
    ask_for_policy(call, book, arn)
    policy = decisions.find_policy(book, arn)
    newest_first = sorted(policy.versions, key=lambda one: -one.number)
    versions, more = page(call, params, newest_first, lambda one: f"{999_999_999 - one.number:09d}")
    return {"Versions": [version_shown(policy, one, with_document=False) for one in versions], **more}


async def delete_policy_version(call: Call, services: Services, params: Params) -> Answer:
    arn, version = params["PolicyArn"], params["VersionId"]
    ask_for_policy(call, book_of(call, services), arn)
    await services.identity.change(
        call.account, lambda book: decisions.delete_version(book, arn, version, now=int(call.now))
    )
    return {}


async def set_default_policy_version(call: Call, services: Services, params: Params) -> Answer:
    arn, version = params["PolicyArn"], params["VersionId"]
    ask_for_policy(call, book_of(call, services), arn)
    await services.identity.change(
        call.account, lambda book: decisions.set_default(book, arn, version, now=int(call.now))
    )
    return {}


async def list_entities_for_policy(call: Call, services: Services, params: Params) -> Answer:
    book, arn = book_of(call, services), params["PolicyArn"]
    ask_for_policy(call, book, arn)
    decisions.find_policy(book, arn)
    usage, wanted = params.get("PolicyUsageFilter"), params.get("EntityFilter")
    prefix = params.get("PathPrefix") or "/"
    found = [
        holder
        for holder in book.holders()
        if wanted in (None, holder.kind.capitalize()) and holder.path.startswith(prefix) and _uses(holder, arn, usage)
    ]
    found.sort(key=_entity_place)
    chosen, more = page(call, params, found, _entity_place)
    return {
        "PolicyGroups": _named(chosen, Group, "Group"),
        "PolicyUsers": _named(chosen, User, "User"),
        "PolicyRoles": _named(chosen, Role, "Role"),
        **more,
    }


def _uses(holder: Holder, arn: str, usage: str | None) -> bool:
    bounds = isinstance(holder, User | Role) and holder.boundary == arn
    if usage == _BOUNDARY_USE:
        return bounds
    return arn in holder.attached or (usage is None and bounds)


def _entity_place(holder: Holder) -> str:
    return f"{holder.kind}/{holder.key}"


def _named(holders: Iterable[Holder], kind: type[Holder], word: str) -> list[dict[str, Any]]:
    return [{f"{word}Name": one.name, f"{word}Id": one.uid} for one in holders if isinstance(one, kind)]
