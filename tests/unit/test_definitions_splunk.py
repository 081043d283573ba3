"""Options of the splunk log driver: what is registered, what is refused in which words, and what a launch carries."""

from typing import Any

import pytest

from neargate.definitions.requires import required_attributes
from neargate.definitions.splunk import Address, BadOption, check_splunk, parse_splunk, splunk_of
from neargate.model.errors import ClientError
from neargate.model.launch import InjectedSecret, SplunkLogs

ROLE = {"executionRoleArn": "arn:aws:iam::123456789012:role/run"}
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:hec-AbCdEf"
TOKEN = {"name": "splunk-token", "valueFrom": SECRET}
URL = {"splunk-url": "https://10.0.0.9:8088"}
WHOLE = {**URL, "splunk-token": "t"}


def refusal(options: dict[str, str], *secret: dict[str, str], task: dict[str, str] = ROLE) -> str | None:
    try:
        check_splunk("web", {"logDriver": "splunk", "options": options, "secretOptions": list(secret)}, task)
    except ClientError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"splunk-source": "s", "splunk-sourcetype": "st", "splunk-index": "main", "splunk-caname": "SplunkServer"},
        {"splunk-insecureskipverify": "true", "splunk-verify-connection": "F", "splunk-gzip": "1"},
        {"splunk-gzip-level": "-1", "splunk-format": "raw", "tag": "", "labels": "a,b", "env": "A", "env-regex": "^A"},
        {"tag": "{{.Name}}/{{ .FullID }}", "mode": "blocking"},
        {"mode": "non-blocking", "max-buffer-size": "25m"},
    ],
    ids=str,
)
def test_what_is_registered(options: dict[str, str]) -> None:
    assert refusal({**URL, **options}, TOKEN) is None
    assert refusal({**WHOLE, **options}, task={}) is None


INVALID = "The value '{}' of log option '{}' is not valid (container 'web')."


@pytest.mark.parametrize(
    ("options", "secret", "words"),
    [
        ({}, [], "Log driver splunk requires options: splunk-token, splunk-url"),
        ({"splunk-url": ""}, [TOKEN], "Log driver splunk requires options: splunk-url"),
        (URL, [], "Log driver splunk requires options: splunk-token"),
        (WHOLE | {"splunk-capath": "/etc/ca.pem"}, [], "Log driver splunk disallows options: splunk-capath"),
        (WHOLE | {"awslogs-group": "/g"}, [], "Log driver splunk disallows options: awslogs-group"),
        (URL, [TOKEN, {"name": "a", "valueFrom": "b"}], "Log driver splunk disallows options: a"),
        (URL, [TOKEN, {"name": "mode", "valueFrom": "b"}], "Log driver splunk disallows options: mode"),
        (WHOLE, [TOKEN], "Log driver splunk has more than one value for options: splunk-token"),
        (URL, [TOKEN, TOKEN], "Log driver splunk has more than one value for options: splunk-token"),
        (WHOLE | {"mode": "fast"}, [], INVALID.format("fast", "mode")),
        (WHOLE | {"max-buffer-size": "0"}, [], INVALID.format("0", "max-buffer-size")),
        (WHOLE | {"splunk-format": "xml"}, [], INVALID.format("xml", "splunk-format")),
        (WHOLE | {"splunk-gzip": "yes"}, [], INVALID.format("yes", "splunk-gzip")),
        (WHOLE | {"splunk-gzip-level": "10"}, [], INVALID.format("10", "splunk-gzip-level")),
        (WHOLE | {"splunk-gzip-level": "x"}, [], INVALID.format("x", "splunk-gzip-level")),
        (WHOLE | {"tag": "{{.ImageID}}"}, [], INVALID.format("{{.ImageID}}", "tag")),
        (WHOLE | {"tag": "{{if}}"}, [], INVALID.format("{{if}}", "tag")),
        (WHOLE | {"env-regex": "("}, [], INVALID.format("(", "env-regex")),
        (WHOLE | {"splunk-index": "a\nb"}, [], INVALID.format("a\nb", "splunk-index")),
        (WHOLE | {"splunk-caname": "a b"}, [], INVALID.format("a b", "splunk-caname")),
        (
            URL | {"splunk-token": "se cret"},
            [],
            "The value of log option 'splunk-token' is not valid (container 'web').",
        ),
        *[
            (WHOLE | {"splunk-url": url}, [], INVALID.format(url, "splunk-url"))
            for url in (
                *("10.0.0.9:8088", "ftp://a:1", "https://a:1/path", "https://a?x=1", "https://a#f", "https://u:p@a"),
                *("https://", "https://a:0", "https://a:x", "https://a:99999", "https://a b", "https://a/?", "//a:1"),
                *("https://a\n:1", "https://[::1]:8088"),
            )
        ],
        (
            URL,
            [TOKEN | {"valueFrom": "not a name!"}],
            "The Systems Manager parameter name specified for secret splunk-token is invalid. The parameter name can "
            "be up to 2048 characters and include the following letters and symbols: a-zA-Z0-9_.-,",
        ),
    ],
)
def test_what_is_refused(options: dict[str, str], secret: list[dict[str, str]], words: str) -> None:
    assert refusal(options, *secret) == words


def test_secret_options_need_an_execution_role() -> None:
    assert refusal(URL, TOKEN, task={}) == (
        "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."
    )


def test_a_launch_carries_names_and_references() -> None:
    configuration = {"logDriver": "splunk", "options": {**URL, "mode": "blocking"}, "secretOptions": [TOKEN]}
    assert splunk_of({"logConfiguration": configuration}) == SplunkLogs(
        options=tuple(URL.items()),
        secret_options=(InjectedSecret(name="splunk-token", value_from=SECRET),),
        blocking=True,
    )
    shown = splunk_of({"logConfiguration": {"logDriver": "splunk", "options": WHOLE | {"max-buffer-size": "1k"}}})
    assert shown is not None and (shown.blocking, shown.max_buffer_bytes) == (False, 1024)
    assert repr(shown) == "SplunkLogs(...)"
    by_account = splunk_of({"logConfiguration": {"logDriver": "splunk", "options": WHOLE}}, "blocking")
    assert by_account is not None and by_account.blocking
    for other in ({}, {"logConfiguration": {"logDriver": "awslogs", "options": {}}}):
        assert splunk_of(other) is None


def test_defaults_are_dockers() -> None:
    found = parse_splunk(WHOLE)
    assert found.address == Address(scheme="https", host="10.0.0.9", port=8088)
    shown = (found.verifies_connection, found.checks_certificate, found.format, found.gzip_level, found.tag)
    assert shown == (True, True, "inline", None, "{{.ID}}")
    assert parse_splunk(WHOLE | {"splunk-gzip": "true"}).gzip_level == -1
    assert parse_splunk(WHOLE | {"splunk-gzip-level": "9"}).gzip_level is None
    assert parse_splunk(WHOLE | {"splunk-url": "http://a/"}).address == Address(scheme="http", host="a", port=80)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (URL, "splunk: splunk-token is expected"),
        ({"splunk-token": "t"}, "splunk: splunk-url is expected"),
        (WHOLE | {"mode": "x"}, "unknown log opt 'mode' for splunk log driver"),
        (WHOLE | {"splunk-url": "x"}, "splunk: expected format scheme://dns_name_or_ip:port for splunk-url"),
        (WHOLE | {"splunk-gzip": "x"}, 'strconv.ParseBool: parsing "x": invalid syntax'),
        (WHOLE | {"splunk-gzip-level": "x"}, 'strconv.ParseInt: parsing "x": invalid syntax'),
        (
            WHOLE | {"splunk-gzip-level": "10"},
            "not supported level '10' for splunk-gzip-level (supported values between -1 and 9)",
        ),
        (WHOLE | {"splunk-format": "x"}, "Unknown format specified x, supported formats are inline, json and raw"),
        (WHOLE | {"env-regex": "a" * 5000}, "error parsing regexp: expression too large"),
    ],
)
def test_dockers_words_at_the_start(options: dict[str, str], words: str) -> None:
    with pytest.raises(BadOption) as refused:
        parse_splunk(options)
    assert str(refused.value) == words


@pytest.mark.parametrize("name", ["splunk-url", "splunk-format", "splunk-gzip", "splunk-caname", "tag", "env-regex"])
def test_the_value_of_a_secret_is_shown_in_no_error(name: str) -> None:
    with pytest.raises(BadOption) as refused:
        parse_splunk(WHOLE | {name: "very (secret {{"}, {name})
    assert "secret" not in str(refused.value)


def test_required_attributes() -> None:
    def of(value_from: str) -> list[Any]:
        configuration = {"logDriver": "splunk", "secretOptions": [TOKEN | {"valueFrom": value_from}]}
        shown = {"containerDefinitions": [{"name": "web", "image": "a", "logConfiguration": configuration}]}
        return [name for name in required_attributes(shown) if "secrets" in name]

    assert of(SECRET) == ["ecs.capability.secrets.asm.bootstrap.log-driver"]
    assert of("token") == ["ecs.capability.secrets.ssm.bootstrap.log-driver"]
