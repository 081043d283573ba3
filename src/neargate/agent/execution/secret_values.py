"""The values of a task's `secrets`, looked up by its execution role when the task starts.

Owns which calls that takes and AWS's words when one fails. Must not know containers. Invariant: each parameter and each
version of a secret is asked for once, however many variables want it; values are returned and kept nowhere.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from ...definitions.secrets import ParameterSource, SecretSource, parse_value_from
from ...model.concealed import Concealed
from ...model.knobs import Knobs
from ...model.launch import ContainerLaunch, TaskLaunch
from ..task_context import LaunchFailed, Secrets
from . import texts
from .aws_api import AwsApi, CallFailed, Operation

PARAMETERS_MAX = 10  # AWS's, of one GetParameters
VALUE_MAX_CHARS = 128 * 1024  # the kernel's bound on one variable

GET_PARAMETERS = Operation(
    service="ssm",
    title="SSM",
    target="AmazonSSM",
    name="GetParameters",
    modelled=frozenset({"InternalServerError", "InvalidKeyId"}),
)
GET_SECRET_VALUE = Operation(
    service="secretsmanager",
    title="Secrets Manager",
    target="secretsmanager",
    name="GetSecretValue",
    modelled=frozenset(
        {
            "DecryptionFailure",
            "InternalServiceError",
            "InvalidParameterException",
            "InvalidRequestException",
            "ResourceNotFoundException",
        }
    ),
)
_EXPONENT_MIN, _EXPONENT_MAX = -4, 6  # Go's: beyond them a number is printed with an exponent
Source = ParameterSource | SecretSource


class _Parameter(Concealed, frozen=True, kw_only=True, rename="pascal"):
    name: str
    value: str
    arn: str = msgspec.field(default="", name="ARN")
    selector: str = ""


class _Parameters(Concealed, frozen=True, kw_only=True, rename="pascal"):
    parameters: tuple[_Parameter, ...] = ()


class SecretValue(Concealed, frozen=True, kw_only=True, rename="pascal"):
    """`secret_binary`: in base64, as it travels."""

    secret_string: str | None = None
    secret_binary: str | None = None

    @property
    def text(self) -> str:
        return (self.secret_string if self.secret_string is not None else self.secret_binary) or ""


class SecretValues:
    def __init__(self, knobs: Knobs, api: AwsApi) -> None:
        self._knobs = knobs
        self._api = api

    async def environment(self, task: TaskLaunch) -> Secrets:
        """The task's interface is up. Raises LaunchFailed in AWS's words."""
        sources = {secret.value_from: _source(secret.value_from) for secret in _secrets(task.containers)}
        found = await self._look_up(task, sources)
        return Secrets(
            by_container={
                container.name: tuple((secret.name, found[secret.value_from]) for secret in container.secrets)
                for container in task.containers
                if container.secrets
            }
        )

    async def log_options(self, task: TaskLaunch, container: ContainerLaunch) -> dict[str, str]:
        """All options of the container's log driver. As `environment`; without secretOptions nothing is asked for."""
        given = container.splunk
        if given is None:
            return {}
        found = await self._look_up(task, {item.value_from: _source(item.value_from) for item in given.secret_options})
        return {**dict(given.options), **{item.name: found[item.value_from] for item in given.secret_options}}

    async def secret(self, task: TaskLaunch, source: SecretSource) -> SecretValue:
        """Raises LaunchFailed."""
        parameters = {"SecretId": source.arn}
        if source.version_stage:
            parameters["VersionStage"] = source.version_stage
        if source.version_id:
            parameters["VersionId"] = source.version_id
        try:
            return await self._api.call(
                task, GET_SECRET_VALUE, parameters, SecretValue, self._knobs.execution_secret_attempts
            )
        except CallFailed as failure:
            before = f"failed to fetch secret {source.arn} from secrets manager: "
            raise texts.call_failed(texts.SECRET, failure, before) from None

    async def _look_up(self, task: TaskLaunch, sources: Mapping[str, Source]) -> dict[str, str]:
        """By what was registered. A few calls are under way together."""
        names = [source.name for source in sources.values() if isinstance(source, ParameterSource)]
        versions = dict.fromkeys(_version(source) for source in sources.values() if isinstance(source, SecretSource))
        batches = [names[at : at + PARAMETERS_MAX] for at in range(0, len(names), PARAMETERS_MAX)]
        calls = [
            *(partial(self._parameters, task, batch) for batch in batches),
            *(partial(self._version_of, task, version) for version in versions),
        ]
        places = asyncio.Semaphore(self._knobs.execution_calls_at_once)
        known: dict[Source, str] = {}
        for outcome in await asyncio.gather(*(_as_value(call, places) for call in calls)):
            if isinstance(outcome, LaunchFailed):
                raise outcome
            known.update(outcome)
        return {value_from: _value(source, known) for value_from, source in sources.items()}

    async def _parameters(self, task: TaskLaunch, names: Sequence[str]) -> dict[Source, str]:
        parameters = {"Names": names, "WithDecryption": True}
        try:
            answer = await self._api.call(
                task, GET_PARAMETERS, parameters, _Parameters, self._knobs.execution_secret_attempts
            )
        except CallFailed as failure:
            raise texts.call_failed(texts.PARAMETERS, failure) from None
        values = {f"{item.name}{item.selector}": item.value for item in answer.parameters}
        values |= {f"{item.arn}{item.selector}": item.value for item in answer.parameters}
        missing = [name for name in names if name not in values]
        if missing:
            text = f"invalid ssm parameters: {', '.join(missing)}"
            raise texts.retrieval_failed(texts.PARAMETERS, text)
        return {ParameterSource(name=name): values[name] for name in names}

    async def _version_of(self, task: TaskLaunch, version: SecretSource) -> dict[Source, str]:
        return {version: (await self.secret(task, version)).text}


async def _as_value(
    call: Callable[[], Awaitable[dict[Source, str]]], places: asyncio.Semaphore
) -> dict[Source, str] | LaunchFailed:
    """The error as a value: the others end by themselves, and the first one named is told."""
    try:
        async with places:
            return await call()
    except LaunchFailed as failed:
        return failed


def _secrets(containers: Sequence[ContainerLaunch]) -> list[Any]:
    return [secret for container in containers for secret in container.secrets]


def _source(value_from: str) -> Source:
    source = parse_value_from(value_from)
    if source is None:
        raise texts.retrieval_failed(
            texts.SECRET,
            f"trying to retrieve secret with value {value_from} resulted in error: an invalid ARN format for the AWS "
            "Secrets Manager secret was specified. Specify a valid ARN and try again.",
        )
    return source


def _version(source: SecretSource) -> SecretSource:
    """What is asked for, whichever of its keys is wanted."""
    return msgspec.structs.replace(source, json_key="")


def _value(source: Source, known: Mapping[Source, str]) -> str:
    if isinstance(source, ParameterSource):
        text, what = known[source], texts.PARAMETERS
    else:
        text, what = known[_version(source)], texts.SECRET
        if source.json_key:
            text = of_json(text, source.json_key)
    if "\0" in text or len(text) > VALUE_MAX_CHARS:
        raise texts.retrieval_failed(what, "the value cannot be a process's environment variable")
    return text


def of_json(text: str, key: str) -> str:
    """One key of a secret's JSON, as the agent of AWS prints it. Raises LaunchFailed."""
    try:
        members = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.ValidationError:
        raise texts.retrieval_failed(
            texts.SECRET, "json: cannot unmarshal into Go value of type map[string]interface {}"
        ) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise texts.retrieval_failed(texts.SECRET, _not_json(text)) from None
    if key not in members:
        raise texts.retrieval_failed(
            texts.SECRET, f"retrieved secret from Secrets Manager did not contain json key {key}"
        )
    try:
        return printed(members[key])
    except RecursionError:
        raise texts.retrieval_failed(texts.SECRET, f"json key {key} is nested too deeply") from None


def _not_json(text: str) -> str:
    """Go's sentence without the character of the secret that it would show."""
    return "invalid character looking for beginning of value" if text.strip() else "unexpected end of JSON input"


def printed(value: Any) -> str:
    """As Go's `%v` prints what it read from JSON."""
    match value:
        case str():
            return value
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _number(float(value))
        case list():
            return f"[{' '.join(printed(item) for item in value)}]"
        case _:
            return f"map[{' '.join(f'{key}:{printed(item)}' for key, item in sorted(value.items()))}]"


def _number(value: float) -> str:
    """The shortest digits that say it; with an exponent from a million on, and below 0.0001."""
    if not math.isfinite(value):
        return "+Inf" if value > 0 else "-Inf"
    sign, digits, shift = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(shift, int), "the number is finite"
    exponent = len(digits) - 1 + shift
    if value == 0 or _EXPONENT_MIN <= exponent < _EXPONENT_MAX:
        return format(Decimal(repr(value)).normalize(), "f")
    first, rest = digits[0], "".join(map(str, digits[1:]))
    return f"{'-' if sign else ''}{first}{'.' if rest else ''}{rest}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
