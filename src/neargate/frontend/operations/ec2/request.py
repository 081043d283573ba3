"""What all EC2 operations share: dry runs, ids by name, pages. Pure."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ....model.errors import AwsError
from ... import pages
from ...call import Call, Params
from ...network.errors.common import (
    DryRunOperation,
    InvalidNextToken,
    InvalidParameterCombination,
    InvalidParameterValue,
)

T = TypeVar("T")
PAGE_MIN, PAGE_MAX = 5, 1000


def stop_if_dry_run(params: Params) -> None:
    """After `authorize`: says that the call would have been allowed."""
    if params.get("DryRun"):
        raise DryRunOperation


def named(
    items: Iterable[T],
    wanted: Sequence[str] | None,
    id_of: Callable[[T], str],
    *,
    prefix: str,
    malformed: Callable[[str], AwsError],
    missing: Callable[[list[str]], AwsError],
) -> list[T]:
    """The items whose ids are wanted (all, when none are named). Raises what `malformed` and `missing` make."""
    everything = list(items)
    if not wanted:
        return everything
    for one in wanted:
        check_id(one, prefix, malformed)
    by_id = {id_of(item): item for item in everything}
    unknown = [one for one in dict.fromkeys(wanted) if one not in by_id]
    if unknown:
        raise missing(unknown)
    return [by_id[one] for one in dict.fromkeys(wanted)]


def check_id(given: str, prefix: str, malformed: Callable[[str], AwsError]) -> None:
    if not re.fullmatch(rf"{prefix}-[0-9a-f]{{8,17}}", given):
        raise malformed(given[:255])


def client_token(params: Params) -> str | None:
    """What makes a creation idempotent. It is kept with what was made, so its length is bounded."""
    given = params.get("ClientToken")
    if not given:
        return None
    if not re.fullmatch(r"[\x21-\x7e]{1,64}", given):
        raise InvalidParameterValue(
            f"Value ({given[:64]}) for parameter clientToken is invalid. A token has at most 64 ASCII characters."
        )
    return str(given)


def page(
    items: Sequence[T], params: Params, id_of: Callable[[T], str], ids_parameter: str
) -> tuple[list[T], str | None]:
    """This page's items, sorted by id, and the token of the next."""
    limit = params.get("MaxResults")
    if limit is not None:
        if params.get(ids_parameter):
            raise InvalidParameterCombination(
                f"The parameter {ids_parameter} cannot be used with the parameter maxResults"
            )
        if limit < PAGE_MIN:
            raise InvalidParameterValue(
                f"Value ( {limit} ) for parameter maxResults is invalid. Expecting a value greater than {PAGE_MIN}."
            )
    return pages.page(
        sorted(items, key=id_of),
        id_of,
        size=min(limit or PAGE_MAX, PAGE_MAX),
        token=params.get("NextToken"),
        bound_to=ids_parameter,
        refused=InvalidNextToken,
    )


def with_token(answer: dict[str, object], token: str | None) -> dict[str, object]:
    return answer if token is None else {**answer, "NextToken": token}


def resource_arn(call: Call, kind: str, resource_id: str) -> str:
    return call.arn("ec2", f"{kind}/{resource_id}")


def tag_list(tags: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags]
