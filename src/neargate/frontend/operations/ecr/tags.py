"""TagResource, UntagResource, ListTagsForResource; the rules of tags."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from ....model.arn import Arn
from ....model.errors import InvalidParameter
from ...authorize import request_tags
from ...call import Answer, Call, Params
from ...images.book import RepositoryBook
from ...images.errors import InvalidTagParameter, TooManyTags
from ...images.records import Tags
from ...images.registry import Change
from ...services import Services
from .asking import ask_for, images_of

TAGS_MAX = 50
_KEY_MAX, _VALUE_MAX = 128, 256


async def tag_resource(call: Call, services: Services, params: Params) -> Answer:
    images, (account, name) = images_of(services), _named(call, params["resourceArn"])
    given = listed_tags(params["tags"])
    ask_for(call, images, account, name, request_tags(given))
    check_tags(params["tags"])

    def decide(book: RepositoryBook) -> Change[None]:
        tags = {**dict(book.repository.tags), **given}
        if len(tags) > TAGS_MAX:
            raise TooManyTags(f"The number of tags exceeds the limit of {TAGS_MAX}.")
        return Change(result=None, repository=replace(book.repository, tags=tuple(tags.items())))

    await images.registry.change(account, name, decide)
    return {}


async def untag_resource(call: Call, services: Services, params: Params) -> Answer:
    images, (account, name) = images_of(services), _named(call, params["resourceArn"])
    keys = params["tagKeys"]
    ask_for(call, images, account, name, {"aws:TagKeys": keys})

    def decide(book: RepositoryBook) -> Change[None]:
        left = tuple((key, value) for key, value in book.repository.tags if key not in keys)
        return Change(result=None, repository=replace(book.repository, tags=left))

    await images.registry.change(account, name, decide)
    return {}


async def list_tags_for_resource(call: Call, services: Services, params: Params) -> Answer:
    images, (account, name) = images_of(services), _named(call, params["resourceArn"])
    ask_for(call, images, account, name)
    tags = images.registry.book(account, name).repository.tags
    return {"tags": [{"Key": key, "Value": value} for key, value in sorted(tags)]}


def listed_tags(given: Iterable[Mapping[str, Any]] | None) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in given or ()}


def check_tags(given: Iterable[Mapping[str, Any]] | None) -> Tags:
    """Raises InvalidTagParameter, TooManyTags."""
    listed = list(given or ())
    found = listed_tags(listed)
    if len(found) != len(listed):
        raise InvalidTagParameter("Duplicate tag keys are not allowed.")
    if len(found) > TAGS_MAX:
        raise TooManyTags(f"The number of tags exceeds the limit of {TAGS_MAX}.")
    for key, value in found.items():
        if not 0 < len(key) <= _KEY_MAX or len(value) > _VALUE_MAX:
            raise InvalidTagParameter(
                f"A tag's key must have 1 to {_KEY_MAX} characters, its value at most {_VALUE_MAX}."
            )
        if key.lower().startswith("aws:"):
            raise InvalidTagParameter("Tag keys that begin with aws: are reserved.")
    return tuple(found.items())


def _named(call: Call, text: str) -> tuple[str, str]:
    """(account, repository) of an ARN of this region. Raises InvalidParameter."""
    arn = Arn.parse(text)
    if arn is None or arn.service != "ecr" or arn.region != call.region or not arn.resource.startswith("repository/"):
        raise InvalidParameter(
            f"Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN' ({text[:200]})"
        )
    return arn.account, arn.resource.removeprefix("repository/")
