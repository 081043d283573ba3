"""ACM as boto3 sees it: certificates imported and requested, their tags, and who may do what with them."""

import asyncio
import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from neargate.interfaces.trail import TrailQuery
from neargate.testing.front_door import ACCOUNT, REGION

from .door_clients import Door, allow, refused

PREFIX = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/"
NOTHING = f"{PREFIX}00000000-0000-4000-8000-000000000000"


class Pair(NamedTuple):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def made(name: str, issuer: Pair | None = None, *, days: int = 30, since: int = -1, is_ca: bool = False) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=since))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name), x509.DNSName(f"*.{name}")]), critical=False)
    )
    return Pair(builder.sign(key if issuer is None else issuer.key, SHA256()), key)


@pytest.fixture
def door() -> Iterator[Door]:
    with asyncio.Runner() as runner:
        yield Door(runner)


@pytest.fixture
def acm(door: Door) -> Any:
    return door.client("acm")


@pytest.fixture(scope="module")
def own() -> Pair:
    return made("own.example.com")


def imported(acm: Any, pair: Pair, **more: Any) -> str:
    return str(acm.import_certificate(Certificate=pair.pem, PrivateKey=pair.key_pem, **more)["CertificateArn"])


def requested(acm: Any, name: str = "app.example.com", **more: Any) -> str:
    given = {"KeyAlgorithm": "EC_prime256v1", "ValidationMethod": "DNS", **more}
    return str(acm.request_certificate(DomainName=name, **given)["CertificateArn"])


def described(acm: Any, arn: str) -> dict[str, Any]:
    found: dict[str, Any] = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    return found


def test_an_imported_certificate_is_described_by_what_it_says(acm: Any, own: Pair) -> None:
    arn = imported(acm, own, Tags=[{"Key": "stage", "Value": "test"}])
    assert arn.startswith(PREFIX)
    found = described(acm, arn)
    assert (found["DomainName"], found["SubjectAlternativeNames"]) == (
        "own.example.com",
        ["own.example.com", "*.own.example.com"],
    )
    assert (found["Type"], found["Status"], found["KeyAlgorithm"]) == ("IMPORTED", "ISSUED", "EC_prime256v1")
    assert int(found["Serial"].replace(":", ""), 16) == own.certificate.serial_number
    assert found["NotAfter"] == own.certificate.not_valid_after_utc and "ImportedAt" in found
    assert found["InUseBy"] == [] and "DomainValidationOptions" not in found
    assert acm.get_certificate(CertificateArn=arn)["Certificate"].encode() == own.pem
    assert acm.list_tags_for_certificate(CertificateArn=arn)["Tags"] == [{"Key": "stage", "Value": "test"}]


def test_a_chain_is_kept_and_shown(acm: Any) -> None:
    root = made("root.example", is_ca=True)
    between = made("between.example", root, is_ca=True)
    leaf = made("leaf.example.com", between)
    arn = imported(acm, leaf, CertificateChain=between.pem + root.pem)
    assert acm.get_certificate(CertificateArn=arn)["CertificateChain"].encode() == between.pem + root.pem


def test_what_does_not_belong_together_is_not_imported(acm: Any, own: Pair) -> None:
    root = made("root.example", is_ca=True)
    leaf = made("leaf.example.com", root)

    def refusal(certificate: bytes, key: bytes, **more: Any) -> str:
        code, message = refused(lambda: acm.import_certificate(Certificate=certificate, PrivateKey=key, **more))
        assert code == "ValidationException"
        return message

    assert "do not match" in refusal(own.pem, leaf.key_pem)
    assert "not a valid self signed" in refusal(leaf.pem, leaf.key_pem)
    assert "certificate is: 0" in refusal(leaf.pem, leaf.key_pem, CertificateChain=own.pem)
    assert "certificate is: 1" in refusal(leaf.pem, leaf.key_pem, CertificateChain=root.pem + own.pem)
    assert "more than one certificate" in refusal(own.pem + own.pem, own.key_pem)
    assert "not valid PEM" in refusal(b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----", own.key_pem)
    assert "The private key is not PEM-encoded" in refusal(own.pem, b"nothing")
    locked = own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    assert "password" in refusal(own.pem, locked)
    old, new = made("old.example", days=-1, since=-9), made("new.example", since=3)
    assert "has expired" in refusal(old.pem, old.key_pem)
    assert "not in effect" in refusal(new.pem, new.key_pem)
    assert acm.list_certificates(Includes={"keyTypes": ["EC_prime256v1"]})["CertificateSummaryList"] == []


def test_a_certificate_is_imported_anew_under_its_arn(acm: Any, own: Pair) -> None:
    arn, other = imported(acm, own), made("other.example.com")
    assert imported(acm, other, CertificateArn=arn) == arn
    assert described(acm, arn)["DomainName"] == "other.example.com"
    code, message = refused(lambda: imported(acm, other, CertificateArn=arn, Tags=[{"Key": "a", "Value": "b"}]))
    assert (code, message) == ("ValidationException", "Tagging is not permitted on re-import.")
    assert refused(lambda: imported(acm, other, CertificateArn=NOTHING))[0] == "ResourceNotFoundException"
    assert refused(lambda: imported(acm, other, CertificateArn=requested(acm)))[0] == "ValidationException"


def test_a_requested_certificate_is_issued_at_once_by_the_regions_authority(acm: Any, door: Door) -> None:
    arn = requested(acm, SubjectAlternativeNames=["*.app.example.com", "app.example.com"])
    found = described(acm, arn)
    assert (found["Type"], found["Status"]) == ("AMAZON_ISSUED", "ISSUED")
    assert found["SubjectAlternativeNames"] == ["app.example.com", "*.app.example.com"]
    records = [one["ResourceRecord"] for one in found["DomainValidationOptions"]]
    assert records[0] == records[1] and records[0]["Name"].endswith(".app.example.com.")
    assert {one["ValidationStatus"] for one in found["DomainValidationOptions"]} == {"SUCCESS"}
    answer = acm.get_certificate(CertificateArn=arn)
    leaf, root = (x509.load_pem_x509_certificate(answer[part].encode()) for part in ("Certificate", "CertificateChain"))
    leaf.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    registry = door.door.region.services.certificates
    assert registry.authority_pem() == answer["CertificateChain"]
    planned = registry.planned(ACCOUNT, arn)
    assert planned is not None and planned.names == ("app.example.com", "*.app.example.com")
    at = planned.pem.index("-----BEGIN PRIVATE KEY")
    assert load_pem_private_key(planned.pem[at:].encode(), None).public_key() == leaf.public_key()
    assert "PRIVATE KEY" not in repr(planned)


def test_rsa_is_what_is_issued_when_nothing_is_said(acm: Any) -> None:
    arn = acm.request_certificate(DomainName="rsa.example.com")["CertificateArn"]
    found = described(acm, arn)
    assert (found["KeyAlgorithm"], found["SignatureAlgorithm"]) == ("RSA_2048", "SHA256WITHECDSA")
    assert found["DomainValidationOptions"][0]["ValidationEmails"][0] == "admin@rsa.example.com"


def test_a_repeated_request_makes_nothing(acm: Any) -> None:
    first = requested(acm, IdempotencyToken="once")
    assert requested(acm, IdempotencyToken="once") == first
    assert requested(acm, IdempotencyToken="twice") != first
    assert requested(acm, "other.example.com", IdempotencyToken="once") != first


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"CertificateAuthorityArn": f"arn:aws:acm-pca:{REGION}:{ACCOUNT}:certificate-authority/x"}, "Parameter"),
        ({"KeyAlgorithm": "RSA_1024"}, "Parameter"),
        ({"ValidationMethod": "HTTP"}, "Parameter"),
        ({"Options": {"Export": "ENABLED"}}, "Parameter"),
        (
            {"DomainValidationOptions": [{"DomainName": "app.example.com", "ValidationDomain": "ample.com"}]},
            "DomainValidationOptions",
        ),
    ],
)
def test_what_is_not_issued_here_is_refused(acm: Any, given: dict[str, Any], code: str) -> None:
    assert refused(lambda: requested(acm, **given))[0] == f"Invalid{code}Exception"


def test_lists_show_rsa_alone_unless_asked(acm: Any, own: Pair) -> None:
    ec_arn, rsa = imported(acm, own), acm.request_certificate(DomainName="rsa.example.com")["CertificateArn"]

    def listed(**given: Any) -> list[str]:
        return [one["CertificateArn"] for one in acm.list_certificates(**given)["CertificateSummaryList"]]

    both = {"Includes": {"keyTypes": ["RSA_2048", "EC_prime256v1"]}}
    assert listed() == [rsa]
    assert listed(**both) == [ec_arn, rsa]
    assert listed(**both, SortBy="CREATED_AT", SortOrder="DESCENDING") == [rsa, ec_arn]
    assert listed(**both, CertificateStatuses=["EXPIRED"]) == []
    page = acm.list_certificates(**both, MaxItems=1)
    assert listed(**both, NextToken=page["NextToken"]) == [rsa]
    assert refused(lambda: listed(NextToken="nonsense"))[0] == "InvalidArgsException"


def test_tags_come_and_go(acm: Any, own: Pair) -> None:
    arn = imported(acm, own)
    acm.add_tags_to_certificate(CertificateArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b"}])
    acm.remove_tags_from_certificate(CertificateArn=arn, Tags=[{"Key": "a", "Value": "2"}, {"Key": "b"}])
    assert acm.list_tags_for_certificate(CertificateArn=arn)["Tags"] == [{"Key": "a", "Value": "1"}]
    many = [{"Key": f"k{number}"} for number in range(50)]
    assert refused(lambda: acm.add_tags_to_certificate(CertificateArn=arn, Tags=many))[0] == "TooManyTagsException"
    reserved = [{"Key": "aws:a", "Value": "b"}]
    assert refused(lambda: acm.add_tags_to_certificate(CertificateArn=arn, Tags=reserved)) == (
        "ValidationException",
        "AWS internal tags cannot be changed with this API",
    )


def test_what_is_gone_is_not_found(acm: Any, own: Pair) -> None:
    arn = imported(acm, own)
    acm.delete_certificate(CertificateArn=arn)
    for call in (acm.describe_certificate, acm.get_certificate, acm.delete_certificate, acm.list_tags_for_certificate):
        assert refused(lambda call=call: call(CertificateArn=arn)) == (
            "ResourceNotFoundException",
            f"Could not find certificate {arn} in account {ACCOUNT}.",
        )
    role, other = f"arn:aws:iam::{ACCOUNT}:role/x", NOTHING.replace("certificate/", "something/")
    assert refused(lambda: acm.get_certificate(CertificateArn=role))[0] == "ValidationException"
    assert refused(lambda: acm.get_certificate(CertificateArn=other))[0] == "InvalidArnException"


def test_who_may_do_what_is_asked_on_the_certificate_with_its_tags(door: Door, acm: Any, own: Pair) -> None:
    mine = imported(acm, own, Tags=[{"Key": "team", "Value": "a"}])
    other = imported(acm, own)
    condition = {"StringEquals": {"aws:ResourceTag/team": "a"}}
    al = door.client("acm", door.user("al", allow("acm:DescribeCertificate", **condition)))
    assert described(al, mine)["CertificateArn"] == mine
    assert refused(lambda: described(al, other))[0] == "AccessDeniedException"
    assert refused(lambda: described(al, NOTHING))[0] == "AccessDeniedException"
    assert refused(lambda: al.delete_certificate(CertificateArn=mine))[0] == "AccessDeniedException"


def test_a_key_is_in_no_record_of_calls(door: Door, acm: Any, own: Pair) -> None:
    imported(acm, own)
    trail = door.door.region.trail

    async def recorded() -> str:
        task = asyncio.create_task(trail.run())
        await trail.flush()
        task.cancel()
        wanted = TrailQuery(account=None, limit=100, management_only=False, oldest_first=True)
        return "\n".join(entry.document for entry in (await trail.lookup(wanted, None)).entries)

    found = door.run(recorded())
    assert "ImportCertificate" in found
    assert "PRIVATE KEY" not in found and base64.b64encode(own.key_pem).decode()[:40] not in found
