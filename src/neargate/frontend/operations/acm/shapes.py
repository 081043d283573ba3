"""What answers show of certificates. Pure."""

from collections.abc import Sequence
from typing import Any

from ...certificates.records import ISSUED_HERE, Certificate, validation_record

_MAIL_OF = ("admin", "administrator", "hostmaster", "postmaster", "webmaster")
_SUMMARY_NAMES_MAX = 100


def whole(one: Certificate, users: Sequence[str], now: float) -> dict[str, Any]:
    facts = one.facts
    found = {
        "CertificateArn": one.arn,
        "DomainName": facts.domain,
        "SubjectAlternativeNames": list(facts.names),
        "Serial": facts.serial,
        "Subject": facts.subject,
        "Issuer": facts.issuer,
        "CreatedAt": one.created_at,
        "Status": one.status(now),
        "NotBefore": facts.not_before,
        "NotAfter": facts.not_after,
        "KeyAlgorithm": facts.key_algorithm,
        "SignatureAlgorithm": facts.signature_algorithm,
        "InUseBy": list(users),
        "Type": one.origin,
        "KeyUsages": [{"Name": name} for name in facts.usages],
        "ExtendedKeyUsages": [{"Name": name} | ({"OID": oid} if oid else {}) for name, oid in facts.extended],
        "RenewalEligibility": _renewal(one, bool(users)),
        "Options": {"CertificateTransparencyLoggingPreference": one.logging, "Export": "DISABLED"},
    }
    if one.origin == ISSUED_HERE:
        found["DomainValidationOptions"] = [_validation(one, name) for name in facts.names]
    return found | _times(one)


def summary(one: Certificate, is_used: bool, now: float) -> dict[str, Any]:
    facts = one.facts
    return {
        "CertificateArn": one.arn,
        "DomainName": facts.domain,
        "SubjectAlternativeNameSummaries": list(facts.names[:_SUMMARY_NAMES_MAX]),
        "HasAdditionalSubjectAlternativeNames": len(facts.names) > _SUMMARY_NAMES_MAX,
        "Status": one.status(now),
        "Type": one.origin,
        "KeyAlgorithm": facts.key_algorithm,
        "KeyUsages": list(facts.usages),
        "ExtendedKeyUsages": [name for name, _ in facts.extended],
        "ExportOption": "DISABLED",
        "Exported": False,
        "InUse": is_used,
        "RenewalEligibility": _renewal(one, is_used),
        "NotBefore": facts.not_before,
        "NotAfter": facts.not_after,
        "CreatedAt": one.created_at,
        **_times(one),
    }


def _times(one: Certificate) -> dict[str, float]:
    known = {"IssuedAt": one.issued_at, "ImportedAt": one.imported_at}
    return {name: at for name, at in known.items() if at is not None}


def _renewal(one: Certificate, is_used: bool) -> str:
    return "ELIGIBLE" if is_used and one.origin == ISSUED_HERE else "INELIGIBLE"


def _validation(one: Certificate, name: str) -> dict[str, Any]:
    """It is over: the region's authority asked for none."""
    bare = name.removeprefix("*.")
    found: dict[str, Any] = {
        "DomainName": name,
        "ValidationDomain": name,
        "ValidationStatus": "SUCCESS",
        "ValidationMethod": one.validation,
    }
    if one.validation == "DNS":
        record, value = validation_record(one.arn, name)
        return found | {"ResourceRecord": {"Name": record, "Type": "CNAME", "Value": value}}
    return found | {"ValidationEmails": [f"{who}@{bare}" for who in _MAIL_OF]}
