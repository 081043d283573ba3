"""Calls of the region's API from inside: in the name of a task's role, as a program in the task would make them, or of
an account's administrator, as its operator would.

Owns their credentials. The calls go the whole way of any other: signed, checked, throttled, judged by policies as they
are now, recorded. Must not know what is asked for. Invariant: without a role that ECS may assume for the task nothing
is called.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from ...interfaces.roles import RoleCredentials, TaskIdentity, TaskRoles
from ...model.errors import RoleNotAssumable
from ...model.knobs import Knobs
from ...wire.signing import signed
from ...wire.sigv4 import SignedRequest
from ...world import World
from ..callers.credentials import administrator
from ..callers.sessions import Sessions
from ..errors import Response
from ..session_claims import SessionClaims

USER_AGENT = b"neargate exec"
NO_ROLE = "the task has no task role"
_HOST = b"127.0.0.1"
_TARGETS = {"logs": "Logs_20140328", "kms": "TrentService"}
_RENEWED_AT = 0.5  # of their life
_SERVER_FAULTS = 500

Handle = Callable[[str, bytes, bytes, list[tuple[bytes, bytes]], bytes, str], Awaitable[Response]]
Issue = Callable[[], RoleCredentials]  # raises CallRefused


class CallRefused(Exception):
    """`is_passing`: asked again later it may succeed."""

    def __init__(self, code: str, message: str, *, is_passing: bool = False) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.is_passing = is_passing


class ApiCalls(Protocol):
    async def ask(self, service: str, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """The answer, blobs in base64. Raises CallRefused."""


class InsideCalls(Struct, frozen=True, kw_only=True):
    """Makes ApiCalls. `handle`: the front end, which takes requests as from a socket."""

    world: World
    knobs: Knobs
    region: str
    roles: TaskRoles
    sessions: Sessions
    handle: Handle

    def of_task(self, task: TaskIdentity, address: str) -> ApiCalls:
        """`address`: the task's own, which its calls come from."""

        def issue() -> RoleCredentials:
            if task.task_role_arn is None:
                raise CallRefused("AccessDeniedException", NO_ROLE)
            lifetime_s = self.knobs.exec_role_lifetime_s
            try:
                return self.roles.credentials(task.account, task.task_role_arn, task.task_arn, lifetime_s)
            except RoleNotAssumable as refused:
                raise CallRefused(refused.code, refused.message) from None

        return _Calls(self, issue, address)

    def of_administrator(self, account: str) -> ApiCalls:
        def issue() -> RoleCredentials:
            claims = SessionClaims(
                kind="administrator",
                account=account,
                issuer_name="",
                issuer_id=administrator(account, "").user_id,
            )
            sealed = self.sessions.seal(claims, self.knobs.exec_role_lifetime_s)
            return RoleCredentials(
                access_key_id=sealed.access_key_id,
                secret_access_key=sealed.secret_access_key,
                token=sealed.session_token,
                issued_at=self.world.now(),
                expires_at=sealed.expiration,
            )

        return _Calls(self, issue, "")


class _Calls:
    def __init__(self, means: InsideCalls, issue: Issue, address: str) -> None:
        self._means = means
        self._issue = issue
        self._address = address
        self._held: RoleCredentials | None = None

    async def ask(self, service: str, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        held = self._credentials()
        headers = [
            (b"host", _HOST),
            (b"user-agent", USER_AGENT),
            (b"content-type", b"application/x-amz-json-1.1"),
            (b"x-amz-target", f"{_TARGETS[service]}.{operation}".encode()),
        ]
        body = msgspec.json.encode(params)
        request = SignedRequest(method="POST", path=b"/", query=b"", headers=headers, body=body)
        under_signature = signed(
            request,
            key=held.access_key_id,
            secret=held.secret_access_key,
            token=held.token,
            region=self._means.region,
            service=service,
            now=self._means.world.now(),
        )
        response = await self._means.handle("POST", b"/", b"", under_signature, body, self._address)
        found: dict[str, Any] = msgspec.json.decode(response.body or b"{}")
        if response.status == 200:
            return found
        code = str(found.get("__type") or response.status).rpartition("#")[2]
        message = str(found.get("message") or found.get("Message") or "")
        is_passing = response.status >= _SERVER_FAULTS or code.startswith("Throttling")
        raise CallRefused(code, message, is_passing=is_passing)

    def _credentials(self) -> RoleCredentials:
        """Raises CallRefused."""
        now, held = self._means.world.now(), self._held
        if held is None or now >= held.issued_at + (held.expires_at - held.issued_at) * _RENEWED_AT:
            held = self._held = self._issue()
        return held
