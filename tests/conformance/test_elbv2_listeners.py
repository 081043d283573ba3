"""Listeners as boto3 sees them: what they may be, what they show, their certificates and attributes, and who may."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from .balancer_clients import FIXED, Balancing, forward
from .door_clients import Door, allow, refused

POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
NO_CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-4000-8000-000000000000"


@pytest.fixture
def on() -> Iterator[Balancing]:
    with asyncio.Runner() as runner:
        yield Balancing(Door(runner))


def test_a_listener_is_shown_as_aws_shows_it(on: Balancing) -> None:
    balancer, group = on.balancer(), on.group()
    made = on.listen(balancer, forward(group))
    assert made["ListenerArn"].startswith(balancer.replace(":loadbalancer/", ":listener/") + "/")
    assert (made["Protocol"], made["Port"], made["LoadBalancerArn"]) == ("HTTP", 80, balancer)
    assert made["DefaultActions"] == [
        {
            "Type": "forward",
            "TargetGroupArn": group,
            "ForwardConfig": {
                "TargetGroups": [{"TargetGroupArn": group, "Weight": 1}],
                "TargetGroupStickinessConfig": {"Enabled": False},
            },
        }
    ]
    assert "Certificates" not in made and "SslPolicy" not in made
    assert on.elb.describe_listeners(LoadBalancerArn=balancer)["Listeners"] == [made]
    assert on.elb.describe_listeners(ListenerArns=[made["ListenerArn"]])["Listeners"] == [made]
    assert on.elb.describe_target_groups(TargetGroupArns=[group])["TargetGroups"][0]["LoadBalancerArns"] == [balancer]


def test_the_same_listener_again_is_the_one_that_is_there(on: Balancing) -> None:
    balancer = on.balancer()
    made = on.listen(balancer)
    assert on.listen(balancer) == made
    other = {**FIXED, "FixedResponseConfig": {"StatusCode": "503"}}
    assert refused(lambda: on.listen(balancer, other)) == (
        "DuplicateListener",
        f"A listener already exists on this port for this load balancer '{balancer}'",
    )
    assert on.listen(balancer, other, Port=81)["Port"] == 81


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"Protocol": "TCP"}, "Listener protocol 'TCP' must be one of 'HTTP, HTTPS'"),
        ({"Protocol": "UDP"}, "Listener protocol 'UDP' must be one of 'HTTP, HTTPS'"),
        ({"Protocol": "HTTPS"}, "A certificate must be specified for HTTPS listeners"),
    ],
)
def test_what_a_listener_of_an_application_load_balancer_cannot_be(
    on: Balancing, given: dict[str, Any], message: str
) -> None:
    assert refused(lambda: on.listen(on.balancer(), **given)) == ("ValidationError", message)


def test_a_listener_has_a_port_and_a_protocol(on: Balancing) -> None:
    balancer = on.balancer()
    create = on.elb.create_listener
    given = {"LoadBalancerArn": balancer, "DefaultActions": [FIXED]}
    assert refused(create, **given, Port=80) == ("ValidationError", "A listener protocol must be specified")
    assert refused(create, **given, Protocol="HTTP") == ("ValidationError", "A listener port must be specified")
    assert refused(create, **given, Protocol="HTTP", Port=70000)[0] == "ValidationError"
    gone = balancer[:-4] + "0000"
    assert refused(lambda: on.listen(gone))[0] == "LoadBalancerNotFound"


def test_a_network_load_balancer_forwards_tcp_and_tls(on: Balancing) -> None:
    net, tcp, tls, web = on.network(), on.group("tcp", "TCP"), on.group("tls", "TLS"), on.group("web")
    assert on.listen(net, forward(tcp), Protocol="TCP")["Protocol"] == "TCP"
    secure = on.listen(
        net,
        forward(tls),
        Protocol="TLS",
        Port=443,
        Certificates=[{"CertificateArn": on.certificate()}],
        AlpnPolicy=["HTTP2Optional"],
    )
    assert (secure["AlpnPolicy"], secure["SslPolicy"]) == (["HTTP2Optional"], "ELBSecurityPolicy-2016-08")
    assert refused(lambda: on.listen(net, forward(tcp), Port=81)) == (
        "ValidationError",
        "Listener protocol 'HTTP' must be one of 'UDP, TCP, TLS, TCP_UDP'",
    )
    assert refused(lambda: on.listen(net, forward(web), Port=81, Protocol="TCP"))[0] == "IncompatibleProtocols"
    assert refused(lambda: on.listen(net, forward(tls), Port=81, Protocol="TCP"))[0] == "IncompatibleProtocols"
    assert refused(lambda: on.listen(net, FIXED, Port=81, Protocol="TCP"))[0] == "InvalidLoadBalancerAction"
    arn = {"ListenerArn": secure["ListenerArn"]}
    assert refused(on.elb.modify_listener, **arn, AlpnPolicy=["HTTP9"])[0] == "ALPNPolicyNotFound"
    assert on.elb.modify_listener(**arn, AlpnPolicy=["None"])["Listeners"][0]["AlpnPolicy"] == ["None"]


def test_a_group_belongs_to_one_load_balancer_of_its_vpc(on: Balancing) -> None:
    group, first, second = on.group(), on.balancer("first"), on.balancer("second")
    on.listen(first, forward(group))
    on.listen(first, forward(group), Port=81)
    assert refused(lambda: on.listen(second, forward(group))) == (
        "TargetGroupAssociationLimit",
        f"The following target groups cannot be associated with more than one load balancer: {group}",
    )
    vpc = on.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    code, message = refused(lambda: on.listen(second, forward(on.group("far", VpcId=vpc))))
    assert code == "InvalidConfigurationRequest" and "is not in the same VPC" in message
    assert refused(lambda: on.listen(second, forward(group[:-4] + "0000")))[0] == "TargetGroupNotFound"
    assert refused(lambda: on.listen(second, forward(on.group("tcp", "TCP"))))[0] == "IncompatibleProtocols"
    code, message = refused(lambda: on.listen(second, forward(on.group("rpc", ProtocolVersion="GRPC"))))
    assert (code, message) == (
        "InvalidConfigurationRequest",
        "Listener protocol 'HTTP' is not supported with a target group with the protocol-version 'GRPC'",
    )


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ({"Type": "forward"}, "ValidationError"),
        ({"Type": "redirect"}, "ValidationError"),
        ({"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301"}}, "InvalidLoadBalancerAction"),
        ({"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Path": "x"}}, "ValidationError"),
        ({"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Port": "0"}}, "ValidationError"),
        ({"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Host": "#{path}"}}, "ValidationError"),
        ({"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Host": "a b"}}, "ValidationError"),
        ({"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Query": "a\nb"}}, "ValidationError"),
        ({"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_303", "Port": "1"}}, "ValidationError"),
        ({"Type": "fixed-response"}, "ValidationError"),
        ({"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "100"}}, "ValidationError"),
        (
            {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "ContentType": "text/xml"}},
            "InvalidLoadBalancerAction",
        ),
        (
            {
                "Type": "authenticate-cognito",
                "AuthenticateCognitoConfig": {"UserPoolArn": "a", "UserPoolClientId": "b", "UserPoolDomain": "c"},
            },
            "InvalidLoadBalancerAction",
        ),
        ({"Type": "jwt-validation"}, "InvalidLoadBalancerAction"),
        ({"Type": "dance"}, "ValidationError"),
    ],
)
def test_actions_that_cannot_be(on: Balancing, action: dict[str, Any], code: str) -> None:
    assert refused(lambda: on.listen(on.balancer(), action))[0] == code


def test_there_is_one_action(on: Balancing) -> None:
    given = {"LoadBalancerArn": on.balancer(), "Protocol": "HTTP", "Port": 80}
    assert refused(on.elb.create_listener, **given, DefaultActions=[FIXED, FIXED])[0] == "TooManyActions"
    assert refused(on.elb.create_listener, **given, DefaultActions=[])[0] == "ValidationError"


def test_a_redirect_is_shown_with_what_stays(on: Balancing) -> None:
    action = {"Type": "redirect", "Order": 1, "RedirectConfig": {"Protocol": "HTTPS", "StatusCode": "HTTP_301"}}
    assert on.listen(on.balancer(), action)["DefaultActions"] == [
        {
            "Type": "redirect",
            "Order": 1,
            "RedirectConfig": {
                "Protocol": "HTTPS",
                "Port": "#{port}",
                "Host": "#{host}",
                "Path": "/#{path}",
                "Query": "#{query}",
                "StatusCode": "HTTP_301",
            },
        }
    ]


def test_weights_and_stickiness_of_groups(on: Balancing) -> None:
    balancer, one, two = on.balancer(), on.group("one"), on.group("two")

    def weighed(*pairs: tuple[str, int], **sticky: Any) -> dict[str, Any]:
        groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in pairs]
        return {
            "Type": "forward",
            "ForwardConfig": {"TargetGroups": groups, "TargetGroupStickinessConfig": sticky or {"Enabled": False}},
        }

    action = weighed((one, 90), (two, 0), Enabled=True, DurationSeconds=60)
    assert on.listen(balancer, action)["DefaultActions"] == [action]
    for wrong, code in (
        (weighed((one, 1000)), "ValidationError"),
        (weighed((one, 1), (one, 2)), "InvalidLoadBalancerAction"),
        (weighed((one, 1), Enabled=True), "ValidationError"),
        (weighed((one, 1), Enabled=True, DurationSeconds=604801), "ValidationError"),
        ({**weighed((one, 1), (two, 1)), "TargetGroupArn": one}, "InvalidLoadBalancerAction"),
    ):
        assert refused(lambda wrong=wrong: on.listen(balancer, wrong, Port=81))[0] == code


def test_https_needs_a_certificate_and_a_policy_that_there_are(on: Balancing) -> None:
    balancer, own = on.balancer(), [{"CertificateArn": on.certificate()}]
    made = on.listen(balancer, Protocol="HTTPS", Port=443, Certificates=own, SslPolicy=POLICY)
    assert (made["Certificates"], made["SslPolicy"]) == (own, POLICY)
    assert made["MutualAuthentication"] == {"Mode": "off"}
    https = {"Protocol": "HTTPS", "Port": 444}
    missing = [{"CertificateArn": NO_CERTIFICATE}]
    assert refused(lambda: on.listen(balancer, **https, Certificates=missing)) == (
        "CertificateNotFound",
        f"Certificate '{NO_CERTIFICATE}' not found",
    )
    assert refused(lambda: on.listen(balancer, **https, Certificates=own * 2))[0] == "ValidationError"
    assert refused(lambda: on.listen(balancer, **https, Certificates=own, SslPolicy="x"))[0] == "SSLPolicyNotFound"
    mutual = {"Mode": "verify", "TrustStoreArn": "arn:x"}
    code, _ = refused(lambda: on.listen(balancer, **https, Certificates=own, MutualAuthentication=mutual))
    assert code == "InvalidConfigurationRequest"
    assert refused(lambda: on.listen(balancer, Certificates=own))[0] == "InvalidConfigurationRequest"


def test_a_certificate_in_use_is_not_deleted(on: Balancing) -> None:
    balancer, arn = on.balancer(), on.certificate()
    listener = on.listen(balancer, Protocol="HTTPS", Certificates=[{"CertificateArn": arn}])["ListenerArn"]
    assert on.acm.describe_certificate(CertificateArn=arn)["Certificate"]["InUseBy"] == [balancer]
    code, message = refused(lambda: on.acm.delete_certificate(CertificateArn=arn))
    assert code == "ResourceInUseException" and "is in use" in message
    on.elb.delete_listener(ListenerArn=listener)
    on.acm.delete_certificate(CertificateArn=arn)


def test_a_listener_changes(on: Balancing) -> None:
    balancer, own = on.balancer(), [{"CertificateArn": on.certificate()}]
    on.listen(balancer, Port=81)
    made = on.listen(balancer)
    arn = {"ListenerArn": made["ListenerArn"]}
    assert refused(on.elb.modify_listener, **arn, Port=81)[0] == "DuplicateListener"
    assert refused(on.elb.modify_listener, **arn, Protocol="HTTPS")[0] == "ValidationError"
    (after,) = on.elb.modify_listener(**arn, Protocol="HTTPS", Port=443, Certificates=own)["Listeners"]
    assert (after["Port"], after["Protocol"], after["Certificates"]) == (443, "HTTPS", own)
    assert after["DefaultActions"] == made["DefaultActions"]
    (back,) = on.elb.modify_listener(**arn, Protocol="HTTP", Port=80)["Listeners"]
    assert back == made
    group = on.group()
    (led,) = on.elb.modify_listener(**arn, DefaultActions=[forward(group)])["Listeners"]
    assert led["DefaultActions"][0]["TargetGroupArn"] == group


def test_certificates_of_the_list_come_and_go(on: Balancing) -> None:
    default, other = on.certificate(), on.certificate("other.example.com")
    listener = on.listen(on.balancer(), Protocol="HTTPS", Certificates=[{"CertificateArn": default}])["ListenerArn"]

    def listed() -> list[tuple[str, bool]]:
        found = on.elb.describe_listener_certificates(ListenerArn=listener)["Certificates"]
        return [(one["CertificateArn"], one["IsDefault"]) for one in found]

    changes = {"add": on.elb.add_listener_certificates, "remove": on.elb.remove_listener_certificates}

    def change(verb: str, *arns: str) -> Any:
        return changes[verb](ListenerArn=listener, Certificates=[{"CertificateArn": arn} for arn in arns])

    assert listed() == [(default, True)]
    change("add", other)
    change("add", other, default)
    assert listed() == [(default, True), (other, False), (default, False)]
    assert on.acm.list_certificates(Includes={"keyTypes": ["EC_prime256v1"]})["CertificateSummaryList"][1]["InUse"]
    change("remove", default)
    assert listed() == [(default, True), (other, False)]
    assert refused(lambda: change("remove", default))[0] == "OperationNotPermitted"
    assert refused(lambda: change("add", NO_CERTIFICATE))[0] == "CertificateNotFound"
    assert refused(lambda: change("add", *[other] * 26))[0] == "TooManyCertificates"
    on.elb.modify_listener(ListenerArn=listener, Certificates=[{"CertificateArn": other}])
    assert listed() == [(other, True), (other, False)]


def test_attributes_of_listeners(on: Balancing) -> None:
    tcp = on.listen(on.network(), forward(on.group("tcp", "TCP")), Protocol="TCP")["ListenerArn"]
    web = on.listen(on.balancer())["ListenerArn"]

    def change(arn: str, key: str, value: str) -> dict[str, str]:
        said = on.elb.modify_listener_attributes(ListenerArn=arn, Attributes=[{"Key": key, "Value": value}])
        assert said["Attributes"] == on.elb.describe_listener_attributes(ListenerArn=arn)["Attributes"]
        return {one["Key"]: one.get("Value", "") for one in said["Attributes"]}

    assert change(tcp, "tcp.idle_timeout.seconds", "60") == {"tcp.idle_timeout.seconds": "60"}
    assert refused(lambda: change(tcp, "tcp.idle_timeout.seconds", "59"))[0] == "ValidationError"
    assert refused(lambda: change(web, "tcp.idle_timeout.seconds", "60")) == (
        "ValidationError",
        "Listener attribute key 'tcp.idle_timeout.seconds' is not recognized",
    )
    server = "routing.http.response.server.enabled"
    assert change(web, server, "true")[server] == "true"
    assert refused(lambda: change(web, server, "false"))[0] == "InvalidConfigurationRequest"


def test_what_describes_names_one_kind(on: Balancing) -> None:
    balancer = on.balancer()
    arn = on.listen(balancer)["ListenerArn"]
    text = "You must specify either listener ARNs or a load balancer ARN"
    assert refused(on.elb.describe_listeners) == ("ValidationError", text)
    assert refused(on.elb.describe_listeners, LoadBalancerArn=balancer, ListenerArns=[arn])[0] == "ValidationError"
    assert refused(on.elb.describe_listeners, ListenerArns=[arn[:-4] + "0000"])[0] == "ListenerNotFound"
    assert refused(on.elb.describe_listeners, ListenerArns=["nonsense"])[0] == "ValidationError"
    on.listen(balancer, Port=81)
    pages = on.elb.get_paginator("describe_listeners").paginate(
        LoadBalancerArn=balancer, PaginationConfig={"PageSize": 1}
    )
    assert sorted(one["Port"] for page in pages for one in page["Listeners"]) == [80, 81]


def test_listeners_go_alone_and_with_their_load_balancer(on: Balancing) -> None:
    balancer, group = on.balancer(), on.group()
    arn = on.listen(balancer, forward(group))["ListenerArn"]
    assert refused(lambda: on.elb.delete_target_group(TargetGroupArn=group))[0] == "ResourceInUse"
    on.elb.delete_listener(ListenerArn=arn)
    assert refused(lambda: on.elb.delete_listener(ListenerArn=arn))[0] == "ListenerNotFound"
    on.listen(balancer, forward(group))
    on.elb.delete_load_balancer(LoadBalancerArn=balancer)
    on.elb.delete_target_group(TargetGroupArn=group)


def test_there_are_fifty_listeners_at_most(on: Balancing) -> None:
    balancer = on.balancer()
    for port in range(1, 51):
        on.listen(balancer, Port=port)
    assert refused(lambda: on.listen(balancer, Port=51)) == (
        "TooManyListeners",
        "The maximum number of listeners has been reached on load balancer 'web'",
    )


def test_security_policies(on: Balancing) -> None:
    found = on.elb.describe_ssl_policies(Names=[POLICY])["SslPolicies"]
    assert [(one["Name"], one["SslProtocols"]) for one in found] == [(POLICY, ["TLSv1.2", "TLSv1.3"])]
    assert found[0]["Ciphers"][0] == {"Name": "TLS_AES_128_GCM_SHA256", "Priority": 1}
    everything = on.elb.describe_ssl_policies()["SslPolicies"]
    assert everything[0]["Name"] == "ELBSecurityPolicy-2016-08" and len(everything) > 15
    assert refused(on.elb.describe_ssl_policies, Names=["x"])[0] == "SSLPolicyNotFound"


def test_who_may_make_which_listener(on: Balancing) -> None:
    balancer = on.balancer()
    statement = allow(
        "elasticloadbalancing:CreateListener", StringEquals={"elasticloadbalancing:ListenerProtocol": "HTTP"}
    )
    al = Balancing(on.door, on.door.user("al", statement))
    assert al.listen(balancer)["Port"] == 80
    own = [{"CertificateArn": on.certificate()}]
    denied = refused(lambda: al.listen(balancer, Protocol="HTTPS", Port=443, Certificates=own))
    assert denied[0] == "AccessDenied"
    assert refused(lambda: al.listen(balancer, Port=81, Tags=[{"Key": "a", "Value": "b"}]))[0] == "AccessDenied"
    assert refused(lambda: al.elb.describe_listeners(LoadBalancerArn=balancer))[0] == "AccessDenied"
