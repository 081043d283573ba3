"""The query protocol and EC2's dialect: forms in, XML out, refusals in each one's words."""

import xml.etree.ElementTree as ET

import pytest

from neargate.model.errors import AwsError
from neargate.wire.forms import parse_form
from neargate.wire.query import QueryCodec
from neargate.wire.shapes import Models
from neargate.wire.xml import escape, query_error

MODELS = Models()


def codec(operation: str, service: str = "ec2") -> QueryCodec:
    model = MODELS.service(service)
    described = model.operation(operation)
    assert described is not None
    return QueryCodec(model, described)


def refused(operation: str, form: bytes, service: str = "ec2") -> tuple[str, str]:
    with pytest.raises(AwsError) as caught:
        codec(operation, service).parse(form)
    assert caught.value.status == 400
    return caught.value.code, caught.value.message


def test_nested_lists_of_structures() -> None:
    form = (
        b"Action=AuthorizeSecurityGroupIngress&Version=2016-11-15&GroupId=sg-1&IpPermissions.1.IpProtocol=tcp"
        b"&IpPermissions.1.FromPort=80&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0%2F0"
        b"&IpPermissions.1.IpRanges.1.Description=a+b%2Bc&IpPermissions.2.IpProtocol=-1"
    )
    assert codec("AuthorizeSecurityGroupIngress").parse(form) == {
        "GroupId": "sg-1",
        "IpPermissions": [
            {
                "IpProtocol": "tcp",
                "FromPort": 80,
                "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "a b+c"}],
            },
            {"IpProtocol": "-1"},
        ],
    }


def test_list_elements_come_in_the_order_of_their_numbers() -> None:
    form = b"VpcId.10=c&VpcId.2=b&VpcId.1=a"
    assert codec("DescribeVpcs").parse(form) == {"VpcIds": ["a", "b", "c"]}


def test_booleans_in_any_case() -> None:
    assert codec("DescribeVpcs").parse(b"DryRun=True") == {"DryRun": True}


@pytest.mark.parametrize(
    ("operation", "form", "code", "message"),
    [
        (
            "CreateSecurityGroup",
            b"GroupName=a",
            "MissingParameter",
            "The request must contain the parameter GroupDescription",
        ),
        ("DescribeVpcs", b"VpcIdd.1=x", "UnknownParameter", "The parameter VpcIdd is not recognized"),
        ("DescribeVpcs", b"DryRun=maybe", "InvalidParameterValue", "Invalid value 'maybe' for DryRun"),
        ("DescribeVpcs", b"MaxResults=x", "InvalidParameterValue", "Invalid value 'x' for MaxResults"),
        ("DescribeVpcs", b"MaxResults=" + b"9" * 5000, "InvalidParameterValue", None),
        ("DescribeVpcs", b"MaxResults=99999999999", "InvalidParameterValue", None),
        (
            "DescribeVpcs",
            b"MaxResults=4",
            "InvalidParameterValue",
            "Value ( 4 ) for parameter maxResults is invalid. Expecting a value greater than 5.",
        ),
        ("DescribeVpcs", b"VpcId=x", "InvalidParameterValue", "Invalid value 'x' for VpcId"),
        ("DescribeVpcs", b"VpcId.a=x", "InvalidParameterValue", None),
        ("DescribeVpcs", "VpcId.\u0661=x".encode(), "InvalidParameterValue", None),
        ("DescribeVpcs", b"VpcId.1.2=x", "InvalidParameterValue", None),
        ("DescribeVpcs", b"DryRun.1=x", "InvalidParameterValue", None),
        ("DescribeVpcs", b"Filter.1=x", "InvalidParameterValue", None),
        ("DescribeVpcs", b"VpcId.1=%ff", "MalformedQueryString", None),
        ("DescribeVpcs", b"VpcId=a&VpcId.1=b", "MalformedQueryString", None),
        ("DescribeVpcs", b"VpcId.1=b&VpcId=a", "MalformedQueryString", None),
        ("DescribeVpcs", b"a." * 50_000 + b"=x", "MalformedQueryString", None),
        ("DescribeVpcs", b"&".join(b"VpcId.%d=x" % n for n in range(5000)), "MalformedQueryString", None),
    ],
)
def test_ec2_refuses(operation: str, form: bytes, code: str, message: str | None) -> None:
    found = refused(operation, form)
    assert found[0] == code
    assert len(found[1]) < 1_000
    if message is not None:
        assert found[1] == message


def test_sts_collects_its_violations() -> None:
    assert refused("AssumeRole", b"Action=AssumeRole&DurationSeconds=5", "sts") == (
        "ValidationError",
        "3 validation errors detected: Value null at 'roleArn' failed to satisfy constraint: Member must not be null; "
        "Value null at 'roleSessionName' failed to satisfy constraint: Member must not be null; "
        "Value '5' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to "
        "900",
    )
    assert refused("AssumeRole", b"RoleArn=x&RoleSessionName=s&DurationSeconds=x", "sts")[0] == "MalformedInput"


def test_the_shape_of_both_answers() -> None:
    answer = {"Account": "1", "Arn": "a&b", "UserId": None}
    assert codec("GetCallerIdentity", "sts").serialise(answer, "rid").decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        "<Account>1</Account><Arn>a&amp;b</Arn></GetCallerIdentityResult><ResponseMetadata><RequestId>rid</RequestId>"
        "</ResponseMetadata></GetCallerIdentityResponse>"
    )
    vpcs = {"Vpcs": [{"VpcId": "v", "IsDefault": True, "Tags": []}]}
    assert codec("DescribeVpcs").serialise(vpcs, "rid").decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<DescribeVpcsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>rid</requestId><vpcSet>'
        "<item><isDefault>true</isDefault><tagSet/><vpcId>v</vpcId></item></vpcSet></DescribeVpcsResponse>"
    )


def test_no_text_makes_an_answer_that_is_not_xml() -> None:
    every = "".join(map(chr, [*range(0x300), 0xD7FF, 0xE000, 0xFFFD, 0xFFFE, 0xFFFF, 0x1F600])) + "]]>"
    assert ET.fromstring(f"<a>{escape(every)}</a>").text is not None
    ET.fromstring(query_error("n", "c", 400, every, "rid"))


def test_times_are_iso_with_milliseconds_in_ec2() -> None:
    answer = {"NetworkInterfaces": [{"Attachment": {"AttachTime": 1795300000.5}}]}
    body = codec("DescribeNetworkInterfaces").serialise(answer, "rid")
    assert b"<attachTime>2026-11-21T22:26:40.500Z</attachTime>" in body


def test_forms_decode_names_and_values() -> None:
    assert parse_form(b"a.b=1&a.c=%C3%BC&d&=x&&e=f=g") == {"a": {"b": "1", "c": "ü"}, "d": "", "": "x", "e": "f=g"}
