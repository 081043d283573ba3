"""AWS JSON parsing: what is refused, in which words; what is let through, in which form."""

import random
from typing import Any

import msgspec
import pytest

from neargate.model.errors import AwsError
from neargate.testing.examples import minimal, whole
from neargate.wire.jsonrpc import JsonCodec
from neargate.wire.shapes import Document, Models, ServiceModel, Shape

MODELS = Models()


def codec(operation: str, service: str = "ecs") -> JsonCodec:
    model = MODELS.service(service)
    described = model.operation(operation)
    assert described is not None
    return JsonCodec(model, described)


def refused(operation: str, body: bytes, service: str = "ecs") -> tuple[str, str]:
    with pytest.raises(AwsError) as caught:
        codec(operation, service).parse(body)
    assert caught.value.status == 400
    return caught.value.code, caught.value.message


def test_a_valid_request_becomes_plain_params() -> None:
    body = b'{"taskDefinition":"web:1","count":2,"tags":[{"key":"a","value":"b"}],"whatever":{"x":[1]}}'
    params = codec("RunTask").parse(body)
    assert params == {"taskDefinition": "web:1", "count": 2, "tags": [{"key": "a", "value": "b"}]}
    assert type(params) is dict


def test_nulls_are_absent_members_at_any_depth() -> None:
    body = (
        b'{"taskDefinition":"w","count":null,"overrides":{"cpu":null,"containerOverrides":[{"name":"a","cpu":null}]}}'
    )
    assert codec("RunTask").parse(body) == {
        "taskDefinition": "w",
        "overrides": {"containerOverrides": [{"name": "a"}]},
    }


@pytest.mark.parametrize("body", [b"", b"{}", b"  {} "])
def test_an_empty_body_is_no_members(body: bytes) -> None:
    assert codec("ListClusters").parse(body) == {}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"taskDefinition":5}', "NUMBER_VALUE cannot be converted to String"),
        (b'{"taskDefinition":true}', "TRUE_VALUE cannot be converted to String"),
        (b'{"taskDefinition":{}}', "Start of structure or map found where not expected."),
        (b'{"taskDefinition":[]}', "Start of list found where not expected"),
        (b'{"taskDefinition":"w","count":"2"}', "STRING_VALUE cannot be converted to Integer"),
        (b'{"taskDefinition":"w","count":2.5}', "NUMBER_VALUE cannot be converted to Integer"),
        (b'{"taskDefinition":"w","count":2147483648}', "NUMBER_VALUE cannot be converted to Integer"),
        (b'{"taskDefinition":"w","count":1e30}', "NUMBER_VALUE cannot be converted to Integer"),
        (b'{"taskDefinition":"w","tags":{}}', "Expected list or null"),
        (b'{"taskDefinition":"w","tags":"x"}', "Expected list or null"),
        (b'{"taskDefinition":"w","overrides":[]}', "Unexpected value type in payload"),
        (b'{"taskDefinition":"w","enableECSManagedTags":"yes"}', "STRING_VALUE cannot be converted to Boolean"),
        (b"[]", "Unexpected value type in payload"),
        (b"null", "Unexpected value type in payload"),
        (b"3", "Unexpected value type in payload"),
        (b"{", "The request body is not valid JSON"),
        (b'{"taskDefinition":"w"', "The request body is not valid JSON"),
        (b'{"taskDefinition":"w"}}', "The request body is not valid JSON"),
        (b'{"taskDefinition":"\xff"}', "The request body is not valid JSON"),
        (b"\x00", "The request body is not valid JSON"),
        (b'{"taskDefinition":"\\ud800"}', "The request body is not valid JSON"),
        (b'{"taskDefinition":"w","count":1e999}', "The request body is not valid JSON"),
        (b'{"taskDefinition":"w","count":NaN}', "The request body is not valid JSON"),
        (b'{"x":' * 100_000, "The request body is nested too deeply"),
        (b"[" * 1_000_000, "The request body is nested too deeply"),
    ],
)
def test_what_is_not_the_shape(body: bytes, message: str) -> None:
    assert refused("RunTask", body) == ("SerializationException", message)


def test_all_violations_in_one_sentence() -> None:
    body = b"""{"launchType":"VM","networkConfiguration":{"awsvpcConfiguration":{"assignPublicIp":"MAYBE"}},
        "overrides":{"containerOverrides":[{"environmentFiles":[{"value":"x"}]}]}}"""
    assert refused("RunTask", body) == (
        "InvalidParameterException",
        "5 validation errors detected: "
        "Value 'VM' at 'launchType' failed to satisfy constraint: Member must satisfy enum value set: "
        "[EC2, FARGATE, EXTERNAL, MANAGED_INSTANCES]; "
        "Value null at 'networkConfiguration.awsvpcConfiguration.subnets' failed to satisfy constraint: "
        "Member must not be null; "
        "Value 'MAYBE' at 'networkConfiguration.awsvpcConfiguration.assignPublicIp' failed to satisfy constraint: "
        "Member must satisfy enum value set: [ENABLED, DISABLED]; "
        "Value null at 'overrides.containerOverrides.1.member.environmentFiles.1.member.type' failed to satisfy "
        "constraint: Member must not be null; "
        "Value null at 'taskDefinition' failed to satisfy constraint: Member must not be null",
    )


def test_ecs_has_its_own_words_for_a_missing_task_definition() -> None:
    assert refused("RunTask", b"{}") == ("InvalidParameterException", "TaskDefinition can not be blank.")


def test_lists_of_enums_name_the_elements_constraint_once() -> None:
    code, message = refused("DescribeTasks", b'{"tasks":["a"],"include":["X","TAGS","Y"]}')
    assert code == "InvalidParameterException"
    assert message == (
        "1 validation error detected: Value '[X, TAGS, Y]' at 'include' failed to satisfy constraint: "
        "Member must satisfy constraint: [Member must satisfy enum value set: [TAGS]]"
    )


def test_lengths_values_and_patterns() -> None:
    assert refused("CreateLogGroup", b'{"logGroupName":""}', "logs")[1] == (
        "2 validation errors detected: Value '' at 'logGroupName' failed to satisfy constraint: Member must have "
        "length greater than or equal to 1; Value '' at 'logGroupName' failed to satisfy constraint: Member must "
        "satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"
    )
    long = b"a" * 513
    assert refused("CreateLogGroup", b'{"logGroupName":"%s"}' % long, "logs")[1].endswith(
        "failed to satisfy constraint: Member must have length less than or equal to 512"
    )
    assert refused("DescribeLogGroups", b'{"limit":51}', "logs")[1] == (
        "1 validation error detected: Value '51' at 'limit' failed to satisfy constraint: "
        "Member must have value less than or equal to 50"
    )
    assert refused("CreateLogGroup", b'{"logGroupName":"a\\n"}', "logs")[0] == "InvalidParameterException"


def test_a_message_is_bounded_whatever_the_value() -> None:
    huge = b'{"taskDefinition":"w","launchType":"%s"}' % (b"x" * 65_536)
    assert len(refused("RunTask", huge)[1]) < 2_000
    many = b'{"tasks":["a"],"include":[' + b",".join([b'"X"'] * 10_000) + b"]}"
    assert len(refused("DescribeTasks", many)[1]) < 2_000


def test_the_walk_is_bounded() -> None:
    """A refused body is walked in the event loop: a million wrong values must not hold it up."""
    values = b'{"taskDefinition":"w","tags":[%s]}' % b",".join([b'{"key":null}'] * 40_000)
    assert refused("RunTask", values) == ("SerializationException", "The request has too many values")
    wrong = b'{"taskDefinition":"w","overrides":{"containerOverrides":[{"environmentFiles":[%s]}]}}'
    message = refused("RunTask", wrong % b",".join([b"{}"] * 1_000))[1]
    assert message.startswith("100 validation errors detected: ")


def test_unicode_tags_pass_where_aws_lets_them_pass() -> None:
    body = '{"logGroupName":"a","tags":{"größe":"数 5"}}'.encode()
    assert codec("CreateLogGroup", "logs").parse(body)["tags"] == {"größe": "数 5"}
    assert (
        refused("CreateLogGroup", b'{"logGroupName":"a","tags":{"a;b":"x"}}', "logs")[0] == "InvalidParameterException"
    )


@pytest.mark.parametrize("service", ["ecs", "logs"])
def test_the_fast_path_lets_nothing_through_that_the_walk_refuses(service: str) -> None:
    """Both decoders agree on every operation: on whole requests, and on each member replaced by a wrong value."""
    model = MODELS.service(service)
    wrong: list[Any] = [None, True, 5, 2**40, -1, 1.5, "", "no", "x" * 70_000, [], ["a"], [None], {}, {"a": 1}]
    for name in sorted(model.operation_names):
        described = model.operation(name)
        assert described is not None and described.input is not None
        shape: Shape = model.shape(described.input)
        fast = JsonCodec(model, described)
        slow = JsonCodec(model, described)
        slow._decoder = None
        base = whole(model, shape, random.Random(name))
        for member in shape.members:
            for value in wrong:
                body = msgspec.json.encode({**base, member: value})
                assert outcome(fast, body) == outcome(slow, body), (name, member, str(value)[:20])


def outcome(judge: JsonCodec, body: bytes) -> Any:
    try:
        return judge.parse(body)
    except AwsError as error:
        return error.code, error.message


@pytest.mark.parametrize("service", ["ecs", "logs"])
def test_each_required_member_is_required(service: str) -> None:
    model = MODELS.service(service)
    for name in sorted(model.operation_names):
        described = model.operation(name)
        assert described is not None and described.input is not None
        shape = model.shape(described.input)
        base = minimal(model, shape)
        JsonCodec(model, described).parse(msgspec.json.encode(base))
        for member in shape.required:
            body = msgspec.json.encode({key: value for key, value in base.items() if key != member})
            assert refused(name, body, service)[0] == "InvalidParameterException"


def test_answers_leave_nulls_out_and_keep_text_that_looks_like_one() -> None:
    answer = {"clusterArns": ['a":null'], "nextToken": None}
    assert codec("ListClusters").serialise(answer) == b'{"clusterArns":["a\\":null"]}'


def test_an_operation_without_output_has_an_empty_body() -> None:
    assert codec("CreateLogGroup", "logs").serialise({}) == b""


def test_timestamps_stay_epoch_seconds() -> None:
    answer = {"tasks": [{"createdAt": 1795300000.123}]}
    assert codec("DescribeTasks").serialise(answer) == b'{"tasks":[{"createdAt":1795300000.123}]}'


def service_of_unions(renamed: str) -> JsonCodec:
    """`Either` in a list in a map. With a renamed member the typed decoder does not do, and the walker reads alone."""
    either = {"type": "structure", "union": True, "members": {"a": {"shape": "Text"}, "b": {"shape": "Text"}}}
    document = {
        "metadata": {"protocol": "json", "apiVersion": "1"},
        "operations": {"Put": {"input": "In", "errors": []}},
        "shapes": {
            "In": {
                "type": "structure",
                "members": {"m": {"shape": "Map"}, "n": {"shape": "Text", "locationName": renamed}},
            },
            "Map": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "List"}},
            "List": {"type": "list", "member": {"shape": "Either"}},
            "Either": either,
            "Text": {"type": "string"},
        },
    }
    model = ServiceModel("unions", msgspec.json.decode(msgspec.json.encode(document), type=Document))
    described = model.operation("Put")
    assert described is not None
    return JsonCodec(model, described)


@pytest.mark.parametrize("renamed", ["n", "Renamed"])
def test_of_a_union_one_member_is_set(renamed: str) -> None:
    judge = service_of_unions(renamed)
    body = b'{"m":{"k":[{"a":"x"},{"b":"y","unknown":1},{"a":null,"b":"z"}]},"%s":"t"}' % renamed.encode()
    assert judge.parse(body) == {"m": {"k": [{"a": "x"}, {"b": "y"}, {"b": "z"}]}, "n": "t"}
    with pytest.raises(AwsError) as caught:
        judge.parse(b'{"m":{"k":[{"a":"x"},{"a":"x","b":"y"}]}}')
    assert caught.value.code == "SerializationException"
