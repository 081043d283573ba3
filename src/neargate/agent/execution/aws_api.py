"""Calls of AWS's JSON 1.1 protocol in the name of a task's execution role, from inside the task's network.

Owns signing, retries and what a refusal is called. Must not know what the answers mean. Invariant: nothing of a
request or an answer is logged; a failure's text holds the service's own sentence and no more.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from ...model.knobs import Knobs
from ...model.launch import TaskLaunch
from ...wire.signing import signed
from ...wire.sigv4 import SignedRequest
from ...world import World
from .exchange import Exchange, Reply, Unreachable
from .roles import ExecutionRoles, Held

T = TypeVar("T")
_MESSAGE_MAX_CHARS = 2048
_SERVER_FAULTS = 500
_NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Operation(Struct, frozen=True, kw_only=True):
    """`title`: the service as SDKs name it in errors. `modelled`: the errors that its model has for this operation."""

    service: str
    title: str
    target: str
    name: str
    modelled: frozenset[str] = frozenset()


class CallFailed(Exception):
    """`attempts` were made. `unreachable`: none of them was answered by the service."""

    def __init__(self, text: str, *, attempts: int, unreachable: bool) -> None:
        super().__init__(text)
        self.text = text
        self.attempts = attempts
        self.unreachable = unreachable


class _Failure(Struct, frozen=True, kw_only=True):
    text: str
    is_retryable: bool
    unreachable: bool = False


class AwsApi:
    """One for all tasks of a host."""

    def __init__(self, world: World, knobs: Knobs, roles: ExecutionRoles, exchange: Exchange) -> None:
        self._world = world
        self._knobs = knobs
        self._roles = roles
        self._exchange = exchange

    async def call(
        self, task: TaskLaunch, operation: Operation, parameters: Mapping[str, Any], answer: type[T], attempts_max: int
    ) -> T:
        """The task's interface is up. Raises CallFailed, LaunchFailed (the role cannot be assumed)."""
        body = msgspec.json.encode(parameters)
        attempts = 0
        while True:
            held = await self._roles.ready(task.task_id)
            attempts += 1
            outcome = await self._once(task, operation, body, answer, held)
            if not isinstance(outcome, _Failure):
                return outcome
            if not outcome.is_retryable or attempts >= attempts_max:
                raise CallFailed(
                    _sentence(operation, outcome.text, attempts), attempts=attempts, unreachable=outcome.unreachable
                )
            # Full jitter: tasks that failed together must not come back together.
            pause_s = self._knobs.execution_retry_base_s * 2 ** (attempts - 1)
            await self._world.sleep(pause_s * (0.5 + self._world.random.random()))

    async def _once(
        self, task: TaskLaunch, operation: Operation, body: bytes, answer: type[T], held: Held
    ) -> T | _Failure:
        headers = [
            (b"host", self._exchange.host.encode()),
            (b"content-type", b"application/x-amz-json-1.1"),
            (b"x-amz-target", f"{operation.target}.{operation.name}".encode()),
        ]
        request = SignedRequest(method="POST", path=b"/", query=b"", headers=headers, body=body)
        under_signature = signed(
            request,
            key=held.issued.access_key_id,
            secret=held.issued.secret_access_key,
            token=held.issued.token,
            region=task.region,
            service=operation.service,
            now=held.server_time(self._world.monotonic()),
        )
        try:
            reply = await self._exchange.post(task.task_id, under_signature, body)
        except Unreachable as error:
            text = f"https response error StatusCode: 0, RequestID: , {error}"
            return _Failure(text=text, is_retryable=True, unreachable=True)
        return _understood(operation, reply, answer)


def _understood(operation: Operation, reply: Reply, answer: type[T]) -> T | _Failure:
    head = f"https response error StatusCode: {reply.status}, RequestID: {_plain(reply.request_id)}, "
    if reply.status == 200:
        try:
            return msgspec.json.decode(reply.body, type=answer)
        except _NO_JSON:
            return _Failure(text=f"{head}deserialization failed, failed to decode response body", is_retryable=False)
    code, message = _error(reply.body)
    api = "" if code in operation.modelled else "api error "
    is_retryable = reply.status >= _SERVER_FAULTS or code.startswith("Throttling") or code == "TooManyRequestsException"
    return _Failure(text=f"{head}{api}{code}: {message}", is_retryable=is_retryable)


def _error(body: bytes) -> tuple[str, str]:
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
    except _NO_JSON:
        found = {}
    code = str(found.get("__type") or "UnknownError").rpartition("#")[2]
    return _plain(code), _plain(str(found.get("message") or found.get("Message") or ""))


def _sentence(operation: Operation, text: str, attempts: int) -> str:
    tried = f"exceeded maximum number of attempts, {attempts}, " if attempts > 1 else ""
    return f"operation error {operation.title}: {operation.name}, {tried}{text}"


def _plain(text: str) -> str:
    """It becomes a task's reason and a line of a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text[:_MESSAGE_MAX_CHARS])
