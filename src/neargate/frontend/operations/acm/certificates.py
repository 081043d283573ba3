"""DescribeCertificate, GetCertificate, ListCertificates, DeleteCertificate."""

from functools import partial

from ... import pages
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...certificates import changes
from ...certificates.errors import InvalidArguments
from ...certificates.records import Certificate
from ...services import Services
from .asking import certificate_meant, users_of
from .shapes import summary, whole

_PAGE_MAX = 1000
# Without a filter on keys ACM lists these alone, since older clients know no others.
_KEYS_LISTED = ("RSA_1024", "RSA_2048")


async def describe_certificate(call: Call, services: Services, params: Params) -> Answer:
    found = certificate_meant(call, services, params["CertificateArn"])
    return {"Certificate": whole(found, users_of(call, services, found.arn), call.now)}


async def get_certificate(call: Call, services: Services, params: Params) -> Answer:
    found = certificate_meant(call, services, params["CertificateArn"])
    chain = {"CertificateChain": found.chain} if found.chain else {}
    return {"Certificate": found.pem, **chain}


async def list_certificates(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "acm:ListCertificates", ["*"])
    is_descending = params.get("SortBy") is not None and params.get("SortOrder") == "DESCENDING"
    if (params.get("SortBy") is None) != (params.get("SortOrder") is None):
        raise InvalidArguments("SortBy and SortOrder must be given together.")
    shelf = services.certificates.shelf(call.account)
    found = [one for one in shelf.all(Certificate) if _is_listed(one, params, call.now)]
    chosen, token = pages.page(
        sorted(found, key=_place, reverse=is_descending),
        _place,
        size=params.get("MaxItems") or _PAGE_MAX,
        token=params.get("NextToken"),
        bound_to=call.operation,
        refused=lambda: InvalidArguments("The NextToken is not valid."),
        descending=is_descending,
        kind=tuple[float, str],
    )
    listed = [summary(one, bool(users_of(call, services, one.arn)), call.now) for one in chosen]
    return {"CertificateSummaryList": listed} | ({} if token is None else {"NextToken": token})


def _place(one: Certificate) -> tuple[float, str]:
    return one.created_at, one.name


def _is_listed(one: Certificate, params: Params, now: float) -> bool:
    includes, statuses = params.get("Includes") or {}, params.get("CertificateStatuses") or []
    usages, extended = includes.get("keyUsage") or [], includes.get("extendedKeyUsage") or []
    facts = one.facts
    return (
        facts.key_algorithm in (includes.get("keyTypes") or _KEYS_LISTED)
        and (not statuses or one.status(now) in statuses)
        and (not usages or not set(usages).isdisjoint(facts.usages))
        and (not extended or any(name in extended for name, _ in facts.extended))
        and includes.get("exportOption") != "ENABLED"
        and includes.get("managedBy") is None
        and "ACME" not in (params.get("CertificateKeyPairOrigins") or [])
    )


async def delete_certificate(call: Call, services: Services, params: Params) -> Answer:
    arn = certificate_meant(call, services, params["CertificateArn"]).arn
    users = partial(users_of, call, services)
    async with services.certificates.in_use:
        await services.certificates.change(call.account, partial(changes.deleted, arn=arn, users=users))
    return {}
