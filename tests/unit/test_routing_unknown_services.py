"""A call of a service that Neargate does not have is told so, in words that the service's own clients can read."""

from collections.abc import Mapping

import pytest
from botocore.model import StructureShape
from botocore.parsers import create_parser

from neargate.frontend.errors import RequestRefused, fault_response
from neargate.frontend.routing import Router

NO_MEMBERS = StructureShape("Nothing", {"type": "structure", "members": {}})
FORM = {b"content-type": b"application/x-www-form-urlencoded; charset=utf-8"}


def signed(service: str, more: Mapping[bytes, bytes] = {}) -> dict[bytes, bytes]:
    scope = f"AWS4-HMAC-SHA256 Credential=AKIA1/20261122/us-east-1/{service}/aws4_request, SignedHeaders=host"
    return {b"authorization": scope.encode(), **more}


def refused(method: str, path: bytes, headers: Mapping[bytes, bytes], body: bytes = b"") -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        Router().find(method, path, b"", headers, body)
    return caught.value


@pytest.mark.parametrize(
    ("service", "protocol", "method", "path", "headers", "body"),
    [
        ("lambda", "rest-json", "GET", b"/2015-03-31/functions/", {}, b""),
        ("s3", "rest-xml", "GET", b"/", {}, b""),
        ("s3", "rest-xml", "GET", b"/bucket/key", {}, b""),
        ("route53", "rest-xml", "GET", b"/2013-04-01/hostedzone", {}, b""),
        ("dynamodb", "json", "POST", b"/", {b"x-amz-target": b"DynamoDB_20120810.ListTables"}, b"{}"),
        ("rds", "query", "POST", b"/", FORM, b"Action=DescribeDBInstances&Version=2014-10-31"),
        ("sqs", "query", "POST", b"/", FORM, b"Action=ListQueues&Version=2012-11-05"),
    ],
)
def test_its_own_client_reads_that_it_is_not_here(
    service: str, protocol: str, method: str, path: bytes, headers: Mapping[bytes, bytes], body: bytes
) -> None:
    found = refused(method, path, signed(service, headers), body)
    response = fault_response(found.fault, found.protocol, "r-1")
    assert 400 <= response.status < 500
    told = {"status_code": response.status, "body": response.body}
    read = create_parser(protocol).parse(
        {**told, "headers": {name.decode(): value.decode() for name, value in response.headers}}, NO_MEMBERS
    )
    assert read["Error"]["Message"] == f"Neargate does not have the service {service}."
    assert read["Error"]["Code"] in ("UnknownOperationException", "InvalidAction")


def test_who_asks_for_classic_load_balancers_is_not_told_that_there_are_none_at_all() -> None:
    form = b"Action=DescribeLoadBalancers&Version=2012-06-01"
    found = refused("POST", b"/", signed("elasticloadbalancing", FORM), form)
    assert found.fault.code == "InvalidAction"
    assert "Classic Load Balancers (aws elb)" in found.fault.message and "elbv2" in found.fault.message


@pytest.mark.parametrize("service", ["ecs", "servicequotas", "logs"])
def test_a_service_that_is_here_is_not_denied(service: str) -> None:
    found = refused("POST", b"/", signed(service, {b"x-amz-target": b"Nothing_1.Do"}), b"{}")
    assert found.fault.message == "The value of X-Amz-Target names no service of this endpoint."


def test_who_did_not_sign_is_told_what_the_request_lacks() -> None:
    assert refused("GET", b"/favicon.ico", {}).fault.message == "There is nothing here."
    assert "names no operation" in refused("GET", b"/", {}).fault.message
