"""What ECR's operations have in common: whose registry, which repository, leave for it, and its form in answers."""

from collections.abc import Mapping
from typing import Any

from ....model.errors import InvalidParameter, ServiceUnavailable
from ...authorize import Values
from ...call import Call, Params
from ...images import asking
from ...images.asking import repository_arn
from ...images.book import RepositoryBook
from ...images.paths import NAME, NAME_MAX
from ...images.records import IMMUTABLE_BUT, MUTABLE_BUT, Repository
from ...images.service import Images
from ...services import Services

ALL = "*"  # instead of a repository's name: of all of an account


def images_of(services: Services) -> Images:
    if services.images is None:
        raise ServiceUnavailable
    return services.images


def account_of(call: Call, params: Params) -> str:
    """`registryId`: another account's registry may be named wherever its policies allow it."""
    named: str = params.get("registryId") or call.account
    return named


def ask_for(
    call: Call,
    images: Images,
    account: str,
    name: str,
    context: Mapping[str, Values] | None = None,
    *,
    action: str | None = None,
) -> None:
    """Leave for the operation on a repository, whether there is one or not. Raises InvalidParameter, AccessDenied."""
    if name != ALL:
        check_name(name)
    asking.ask_for(call, images.registry, images.policies, action or call.operation, account, name, context)


def asked_book(call: Call, services: Services, params: Params) -> tuple[Images, RepositoryBook]:
    """The repository that a request names, after leave was given. Raises RepositoryNotFound."""
    images, account = images_of(services), account_of(call, params)
    ask_for(call, images, account, params["repositoryName"])
    return images, images.registry.book(account, params["repositoryName"])


def check_name(name: str) -> None:
    """Raises InvalidParameter in ECR's words."""
    if not 2 <= len(name) <= NAME_MAX or NAME.fullmatch(name) is None:
        raise invalid(
            "repositoryName",
            "must satisfy regular expression "
            "'(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*' and have 2 to 256 characters",
        )


def invalid(parameter: str, constraint: str) -> InvalidParameter:
    return InvalidParameter(f"Invalid parameter at '{parameter}' failed to satisfy constraint: '{constraint}'")


def named(repository: Repository) -> dict[str, Any]:
    """What nearly every answer begins with."""
    return {"registryId": repository.account, "repositoryName": repository.name}


def shown(images: Images, repository: Repository) -> dict[str, Any]:
    found: dict[str, Any] = {
        "repositoryArn": repository_arn(images.region, repository.account, repository.name),
        **named(repository),
        "repositoryUri": f"{images.host_of(repository.account)}/{repository.name}",
        "createdAt": repository.created,
        **shown_mutability(repository),
        "imageScanningConfiguration": {"scanOnPush": repository.scan_on_push},
        "encryptionConfiguration": {"encryptionType": repository.encryption},
    }
    if repository.kms_key is not None:
        found["encryptionConfiguration"]["kmsKey"] = repository.kms_key
    return found


def shown_mutability(repository: Repository) -> dict[str, Any]:
    found: dict[str, Any] = {"imageTagMutability": repository.mutability}
    if repository.mutability in (MUTABLE_BUT, IMMUTABLE_BUT):
        found["imageTagMutabilityExclusionFilters"] = [
            {"filterType": "WILDCARD", "filter": pattern} for pattern in repository.exclusions
        ]
    return found
