"""Lifecycle policies: put, shown, taken away, and tried out."""

from typing import Any

from msgspec.structs import replace

from ....model.errors import InvalidParameter
from ...call import Answer, Call, Params
from ...images.book import RepositoryBook
from ...images.errors import LifecyclePolicyNotFound, LifecyclePolicyPreviewNotFound
from ...images.lifecycle import InvalidLifecyclePolicy, parse
from ...images.registry import Change
from ...images.sweeping import expiring
from ...services import Services
from .asking import asked_book, named
from .paging import page

_PREVIEWS_MAX = 256  # remembered; AWS forgets them too


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
    results = [
        {
            "imageTags": sorted(one.image.tags),
            "imageDigest": one.image.digest,
            "imagePushedAt": one.image.pushed_at,
            "action": {"type": "EXPIRE"},
            "appliedRulePriority": one.priority,
        }
        for one in found
    ]
    previews = images.previews
    previews.pop(book.repository.uid, None)
    if len(previews) >= _PREVIEWS_MAX:
        previews.pop(next(iter(previews)))
    previews[book.repository.uid] = (text, results)
    return named(book.repository) | {"lifecyclePolicyText": text, "status": "IN_PROGRESS"}


async def get_lifecycle_policy_preview(call: Call, services: Services, params: Params) -> Answer:
    images, book = asked_book(call, services, params)
    preview = images.previews.get(book.repository.uid)
    if preview is None:
        raise LifecyclePolicyPreviewNotFound(
            f"Lifecycle policy preview does not exist for the repository with name '{book.repository.name}' in the "
            f"registry with id '{book.repository.account}'"
        )
    text, results = preview
    wanted, status = params.get("imageIds"), (params.get("filter") or {}).get("tagStatus", "ANY")
    if wanted is not None:
        named_as = {(one.get("imageDigest"), one.get("imageTag")) for one in wanted}
        digests, tags = {digest for digest, _ in named_as if digest}, {tag for digest, tag in named_as if not digest}
        results = [one for one in results if one["imageDigest"] in digests or tags.intersection(one["imageTags"])]
    shown = [one for one in results if status in ("ANY", "TAGGED" if one["imageTags"] else "UNTAGGED")]
    shown.sort(key=lambda one: one["imageDigest"])
    part, more = page(call, params, shown, lambda one: one["imageDigest"])
    return (
        named(book.repository)
        | {
            "lifecyclePolicyText": text,
            "status": "COMPLETE",
            "previewResults": part,
            "summary": {"expiringImageTotalCount": len(shown)},
        }
        | more
    )


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
