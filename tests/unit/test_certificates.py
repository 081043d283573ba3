"""The region's certificates: durable, their keys sealed, renewed in time, and the authority that issues them."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA224, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec.structs import replace

from neargate.cli.desks.certificates import CertificatesDesk
from neargate.frontend.certificates import changes
from neargate.frontend.certificates.authority import LIFE, RENEWED_BEFORE, new_authority, open_authority
from neargate.frontend.certificates.errors import CertificateInUse, CertificateLimit, CertificateNotFound, Invalid
from neargate.frontend.certificates.reading import facts_of, read_material
from neargate.frontend.certificates.records import (
    AUTHORITY,
    IMPORTED,
    ISSUED_HERE,
    REGION,
    Certificate,
    Facts,
    KeptAuthority,
    certificate_arn,
)
from neargate.frontend.certificates.registry import MIGRATIONS, CertificateRegistry, open_certificates
from neargate.frontend.envelope import Envelope, SealBroken
from neargate.frontend.regional.shelves import Shelf
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.testing.virtual_time import VirtualWorld, run_virtual
from neargate.world import OsWorld

ACCOUNT, HERE = "123456789012", "us-east-1"
CURVE = "EC_prime256v1"


class Rig:
    """One server's registry over databases in memory that outlive it."""

    def __init__(self, world: VirtualWorld, disk: MemoryDisk | None = None) -> None:
        self.world = world
        self.disk = disk or MemoryDisk()
        self.envelope = Envelope(bytes(32), world)
        self.registry: CertificateRegistry
        self.heard: list[tuple[str, tuple[str, ...]]] = []

    async def open(self) -> "Rig":
        store = await MemoryStores(self.world, DEFAULT_KNOBS, self.disk).open("region", MIGRATIONS)
        self.registry = await open_certificates(self.world, store, self.envelope, region=HERE)
        self.registry.on_change(lambda account, arns: self.heard.append((account, tuple(arns))))
        return self

    async def request(self, *names: str) -> str:
        arn = certificate_arn(HERE, ACCOUNT, self.world.random.getrandbits)
        made = self.registry.sealed(arn, await self.registry.issue(names or ("app.example.com",), CURVE))
        new = certificate(arn, made.facts, sealed_key=made.sealed_key, pem=made.pem, created_at=self.world.now())
        await self.registry.change(ACCOUNT, partial(changes.added, new=new))
        return arn


def told(story: Callable[[VirtualWorld], Awaitable[None]]) -> None:
    async def whole() -> None:
        world = VirtualWorld()
        await story(world)
        assert not world.failures

    run_virtual(whole())


def certificate(arn: str, facts: Facts, **more: object) -> Certificate:
    given = {"origin": ISSUED_HERE, "pem": "", "chain": "", "sealed_key": b"", "created_at": 0.0, **more}
    return Certificate(account=ACCOUNT, name=arn, facts=facts, **given)  # type: ignore[arg-type]


def facts(domain: str = "app.example.com", until: float = 0.0, **more: object) -> Facts:
    given = {"key_algorithm": "RSA_2048", "signature_algorithm": "SHA256WITHRSA", **more}
    return Facts(
        domain=domain,
        names=(domain,),
        serial="00",
        subject="",
        issuer="",
        not_before=0.0,
        not_after=until,
        **given,  # type: ignore[arg-type]
    )


def test_certificates_and_their_authority_outlive_the_server() -> None:
    async def story(world: VirtualWorld) -> None:
        first = await Rig(world).open()
        assert first.registry.authority_pem() is None
        assert await CertificatesDesk(first.registry).authority({}) == {"certificate": ""}
        arn = await first.request("a.example", "*.a.example")
        assert first.heard == [(ACCOUNT, (arn,))]
        second = await Rig(world, first.disk).open()
        assert second.registry.authority_pem() == first.registry.authority_pem()
        assert second.registry.accounts() == [ACCOUNT]
        planned = second.registry.planned(ACCOUNT, arn)
        assert planned is not None and planned == first.registry.planned(ACCOUNT, arn)
        assert planned.names == ("a.example", "*.a.example") and "PRIVATE KEY" in planned.pem
        assert second.registry.planned(ACCOUNT, arn + "0") is None
        await second.request("b.example")
        assert second.registry.authority_pem() == first.registry.authority_pem()
        assert "BEGIN CERTIFICATE" in (await CertificatesDesk(second.registry).authority({}))["certificate"]

    told(story)


def test_a_plan_says_only_names_that_a_host_can_have() -> None:
    async def story(world: VirtualWorld) -> None:
        rig = await Rig(world).open()
        arn = await rig.request("a.example")
        kept = rig.registry.certificate(ACCOUNT, arn)
        assert kept is not None
        hostile = replace(kept.facts, names=("b.example", "*.c.example", "d e", "f\n", "[g]", "h" * 254, "é", ""))
        made = changes.Renewal(facts=hostile, pem=kept.pem, chain="", sealed_key=kept.sealed_key)
        await rig.registry.change(ACCOUNT, partial(changes.renewed, arn=arn, made=made, now=0.0))
        planned = rig.registry.planned(ACCOUNT, arn)
        assert planned is not None and planned.names == ("b.example", "*.c.example")

    told(story)


def test_keys_rest_sealed_each_for_its_certificate() -> None:
    async def story(world: VirtualWorld) -> None:
        rig = await Rig(world).open()
        one, two = await rig.request(), await rig.request()
        kept = rig.registry.certificate(ACCOUNT, one)
        assert kept is not None and b"PRIVATE KEY" not in kept.sealed_key
        moved = changes.Renewal(facts=kept.facts, pem=kept.pem, chain="", sealed_key=kept.sealed_key)
        await rig.registry.change(ACCOUNT, partial(changes.renewed, arn=two, made=moved, now=0.0))
        with pytest.raises(SealBroken):
            rig.registry.planned(ACCOUNT, two)

    told(story)


def test_what_is_issued_says_what_was_asked() -> None:
    world = OsWorld()
    authority = new_authority(HERE, world)
    made = authority.issue(["app.example.com", "*.app.example.com"], CURVE, world)
    leaf, root = x509.load_pem_x509_certificate(made.pem.encode()), x509.load_pem_x509_certificate(made.chain.encode())
    leaf.verify_directly_issued_by(root)
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert constraints.ca and constraints.path_length == 0
    used_for = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(used_for) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    said = facts_of(made.pem)
    assert said.names == ("app.example.com", "*.app.example.com") and said.key_algorithm == CURVE
    days = timedelta(seconds=said.not_after - said.not_before)
    assert days == LIFE + timedelta(days=1)
    assert "PRIVATE KEY" not in repr(made)


def test_an_authority_opens_with_its_envelope_only() -> None:
    world = OsWorld()
    authority, envelope = new_authority(HERE, world), Envelope(bytes(32), world)
    kept = authority.kept(envelope)
    assert open_authority(kept, envelope).pem == authority.pem
    with pytest.raises(SealBroken):
        open_authority(kept, Envelope(b"1" * 32, world))
    assert authority.is_good(world.now())
    assert not authority.is_good(world.now() + timedelta(days=3650 - 394).total_seconds())


def test_the_authority_that_is_there_stays_while_it_is_good() -> None:
    shelf = Shelf(REGION)
    first, second = (KeptAuthority(account=REGION, name=AUTHORITY, pem=pem, sealed_key=b"") for pem in "ab")
    assert changes.authority_kept(shelf, first, lambda _: True).put == (first,)
    shelf.apply((first,), ())
    assert changes.authority_kept(shelf, second, lambda _: True).result == first
    assert changes.authority_kept(shelf, second, lambda _: False).put == (second,)


def test_what_was_issued_here_is_renewed_in_time_under_its_arn() -> None:
    async def story(world: VirtualWorld) -> None:
        rig = await Rig(world).open()
        arn = await rig.request()
        before, old = rig.registry.planned(ACCOUNT, arn), rig.registry.certificate(ACCOUNT, arn)
        assert old is not None
        until = world.now() + (RENEWED_BEFORE + timedelta(days=2)).total_seconds()
        aged = changes.Renewal(
            facts=replace(old.facts, not_after=until), pem=old.pem, chain=old.chain, sealed_key=old.sealed_key
        )
        await rig.registry.change(ACCOUNT, partial(changes.renewed, arn=arn, made=aged, now=old.created_at))
        rig.heard.clear()
        loop = asyncio.ensure_future(rig.registry.run())
        await world.sleep(86_400)
        assert rig.registry.planned(ACCOUNT, arn) == before
        await world.sleep(2 * 86_400)
        loop.cancel()
        after, kept = rig.registry.planned(ACCOUNT, arn), rig.registry.certificate(ACCOUNT, arn)
        assert after is not None and before is not None and after.pem != before.pem and after.names == before.names
        assert kept is not None and kept.facts.not_after > world.now() + RENEWED_BEFORE.total_seconds()
        assert kept.issued_at is not None and kept.created_at < kept.issued_at
        assert rig.heard == [(ACCOUNT, (arn,))]

    told(story)


# -- decisions


def test_only_what_was_issued_here_is_due_and_renewed() -> None:
    shelf = Shelf(ACCOUNT)
    own, soon, imported = (
        certificate(name, facts(until=until), origin=origin)
        for name, until, origin in (("a", 500.0, ISSUED_HERE), ("b", 99.0, ISSUED_HERE), ("c", 99.0, IMPORTED))
    )
    shelf.apply((own, soon, imported), ())
    assert changes.due(shelf, 90.0, now=10.0) == (soon,)
    made = changes.Renewal(facts=facts(until=900.0), pem="p", chain="", sealed_key=b"")
    assert changes.renewed(shelf, "c", made, 1.0).put == ()
    assert changes.renewed(shelf, "gone", made, 1.0).put == ()
    (after,) = changes.renewed(shelf, "b", made, 1.0).put
    assert isinstance(after, Certificate) and (after.facts.not_after, after.issued_at) == (900.0, 1.0)


def test_a_token_means_the_same_request_for_an_hour() -> None:
    shelf = Shelf(ACCOUNT)
    first = certificate("a", facts(), asked="t", created_at=100.0)
    shelf.apply(changes.added(shelf, first).put, ())
    again = certificate("b", facts(), asked="t", created_at=3699.0)
    assert changes.added(shelf, again).result == first
    later = certificate("b", facts(), asked="t", created_at=3700.0)
    assert changes.added(shelf, later).put == (later,)
    other = certificate("b", facts("other.example.com"), asked="t", created_at=101.0)
    assert changes.added(shelf, other).put == (other,)


def test_an_account_has_no_more_certificates_than_aws_lets_it() -> None:
    shelf = Shelf(ACCOUNT)
    shelf.apply([certificate(f"{number:05}", facts()) for number in range(DEFAULT_KNOBS.certificates_max)], ())
    with pytest.raises(CertificateLimit):
        changes.added(shelf, certificate("one more", facts()))


def test_what_is_in_use_neither_goes_nor_becomes_what_no_proxy_shows() -> None:
    shelf = Shelf(ACCOUNT)
    shelf.apply((certificate("a", facts(), origin=IMPORTED),), ())
    with pytest.raises(CertificateInUse):
        changes.deleted(shelf, "a", lambda _: ["balancer"])
    assert len(changes.deleted(shelf, "a", lambda _: []).drop) == 1
    with pytest.raises(CertificateNotFound):
        changes.deleted(shelf, "b", lambda _: [])
    made = changes.Renewal(facts=facts(is_servable=False), pem="", chain="", sealed_key=b"")
    with pytest.raises(Invalid):
        changes.imported_again(shelf, "a", made, lambda _: ["balancer"], 1.0)
    assert len(changes.imported_again(shelf, "a", made, lambda _: [], 1.0).put) == 1


def signed(subject: str, issuer: tuple[str, rsa.RSAPrivateKey] | None, *, bits: int = 2048, weak: bool = False) -> Any:
    """(PEM, key PEM, (name, key)). `weak`: with a hash that is not among those of TLS 1.3."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    by, by_key = issuer or (subject, key)
    name, from_name = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (subject, by))
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(from_name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
    for oid in ("1.2.3.4", "1.2.3.5"):
        builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b""), critical=False)
    made = builder.not_valid_after(datetime(2027, 1, 1, tzinfo=UTC)).sign(by_key, SHA224() if weak else SHA256())
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM), key_pem, (subject, key)


def test_what_openssl_would_not_load_is_known_when_it_comes() -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
    root, _, authority = signed("root", None)
    small, _, small_authority = signed("small", None, bits=1024)
    old_root, _, old_authority = signed("old root", None, weak=True)

    def is_servable(made: Any, chain: bytes | None = None) -> bool:
        return read_material(made[0], chain, made[1], now)[1].is_servable

    assert is_servable(signed("own", None))
    assert is_servable(signed("leaf", authority), root)
    assert is_servable(signed("leaf", old_authority), old_root)
    assert not is_servable(signed("leaf", None, bits=1024))
    assert not is_servable(signed("leaf", authority, weak=True), root)
    assert not is_servable(signed("leaf", small_authority), small)
    between, _, between_authority = signed("between", authority, weak=True)
    assert not is_servable(signed("leaf", between_authority), between + root)


@pytest.mark.parametrize("place", ["certificate", "chain"])
def test_a_text_that_is_too_large_is_refused_before_it_is_read(place: str) -> None:
    """Marks without an end, by the megabyte, would be searched for hours."""
    world = OsWorld()
    material = new_authority(HERE, world).issue(["web.example.com"], CURVE, world)
    large = b"-----BEGIN CERTIFICATE-----" * 700
    given = (large, b"") if place == "certificate" else (material.pem.encode(), large)
    with pytest.raises(Invalid, match="cannot be larger than 16384 bytes"):
        read_material(*given, material.key.encode(), world.now())


def test_of_a_key_that_acm_does_not_have_nothing_is_computed() -> None:
    """These numbers do not belong together, which is found by a test that takes seconds for large keys."""
    numbers = rsa.RSAPrivateNumbers(
        p=2**3001 + 1,
        q=2**2999 + 1,
        d=3,
        dmp1=3,
        dmq1=3,
        iqmp=3,
        public_numbers=rsa.RSAPublicNumbers(e=65537, n=(2**3001 + 1) * (2**2999 + 1)),
    )
    large = numbers.private_key(unsafe_skip_rsa_key_validation=True)
    key = large.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(Invalid, match="The private key is not supported"):
        read_material(signed("own", None)[0], None, key, datetime(2026, 6, 1, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("found", "instead"),
    [
        ("a003020102", "a003020101"),  # a version that no certificate has
        ("06032a0305", "06032a0304"),  # one extension twice
        ("2a864886f70d01010b", "2a864886f70d01017f"),  # a signature of nobody's
    ],
)
def test_a_certificate_that_is_broken_is_the_caller_s_fault(found: str, instead: str) -> None:
    pem, key, _ = signed("own", None)
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER).replace(*map(bytes.fromhex, (found, instead)))
    assert bytes.fromhex(instead) in der
    broken = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"
    for chain in (None, broken):
        with pytest.raises(Invalid, match="is not valid PEM"):
            read_material(broken if chain is None else pem, chain, key, datetime(2026, 6, 1, tzinfo=UTC).timestamp())
