"""A fake guest with a runtime: crun's commands as the microVM engine gives them, and cgroups that kill and freeze.

A container's program is acted out (`acts`, by its arguments); its process, as the guest counts it, is the stream that
made it. Owns what crun itself would know: which containers there are, and whether they run.
"""

# ruff: noqa: ARG002  every command is called alike

import asyncio
import json
from collections.abc import Mapping

from msgspec import Struct

from ..world import World
from .fake_guest import FakeFile, FakeGuest
from .fake_guest_processes import FakeProcess, Program

_GROUPS = "/sys/fs/cgroup"
_SHELLS = ("sh", "/bin/sh")


class FakeContainer(Struct):
    spec: dict[str, object]
    process: FakeProcess
    begins: asyncio.Event
    is_running: bool = False
    frozen: bool = False

    @property
    def group(self) -> str:
        linux = self.spec["linux"]
        assert isinstance(linux, dict)
        return str(linux["cgroupsPath"])

    @property
    def shares_with(self) -> int | None:
        """A pid of the guest, whose process namespace it is in."""
        linux = self.spec["linux"]
        assert isinstance(linux, dict)
        paths = [item["path"] for item in linux["namespaces"] if item["type"] == "pid" and "path" in item]
        return int(paths[0].split("/")[2]) if paths else None


class CrunGuest(FakeGuest):
    """`acts`: by a container's arguments. `containers`: by runtime id."""

    def __init__(self, world: World, path: str, acts: Mapping[tuple[str, ...], Program]) -> None:
        super().__init__(world, path)
        self.acts = dict(acts)
        self.containers: dict[str, FakeContainer] = {}
        self.executions: dict[str, FakeProcess] = {}  # by cgroup
        self.killed_in: set[str] = set()  # cgroups; who begins in one is killed, as by kernels of the 6.1 series
        self.programs = _Crun(self)

    def end_container(self, runtime_id: str, code: int) -> None:
        """Its first process ends, and with it whoever shares its namespace and what was run in it."""
        container = self.containers[runtime_id]
        if not container.is_running:
            return
        container.process.kill()
        container.process.end(code)
        container.is_running = False
        for group, process in self.executions.items():
            if group.startswith(container.group + "/"):
                process.kill()
                process.end(137)
        for other, member in self.containers.items():
            if member.shares_with == container.process.pid:
                self.end_container(other, 137)

    def _file(self, payload: bytes) -> None:
        super()._file(payload)
        path = payload[13:].partition(b"\0")[0].decode()
        group, _, name = path.removeprefix(_GROUPS).rpartition("/")
        if path.startswith(_GROUPS) and name == "cgroup.kill":
            self._kill(group)
        elif path.startswith(_GROUPS) and name == "cgroup.freeze":
            for container in self.containers.values():
                if container.group == group:
                    container.frozen = self.files[path].content == b"1"

    def _do(self, kind: int, stream: int, payload: bytes) -> None:
        for group, process in self.executions.items():
            populated = b"populated 0\n" if process.exit_code is not None else b"populated 1\n"
            self.files[f"{_GROUPS}{group}/cgroup.events"] = FakeFile(populated, 0o444, 0, 0)
        super()._do(kind, stream, payload)

    def _kill(self, group: str) -> None:
        self.killed_in.add(group)
        for runtime_id, container in list(self.containers.items()):
            if container.group == group:
                self.end_container(runtime_id, 137)
        process = self.executions.get(group)
        if process is not None:
            process.kill()
            process.end(137)


class _Crun(dict[tuple[str, ...], Program]):
    """Programs by what they are called with."""

    def __init__(self, guest: CrunGuest) -> None:
        super().__init__()
        self._guest = guest

    def get(self, words: tuple[str, ...], default: object = None) -> Program | None:  # type: ignore[override]
        """The guest asks for nothing else."""
        assert default is None
        if words[1:3] == ("sh", "-c"):
            words = words[5:]  # a shell that becomes what stands behind its script and a name for it
        command = [word for word in words[1:] if not word.startswith("--log")]
        options = {
            "create": self._create,
            "start": self._start,
            "state": self._state,
            "kill": self._signal,
            "delete": self._delete,
            "exec": self._exec,
        }
        act = options.get(command[0]) if words[0].endswith("crun") else None
        log = next((word.partition("=")[2] for word in words if word.startswith("--log=")), "/dev/null")
        return None if act is None else lambda process: act(process, command[1:], log)

    async def _fail(self, log: str, message: str) -> int:
        file = self._guest.files.setdefault(log, FakeFile(b"", 0o600, 0, 0))
        file.content += json.dumps({"msg": message, "level": "error"}).encode() + b"\n"
        return 1

    async def _create(self, process: FakeProcess, words: list[str], log: str) -> int:
        bundle, runtime_id = words[words.index("--bundle") + 1], words[-1]
        if runtime_id in self._guest.containers:
            return await self._fail(log, "container already exists")
        spec = json.loads(self._guest.files[f"{bundle}/config.json"].content)
        act = self._guest.acts.get(tuple(spec["process"]["args"]))
        if act is None:
            name = spec["process"]["args"][0]
            return await self._fail(log, f"executable file `{name}` not found in $PATH: No such file or directory")
        container = FakeContainer(spec=spec, process=process, begins=asyncio.Event())
        self._guest.containers[runtime_id] = container
        self._guest.files.setdefault(f"{_GROUPS}{container.group}/memory.events", FakeFile(b"oom_kill 0\n", 0, 0, 0))
        await process.begin()
        try:
            await container.begins.wait()
            return await act(process)
        finally:
            container.is_running = False

    async def _start(self, process: FakeProcess, words: list[str], log: str) -> int:
        container = self._guest.containers.get(words[-1])
        if container is None or container.begins.is_set():
            return await self._fail(log, "cannot start it")
        container.is_running = True
        container.begins.set()
        return 0

    async def _state(self, process: FakeProcess, words: list[str], log: str) -> int:
        container = self._guest.containers.get(words[-1])
        if container is None:
            return 1
        status = "running" if container.is_running else "stopped" if container.begins.is_set() else "created"
        await process.say(json.dumps({"status": status, "pid": container.process.pid}).encode())
        return 0

    async def _signal(self, process: FakeProcess, words: list[str], log: str) -> int:
        container = self._guest.containers.get(words[0])
        if container is not None and container.is_running:
            container.process.signal(int(words[1]))
        return 0

    async def _delete(self, process: FakeProcess, words: list[str], log: str) -> int:
        container = self._guest.containers.get(words[-1])
        if container is None:
            return 0
        self._guest.end_container(words[-1], 137)
        container.process.kill()
        container.process.end(137)
        del self._guest.containers[words[-1]]
        return 0

    async def _exec(self, process: FakeProcess, words: list[str], log: str) -> int:
        container = self._guest.containers.get(words[-1])
        if container is None or not container.is_running:
            return await self._fail(log, "the container is not running")
        args = json.loads(self._guest.files[words[words.index("--process") + 1]].content)["args"]
        if args[0] not in _SHELLS:
            return await self._fail(log, f"executable file `{args[0]}` not found in $PATH: No such file or directory")
        name = next(word.partition("=")[2] for word in words if word.startswith("--cgroup="))
        if f"{container.group}/{name}" in self._guest.killed_in:
            return await self._fail(log, "fail startup")
        self._guest.executions[f"{container.group}/{name}"] = process
        pid_file = words[words.index("--pid-file") + 1]
        self._guest.files[pid_file] = FakeFile(b"77", 0o600, 0, 0)
        if "--detach" in words:
            await process.begin()
        return await _shell(process, args)


async def _shell(process: FakeProcess, args: list[str]) -> int:
    """Knows `exit N`, `sleep`, `stty size`, and says the words of others back."""
    if len(args) > 1:
        if args[-1].startswith("sleep"):
            await asyncio.Event().wait()
        if args[-1].startswith("echo "):
            await process.say(args[-1].removeprefix("echo ").encode() + b"\n")
        return int(args[-1].removeprefix("exit ")) if args[-1].startswith("exit ") else 0
    while line := await process.hear():
        if line.startswith(b"exit "):
            return int(line.split()[1])
        columns, rows = process.size
        await process.say(f"{rows} {columns}\n".encode() if line == b"stty size\n" else line)
    return 0


def oom_events(kills: int) -> FakeFile:
    return FakeFile(f"low 0\noom_kill {kills}\n".encode(), 0, 0, 0)
