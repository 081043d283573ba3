"""CreateRepository, DescribeRepositories, DeleteRepository; tag mutability and scanning of a repository."""

import re
from collections.abc import Callable

from msgspec.structs import replace

from ....model.errors import InvalidParameter
from ...authorize import request_tags
from ...call import Answer, Call, Params
from ...images.book import RepositoryBook
from ...images.errors import LimitExceeded, RepositoryNotEmpty
from ...images.records import IMMUTABLE_BUT, MUTABLE, MUTABLE_BUT, Repository
from ...images.registry import Change
from ...images.service import Images
from ...images.storing import forget_manifests
from ...services import Services
from .asking import ALL, account_of, ask_for, asked_book, images_of, invalid, named, shown, shown_mutability
from .paging import page
from .tags import check_tags, listed_tags

_EXCLUSIONS_MAX = 5
_FILTER = re.compile(r"[0-9A-Za-z._-]*(?:\*[0-9A-Za-z._-]*){0,2}", re.ASCII)


async def create_repository(call: Call, services: Services, params: Params) -> Answer:
    images, account, name = images_of(services), account_of(call, params), params["repositoryName"]
    tags = listed_tags(params.get("tags"))
    context = request_tags(tags)
    ask_for(call, images, account, name, context)
    if tags:
        ask_for(call, images, account, name, context, action="TagResource")
    if account != call.account:
        raise InvalidParameter("Repositories are created in the caller's own registry.")
    encryption = params.get("encryptionConfiguration") or {"encryptionType": "AES256"}
    if encryption["encryptionType"] != "AES256" or encryption.get("kmsKey"):
        # Accepting the key without its effect would be a pretended success.
        raise InvalidParameter("Only the encryption type AES256 is supported: images rest as the disk keeps them.")
    if images.registry.count(account) >= images.knobs.image_repositories_max:
        raise LimitExceeded(
            f"The maximum number of repositories ({images.knobs.image_repositories_max}) of the registry with id "
            f"'{account}' was reached."
        )
    repository = await images.registry.create(
        Repository(
            account=account,
            name=name,
            uid="",
            created=round(call.now, 3),
            mutability=params.get("imageTagMutability") or MUTABLE,
            exclusions=_exclusions(params),
            scan_on_push=bool((params.get("imageScanningConfiguration") or {}).get("scanOnPush")),
            tags=check_tags(params.get("tags")),
        )
    )
    return {"repository": shown(images, repository)}


async def describe_repositories(call: Call, services: Services, params: Params) -> Answer:
    images, account, names = images_of(services), account_of(call, params), params.get("repositoryNames")
    if names:
        for name in names:
            ask_for(call, images, account, name)
        if params.get("nextToken") or params.get("maxResults"):
            raise InvalidParameter("'repositoryNames' cannot be combined with 'nextToken' and 'maxResults'.")
        found = [images.registry.book(account, name).repository for name in dict.fromkeys(names)]
        return {"repositories": [shown(images, repository) for repository in found]}
    ask_for(call, images, account, ALL)
    books, more = page(call, params, images.registry.books(account), lambda book: book.repository.name)
    return {"repositories": [shown(images, book.repository) for book in books]} | more


async def delete_repository(call: Call, services: Services, params: Params) -> Answer:
    images, account, name = images_of(services), account_of(call, params), params["repositoryName"]
    ask_for(call, images, account, name)
    forced = bool(params.get("force"))
    digests: list[str] = []

    def check(book: RepositoryBook) -> None:
        if len(book) and not forced:
            raise RepositoryNotEmpty(name, account)
        digests[:] = [image.digest for image in book.images()]

    repository = await images.registry.delete(account, name, check)
    # Behind the answer: what stays is named by nothing, and a repository made again has a place of its own.
    services.world.spawn(forget_manifests(images, repository, tuple(digests)), "forget a repository's manifests")
    return {"repository": shown(images, repository)}


async def put_image_tag_mutability(call: Call, services: Services, params: Params) -> Answer:
    images, book = asked_book(call, services, params)
    kind, exclusions = params["imageTagMutability"], _exclusions(params)
    repository = await _change(images, book, lambda now: replace(now, mutability=kind, exclusions=exclusions))
    return named(repository) | shown_mutability(repository)


async def put_image_scanning_configuration(call: Call, services: Services, params: Params) -> Answer:
    images, book = asked_book(call, services, params)
    wanted = bool(params["imageScanningConfiguration"].get("scanOnPush"))
    repository = await _change(images, book, lambda now: replace(now, scan_on_push=wanted))
    return named(repository) | {"imageScanningConfiguration": {"scanOnPush": repository.scan_on_push}}


async def _change(images: Images, book: RepositoryBook, changed: Callable[[Repository], Repository]) -> Repository:
    def decide(now: RepositoryBook) -> Change[Repository]:
        repository = changed(now.repository)
        return Change(result=repository, repository=repository)

    return await images.registry.change(book.repository.account, book.repository.name, decide)


def _exclusions(params: Params) -> tuple[str, ...]:
    """Filters belong to the two kinds of mutability that have exclusions, and only to them. Raises InvalidParameter."""
    filters = params.get("imageTagMutabilityExclusionFilters") or []
    kind = params.get("imageTagMutability") or MUTABLE
    if bool(filters) != (kind in (MUTABLE_BUT, IMMUTABLE_BUT)):
        raise invalid("imageTagMutabilityExclusionFilters", f"must be given with {MUTABLE_BUT} or {IMMUTABLE_BUT} only")
    patterns = tuple(one["filter"] for one in filters)
    if len(patterns) > _EXCLUSIONS_MAX or not all(_FILTER.fullmatch(one) for one in patterns):
        raise invalid("imageTagMutabilityExclusionFilters", f"at most {_EXCLUSIONS_MAX}, with at most 2 wildcards each")
    return patterns
