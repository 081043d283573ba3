"""Sessions that were granted and whose clients have not come, and how many there are of each container.

Owns their tokens: sealed for one session of one container, good once and for a minute. Must not know who asked or how a
client speaks. Sessions live in this process and end with it. Invariant: a token opens the session that it was made for,
once, within its time, and no other.
"""

import base64
import binascii
import hashlib
import hmac

import msgspec
from msgspec import Struct

from ...interfaces.roles import ExecutedTask, RemoteTerminal, TerminalRequest, Terminals
from ...model.concealed import Concealed
from ...model.errors import ClientError
from ...model.knobs import Knobs
from ...world import World
from ..envelope import Envelope, SealBroken
from .rules import SessionRules

PATH_PREFIX = "/v1/data-channel/"  # where a session's client comes, by the session's id
_CONTEXT = b"execute-command session\0"
_TOKEN_MAX = 4096
_TOO_MANY = "Unable to start new execute sessions because the maximum session limit of {} has been reached."


class Granted(Concealed, frozen=True, kw_only=True):
    """What a client needs. `token` is a secret."""

    session_id: str
    token: str


class ExecPlace(Struct, frozen=True, kw_only=True):
    """A container of an account's task. `address`: the task's. `target`: what clients call it."""

    account: str
    task_id: str
    container: str
    address: str = ""
    target: str = ""


class ExecSession(Concealed, frozen=True, kw_only=True):
    """`args`: a secret may be among them. `tells_exit_code`: its client is one of ours and asks for it."""

    id: str
    place: ExecPlace
    args: tuple[str, ...]
    rules: SessionRules = SessionRules()
    tells_exit_code: bool

    @property
    def task_id(self) -> str:
        return self.place.task_id

    @property
    def container(self) -> str:
        return self.place.container


class _Sealed(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    session_id: str
    task_id: str
    container: str
    expires_at: float


class _Waiting(Concealed, frozen=True, kw_only=True):
    session: ExecSession
    token_digest: bytes
    expires_at: float  # monotonic


class ExecSessions:
    """Of one region. `terminals`: where containers' terminals come from."""

    def __init__(self, world: World, envelope: Envelope, knobs: Knobs, terminals: Terminals, *, region: str) -> None:
        self._world = world
        self._envelope = envelope
        self._knobs = knobs
        self._terminals = terminals
        self._context = _CONTEXT + region.encode() + b"\0"
        self._waiting: dict[str, _Waiting] = {}
        self._open: dict[str, ExecSession] = {}

    async def is_reachable(self, task_id: str) -> bool:
        """Whether the task's host is connected."""
        return await self._terminals.is_reachable(task_id)

    def grant(
        self, place: ExecPlace, args: tuple[str, ...], rules: SessionRules, *, tells_exit_code: bool = False
    ) -> Granted:
        """Whoever asks has leave, and the container runs. Raises ClientError when there are too many."""
        self._forget_late()
        self._check_room(place)
        session_id = f"ecs-execute-command-0{self._world.random.getrandbits(64):016x}"
        session = ExecSession(id=session_id, place=place, args=args, rules=rules, tells_exit_code=tells_exit_code)
        expires_at = self._world.now() + self._knobs.exec_token_s
        sealed = _Sealed(session_id=session_id, task_id=place.task_id, container=place.container, expires_at=expires_at)
        plain = msgspec.json.encode(sealed)
        token = base64.urlsafe_b64encode(self._envelope.seal(plain, context=self._context)).decode()
        self._waiting[session_id] = _Waiting(
            session=session,
            token_digest=hashlib.sha256(token.encode()).digest(),
            expires_at=self._world.monotonic() + self._knobs.exec_token_s,
        )
        return Granted(session_id=session_id, token=token)

    def is_waited_for(self, session_id: str) -> bool:
        """Whether a client may still come for it. Not a secret: it opens nothing."""
        self._forget_late()
        return session_id in self._waiting

    def claim(self, session_id: str, token: str) -> ExecSession | None:
        """The session, now open until `ended`; None for a token that is not its, was used, or came too late."""
        self._forget_late()
        waiting = self._waiting.get(session_id)
        if waiting is None or len(token) > _TOKEN_MAX:
            return None
        given = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        if not hmac.compare_digest(given, waiting.token_digest) or not self._is_sealed_for(waiting.session, token):
            return None
        del self._waiting[session_id]
        self._open[session_id] = waiting.session
        return waiting.session

    async def task(self, session: ExecSession) -> ExecutedTask | None:
        """None when it has stopped."""
        return await self._terminals.task(session.task_id, session.container)

    async def open_terminal(self, session: ExecSession) -> RemoteTerminal:
        """Raises TargetNotConnected."""
        assert session.id in self._open, "only a claimed session has a terminal"
        request = TerminalRequest(
            session=session.id, task_id=session.task_id, container=session.container, args=session.args
        )
        return await self._terminals.open(request)

    def ended(self, session: ExecSession) -> None:
        self._open.pop(session.id, None)

    def _is_sealed_for(self, session: ExecSession, token: str) -> bool:
        try:
            plain = self._envelope.open(base64.urlsafe_b64decode(token), context=self._context)
            sealed = msgspec.json.decode(plain, type=_Sealed)
        except (binascii.Error, SealBroken, msgspec.DecodeError):
            return False
        named = (sealed.session_id, sealed.task_id, sealed.container)
        return named == (session.id, session.task_id, session.container) and self._world.now() < sealed.expires_at

    def _check_room(self, place: ExecPlace) -> None:
        """An account may hold as many as are free, so that one alone gets half and there is always room for others."""
        taken = [*self._open.values(), *(waiting.session for waiting in self._waiting.values())]
        of_it = sum(1 for session in taken if (session.task_id, session.container) == (place.task_id, place.container))
        mine = sum(1 for session in taken if session.place.account == place.account)
        free = self._knobs.exec_sessions_max - len(taken)
        of_container = self._knobs.exec_sessions_per_container
        if of_it >= of_container:
            raise ClientError(_TOO_MANY.format(of_container))
        if free <= 0 or mine > free:
            raise ClientError(_TOO_MANY.format(mine))

    def _forget_late(self) -> None:
        now = self._world.monotonic()
        late = [name for name, waiting in self._waiting.items() if waiting.expires_at <= now]
        for name in late:
            del self._waiting[name]
