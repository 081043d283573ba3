"""HAProxy for nodes of load balancers: their files, and one master with its worker in each node's namespace.

Owns how it is started without any privilege, found again after this process ended, and ended. It runs in a session of
its own and outlives the agent. Must not know plans. Invariants: of a node at most one master lives; what is found in
another namespace than the node's is ended, never adopted; a node's files are read by root and its own user alone, and
no core of a proxy, which holds keys, is written.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ..interfaces.hostnet import HostError
from ..interfaces.proxies import Proxy
from .balancers import namespace_of
from .namespaces import Namespaces, write_sysctl
from .process_signals import send
from .proxy_users import ProxyUser, fresh_user, is_fresh, is_own
from .secret_mount import mount_owned, unmount_secret

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_ENI = re.compile(r"eni-[0-9a-z-]{1,40}")
_MAIN = "haproxy.cfg"
_SOCKETS = "sockets"
_LOG_SOCKET = "log.socket"
_LOG_QUEUE = 4096
_LAST_WORDS = 600
_CHECK_S = 20  # all nodes of a host wait for one that reads
_LOG_MAX_BYTES = 1024 * 1024
# Buffers come and go with requests. At glibc's own bounds the heap would shrink and grow, and be cleared, as often.
_MEMORY = {"MALLOC_TOP_PAD_": str(1 << 20), "MALLOC_TRIM_THRESHOLD_": str(32 << 20)}
_ROUNDS_MAX = 300  # of looks for what runs as a node's user


class LinuxProxies:
    """Implements ProxyHost. `directory`: best in memory, as private keys are in it; of a path without blanks.

    `namespace`: how the namespace of an interface's node is called. `memory_max_mib`: of one node's process; at it
    clients wait or are refused, and nobody else of the machine feels it.
    """

    def __init__(
        self,
        directory: Path,
        namespaces: Namespaces,
        namespace: Callable[[str], str] = namespace_of,
        memory_max_mib: int = 1024,
    ) -> None:
        self._directory = directory
        self._namespaces = namespaces
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
        home, user = Path(self.directory(eni_id)), self._housed(eni_id)
        for name, text in content.items():
            path = home / name
            for folder in reversed(path.relative_to(home).parents[:-1]):
                self._folder(home / folder, 0o750, group=user.gid)
            self._file(path, text, user.gid)
        kept = {home / name for name in content} | {home / "log", home / _LOG_SOCKET}
        for place, folders, files in os.walk(home):
            if place == str(home):
                folders.remove(_SOCKETS)  # the proxy's: nobody walks through what it makes there
            for path in (Path(place, name) for name in files):
                if path not in kept:
                    path.unlink(missing_ok=True)

    def _housed(self, eni_id: str) -> ProxyUser:
        """Whom the node runs as, from now on: its directories are there."""
        home, user = Path(self.directory(eni_id)), self._user(eni_id)
        self._folder(home.parent, 0o711)
        self._folder(home, 0o750, group=user.gid)
        if _owner(str(home)) is None:
            self._folder(home / _SOCKETS, 0o700)
            mount_owned(home / _SOCKETS, user.uid, user.gid)
        return user

    def _user(self, eni_id: str) -> ProxyUser:
        """Who its sockets' directory says: it is as old as the node's files, and as its oldest process."""
        home = self.directory(eni_id)
        owner = _owner(home)
        if owner is not None:
            return owner
        others = {found.uid for other in self.nodes() if (found := _owner(self.directory(other))) is not None}
        return fresh_user(home, others, Path("/proc/self/uid_map").read_text())

    def _folder(self, path: Path, mode: int, *, group: int = 0) -> None:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        path.chmod(mode)
        if group:
            os.chown(path, 0, group)

    def _file(self, path: Path, text: str, group: int) -> None:
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        # As it is: a body's ends of lines are the user's.
        with os.fdopen(descriptor, "wb") as file:
            os.fchown(file.fileno(), 0, group)
            os.fchmod(file.fileno(), 0o640)
            file.write(text.encode(errors="replace"))
        fresh.replace(path)

    def log_socket(self, eni_id: str) -> socket.socket:
        user = self._housed(eni_id)
        path = Path(self.directory(eni_id)) / _LOG_SOCKET
        path.unlink(missing_ok=True)
        with self._namespaces.inside(self._namespace(eni_id)):
            # A socket has room for as many datagrams as its namespace said when it was made; ten are a host's own.
            write_sysctl("unix/max_dgram_qlen", str(_LOG_QUEUE))
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            made.bind(str(path))
            os.chown(path, 0, user.gid)
            path.chmod(0o620)
        except OSError:
            made.close()
            raise
        return made

    def faults(self, eni_id: str) -> str:
        try:
            ran = subprocess.run(
                [*self._unprivileged(eni_id), "-c", "-q", "-f", f"{self.directory(eni_id)}/{_MAIN}"],
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

    def _unprivileged(self, eni_id: str) -> list[str]:
        prlimit, setpriv, haproxy = (shutil.which(name, path=_PATH) for name in ("prlimit", "setpriv", "haproxy"))
        if haproxy is None:
            raise HostError("haproxy is missing; install it with: apt-get install haproxy")
        if setpriv is None or prlimit is None:
            raise HostError("setpriv or prlimit is missing; install them with: apt-get install util-linux")
        whose = self._user(eni_id)
        user, group = f"--reuid={whose.uid}", f"--regid={whose.gid}"
        nothing = ("--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")
        # Its log lies in memory with the keys of others. More processes its worker may not have by itself.
        bounds = ("--core=0:0", f"--fsize={2 * _LOG_MAX_BYTES}:{2 * _LOG_MAX_BYTES}")
        return [prlimit, *bounds, setpriv, user, group, *nothing, haproxy]

    def start(self, eni_id: str) -> Proxy:
        home = self.directory(eni_id)
        self._clear(eni_id)
        log = Path(home) / "log"
        fresh = "wb" if log.exists() and log.stat().st_size > _LOG_MAX_BYTES else "ab"
        bounded = [*self._unprivileged(eni_id), "-W", "-q", "-m", str(self._memory_max_mib)]
        command = [*bounded, "-S", f"{home}/sockets/master,mode,600", "-f", f"{home}/{_MAIN}"]
        with self._namespaces.inside(self._namespace(eni_id)), log.open(fresh) as output:
            # The kernel gives a silent target up (after 1 s and 2 s) before HAProxy does: HAProxy answers errors, but
            # after a time-out of its own it breaks off without a word on HTTP/2 and on a connection that is not fresh.
            write_sysctl("ipv4/tcp_syn_retries", "1")
            write_sysctl("ipv4/tcp_syn_linear_timeouts", "0")
            child = subprocess.Popen(
                command,
                env={"PATH": _PATH, **_MEMORY},
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
        send(proxy.pid, signal.SIGUSR2, lambda _pid: self.is_alive(proxy))

    def end(self, eni_id: str) -> None:
        self._clear(eni_id)
        home = self.directory(eni_id)
        unmount_secret(Path(home, _SOCKETS))
        try:
            shutil.rmtree(home, ignore_errors=True)
        except RecursionError:  # of an earlier release, whose proxies could make a tree of any depth
            raise HostError(f"{home} is nested too deeply to be removed") from None

    def _clear(self, eni_id: str) -> None:
        """One that was taken over may call itself anything, and make others meanwhile: its user is what it cannot
        change."""
        self._kill(self._marked(eni_id), self._marks(eni_id))
        owner = _owner(self.directory(eni_id))
        if owner is None or not is_own(owner.uid):
            return
        for _ in range(_ROUNDS_MAX):
            left = [int(name) for name in os.listdir("/proc") if name.isdecimal() and _runs_as(name, owner.uid)]
            if not left:
                return
            self._kill(left, lambda pid: _runs_as(str(pid), owner.uid))
        raise HostError(f"processes of {eni_id} do not end")

    def _kill(self, marked: list[int], is_meant: Callable[[int], bool]) -> None:
        for pid in marked:
            send(pid, signal.SIGKILL, is_meant)
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
        is_marked = self._marks(eni_id)
        return [int(name) for name in os.listdir("/proc") if name.isdecimal() and is_marked(int(name))]

    def _marks(self, eni_id: str) -> Callable[[int], bool]:
        """Of this node, masters and workers. Anybody may write any word: they must also be of the node's user."""
        owner = _owner(self.directory(eni_id))
        word = f"{self.directory(eni_id)}/{_MAIN}".encode()
        return lambda pid: _is_marked(str(pid), word, owner)


def _owner(home: str) -> ProxyUser | None:
    """None: not known yet. Root's is a directory that was being made when its maker was killed."""
    try:
        found = os.lstat(f"{home}/sockets")
    except FileNotFoundError:
        return None
    return ProxyUser(uid=found.st_uid, gid=found.st_gid) if found.st_uid else None


def _is_marked(pid: str, word: bytes, whose: ProxyUser | None) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if word not in words or not words[0].endswith(b"haproxy"):
            return False
        uid = os.stat(f"/proc/{pid}").st_uid
        here = os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:
        return False  # it ended while we looked
    # What cannot be looked into belongs to root for others' eyes.
    return here and (uid == 0 or is_fresh(uid) or (whose is not None and uid == whose.uid))


def _runs_as(pid: str, uid: int) -> bool:
    """Whether it is alive here, whatever it hides from others' eyes. Of a task's container any user may be."""
    try:
        told = Path(f"/proc/{pid}/status").read_text(errors="replace")
        is_its = f"\nUid:\t{uid}\t" in told and "\nState:\tZ" not in told and "\nState:\tX" not in told
        return is_its and os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:
        return False  # it ended while we looked


def _status(pid: int) -> tuple[int, int]:
    """(parent, when it began); zeros for a process that is gone, or only not collected yet."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0, 0
    return (0, 0) if fields[0] in b"ZX" else (int(fields[1]), int(fields[19]))
