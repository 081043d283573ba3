"""HAProxy for nodes of load balancers: their files, and one master with its worker in each node's namespace.

Owns how it is started without any privilege, found again after this process ended, and ended. It runs in a session of
its own and outlives the agent. Must not know plans. Invariant: of a node at most one master lives; what is found in
another namespace than the node's is ended, never adopted.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from ..interfaces.hostnet import HostError
from ..interfaces.proxies import Proxy
from .balancers import namespace_of
from .namespaces import Namespaces

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_ENI = re.compile(r"eni-[0-9a-z-]{1,40}")
_MAIN = "haproxy.cfg"
_LAST_WORDS = 600
_CHECK_S = 20  # all nodes of a host wait for one that reads
_LOG_MAX_BYTES = 1024 * 1024


class ProxyUser(Struct, frozen=True, kw_only=True):
    """Whom proxies run as: nobody who owns anything else."""

    uid: int
    gid: int


class LinuxProxies:
    """Implements ProxyHost. `directory`: best in memory, as private keys are in it; of a path without blanks.

    `namespace`: how the namespace of an interface's node is called. `memory_max_mib`: of one node's process; at it
    clients wait or are refused, and nobody else of the machine feels it.
    """

    def __init__(
        self,
        directory: Path,
        namespaces: Namespaces,
        user: ProxyUser,
        namespace: Callable[[str], str] = namespace_of,
        memory_max_mib: int = 1024,
    ) -> None:
        self._directory = directory
        self._namespaces = namespaces
        self._user = user
        self._namespace = namespace
        self._memory_max_mib = memory_max_mib
        self._children: set[int] = set()  # started by this process and not collected yet

    def directory(self, eni_id: str) -> str:
        if not _ENI.fullmatch(eni_id):
            raise HostError(f"{eni_id!r} is no interface")
        return str(self._directory / eni_id)

    def nodes(self) -> Sequence[str]:
        with suppress(FileNotFoundError):
            return sorted(name for name in os.listdir(self._directory) if _ENI.fullmatch(name))
        return ()

    def write(self, eni_id: str, content: Mapping[str, str]) -> None:
        home = Path(self.directory(eni_id))
        self._folder(home.parent, 0o711)
        self._folder(home, 0o750, group=self._user.gid)
        sockets = home / "sockets"
        self._folder(sockets, 0o700, group=self._user.gid, owner=self._user.uid)
        for name, text in content.items():
            path = home / name
            for folder in reversed(path.relative_to(home).parents[:-1]):
                self._folder(home / folder, 0o750, group=self._user.gid)
            self._file(path, text)
        kept = {home / name for name in content} | {home / "log"}
        for path in home.rglob("*"):
            if path not in kept and path.is_file() and sockets not in path.parents:
                path.unlink(missing_ok=True)

    def _folder(self, path: Path, mode: int, *, group: int = 0, owner: int = 0) -> None:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        path.chmod(mode)
        if group or owner:
            os.chown(path, owner, group)

    def _file(self, path: Path, text: str) -> None:
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        # As it is: a body's ends of lines are the user's.
        with os.fdopen(descriptor, "wb") as file:
            os.fchown(file.fileno(), 0, self._user.gid)
            os.fchmod(file.fileno(), 0o640)
            file.write(text.encode(errors="replace"))
        fresh.replace(path)

    def faults(self, eni_id: str) -> str:
        try:
            ran = subprocess.run(
                [*self._unprivileged(), "-c", "-q", "-f", f"{self.directory(eni_id)}/{_MAIN}"],
                env={"PATH": _PATH},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd="/",
                check=False,
                timeout=_CHECK_S,
            )
        except subprocess.TimeoutExpired:
            return f"it does not read its files within {_CHECK_S} seconds"
        if ran.returncode == 0:
            return ""
        said = ran.stderr.decode(errors="replace").splitlines()
        lines = [line for line in said if "[ALERT]" in line] or said
        return " ".join(" ".join(lines).split())[:_LAST_WORDS] or f"it ends with {ran.returncode}"

    def _unprivileged(self) -> list[str]:
        setpriv, haproxy = shutil.which("setpriv", path=_PATH), shutil.which("haproxy", path=_PATH)
        if haproxy is None:
            raise HostError("haproxy is missing; install it with: apt-get install haproxy")
        if setpriv is None:
            raise HostError("setpriv is missing; install it with: apt-get install util-linux")
        user, group = f"--reuid={self._user.uid}", f"--regid={self._user.gid}"
        nothing = ("--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")
        return [setpriv, user, group, *nothing, haproxy]

    def start(self, eni_id: str) -> Proxy:
        home = self.directory(eni_id)
        self._kill(self._marked(eni_id))
        log = Path(home) / "log"
        fresh = "wb" if log.exists() and log.stat().st_size > _LOG_MAX_BYTES else "ab"
        bounded = [*self._unprivileged(), "-W", "-q", "-m", str(self._memory_max_mib)]
        command = [*bounded, "-S", f"{home}/sockets/master,mode,600", "-f", f"{home}/{_MAIN}"]
        with self._namespaces.inside(self._namespace(eni_id)), log.open(fresh) as output:
            child = subprocess.Popen(
                command,
                env={"PATH": _PATH},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                start_new_session=True,
                umask=0o077,
            )
        child.returncode = 0  # it outlives this object on purpose; `_reap` collects it
        self._children.add(child.pid)
        return Proxy(pid=child.pid, start_ticks=_status(child.pid)[1])

    def find(self, eni_id: str) -> Proxy | None:
        try:
            home = os.stat(self._namespaces.path(self._namespace(eni_id))).st_ino
        except FileNotFoundError:
            return None
        marked = self._marked(eni_id)
        for pid in marked:
            parent, ticks = _status(pid)
            with suppress(OSError):
                # A worker's parent is a master; the master's is whoever started it.
                if parent not in marked and ticks and os.stat(f"/proc/{pid}/ns/net").st_ino == home:
                    return Proxy(pid=pid, start_ticks=ticks)
        return None

    def is_alive(self, proxy: Proxy) -> bool:
        self._reap()
        return bool(proxy.start_ticks) and _status(proxy.pid)[1] == proxy.start_ticks

    def opened(self, proxy: Proxy) -> int:
        return os.pidfd_open(proxy.pid)

    def replace(self, proxy: Proxy) -> None:
        if self.is_alive(proxy):
            with suppress(ProcessLookupError):
                os.kill(proxy.pid, signal.SIGUSR2)

    def end(self, eni_id: str) -> None:
        self._kill(self._marked(eni_id))
        shutil.rmtree(self.directory(eni_id), ignore_errors=True)

    def _kill(self, marked: list[int]) -> None:
        for pid in marked:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._reap(marked)

    def _reap(self, marked: Sequence[int] = ()) -> None:
        """Those that were killed are waited for."""
        for pid in list(self._children):
            try:
                ended = os.waitpid(pid, 0 if pid in marked else os.WNOHANG)[0] != 0
            except ChildProcessError:
                ended = True
            if ended:
                self._children.discard(pid)

    def _marked(self, eni_id: str) -> list[int]:
        """Of this node, masters and workers. Anybody may write any word: they must also be of the proxies' user."""
        word = f"{self.directory(eni_id)}/{_MAIN}".encode()
        return [int(name) for name in os.listdir("/proc") if name.isdecimal() and self._is_marked(name, word)]

    def _is_marked(self, pid: str, word: bytes) -> bool:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if word not in words or not words[0].endswith(b"haproxy"):
                return False
            owner = os.stat(f"/proc/{pid}").st_uid
            here = os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
        except OSError:
            return False  # it ended while we looked
        # What cannot be looked into belongs to root for others' eyes.
        return here and owner in (0, self._user.uid)


def _status(pid: int) -> tuple[int, int]:
    """(parent, when it began); zeros for a process that is gone, or only not collected yet."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0, 0
    return (0, 0) if fields[0] in b"ZX" else (int(fields[1]), int(fields[19]))
