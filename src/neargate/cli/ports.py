"""Who listens on a TCP port of this machine, in words that its user can act on.

Reads /proc as far as this user may; tells of addresses, too. Must not connect to anything.
"""

import os
import socket
from collections.abc import Container, Iterator
from pathlib import Path

from msgspec import Struct

from .paths import RegionPaths
from .problems import Problem

# 127.0.0.1, 0.0.0.0, ::
_LOCAL = ("0100007F", "00000000", "0" * 32)


class Holder(Struct, frozen=True, kw_only=True):
    """`words`: its command line."""

    pid: int
    name: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def check_port(port: int) -> None:
    """Refuse early when somebody else listens where the API is to, and say who."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise Problem(f"port {port} (the API) is taken{_by(holder(port))}, or choose another with --port") from None


def is_own_address(address: str) -> bool:
    """Whether this machine has the address: only then can something be bound to it."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def bind_tcp(option: str, given: str, address: str, port: int) -> socket.socket:
    """Bound, not yet listening. `option` and `given`: what the user wrote. Raises Problem."""
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        who = holder(port)
        raise Problem(f"{option} {given}: {error.strerror}{f' ({who} listens there)' if who else ''}") from None
    return listener


def _by(who: Holder | None) -> str:
    if who is None:
        return "; stop who listens there"
    other = region_of(who)
    if other is None:
        return f" by {who}; stop that"
    return f" by the neargate region under {other.data} ({who}); stop that with: neargate down{other.as_option}"


def region_of(who: Holder) -> RegionPaths | None:
    """The region whose server this is."""
    if who.words[1:4] == ("-P", "-m", "neargate") and "--data" in who.words[:-1]:
        return RegionPaths(Path(who.words[who.words.index("--data") + 1]))
    return None


def local_holder(port: int) -> Holder | None:
    """As `holder`, of one that keeps others from listening at 127.0.0.1."""
    return holder(port, at=_LOCAL)


def holder(port: int, at: Container[str] | None = None) -> Holder | None:
    """Of the listening socket, as far as this user may see. `at`: addresses, as the kernel writes them."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            address, _, number = fields[1].rpartition(":")
            if fields[3] == "0A" and int(number, 16) == port and (at is None or address in at):
                inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if inodes.intersection(_open_files(process)):
                return _holder(int(process.name))
        except OSError:
            continue  # it ended meanwhile, or belongs to somebody else
    return None


def _holder(pid: int) -> Holder:
    process = Path("/proc") / str(pid)
    words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    name = (process / "comm").read_bytes().decode(errors="replace").strip()
    shown = "".join(
        letter if letter.isprintable() else "?" for letter in name
    )  # it names itself, on somebody's terminal
    return Holder(pid=pid, name=shown, words=tuple(words))


def _open_files(process: Path) -> Iterator[str]:
    for handle in (process / "fd").iterdir():
        try:
            yield os.readlink(handle)
        except FileNotFoundError:
            continue  # closed while we looked: ours of this very listing is always one
