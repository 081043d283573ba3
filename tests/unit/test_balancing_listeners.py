"""What calls make of listeners and rules where one call alone does not show it: bounds, and what goes with what."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.frontend.balancing import listeners, rules
from neargate.frontend.balancing.actions import given_actions, shown_action
from neargate.frontend.balancing.conditions import given_conditions
from neargate.frontend.balancing.errors import InvalidConfigurationRequest, ValidationError
from neargate.frontend.balancing.listener_errors import (
    DuplicateListener,
    TargetGroupAssociationLimit,
    TooManyCertificates,
    TooManyUniqueTargetGroups,
    UnsupportedCertificate,
)
from neargate.frontend.balancing.listeners import WantedListener
from neargate.frontend.balancing.objects import Listener, LoadBalancer, Rule, TargetGroup
from neargate.frontend.balancing.rules import WantedRule, default_rule_arn
from neargate.frontend.certificates.records import Certificate, Facts
from neargate.frontend.regional.shelves import Change, Kept, Shelf

ACCOUNT = "123456789012"
ELB = f"arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}"
BALANCER, OTHER = (f"{ELB}:loadbalancer/app/{name}/0000000000000001" for name in ("web", "other"))
FIXED: dict[str, Any] = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
PATH = [{"Field": "path-pattern", "Values": ["/x"]}]


def certificate(name: str) -> Certificate:
    """One whose name begins with `weak` can be shown by no proxy."""
    facts = Facts(
        domain=name,
        names=(name,),
        serial="",
        subject="",
        issuer="",
        not_before=0.0,
        not_after=0.0,
        key_algorithm="RSA_2048",
        signature_algorithm="SHA256WITHRSA",
        is_servable=not name.startswith("weak"),
    )
    return Certificate(
        account=ACCOUNT, name=name, origin="IMPORTED", facts=facts, pem="", chain="", sealed_key=b"", created_at=0.0
    )


class Book:
    """A shelf on which changes are carried out at once. Certificates are there, whatever their names are."""

    def __init__(self) -> None:
        self.shelf = Shelf(ACCOUNT)
        self.count = 0
        self.put(*(self.balancer(arn) for arn in (BALANCER, OTHER)))

    def put(self, *records: Kept) -> None:
        self.shelf.apply(records, ())

    def balancer(self, arn: str, **more: Any) -> LoadBalancer:
        given = {"lb_type": "application", "scheme": "internal", "vpc_id": "vpc-1", **more}
        return LoadBalancer(account=ACCOUNT, name=arn, label="web", number="1", created_at=0.0, dns_name="web", **given)

    def group(self, name: str, **more: Any) -> str:
        given = {"protocol": "HTTP", "vpc_id": "vpc-1", **more}
        arn = f"{ELB}:targetgroup/{name}/1"
        self.put(TargetGroup(account=ACCOUNT, name=arn, label=name, port=80, created_at=0.0, **given))
        return arn

    def do(self, change: Change[Any]) -> Any:
        self.shelf.apply(change.put, change.drop)
        return change.result

    def listen(
        self, port: int = 80, action: dict[str, Any] | None = None, arn: str = BALANCER, **more: Any
    ) -> Listener:
        self.count += 1
        given = {"protocol": "HTTP", **more}
        wanted = WantedListener(port=port, actions=given_actions([action or FIXED]), **given)
        made = self.do(listeners.create(self.shelf, arn, wanted, self.known, (), f"{self.count:016x}", 1.0))
        assert isinstance(made, Listener)
        return made

    def modify(self, listener: Listener, **wanted: Any) -> Listener:
        made = self.do(listeners.modify(self.shelf, listener.arn, WantedListener(**wanted), self.known))
        assert isinstance(made, Listener)
        return made

    def add(self, listener: Listener, names: Sequence[str]) -> Listener:
        made = self.do(listeners.add_certificates(self.shelf, listener.arn, names, self.known))
        assert isinstance(made, Listener)
        return made

    def rule(self, listener: Listener, priority: int, action: dict[str, Any]) -> Rule:
        self.count += 1
        wanted = WantedRule(priority=priority, conditions=given_conditions(PATH), actions=given_actions([action]))
        made = self.do(rules.create(self.shelf, listener.arn, wanted, (), f"{self.count:016x}", 1.0))
        assert isinstance(made, Rule)
        return made

    def known(self, arn: str) -> Certificate | None:
        return certificate(arn)


def forward(*arns: str) -> dict[str, Any]:
    return {"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": arn} for arn in arns]}}


def https(**more: Any) -> dict[str, Any]:
    return {"protocol": "HTTPS", "certificates": ("own",), **more}


def test_a_repeated_listener_is_the_first_one_only_where_all_is_said_alike() -> None:
    book = Book()
    first = book.listen(443, **https())
    assert book.listen(443, **https()) == first
    assert book.listen(443, **https(ssl_policy="ELBSecurityPolicy-2016-08")) == first
    for other in (https(ssl_policy="ELBSecurityPolicy-FS-2018-06"), https(certificates=("b",)), {"protocol": "HTTP"}):
        with pytest.raises(DuplicateListener):
            book.listen(443, **other)
    book.add(first, ["x"])
    assert book.listen(443, **https()).certificates == ("own", "x")


def test_certificates_are_counted_over_all_listeners_without_default_ones() -> None:
    book = Book()
    one, two = book.listen(443, **https()), book.listen(444, **https(certificates=("other",)))
    book.add(one, [f"a{number}" for number in range(20)])
    book.add(two, [f"b{number}" for number in range(5)])
    with pytest.raises(TooManyCertificates):
        book.add(two, ["c"])
    assert len(book.add(two, ["a1"]).certificates) == 7
    third = book.listen(443, arn=OTHER, **https())
    assert len(book.add(third, [f"d{number}" for number in range(25)]).certificates) == 26


def test_what_no_proxy_can_show_is_no_certificate_of_a_listener() -> None:
    book = Book()
    made = book.listen(443, **https())
    with pytest.raises(UnsupportedCertificate):
        book.listen(444, **https(certificates=("weak",)))
    with pytest.raises(UnsupportedCertificate):
        book.add(made, ["weak"])
    with pytest.raises(UnsupportedCertificate):
        book.modify(made, certificates=("weak",))


def test_a_listener_that_no_longer_ends_tls_has_nothing_of_it() -> None:
    book = Book()
    made = book.add(book.listen(443, **https()), ["x"])
    plain = book.modify(made, protocol="HTTP")
    assert (plain.certificates, plain.ssl_policy, plain.alpn) == ((), None, None)
    assert (made.certificates, made.ssl_policy) == (("own", "x"), "ELBSecurityPolicy-2016-08")


def test_another_default_certificate_leaves_the_list() -> None:
    book = Book()
    made = book.add(book.listen(443, **https()), ["x", "y"])
    assert book.modify(made, certificates=("new",)).certificates == ("new", "x", "y")
    assert book.modify(made, port=444).certificates == ("new", "x", "y")


def test_a_listener_does_not_become_one_that_its_rules_cannot_have() -> None:
    book = Book()
    made = book.listen(443, **https())
    book.rule(made, 1, forward(book.group("rpc", version="GRPC")))
    with pytest.raises(InvalidConfigurationRequest):
        book.modify(made, protocol="HTTP")


def test_attributes_of_another_protocol_go_with_it() -> None:
    book = Book()
    arn = BALANCER.replace("/app/", "/net/")
    book.put(book.balancer(arn, lb_type="network"))
    made = book.listen(80, forward(book.group("tcp", protocol="TCP")), arn, protocol="TCP")
    book.put(replace(made, attributes=(("tcp.idle_timeout.seconds", "60"),)))
    assert book.modify(made, port=81).attributes == (("tcp.idle_timeout.seconds", "60"),)
    assert book.modify(made, protocol="TLS", certificates=("own",)).attributes == ()


def test_groups_are_counted_over_listeners_and_rules() -> None:
    book = Book()
    made = book.listen()
    for number in range(20):
        book.rule(made, number + 1, forward(*(book.group(f"g{number}-{each}") for each in range(5))))
    with pytest.raises(TooManyUniqueTargetGroups):
        book.listen(81, forward(book.group("more")))
    again = f"{ELB}:targetgroup/g3-3/1"
    assert book.listen(81, forward(again)).default[0].groups[0].arn == again
    with pytest.raises(TargetGroupAssociationLimit):
        book.listen(81, forward(again), OTHER)


def test_default_rules_have_an_arn_of_their_own_that_stays() -> None:
    book = Book()
    one, two = book.listen(80), book.listen(81)
    assert default_rule_arn(one.arn) == default_rule_arn(one.arn) != default_rule_arn(two.arn)
    assert default_rule_arn(one.arn).startswith(one.arn.replace(":listener/", ":listener-rule/") + "/")


def test_rules_of_another_listener_do_not_take_a_priority() -> None:
    book = Book()
    one, two = book.rule(book.listen(80), 5, FIXED), book.rule(book.listen(81), 6, FIXED)
    after = book.do(rules.set_priorities(book.shelf, {one.arn: 6, two.arn: 6}))
    assert [rule.priority for rule in after] == [6, 6]


def test_actions_are_shown_as_they_were_given() -> None:
    for given in (
        {**FIXED, "Order": 7},
        {
            "Type": "fixed-response",
            "FixedResponseConfig": {"MessageBody": 'a"\n%[x] \\', "StatusCode": "200", "ContentType": "text/html"},
        },
    ):
        assert shown_action(given_actions([given])[0]) == given


@pytest.mark.parametrize(
    "config",
    [
        {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": "a\0b"}},
        *(
            {"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", name: f"/{text}"}}
            for name in ("Path", "Query")
            for text in ("a b", "a\r\nb", "é", "\x7f")
        ),
    ],
)
def test_what_cannot_stand_in_an_answer_is_in_no_action(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        given_actions([config])


@pytest.mark.parametrize("value", ["/a b", "/a\r\n", "/a\x00", "/é", '/a"\n', "/%2e", "/a{b}", "/a;b", "/a\\b"])
def test_what_cannot_stand_in_a_path_is_no_pattern(value: str) -> None:
    with pytest.raises(ValidationError):
        given_conditions([{"Field": "path-pattern", "Values": [value]}])


@pytest.mark.parametrize("value", ["a b", "a\n", "a:80", "é", "a/b", 'a"b', "a$b", "a\\b", "a#b"])
def test_what_cannot_stand_in_a_host_is_no_pattern(value: str) -> None:
    with pytest.raises(ValidationError):
        given_conditions([{"Field": "host-header", "Values": [value]}])


@pytest.mark.parametrize("value", ["fe80::%eth0/10", "fe80::%a\nglobal\n/10", "192.0.2.1", "192.0.2.1/24", ""])
def test_what_is_no_block_of_addresses_is_no_source(value: str) -> None:
    with pytest.raises(ValidationError):
        given_conditions([{"Field": "source-ip", "SourceIpConfig": {"Values": [value]}}])


def test_both_forms_of_a_condition_must_say_the_same() -> None:
    both = {"Field": "path-pattern", "Values": ["/a"], "PathPatternConfig": {"Values": ["/a"]}}
    assert given_conditions([both])[0].shown == both
    with pytest.raises(ValidationError):
        given_conditions([{**both, "Values": ["/b"]}])
    with pytest.raises(ValidationError):
        given_conditions([{"Field": "source-ip", "Values": ["192.0.2.0/24"]}])
    with pytest.raises(ValidationError):
        given_conditions([{"Field": "moon-phase", "Values": ["new"]}])
