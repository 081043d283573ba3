"""RequestCertificate: the region's own authority issues at once, and asks nobody whose a name is."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from ...authorize import authorize, request_tags
from ...call import Answer, Call, Params
from ...certificates import changes
from ...certificates.authority import CURVES, RSA_BITS
from ...certificates.errors import InvalidDomainValidation, InvalidParameter
from ...certificates.records import ISSUED_HERE, Certificate, certificate_arn
from ...services import Services
from .asking import ask_for_tags, given_tags

_FIRST_NAME_MAX = 64
_DEFAULT_VALIDATION = "EMAIL"


async def request_certificate(call: Call, services: Services, params: Params) -> Answer:
    """Repeatable with an idempotency token."""
    names = _names(params)
    algorithm = params.get("KeyAlgorithm") or "RSA_2048"
    validation = params.get("ValidationMethod") or _DEFAULT_VALIDATION
    tags = given_tags(params.get("Tags"))
    context = {
        "acm:DomainNames": names,
        "acm:KeyAlgorithm": algorithm,
        "acm:ValidationMethod": validation,
        **(request_tags(dict(tags)) if tags else {}),
    }
    authorize(call, "acm:RequestCertificate", ["*"], context)
    ask_for_tags(call, tags)
    _refuse_what_is_not_built(params, names[0], algorithm, validation)
    _check_validation_domains(params.get("DomainValidationOptions") or [], names)
    registry, token = services.certificates, params.get("IdempotencyToken") or ""
    known = changes.same_request(registry.shelf(call.account), token, names, call.now)
    if known is not None:
        return {"CertificateArn": known.arn}
    arn = certificate_arn(services.region, call.account, services.world.random.getrandbits)
    sealed = registry.sealed(arn, await registry.issue(names, algorithm))
    now = round(call.now, 3)
    new = Certificate(
        account=call.account,
        name=arn,
        origin=ISSUED_HERE,
        facts=sealed.facts,
        pem=sealed.pem,
        chain=sealed.chain,
        sealed_key=sealed.sealed_key,
        created_at=now,
        issued_at=now,
        asked=token,
        validation=validation,
        logging=(params.get("Options") or {}).get("CertificateTransparencyLoggingPreference") or "ENABLED",
        tags=tags,
    )
    made = await registry.change(call.account, partial(changes.added, new=new))
    return {"CertificateArn": made.arn}


def _names(params: Params) -> list[str]:
    """The domain's name first, each once, as certificates have them: in lower case."""
    given = [params["DomainName"], *(params.get("SubjectAlternativeNames") or [])]
    return list(dict.fromkeys(name.lower() for name in given))


def _refuse_what_is_not_built(params: Params, first: str, algorithm: str, validation: str) -> None:
    if len(first) > _FIRST_NAME_MAX:
        raise InvalidParameter(f"The first domain name can be no longer than {_FIRST_NAME_MAX} characters.")
    if params.get("CertificateAuthorityArn"):
        raise InvalidParameter(
            "Neargate has no private certificate authorities: leave CertificateAuthorityArn out, and the region's own "
            "authority issues the certificate."
        )
    if algorithm not in RSA_BITS and algorithm not in CURVES:
        raise InvalidParameter(f"The key algorithm {algorithm} cannot be requested.")
    if validation == "HTTP" or params.get("ManagedBy"):
        raise InvalidParameter("HTTP validation is for certificates of CloudFront, which Neargate does not have.")
    if (params.get("Options") or {}).get("Export") == "ENABLED":
        raise InvalidParameter("Neargate has no certificates that can be exported.")


def _check_validation_domains(options: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    for one in options:
        domain, validated = one["DomainName"].lower(), one["ValidationDomain"].lower()
        if domain not in names or not f".{domain}".endswith(f".{validated}"):
            raise InvalidDomainValidation(
                f"The validation domain {validated} is not {domain} or a superdomain of it, or {domain} was not "
                "requested."
            )
