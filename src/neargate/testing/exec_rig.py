"""Executed commands from a client's WebSocket to a container's terminal, in memory: the real parts of server and agent.

Owns the two connections between them and who may cut them. Must not know what a test says. Nothing listens; the cell
and the engine are fakes.
"""

import asyncio
import base64
from collections.abc import Callable, Mapping, MutableMapping
from types import SimpleNamespace
from typing import Any, cast

from ..agent.channels.link import Closed
from ..agent.task_record import ContainerRecord, TaskRecord
from ..agent.terminals import HostTerminals
from ..clusters.cell import Cell
from ..clusters.channel import ChannelClosed
from ..clusters.terminals import Terminals
from ..frontend.envelope import Envelope
from ..frontend.executing.calls import ApiCalls, CallRefused
from ..frontend.executing.door import DataChannelDoor
from ..frontend.executing.keeping import Keeping
from ..frontend.executing.rules import SessionRules
from ..frontend.executing.sessions import PATH_PREFIX, ExecPlace, ExecSessions, Granted
from ..interfaces.roles import LogTarget, TaskIdentity
from ..interfaces.sandbox import ContainerConfig
from ..link.host_identity import HostKey
from ..link.messages import ExecOrder
from ..model.knobs import Knobs
from ..wire.data_channel import DATA, OUTPUT, decode
from ..wire.exec_client import Action, ExecClient, Finished, Send, Shown
from ..wire.exec_encryption import DataKey
from .fake_sandbox import FakeSandbox
from .virtual_time import VirtualWorld

ACCOUNT = "123456789012"
NEIGHBOUR = "host-2"  # another host of the same region
HOST, TASK, INCARNATION, RUNTIME = "host-1", "0" * 32, "cell-1", f"{'0' * 32}-web"
SHELL = ("sh",)


class Pipe:
    """A connection between server and agent: both sides' halves, each with a bound as a socket has one."""

    def __init__(self) -> None:
        self.to_agent: asyncio.Queue[bytes | None] = asyncio.Queue(4)
        self.to_server: asyncio.Queue[bytes | None] = asyncio.Queue(4)
        self.is_cut = asyncio.Event()

    async def put(self, queue: "asyncio.Queue[bytes | None]", data: bytes, lost: Callable[[str], Exception]) -> None:
        await self._unless_cut(queue.put(data), lost)

    async def get(self, queue: "asyncio.Queue[bytes | None]", lost: Callable[[str], Exception]) -> bytes:
        data: bytes = await self._unless_cut(queue.get(), lost, is_read=True)
        return data

    async def _unless_cut(self, work: Any, lost: Callable[[str], Exception], *, is_read: bool = False) -> Any:
        doing, cut = asyncio.Task(work), asyncio.Task(self.is_cut.wait())
        try:
            await asyncio.wait({doing, cut}, return_when=asyncio.FIRST_COMPLETED)
            if doing.done() and (is_read or not self.is_cut.is_set()):
                return doing.result()
            raise lost("cut")
        finally:
            doing.cancel()
            cut.cancel()


class AgentSide:
    """Implements link_client.Connection."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    async def send(self, data: bytes) -> None:
        await self._pipe.put(self._pipe.to_server, data, Closed)

    async def receive(self) -> bytes:
        return await self._pipe.get(self._pipe.to_agent, Closed)

    async def close(self) -> None:
        self._pipe.is_cut.set()


class ServerSide:
    """Implements clusters.channel.Channel."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    async def send(self, data: bytes) -> None:
        await self._pipe.put(self._pipe.to_agent, data, ChannelClosed)

    async def receive(self) -> bytes:
        return await self._pipe.get(self._pipe.to_server, ChannelClosed)

    async def close(self, reason: str) -> None:
        del reason
        self._pipe.is_cut.set()


class FakeApi:
    """Implements ApiCalls: log streams as their events' messages. `refusals`: what is answered before, by operation.

    `keys`: what Decrypt makes of what was sealed; `decrypted`: what it was asked. `free`: until then it says nothing.
    """

    def __init__(self) -> None:
        self.streams: dict[tuple[str, str], list[str]] = {}
        self.groups: list[dict[str, Any]] = []
        self.keys: dict[bytes, bytes] = {}
        self.decrypted: list[Mapping[str, Any]] = []
        self.refusals: dict[str, list[CallRefused]] = {}
        self.free = asyncio.Event()
        self.free.set()

    def of(self, task: TaskIdentity, address: str) -> ApiCalls:
        del task, address
        return self

    async def ask(self, service: str, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        await self.free.wait()
        if self.refusals.get(operation):
            raise self.refusals[operation].pop(0)
        if (service, operation) == ("kms", "Decrypt"):
            self.decrypted.append(params)
            return {"Plaintext": base64.b64encode(self.keys[base64.b64decode(params["CiphertextBlob"])])}
        assert service == "logs"
        if operation == "DescribeLogGroups":
            return {"logGroups": self.groups}
        place = params["logGroupName"], params["logStreamName"]
        if operation == "CreateLogStream":
            self.streams[place] = []
        else:
            assert operation == "PutLogEvents"
            sizes = [len(event["message"].encode()) + 26 for event in params["logEvents"]]
            assert max(sizes) <= 256 * 1024 and sum(sizes) <= 1024 * 1024, "CloudWatch Logs' own bounds"
            self.streams[place] += [event["message"] for event in params["logEvents"]]
        return {}


class ExecRig:
    """`pipes`: of every terminal so far. `is_deaf`: the host hears no order."""

    def __init__(self, **knobs: Any) -> None:
        self.world = VirtualWorld()
        self.knobs = Knobs(**knobs)
        self.sandbox = FakeSandbox(self.world.now)
        self.key = HostKey(bytes(32))
        self.pipes: list[Pipe] = []
        self.is_deaf = False
        self.is_enabled = True  # the task was started for executed commands
        self.log_group: str | None = None  # of the container's awslogs driver
        self.notes: list[str] = []
        self.neighbour = HostKey(b"n" * 32)
        keys = {HOST: self.key.public, NEIGHBOUR: self.neighbour.public}
        cell = SimpleNamespace(
            place=self._place,
            host_keys=SimpleNamespace(of=keys.get),
            task_identity=self._task_identity,
            log_target=self._log_target,
        )
        self.terminals = Terminals(
            self.world, cast(Cell, cell), self.knobs, order=self._order, is_linked=lambda host: host == HOST
        )
        self.sessions = ExecSessions(
            self.world, Envelope(bytes(32), self.world), self.knobs, self.terminals, region="us-east-1"
        )
        self.api = FakeApi()
        keeping = Keeping(world=self.world, knobs=self.knobs, region="us-east-1", calls_of=self.api.of)
        self.door = DataChannelDoor(self.world, self.knobs, self.sessions, keeping)
        self.agent = self.agent_of(HOST, self.key)

    def agent_of(self, host_id: str, key: HostKey) -> HostTerminals:
        return HostTerminals(
            self.world,
            self.knobs,
            cast(Any, self),
            host_id,
            key,
            sandbox=self.sandbox,
            records=lambda: [self._record()],
            note=self.notes.append,
        )

    async def start(self) -> None:
        """One container runs."""
        image = self.sandbox.add_image("web:1")
        config = ContainerConfig(
            runtime_id=RUNTIME,
            task_id=TASK,
            name="web",
            image=image,
            disk_path="",
            netns_path="",
            hostname="",
            args=("web",),
            environment=(),
        )
        await self.sandbox.create_container(config)
        await self.sandbox.start_container(RUNTIME)

    def grant(
        self,
        *args: str,
        tells_exit_code: bool = True,
        account: str = ACCOUNT,
        container: str = "web",
        rules: SessionRules | None = None,
    ) -> Granted:
        place = ExecPlace(account=account, task_id=TASK, container=container, target="ecs:default_task_web")
        return self.sessions.grant(place, args or SHELL, rules or SessionRules(), tells_exit_code=tells_exit_code)

    async def connect(self, path: str) -> AgentSide:
        """Implements link_client.Transport."""
        assert path == "/exec", path
        pipe = Pipe()
        self.pipes.append(pipe)

        async def serve() -> None:
            await self.terminals.accept(ServerSide(pipe))
            pipe.is_cut.set()

        self.world.spawn(serve(), "accept")
        return AgentSide(pipe)

    async def _place(self, task_id: str) -> tuple[str, str] | None:
        return (HOST, INCARNATION) if task_id == TASK else None

    async def _task_identity(self, host_id: str, task_id: str) -> TaskIdentity | None:
        assert (host_id, task_id) == (HOST, TASK)
        arn = f"arn:aws:ecs:us-east-1:{ACCOUNT}:task/default/{TASK}"
        return TaskIdentity(account=ACCOUNT, task_arn=arn, task_role_arn=None, execution_role_arn=None)

    async def _log_target(self, host_id: str, task_id: str, container: str) -> LogTarget | None:
        del host_id, task_id, container
        if self.log_group is None:
            return None
        return LogTarget(account=ACCOUNT, region="us-east-1", group=self.log_group, stream="web", create_group=False)

    def _order(self, host_id: str, order: ExecOrder) -> bool:
        assert host_id == HOST
        if not self.is_deaf:
            self.agent.begin(order)
        return True

    def _record(self) -> TaskRecord:
        container = self.sandbox.containers[RUNTIME]
        launch = SimpleNamespace(task_id=TASK, incarnation=INCARNATION, executes_commands=self.is_enabled)
        status = "RUNNING" if container.status == "running" else "STOPPED"
        web = ContainerRecord(name="web", runtime_id=RUNTIME, known_status=status)
        return TaskRecord(launch=cast(Any, launch), containers=(web,))


def is_output(data: bytes) -> bool:
    frame = decode(data)
    return (frame.type, frame.payload_kind) == (OUTPUT, DATA)


class Client:
    """A WebSocket at the rig's door. `shown`, `finished`: what its user would see. `confirms`: else it says nothing.

    `misses_first_output`: as AWS's plugin does, which takes none before it has set itself up.
    """

    def __init__(
        self,
        rig: ExecRig,
        session_id: str,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        *,
        key: DataKey | None = None,
    ) -> None:
        self._rig = rig
        self.protocol = ExecClient(version="test", random_bits=rig.world.random.getrandbits, key=key)
        self.shown = b""
        self.finished: Finished | None = None
        self.is_accepted = False
        self.closed_with: int | None = None
        self.confirms = True
        self.misses_first_output = False
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._incoming.put_nowait({"type": "websocket.connect"})
        scope = {"type": "websocket", "path": f"{PATH_PREFIX}{session_id}", "headers": list(headers)}
        self.serving = rig.world.spawn(rig.door(scope, self._incoming.get, self._send), "client")

    def say(self, message: bytes | str) -> None:
        kind = "text" if isinstance(message, str) else "bytes"
        self._incoming.put_nowait({"type": "websocket.receive", kind: message})

    def hang_up(self) -> None:
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1006})

    def open(self, token: str) -> None:
        self.say(self.protocol.first_message(token))

    def type(self, data: bytes) -> None:
        self.say(self.protocol.input(data, self._rig.world.now()).data)

    async def until(self, what: Callable[[], object]) -> None:
        """As long as anything is still to happen."""
        while not what():
            await self._changed.wait()

    async def opened(self, token: str) -> None:
        self.open(token)
        await self.until(lambda: self.protocol.is_open or self.closed_with is not None)

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        match message["type"]:
            case "websocket.accept":
                self.is_accepted = True
            case "websocket.close":
                self.closed_with = message["code"]
            case "websocket.send" if self.misses_first_output and is_output(message["bytes"]):
                self.misses_first_output = False
            case "websocket.send":
                for action in self.protocol.received(message["bytes"], self._rig.world.now()):
                    self._act(action)
        self._changed.set()
        self._changed = asyncio.Event()

    def _act(self, action: Action) -> None:
        match action:
            case Send() if self.confirms:
                self.say(action.data)
            case Shown():
                self.shown += action.data
            case Finished():
                self.finished = action
