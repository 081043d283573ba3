"""A scripted Firecracker for tests of its driver: the API as its swagger says, in the order that it allows, no machine.

`FakeFirecracker` answers calls and refuses wrong ones with the real one's words where these are published; `jailer` and
`firecracker` are programs in the real ones' place, with their command lines. The jail is real: a root, a user. What a
guest would be answers each byte on its vsock port with the same one. Source: firecracker.yaml, docs/jailer.md,
docs/vsock.md and docs/snapshotting of Firecracker 1.12 to 1.17.
"""

import argparse
import asyncio
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ..world import held

VERSION = "v1.14.0"
NOT_BEFORE = "The requested operation is not supported before starting the microVM."
NOT_AFTER = "The requested operation is not supported after starting the microVM."
NO_KERNEL = "Start microvm error: Cannot start microvm without kernel configuration."
NOT_FRESH = "Load snapshot error: Loading a microVM snapshot not allowed after configuring boot-specific resources."
_PORT_OF_HOST = 1_073_741_824
_HEAD_MAX, _BODY_MAX = 8192, 51200

State = Literal["Not started", "Running", "Paused"]


class _Strict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class MachineConfiguration(_Strict, frozen=True, kw_only=True):
    vcpu_count: int
    mem_size_mib: int
    smt: bool = False
    track_dirty_pages: bool = False


class BootSource(_Strict, frozen=True, kw_only=True):
    kernel_image_path: str
    initrd_path: str | None = None
    boot_args: str | None = None


class Drive(_Strict, frozen=True, kw_only=True):
    drive_id: str
    is_root_device: bool
    is_read_only: bool = False
    path_on_host: str | None = None


class PartialDrive(_Strict, frozen=True, kw_only=True):
    drive_id: str
    path_on_host: str | None = None


class NetworkInterface(_Strict, frozen=True, kw_only=True):
    iface_id: str
    host_dev_name: str
    guest_mac: str | None = None


class Vsock(_Strict, frozen=True, kw_only=True):
    guest_cid: int
    uds_path: str


class Entropy(_Strict, frozen=True, kw_only=True):
    pass


class Action(_Strict, frozen=True, kw_only=True):
    action_type: Literal["FlushMetrics", "InstanceStart", "SendCtrlAltDel"]


class Vm(_Strict, frozen=True, kw_only=True):
    state: Literal["Paused", "Resumed"]


class SnapshotCreate(_Strict, frozen=True, kw_only=True):
    snapshot_path: str
    mem_file_path: str
    snapshot_type: Literal["Full", "Diff"] = "Full"


class MemoryBackend(_Strict, frozen=True, kw_only=True):
    backend_type: Literal["File", "Uffd"]
    backend_path: str


class NetworkOverride(_Strict, frozen=True, kw_only=True):
    iface_id: str
    host_dev_name: str


class SnapshotLoad(_Strict, frozen=True, kw_only=True):
    snapshot_path: str
    mem_backend: MemoryBackend
    resume_vm: bool = False
    network_overrides: tuple[NetworkOverride, ...] = ()


class Saved(Struct, kw_only=True):
    """What a snapshot's state holds of the machine."""

    drives: list[str]
    vsock: str | None


class Refused(Exception):
    """Answered with 400 and `fault_message`."""


class FakeFirecracker:
    """One process's. `root`: before its paths. `listen`: called with the vsock's path when a machine runs."""

    def __init__(self, root: Path, listen: Callable[[str], Awaitable[None]]) -> None:
        self.state: State = "Not started"
        self.drives: dict[str, Drive] = {}
        self.calls: list[str] = []
        self._root = root
        self._listen = listen
        self._machine = MachineConfiguration(vcpu_count=1, mem_size_mib=128)
        self._source: BootSource | None = None
        self._vsock: str | None = None
        self._is_fresh = True

    async def answer(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        """Status and what the body holds, None: nothing."""
        self.calls.append(f"{method} {path}")
        try:
            return await self._answer(method, path, body)
        except Refused as refused:
            return 400, {"fault_message": str(refused)}
        except msgspec.MsgspecError as error:
            said = f"An error occurred when deserializing the json body of a request: {error}."
            return 400, {"fault_message": said}

    async def _answer(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        parts = path.strip("/").split("/")
        if method == "GET" and path == "/":
            return 200, {"app_name": "Firecracker", "id": "fake", "state": self.state, "vmm_version": VERSION[1:]}
        if method == "GET" and path == "/version":
            return 200, {"firecracker_version": VERSION[1:]}
        named = f"{method} /{parts[0]}" if parts[0] in ("drives", "network-interfaces") else f"{method} {path}"
        before: dict[str, tuple[type[Any], Callable[[Any], Awaitable[None]]]] = {
            "PUT /machine-config": (MachineConfiguration, self._size),
            "PUT /boot-source": (BootSource, self._boot_source),
            "PUT /drives": (Drive, self._drive),
            "PUT /network-interfaces": (NetworkInterface, self._interface),
            "PUT /vsock": (Vsock, self._vsock_device),
            "PUT /entropy": (Entropy, self._entropy),
            "PUT /snapshot/load": (SnapshotLoad, self._load),
        }
        after: dict[str, tuple[type[Any], Callable[[Any], Awaitable[None]]]] = {
            "PATCH /vm": (Vm, self._set_state),
            "PATCH /drives": (PartialDrive, self._drive_again),
            "PUT /snapshot/create": (SnapshotCreate, self._save),
        }
        known = {**before, **after, "PUT /actions": (Action, self._act)}
        if named not in known:
            raise Refused(f"Invalid request method and/or path: {method} {path}.")
        kind, do = known[named]
        asked = msgspec.json.decode(body, type=kind)
        if named.count("/") == 1 and len(parts) == 2 and parts[1] != _own_id(asked):
            raise Refused("The id from the path does not match the id from the body!")
        if named in before and self.state != "Not started":
            raise Refused(NOT_AFTER)
        if named in after and self.state == "Not started":
            raise Refused(NOT_BEFORE)
        await do(asked)
        return 204, None

    async def _size(self, asked: MachineConfiguration) -> None:
        if not 1 <= asked.vcpu_count <= 32:
            raise Refused("The vCPU number is invalid! The vCPU number can only be 1 or an even number when SMT is on.")
        self._is_fresh, self._machine = False, asked

    async def _boot_source(self, asked: BootSource) -> None:
        for path in (asked.kernel_image_path, asked.initrd_path):
            if path is not None:
                self._opened(path, os.O_RDONLY)
        self._is_fresh, self._source = False, asked

    async def _drive(self, asked: Drive) -> None:
        if not asked.drive_id.replace("_", "").isalnum():
            raise Refused("API Resource IDs can only contain alphanumeric characters and underscores.")
        self._opened(asked.path_on_host or "", os.O_RDONLY if asked.is_read_only else os.O_RDWR)
        self._is_fresh = False
        self.drives[asked.drive_id] = asked

    async def _interface(self, asked: NetworkInterface) -> None:
        assert asked.host_dev_name
        self._is_fresh = False

    async def _vsock_device(self, asked: Vsock) -> None:
        if asked.guest_cid < 3:
            raise Refused("Vsock config error: the context id is reserved.")
        self._is_fresh, self._vsock = False, asked.uds_path

    async def _entropy(self, _asked: Entropy) -> None:
        self._is_fresh = False

    async def _act(self, asked: Action) -> None:
        if asked.action_type != "InstanceStart":
            raise Refused(NOT_BEFORE)
        if self.state != "Not started":
            raise Refused(NOT_AFTER)
        if self._source is None:
            raise Refused(NO_KERNEL)
        await self._run()
        self.state = "Running"

    async def _set_state(self, asked: Vm) -> None:
        self.state = "Paused" if asked.state == "Paused" else "Running"

    async def _drive_again(self, asked: PartialDrive) -> None:
        known = self.drives.get(asked.drive_id)
        if known is None:
            raise Refused("Error updating block device: Device not found")
        self._opened(asked.path_on_host or "", os.O_RDONLY if known.is_read_only else os.O_RDWR)

    async def _save(self, asked: SnapshotCreate) -> None:
        if self.state != "Paused":
            raise Refused("Create snapshot error: Cannot save the microVM: it is not paused.")
        modes = [f"{name}={'r' if drive.is_read_only else 'w'}" for name, drive in self.drives.items()]
        saved = msgspec.json.encode(Saved(drives=modes, vsock=self._vsock))
        try:
            self._path(asked.snapshot_path).write_bytes(saved)
            self._path(asked.mem_file_path).write_bytes(bytes(self._machine.mem_size_mib))
        except OSError as error:
            raise Refused(f"Create snapshot error: Cannot write: {error}") from None

    async def _load(self, asked: SnapshotLoad) -> None:
        if not self._is_fresh:
            raise Refused(NOT_FRESH)
        self._opened(asked.mem_backend.backend_path, os.O_RDONLY)
        try:
            saved = msgspec.json.decode(self._path(asked.snapshot_path).read_bytes(), type=Saved)
        except (OSError, msgspec.MsgspecError) as error:
            raise Refused(f"Load snapshot error: Failed to restore from snapshot: {error}") from None
        for one in saved.drives:
            name, _, mode = one.partition("=")
            self.drives[name] = Drive(drive_id=name, is_root_device=False, is_read_only=mode == "r")
        self._is_fresh, self._vsock = False, saved.vsock
        await self._run()
        self.state = "Running" if asked.resume_vm else "Paused"

    async def _run(self) -> None:
        if self._vsock is not None:
            await self._listen(str(self._path(self._vsock)))

    def _path(self, path: str) -> Path:
        return self._root / path.lstrip("/")

    def _opened(self, path: str, flags: int) -> None:
        """It is there, and this user may."""
        try:
            os.close(os.open(self._path(path), flags | os.O_CLOEXEC))
        except OSError as error:
            raise Refused(f"Unable to open {path}: {error.strerror} (os error {error.errno})") from None


def _own_id(asked: object) -> str:
    return asked.iface_id if isinstance(asked, NetworkInterface) else getattr(asked, "drive_id", "")


async def serve(fake: FakeFirecracker, path: str) -> asyncio.Server:
    """The API on a UNIX socket."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
                body = await reader.readexactly(_length(head))
                status, said = await fake.answer(method, target, body)
                content = b"" if said is None else msgspec.json.encode(said)
                words = {200: "OK", 204: "No Content", 400: "Bad Request"}[status]
                lines = f"HTTP/1.1 {status} {words}\r\nServer: Firecracker API\r\nConnection: keep-alive\r\n"
                if content:
                    lines += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
                writer.write(f"{lines}\r\n".encode() + content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it has hung up
        finally:
            writer.close()

    return await asyncio.start_unix_server(held(one), path, limit=_HEAD_MAX)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return min(int(value), _BODY_MAX)
    return 0


async def serve_vsock(path: str, port: int) -> asyncio.Server:
    """Host-initiated connections; a guest that listens on `port` alone, and says what it hears."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await reader.readuntil(b"\n")
            if asked == b"CONNECT %d\n" % port:
                writer.write(b"OK %d\n" % _PORT_OF_HOST)
                while more := await reader.read(65536):
                    writer.write(more)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # the host has gone
        finally:
            writer.close()

    return await asyncio.start_unix_server(held(one), path)


def jailer() -> None:
    """In the jailer's place: its command line, a jail, then Firecracker's own. Never returns."""
    if sys.argv[1:] == ["--version"]:
        print(f"Jailer {VERSION}")  # noqa: T201  as the program does
        return
    ours, theirs = sys.argv[1 : sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1 :]
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for option in ("--id", "--exec-file", "--uid", "--gid", "--chroot-base-dir"):
        parser.add_argument(option, required=True)
    for option in ("--cgroup-version", "--parent-cgroup", "--netns"):
        parser.add_argument(option)
    parser.add_argument("--resource-limit", action="append", default=[])
    given = parser.parse_args(ours)
    assert all(limit.partition("=")[0] in ("fsize", "no-file") for limit in given.resource_limit)
    assert os.path.exists(given.exec_file) and (given.netns is None or os.path.exists(given.netns))
    root = Path(given.chroot_base_dir, Path(given.exec_file).name, given.id, "root")
    root.mkdir(parents=True, exist_ok=True)
    uid, gid = int(given.uid), int(given.gid)
    shutil.copy(given.exec_file, root)
    os.chown(root, uid, gid)
    os.chmod(root, 0o700)
    (root / "dev").mkdir(mode=0o700)
    os.mknod(root / "dev" / "urandom", 0o20600, os.makedev(1, 9))
    for made in (root / "dev", root / "dev" / "urandom"):
        os.chown(made, uid, gid)
    (where,) = [theirs[number + 1] for number, word in enumerate(theirs) if word == "--api-sock"]
    asyncio.run(_life(root, where, uid, gid))


async def _life(root: Path, where: str, uid: int, gid: int) -> None:
    """In the jail, until it is killed."""
    listeners: list[asyncio.Server] = []

    async def listen(path: str) -> None:
        listeners.append(await serve_vsock(path, 52))

    os.chroot(root)
    os.chdir("/")
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    os.close(os.open("/dev/urandom", os.O_RDONLY))  # as KVM's device beside it: of no use where devices are none
    assert os.access("/firecracker", os.X_OK), "its program cannot be executed in the jail"
    print("Running Firecracker", VERSION, flush=True)  # noqa: T201  its console
    listeners.append(await serve(FakeFirecracker(Path("/"), listen), where))
    await asyncio.Event().wait()
