"""OpenID Connect providers: decisions. Pure. Who verifies tokens looks a provider up by its URL without the scheme."""

import re
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ...model.arn import Arn
from .book import AccountBook
from .errors import EntityAlreadyExists, InvalidInput, LimitExceeded, NoSuchEntity
from .records import OidcProvider
from .registry import Change
from .rules import check_count, tags_of

THUMBPRINTS_MAX = 5
_SCHEME = "https://"
_URL = re.compile(
    r"[a-z0-9]([a-z0-9-]{0,62})(\.[a-z0-9]([a-z0-9-]{0,62}))*(:[0-9]{1,5})?(/[\w.~%@:+=,-]*)*", re.ASCII | re.IGNORECASE
)
_THUMBPRINT = re.compile(r"[0-9a-fA-F]{40}", re.ASCII)


def provider_arn(account: str, name: str) -> str:
    return str(Arn(service="iam", region="", account=account, resource=f"oidc-provider/{name}"))


def provider_name(url: str) -> str:
    """Raises InvalidInput for a URL that is not https or has more than host and path."""
    if not url.lower().startswith(_SCHEME) or not _URL.fullmatch(url[len(_SCHEME) :]):
        raise InvalidInput("Invalid Open ID Connect Provider URL")
    return url[len(_SCHEME) :].rstrip("/")


def create_provider(
    book: AccountBook,
    url: str,
    *,
    client_ids: Sequence[str],
    thumbprints: Sequence[str],
    tags: Sequence[Mapping[str, str]] | None,
    now: int,
) -> Change[OidcProvider]:
    """Raises InvalidInput, EntityAlreadyExists, LimitExceeded."""
    name = provider_name(url)
    if book.find(OidcProvider, name) is not None:
        raise EntityAlreadyExists(f"Provider with url {url} already exists.")
    check_count(book, "OpenIdConnectProvidersPerAccount", book.count(OidcProvider))
    provider = OidcProvider(
        account=book.account.number,
        name=name,
        uid=provider_arn(book.account.number, name),
        created=now,
        client_ids=_clients(book, client_ids),
        thumbprints=_thumbprints(thumbprints),
        tags=tags_of(OidcProvider, tags),
    )
    return Change(result=provider, put=(provider,))


def delete_provider(book: AccountBook, arn: str) -> Change[None]:
    """Deleting what is not there succeeds, as on AWS."""
    found = find_provider(book, arn)
    return Change(result=None, drop=() if found is None else (found,))


def set_thumbprints(book: AccountBook, arn: str, thumbprints: Sequence[str]) -> Change[None]:
    provider = required_provider(book, arn)
    return Change(result=None, put=(replace(provider, thumbprints=_thumbprints(thumbprints)),))


def add_client(book: AccountBook, arn: str, client_id: str) -> Change[None]:
    provider = required_provider(book, arn)
    if client_id in provider.client_ids:
        return Change(result=None)
    return Change(result=None, put=(replace(provider, client_ids=_clients(book, (*provider.client_ids, client_id))),))


def remove_client(book: AccountBook, arn: str, client_id: str) -> Change[None]:
    """Removing what is not there succeeds, as on AWS."""
    provider = required_provider(book, arn)
    kept = tuple(one for one in provider.client_ids if one != client_id)
    return Change(result=None, put=(replace(provider, client_ids=kept),))


def find_provider(book: AccountBook, arn: str) -> OidcProvider | None:
    found = book.by_uid(arn)
    return found if isinstance(found, OidcProvider) else None


def required_provider(book: AccountBook, arn: str) -> OidcProvider:
    found = find_provider(book, arn)
    if found is None:
        raise NoSuchEntity(f"OpenIDConnect Provider not found for arn {arn}")
    return found


def _clients(book: AccountBook, given: Sequence[str]) -> tuple[str, ...]:
    unique = tuple(dict.fromkeys(given))
    limit = book.limit("ClientIdsPerOpenIdConnectProvider")
    if len(unique) > limit:
        raise LimitExceeded.of("ClientIdsPerOpenIdConnectProvider", limit)
    return unique


def _thumbprints(given: Sequence[str]) -> tuple[str, ...]:
    if len(given) > THUMBPRINTS_MAX:
        raise InvalidInput(f"Thumbprint list must contain fewer than {THUMBPRINTS_MAX} entries.")
    if not all(_THUMBPRINT.fullmatch(one) for one in given):
        raise InvalidInput("Invalid thumbprint.")
    return tuple(one.lower() for one in given)
