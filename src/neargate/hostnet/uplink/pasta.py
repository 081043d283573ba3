"""The process behind `--uplink user`: pasta of Debian's package `passt`, as the user nobody, and what its tap is in.

Owns its start, its end and how it is found again: by a word of its command line that names this instance, so a killed
agent leaves nothing that the next one does not find. Blocking; for the one thread of the uplink's lane. Invariant: at
most one lives; whichever is found is adopted whole or ended with all that it started.
"""

import os
import select
import shutil
import signal
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from ...uplink.texts import PASTA, pasta_command

_TUN = Path("/dev/net/tun")
_NOBODY = 65534
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_LAST_WORDS = 300
_ENDS_WITHIN_MS = 5000


class Pasta(Struct, frozen=True, kw_only=True):
    """`held`: the process inside, whose network namespace has the tap."""

    pid: int
    start_ticks: int
    held: int


def program() -> str | None:
    return shutil.which(PASTA, path=_PATH)


class PastaProcess:
    """`mark`: a path in this instance's run directory, which is the word and where a device node may be shown."""

    def __init__(self, mark: Path, log_file: Path) -> None:
        self._mark = mark
        self._log_file = log_file
        self._child: int | None = None  # started by this process and not collected yet
        self._size = 0

    def find(self) -> Pasta | None:
        """The one that runs and is ready to be used."""
        self._reap()
        for pid in self._marked():
            held = _children(pid)
            ticks = _start_ticks(pid)
            if len(held) == 1 and ticks is not None and _command(held[0])[:1] == ["sleep"]:
                return Pasta(pid=pid, start_ticks=ticks, held=held[0])
        return None

    def is_alive(self, pasta: Pasta) -> bool:
        self._reap()
        return _start_ticks(pasta.pid) == pasta.start_ticks

    @property
    def is_starting(self) -> bool:
        self._reap()
        return self._child is not None

    def start(self, binary: str) -> None:
        """Begin; it is ready when `find` finds it."""
        self.end()
        tun = None
        if not _open_to_all():
            self._mark.mkdir(mode=0o700, parents=True, exist_ok=True)
            tun = str(self._mark)
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as log:
            self._size = log.tell()
            started = subprocess.Popen(
                pasta_command(binary, str(self._mark), tun),
                env={"PATH": _PATH},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        self._child = started.pid
        started.returncode = 0  # it outlives this object on purpose; `_reap` collects it

    def end(self) -> None:
        """All of it, by SIGKILL: it has nothing to lose. Repeatable."""
        self._reap()
        own = [] if self._child is None else [self._child]
        for pid in {*self._marked(), *own}:
            for found in (*_children(pid), pid):
                _kill(found, _start_ticks(found))
        if self._child is not None:
            with suppress(ChildProcessError):
                os.waitpid(self._child, 0)
            self._child = None
        with suppress(OSError):
            self._mark.rmdir()

    def last_words(self) -> str:
        """What it said since it was started, in one line."""
        with suppress(OSError), self._log_file.open("rb") as log:
            log.seek(self._size)
            lines = log.read(64 * 1024).decode(errors="replace").splitlines()
            said = [line.strip() for line in lines if line.strip() and not line.startswith("Failed to send")]
            return " ".join(said)[-_LAST_WORDS:]
        return ""

    def _reap(self) -> None:
        if self._child is not None:
            try:
                ended = os.waitpid(self._child, os.WNOHANG)[0] != 0
            except ChildProcessError:
                ended = True
            self._child = None if ended else self._child

    def _marked(self) -> list[int]:
        """Of root's or nobody's, in this process namespace: anybody may write any word."""
        return [int(name) for name in os.listdir("/proc") if name.isdecimal() and self._is_marked(name)]

    def _is_marked(self, name: str) -> bool:
        try:
            words = _command(int(name))
            if str(self._mark) not in words or "--no-map-gw" not in words:
                return False  # also whoever looks at the directory
            owner = os.stat(f"/proc/{name}").st_uid
            here = os.readlink(f"/proc/{name}/ns/pid") == os.readlink("/proc/self/ns/pid")
        except OSError:
            return False  # it ended while we looked
        return here and owner in (0, _NOBODY)


def _open_to_all() -> bool:
    """As udev has it; where nothing of the kind runs, the device may be root's alone."""
    try:
        mode = _TUN.stat().st_mode
    except OSError:
        return True  # pasta says what is missing
    return bool(mode & stat.S_IROTH and mode & stat.S_IWOTH)


def _command(pid: int) -> list[str]:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return os.fsdecode(words).split("\0")[:-1]


def _children(pid: int) -> list[int]:
    """Of one process, whose threads are many or one."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):
            found += (int(child) for child in (thread / "children").read_text().split())
    return found


def _start_ticks(pid: int) -> int | None:
    """None for a process that is gone, or only not collected yet."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in b"ZX" else int(fields[19])


def _kill(pid: int, began: int | None) -> None:
    """And wait until it has ended, whoever's child it is: one that was adopted is no child of this process.

    `began`: as when it was found: its number may have become another's since.
    """
    try:
        ending = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if _start_ticks(pid) != began:
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(ending, signal.SIGKILL)
        ended = select.poll()
        ended.register(ending, select.POLLIN)
        ended.poll(_ENDS_WITHIN_MS)
    finally:
        os.close(ending)
