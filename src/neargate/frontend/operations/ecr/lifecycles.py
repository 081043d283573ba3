"""Lifecycle policies: put, shown, taken away, and tried out."""

from typing import Any

from msgspec.structs import replace

from ....model.errors import InvalidParameter
from ...call import Answer, Call, Params
from ...images.book import RepositoryBook
from ...images.errors import LifecyclePolicyNotFound, LifecyclePolicyPreviewNotFound
from ...images.lifecycle import Expired, InvalidLifecyclePolicy, parse
from ...images.registry import Change
from ...images.sweeping import expiring
from ...services import Services
from .asking import asked_book, named
from .paging import page

_PREVIEWS_MAX = 64  # remembered, each of up to a repository's images; AWS forgets them too


async def put_lifecycle_policy(call: Call, services: Services, params: Params) -> Answer:
    images, book = asked_book(call, services, params)
    text = params["lifecyclePolicyText"]
    _parsed(text)

    def change(book: RepositoryBook) -> Change[None]:
        return Change(result=None, repository=replace(book.repository, lifecycle=text, lifecycle_evaluated=None))

    await images.registry.change(book.repository.account, book.repository.name, change)
    return named(book.repository) | {"lifecyclePolicyText": text}


async def get_lifecycle_policy(call: Call, services: Services, params: Params) -> Answer:
    _, book = asked_book(call, services, params)
    text = _required(book)
    evaluated = book.repository.lifecycle_evaluated
    found = named(book.repository) | {"lifecyclePolicyText": text}
    return found if evaluated is None else found | {"lastEvaluatedAt": evaluated}


async def delete_lifecycle_policy(call: Call, services: Services, params: Params) -> Answer:
    images, book = asked_book(call, services, params)

    def change(book: RepositoryBook) -> Change[dict[str, Any]]:
        text, evaluated = _required(book), book.repository.lifecycle_evaluated
        found: dict[str, Any] = {"lifecyclePolicyText": text}
        return Change(
            result=found if evaluated is None else found | {"lastEvaluatedAt": evaluated},
            repository=replace(book.repository, lifecycle=None, lifecycle_evaluated=None),
        )

    found = await images.registry.change(book.repository.account, book.repository.name, change)
    return named(book.repository) | found


async def start_lifecycle_policy_preview(call: Call, services: Services, params: Params) -> Answer:
    images, book = asked_book(call, services, params)
    text = params.get("lifecyclePolicyText") or _required(book)
    _parsed(text)
    found = await expiring(images, text, book)
    previews = images.previews
    previews.pop(book.repository.uid, None)
    if len(previews) >= _PREVIEWS_MAX:
        previews.pop(next(iter(previews)))
    previews[book.repository.uid] = (text, found)
    return named(book.repository) | {"lifecyclePolicyText": text, "status": "IN_PROGRESS"}


async def get_lifecycle_policy_preview(call: Call, services: Services, params: Params) -> Answer:
    images, book = asked_book(call, services, params)
    preview = images.previews.get(book.repository.uid)
    if preview is None:
        raise LifecyclePolicyPreviewNotFound(
            f"Lifecycle policy preview does not exist for the repository with name '{book.repository.name}' in the "
            f"registry with id '{book.repository.account}'"
        )
    text, found = preview
    wanted, status = params.get("imageIds"), (params.get("filter") or {}).get("tagStatus", "ANY")
    if wanted is not None:
        named_as = {(one.get("imageDigest"), one.get("imageTag")) for one in wanted}
        digests, tags = {digest for digest, _ in named_as if digest}, {tag for digest, tag in named_as if not digest}
        found = [one for one in found if one.image.digest in digests or tags.intersection(one.image.tags)]
    chosen = [one for one in found if status in ("ANY", "TAGGED" if one.image.tags else "UNTAGGED")]
    chosen.sort(key=lambda one: one.image.digest)
    part, more = page(call, params, chosen, lambda one: one.image.digest)
    return (
        named(book.repository)
        | {
            "lifecyclePolicyText": text,
            "status": "COMPLETE",
            "previewResults": [_shown(one) for one in part],
            "summary": {"expiringImageTotalCount": len(chosen)},
        }
        | more
    )


def _shown(found: Expired) -> dict[str, Any]:
    return {
        "imageTags": sorted(found.image.tags),
        "imageDigest": found.image.digest,
        "imagePushedAt": found.image.pushed_at,
        "action": {"type": "EXPIRE"},
        "appliedRulePriority": found.priority,
    }


def _parsed(text: str) -> None:
    """Raises InvalidParameter."""
    try:
        parse(text)
    except InvalidLifecyclePolicy as invalid:
        raise InvalidParameter(
            f"Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation "
            f"failure: {invalid}'"
        ) from None


def _required(book: RepositoryBook) -> str:
    text = book.repository.lifecycle
    if text is None:
        raise LifecyclePolicyNotFound(book.repository.name, book.repository.account)
    return text
