"""What requests make of an account's namespaces, services and instances: decisions from a shelf to a change."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.json import encode
from msgspec.structs import replace

from neargate.frontend.cloudmap import instances, namespaces, room, services
from neargate.frontend.cloudmap.errors import (
    DuplicateRequest,
    InstanceNotFound,
    InvalidInput,
    NamespaceExists,
    NamespaceInUse,
    NamespaceNotFound,
    NoCustomHealth,
    ResourceLimit,
    ServiceExists,
    ServiceInUse,
    ServiceNotFound,
    TooManyAttributes,
)
from neargate.frontend.cloudmap.records import (
    HTTP,
    MULTIVALUE,
    PRIVATE,
    WEIGHTED,
    Dns,
    Instance,
    Namespace,
    Outcome,
    Service,
    instance_name,
    outcome_name,
    outcome_named,
)
from neargate.frontend.cloudmap.room import Most, names_bytes
from neargate.frontend.cloudmap.zones import zone
from neargate.frontend.regional.shelves import Change, Shelf
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.model.network import DnsRecords

ACCOUNT, REGION, VPC = "123456789012", "us-east-1", "vpc-0a"
MOST = Most(of_service=3, of_namespace=4, attributes=2)
A = Dns(policy=MULTIVALUE, records=(("A", 60),))
SRV = Dns(policy=MULTIVALUE, records=(("SRV", 10),))
BITS = random.Random(1).getrandbits


class Book:
    """A shelf on which changes are carried out at once. Time is a count of requests."""

    def __init__(self) -> None:
        self.shelf = Shelf(ACCOUNT)
        self.now = 1000.0

    def do(self, change: Change[Any]) -> Any:
        self.shelf.apply(change.put, change.drop)
        return change.result

    def outcome(self, kind: str, *targets: tuple[str, str], request: str = "", digest: str = "") -> Outcome:
        self.now += 1
        return Outcome(
            account=ACCOUNT,
            name=outcome_name(self.now, BITS),
            type=kind,
            at=self.now,
            targets=targets,
            request=request,
            digest=digest,
        )

    def namespace(
        self, name: str = "ns-1", called: str = "internal", vpc: str | None = VPC, request: str = "", digest: str = ""
    ) -> Outcome:
        new = Namespace(
            account=ACCOUNT,
            name=name,
            called=called,
            type=HTTP if vpc is None else PRIVATE,
            region=REGION,
            http_name=called,
            created=1.0,
            vpc=vpc,
            request=request,
        )
        outcome = self.outcome("CREATE_NAMESPACE", ("NAMESPACE", name), request=request, digest=digest)
        made: Outcome = self.do(
            namespaces.created(self.shelf, new, outcome, has_vpc=lambda vpc_id: vpc_id.startswith("vpc-0"), most=5)
        )
        return made

    def service(self, name: str = "srv-1", called: str = "web", namespace: str = "ns-1", **more: Any) -> Service:
        new = Service(
            account=ACCOUNT, name=name, called=called, namespace=namespace, region=REGION, created=1.0, **more
        )
        made: Service = self.do(services.created(self.shelf, new))
        return made

    def instance(
        self, instance_id: str = "i-1", service: str = "srv-1", request: str = "", **attributes: str
    ) -> Outcome:
        given = attributes or {"AWS_INSTANCE_IPV4": "10.0.0.1"}
        new = Instance(
            account=ACCOUNT,
            name=instance_name(service, instance_id),
            service=service,
            id=instance_id,
            attributes=tuple(given.items()),
            request=request,
        )
        targets = ("INSTANCE", instance_id), ("SERVICE", service)
        outcome = self.outcome("REGISTER_INSTANCE", *targets, request=request, digest=str(sorted(given.items())))
        made: Outcome = self.do(instances.registered(self.shelf, new, outcome, MOST))
        return made

    def found(self, name: str = "srv-1") -> Service:
        return services.required(self.shelf, name)

    def zone(self, namespace: str = "ns-1") -> dict[tuple[str, str], DnsRecords]:
        of = [one for one in self.shelf.all(Service) if one.namespace == namespace]
        every = list(self.shelf.all(Instance))
        pairs = [(one, [each for each in every if each.service == one.name]) for one in of]
        made = zone(namespaces.required(self.shelf, namespace), pairs)
        return {(one.name, one.type): one for one in made.records}


@pytest.fixture
def book() -> Book:
    return Book()


def test_ids_of_operations_name_their_records_and_hold_their_time() -> None:
    made = Book().outcome("CREATE_NAMESPACE")
    random_part, _, moment = made.id.partition("-")
    assert len(random_part) == 32 and int(moment, 36) == 1_001_000
    assert outcome_named(made.id) == made.name
    for other in ("", "-", "x", "x-", "x-!", "x-" + "z" * 30):
        assert outcome_named(other) is None


def test_a_private_namespace_needs_a_vpc_of_the_account(book: Book) -> None:
    failed = book.namespace(vpc="vpc-other")
    assert (failed.status, failed.error_code) == ("FAIL", "CANNOT_CREATE_HOSTED_ZONE")
    assert "InvalidVPCId" in (failed.error_message or "") and book.shelf.count(Namespace) == 0
    assert book.shelf.find(Outcome, failed.name) == failed


def test_a_vpc_has_a_name_once_and_two_vpcs_may_have_it_both(book: Book) -> None:
    assert book.namespace().status == "SUCCESS"
    clash = book.namespace("ns-2", "Internal.")
    assert clash.error_code == "CANNOT_CREATE_HOSTED_ZONE" and "ConflictingDomainExists" in (clash.error_message or "")
    assert book.namespace("ns-3", "internal", vpc="vpc-0b").status == "SUCCESS"
    names = {one.name: one.http_name for one in book.shelf.all(Namespace)}
    assert names == {"ns-1": "internal", "ns-3": "internal-3"}
    assert book.namespace("ns-4", "dev.internal").status == "SUCCESS"


def test_an_http_name_is_there_once(book: Book) -> None:
    book.namespace("ns-1", "apps", vpc=None, request="r1")
    with pytest.raises(NamespaceExists) as caught:
        book.namespace("ns-2", "apps", vpc=None, request="r2")
    assert caught.value.fields == {"NamespaceId": "ns-1", "CreatorRequestId": "r1"}


def test_a_request_that_comes_again_makes_nothing_twice(book: Book) -> None:
    first = book.namespace("ns-1", "apps", vpc=None, request="r", digest="d")
    assert book.namespace("ns-2", "apps", vpc=None, request="r", digest="d") == first
    with pytest.raises(DuplicateRequest) as caught:
        book.namespace("ns-3", "other", vpc=None, request="r", digest="e")
    assert caught.value.fields == {"DuplicateOperationId": first.id}
    assert [one.name for one in book.shelf.all(Namespace)] == ["ns-1"]
    book.do(namespaces.deleted(book.shelf, "ns-1", book.outcome("DELETE_NAMESPACE")))
    assert book.namespace("ns-4", "apps", vpc=None, request="r", digest="d").target("NAMESPACE") == "ns-4"


@pytest.mark.parametrize("name", ["a..b", "x" * 64, ".", "a." * 130])
def test_a_name_that_no_resolver_has_is_refused(book: Book, name: str) -> None:
    with pytest.raises(InvalidInput):
        book.namespace(called=name)


def test_namespaces_are_counted(book: Book) -> None:
    for number in range(5):
        book.namespace(f"ns-{number}", f"n{number}", vpc=None)
    with pytest.raises(ResourceLimit):
        book.namespace("ns-9", "n9", vpc=None)


def test_a_namespace_with_services_stays(book: Book) -> None:
    book.namespace()
    book.service()
    with pytest.raises(NamespaceInUse):
        namespaces.deleted(book.shelf, "ns-1", book.outcome("DELETE_NAMESPACE"))
    book.do(services.deleted(book.shelf, "srv-1"))
    book.do(namespaces.deleted(book.shelf, "ns-1", book.outcome("DELETE_NAMESPACE")))
    with pytest.raises(NamespaceNotFound):
        namespaces.deleted(book.shelf, "ns-1", book.outcome("DELETE_NAMESPACE"))


def test_a_namespace_is_updated_as_what_it_is(book: Book) -> None:
    book.namespace()
    change: dict[str, Any] = {"description": "d", "soa_ttl_s": 60}
    outcome = book.outcome("UPDATE_NAMESPACE")
    with pytest.raises(InvalidInput):
        namespaces.updated(book.shelf, "ns-1", outcome, of_type=HTTP, **change)
    book.do(namespaces.updated(book.shelf, "ns-1", outcome, of_type=PRIVATE, **change))
    found = namespaces.required(book.shelf, "ns-1")
    assert (found.description, found.soa_ttl_s) == ("d", 60)


def test_services_of_dns_differ_by_more_than_case(book: Book) -> None:
    book.namespace()
    book.namespace("ns-2", "http", vpc=None)
    made = book.service(request="r", dns=A)
    with pytest.raises(ServiceExists) as caught:
        book.service("srv-2", "WEB", request="r2")
    assert caught.value.fields == {"ServiceId": "srv-1", "ServiceArn": made.arn, "CreatorRequestId": "r"}
    book.service("srv-3", "web", "ns-2")
    book.service("srv-4", "WEB", "ns-2")
    assert book.service("srv-5", request="r", dns=A) == made
    with pytest.raises(ServiceExists):
        book.service("srv-6", request="r", dns=SRV)


@pytest.mark.parametrize(
    ("dns", "called"),
    [
        (Dns(policy=MULTIVALUE, records=()), "web"),
        (Dns(policy=MULTIVALUE, records=(("A", 1), ("A", 2))), "web"),
        (Dns(policy=MULTIVALUE, records=(("A", 1), ("SRV", 2))), "web"),
        (Dns(policy=MULTIVALUE, records=(("CNAME", 1),)), "web"),
        (Dns(policy=WEIGHTED, records=(("CNAME", 1),)), "."),
        (A, "x." * 124 + "x"),
    ],
)
def test_records_that_cannot_be_are_refused(book: Book, dns: Dns, called: str) -> None:
    book.namespace()
    with pytest.raises(InvalidInput):
        book.service(called=called, dns=dns)


def test_an_http_namespace_has_no_records(book: Book) -> None:
    book.namespace(vpc=None)
    with pytest.raises(InvalidInput, match="When you specify an HTTP service, you can't include a DnsConfig element"):
        book.service(dns=A)
    book.service()
    with pytest.raises(InvalidInput):
        services.updated(book.shelf, "srv-1", book.outcome("UPDATE_SERVICE"), description="d", records=None)


def test_times_to_live_change_and_types_do_not(book: Book) -> None:
    book.namespace()
    book.service(dns=A, description="d")
    outcome = book.outcome("UPDATE_SERVICE")
    for records in ([("AAAA", 1)], [("A", 1), ("AAAA", 1)], []):
        with pytest.raises(InvalidInput):
            services.updated(book.shelf, "srv-1", outcome, description=None, records=records)
    book.do(services.updated(book.shelf, "srv-1", outcome, description=None, records=[("A", 5)]))
    assert (book.found().dns, book.found().description) == (Dns(policy=MULTIVALUE, records=(("A", 5),)), "d")
    book.do(services.updated(book.shelf, "srv-1", outcome, description="", records=None))
    assert (book.found().dns, book.found().description) == (None, None)


def test_attributes_of_services(book: Book) -> None:
    book.namespace()
    book.service()
    book.do(services.with_attributes(book.shelf, "srv-1", {f"k{number}": "v" for number in range(30)}))
    with pytest.raises(TooManyAttributes):
        services.with_attributes(book.shelf, "srv-1", {"more": "v"})
    book.do(services.with_attributes(book.shelf, "srv-1", {"k1": "w"}))
    book.do(services.without_attributes(book.shelf, "srv-1", ["k0", "nothing"]))
    assert dict(book.found().attributes)["k1"] == "w" and len(book.found().attributes) == 29


def test_an_instance_is_counted_once_and_each_registration_is_a_revision(book: Book) -> None:
    book.namespace()
    book.service(dns=A)
    book.instance()
    book.instance(AWS_INSTANCE_IPV4="10.0.0.2")
    assert (book.found().instances, book.found().revision) == (1, 2)
    with pytest.raises(ServiceInUse):
        services.deleted(book.shelf, "srv-1")
    book.do(instances.deregistered(book.shelf, "srv-1", "i-1", book.outcome("DEREGISTER_INSTANCE")))
    assert (book.found().instances, book.found().revision) == (0, 3)
    with pytest.raises(InstanceNotFound):
        instances.deregistered(book.shelf, "srv-1", "i-1", book.outcome("DEREGISTER_INSTANCE"))
    with pytest.raises(ServiceNotFound):
        book.instance(service="srv-2")


def test_a_registration_that_comes_again(book: Book) -> None:
    book.namespace()
    book.service(dns=A)
    first = book.instance(request="r")
    assert book.instance(request="r") == first and book.found().revision == 1
    with pytest.raises(DuplicateRequest):
        book.instance(request="r", AWS_INSTANCE_IPV4="10.0.0.2")
    with pytest.raises(DuplicateRequest):
        book.instance("i-2", request="r")
    book.service("srv-2", "other", dns=SRV)
    ports = {"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_PORT": "80"}
    assert book.instance("i-1", "srv-2", request="r", **ports) != first  # each service has its own
    book.do(instances.deregistered(book.shelf, "srv-1", "i-1", book.outcome("DEREGISTER_INSTANCE")))
    assert book.instance(request="r") != first and book.found().instances == 1
    assert book.instance("i..2", "srv-2", request="q", **ports).status == "FAIL"
    assert book.instance("i-2", "srv-2", request="q", **ports).status == "SUCCESS"  # what failed is asked again


def test_instances_are_counted_in_service_namespace_and_vpc(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    book.namespace()
    for number in (1, 2):
        book.service(f"srv-{number}", f"s{number}", dns=A)
    for number in range(3):
        book.instance(f"i-{number}")
    with pytest.raises(ResourceLimit, match="service"):
        book.instance("i-3")
    book.instance("i-2")  # it is there
    book.instance("i-1", "srv-2")
    with pytest.raises(ResourceLimit, match="namespace"):
        book.instance("i-2", "srv-2")
    book.namespace("ns-2", "other")
    book.service("srv-3", "s3", "ns-2", dns=A)
    monkeypatch.setattr(room, "DEFAULT_KNOBS", replace(DEFAULT_KNOBS, cloud_map_vpc_instances_max=4))
    with pytest.raises(ResourceLimit, match="VPC"):
        book.instance("i-1", "srv-3")


@pytest.mark.parametrize(
    ("dns", "attributes"),
    [
        (A, {"AWS_INSTANCE_IPV6": "::1"}),
        (A, {"AWS_INSTANCE_IPV4": "10.0.0.256"}),
        (A, {"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_PORT": "0"}),
        (A, {"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INIT_HEALTH_STATUS": "HEALTHY"}),
        (A, {"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_MADE_UP": "x"}),
        (A, {"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_ALIAS_DNS_NAME": "lb.example"}),
        (A, {"AWS_INSTANCE_IPV4": "10.0.0.1", "a": "1", "b": "2", "c": "3"}),
        (A, {"AWS_INSTANCE_IPV4": "10.0.0.1", "a": "x" * 5000}),
        (SRV, {"AWS_INSTANCE_IPV4": "10.0.0.1"}),
        (SRV, {"AWS_INSTANCE_PORT": "80"}),
        (SRV, {"AWS_INSTANCE_IPV6": "fe80::1%eth0", "AWS_INSTANCE_PORT": "80"}),
        (Dns(policy=WEIGHTED, records=(("CNAME", 1),)), {"AWS_INSTANCE_CNAME": "a..b"}),
        (Dns(policy=WEIGHTED, records=(("CNAME", 1),)), {"x": "y"}),
        (None, {"AWS_EC2_INSTANCE_ID": "i-0123456789abcdef0"}),
    ],
)
def test_attributes_that_make_no_record_are_refused(book: Book, dns: Dns | None, attributes: dict[str, str]) -> None:
    book.namespace()
    book.service(dns=dns)
    with pytest.raises(InvalidInput):
        book.instance(**attributes)
    assert book.found().instances == 0


def test_an_instance_whose_name_is_none_fails_and_is_not_there(book: Book) -> None:
    book.namespace()
    book.service(dns=SRV)
    failed = book.instance("i..1", AWS_INSTANCE_IPV4="10.0.0.1", AWS_INSTANCE_PORT="80")
    assert (failed.status, failed.error_code) == ("FAIL", "INVALID_CHANGE_BATCH")
    assert (book.found().instances, book.shelf.count(Instance)) == (0, 0)


def health(book: Book, *told: tuple[str, bool, float]) -> Callable[[str], Instance]:
    for instance_id, is_healthy, at in told:
        book.do(instances.told_health(book.shelf, "srv-1", instance_id, is_healthy=is_healthy, at=at))
    return lambda instance_id: instances.required(book.shelf, "srv-1", instance_id)


def test_health_holds_when_its_time_has_come(book: Book) -> None:
    book.namespace()
    book.service(dns=A, has_custom_health=True)
    book.instance()
    revision = book.found().revision
    found = health(book, ("i-1", False, 30.0), ("i-1", False, 50.0))
    assert found("i-1").is_healthy and instances.settled(book.shelf, 29.9).put == ()
    book.do(instances.settled(book.shelf, 30.0))
    assert not found("i-1").is_healthy and found("i-1").settling is None
    assert book.found().revision == revision
    health(book, ("i-1", True, 60.0), ("i-1", False, 61.0))
    book.do(instances.settled(book.shelf, 100.0))
    assert not found("i-1").is_healthy


def test_health_of_what_nobody_checks(book: Book) -> None:
    book.namespace()
    book.service(dns=A)
    book.instance()
    with pytest.raises(NoCustomHealth):
        instances.told_health(book.shelf, "srv-1", "i-1", is_healthy=False, at=1.0)


def test_operations_are_bounded_and_the_oldest_go(book: Book) -> None:
    book.namespace()
    book.service(dns=A)
    for number in range(DEFAULT_KNOBS.cloud_map_operations_max):
        book.instance(AWS_INSTANCE_IPV4=f"10.0.{number // 250}.{number % 250}")
    kept = list(book.shelf.all(Outcome))
    assert len(kept) == DEFAULT_KNOBS.cloud_map_operations_max
    assert kept[0].type == "REGISTER_INSTANCE" and kept == sorted(kept, key=lambda one: one.at)


# -- names


def test_healthy_instances_answer_and_all_where_none_is(book: Book) -> None:
    book.namespace(called="Internal.")
    book.service(called="Web", dns=A, has_custom_health=True)
    for number, status in ((1, "HEALTHY"), (2, "UNHEALTHY")):
        book.instance(f"i-{number}", AWS_INSTANCE_IPV4=f"10.0.0.{number}", AWS_INIT_HEALTH_STATUS=status)
    shown = book.zone()["web.internal", "A"]
    assert (shown.values, shown.ttl_s, shown.most) == (("10.0.0.1",), 60, 8)
    health(book, ("i-1", False, 0.0))
    book.do(instances.settled(book.shelf, 0.0))
    assert book.zone()["web.internal", "A"].values == ("10.0.0.1", "10.0.0.2")


def test_a_service_of_ports_has_names_for_its_targets(book: Book) -> None:
    book.namespace()
    book.service(called="_http._tcp", dns=SRV)
    book.instance("I-1", AWS_INSTANCE_IPV4="10.0.0.1", AWS_INSTANCE_IPV6="2600:1F18::1", AWS_INSTANCE_PORT="8080")
    made = book.zone()
    assert made["_http._tcp.internal", "SRV"].values == ("1 1 8080 i-1._http._tcp.internal",)
    assert made["i-1._http._tcp.internal", "A"].values == ("10.0.0.1",)
    assert made["i-1._http._tcp.internal", "AAAA"].values == ("2600:1F18::1",)


def test_a_service_comes_before_anothers_instance_of_its_name(book: Book) -> None:
    book.namespace()
    book.service("srv-1", "web", dns=SRV)
    book.service("srv-2", "a.web", dns=Dns(policy=WEIGHTED, records=(("CNAME", 5),)))
    book.instance("a", AWS_INSTANCE_IPV4="10.0.0.1", AWS_INSTANCE_PORT="80")
    book.instance("x", "srv-2", AWS_INSTANCE_CNAME="Example.COM")
    made = book.zone()
    assert [kind for name, kind in made if name == "a.web.internal"] == ["CNAME"]
    assert (made["a.web.internal", "CNAME"].values, made["a.web.internal", "CNAME"].most) == (("example.com",), 1)


def test_services_without_records_and_without_instances_have_no_names(book: Book) -> None:
    book.namespace()
    book.service("srv-1", "api")
    book.service("srv-2", "web", dns=A)
    book.service("srv-3", ".", dns=A)
    book.instance("i-1", "srv-1")
    book.instance("i-1", "srv-3")
    assert list(book.zone()) == [("internal", "A")]


LONG = ".".join(["x" * 60] * 2)


@pytest.mark.parametrize(
    ("dns", "attributes"),
    [
        (
            SRV,
            {
                "AWS_INSTANCE_PORT": "65535",
                "AWS_INSTANCE_IPV4": "100.100.100.100",
                "AWS_INSTANCE_IPV6": "ffff:" * 7 + "ffff",
            },
        ),
        (Dns(policy=MULTIVALUE, records=(("A", 2**31 - 1), ("AAAA", 2**31 - 1))), {}),
        (Dns(policy=WEIGHTED, records=(("CNAME", 2**31 - 1),)), {"AWS_INSTANCE_CNAME": "y." * 120 + "y"}),
    ],
)
def test_names_are_never_longer_than_was_reckoned(book: Book, dns: Dns, attributes: dict[str, str]) -> None:
    """In a host's plan; the longest there can be."""
    addresses = {"AWS_INSTANCE_IPV4": "100.100.100.100", "AWS_INSTANCE_IPV6": "ffff:" * 7 + "ffff"}
    book.namespace(called=LONG)
    book.service(called="w" * 60, dns=dns)
    for number in range(3):
        book.instance(f"{number}" + "i" * 62, **(attributes or addresses))
    namespace, service = namespaces.required(book.shelf, "ns-1"), book.found()
    made = zone(namespace, [(service, list(book.shelf.all(Instance)))])
    size = len(encode(made))
    assert size <= names_bytes(service, namespace, 3) + len(LONG) + 40, size


def test_names_of_a_vpc_are_bounded_together(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    book.namespace()
    book.service(dns=SRV)
    ports = {"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_PORT": "80"}
    book.instance("i-1", **ports)
    monkeypatch.setattr(room, "DEFAULT_KNOBS", replace(DEFAULT_KNOBS, cloud_map_vpc_names_max_bytes=800))
    with pytest.raises(ResourceLimit, match="too long"):
        book.instance("i-2", **ports)
    book.namespace("ns-2", "other", vpc="vpc-0b")
    book.service("srv-2", namespace="ns-2", dns=SRV)
    book.instance("i-1", "srv-2", **ports)


def test_an_accounts_texts_are_bounded_and_leave_with_what_they_are_of(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "DEFAULT_KNOBS", replace(DEFAULT_KNOBS, cloud_map_max_chars=100))
    book.namespace(vpc=None)
    book.service(tags=(("t", "x" * 9),))
    book.do(services.with_attributes(book.shelf, "srv-1", {"a": "x" * 9}))
    book.instance("i-1", k="x" * 39)
    book.instance("i-1", k="x" * 29)
    assert book.found().held == 30
    book.instance("i-2", k="x" * 49)
    for full in (
        lambda: book.instance("i-3", k=""),
        lambda: book.instance("i-1", k="x" * 30),
        lambda: book.service("srv-2", "other", tags=(("t", ""),)),
        lambda: services.with_attributes(book.shelf, "srv-1", {"b": ""}),
    ):
        with pytest.raises(ResourceLimit, match="characters"):
            full()
    book.do(instances.deregistered(book.shelf, "srv-1", "i-2", book.outcome("DEREGISTER_INSTANCE")))
    assert book.found().held == 30
    book.instance("i-3", k="x" * 49)
