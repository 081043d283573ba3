"""Debian's docker-registry as a private instance: for the sample and for tests.

Owns: its configuration, password file and process. Invariant: it listens on loopback only, keeps everything below one
directory, and is ended by its own pid.
"""

import ctypes
import ctypes.util
import http.client
import json
import os
import socket
import subprocess
from contextlib import suppress

from msgspec import Struct

from ..world import OsWorld

_POLL_S = 0.02
_PORTS = (20_000, 32_768)  # net.ipv4.ip_local_port_range begins behind them
_POLLS_MAX = 500


class RegistryInstance(Struct, frozen=True, kw_only=True):
    """`users`: name and password pairs; none means that anybody may read and write. For a supervisor to start.

    `socket`: the path of a UNIX socket where it listens instead of at the port.
    `tokens`: realm (URL), service, issuer and certificate bundle (path) of a token server, instead of users.
    """

    directory: str
    port: int
    users: tuple[tuple[str, str], ...] = ()
    tokens: tuple[str, str, str, str] | None = None
    socket: str = ""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def write_config(self) -> str:
        """Make directory and configuration (repeatable); returns the configuration's path."""
        os.makedirs(os.path.join(self.directory, "storage"), exist_ok=True)
        storage = json.dumps(os.path.join(self.directory, "storage"))
        lines = [
            "version: 0.1",
            "log: {level: error, accesslog: {disabled: true}}",
            f"storage: {{filesystem: {{rootdirectory: {storage}}}, delete: {{enabled: true}}}}",
            f"http: {{addr: {json.dumps(self.address)}, secret: neargate}}"
            if not self.socket
            else f"http: {{net: unix, addr: {json.dumps(self.socket)}, relativeurls: true, secret: neargate}}",
        ]
        if self.users:
            passwords = os.path.join(self.directory, "htpasswd")
            with open(passwords, "w", encoding="utf-8") as file:
                file.writelines(f"{name}:{_bcrypt(password)}\n" for name, password in self.users)
            lines.append(f"auth: {{htpasswd: {{realm: neargate, path: {json.dumps(passwords)}}}}}")
        if self.tokens is not None:
            names = ("realm", "service", "issuer", "rootcertbundle")
            given = ", ".join(f"{name}: {json.dumps(value)}" for name, value in zip(names, self.tokens, strict=True))
            lines.append(f"auth: {{token: {{{given}}}}}")
        path = os.path.join(self.directory, "config.yml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        return path

    def command(self) -> list[str]:
        return ["docker-registry", "serve", os.path.join(self.directory, "config.yml")]

    def is_ready(self) -> bool:
        """It answers the API's version check (200, or 401 where it wants a password)."""
        connection = http.client.HTTPConnection(self.address, timeout=2)
        if self.socket:
            connection.sock = socket.socket(socket.AF_UNIX)
            if connection.sock.connect_ex(self.socket):
                connection.close()
                return False
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status in (200, 401)
        except OSError:
            return False
        finally:
            connection.close()


class RunningRegistry:
    """An instance with its process, for tests. `stop` ends exactly that process; so does the end of whoever made it.

    To be made in a thread that lives as long: a run of tests that is killed is to leave no registry behind.
    """

    def __init__(
        self,
        directory: str,
        *,
        users: tuple[tuple[str, str], ...] = (),
        tokens: tuple[str, str, str, str] | None = None,
        port: int = 0,
        socket: str = "",
    ) -> None:
        self.instance = RegistryInstance(
            directory=directory, port=port or free_port(), users=users, tokens=tokens, socket=socket
        )
        self.instance.write_config()
        self._process = self._spawn()

    @property
    def address(self) -> str:
        return self.instance.address

    def _spawn(self) -> "subprocess.Popen[bytes]":
        with open(os.path.join(self.instance.directory, "log"), "ab") as log:
            command = ["setpriv", "--pdeathsig=KILL", *self.instance.command()]
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        for _ in range(_POLLS_MAX):
            if self.instance.is_ready():
                return process
            try:
                status = process.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"docker-registry ended with {status}: see {self.instance.directory}/log")
        process.kill()
        raise RuntimeError("docker-registry does not answer")

    def restart(self) -> None:
        self._process = self._spawn()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def free_port() -> int:
    """Of those that Linux gives to no connection by itself: nobody has it by chance before the caller does."""
    random = OsWorld().random
    while True:
        port: int = random.randrange(*_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _bcrypt(password: str) -> str:
    """The one hash docker-registry takes, from the C library's crypt (Python's own module is gone in 3.13)."""
    library = ctypes.CDLL(ctypes.util.find_library("crypt") or "libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    hashed = library.crypt(password.encode(), b"$2b$05$neargateneargatenearga")
    if not isinstance(hashed, bytes) or not hashed.startswith(b"$2"):
        raise RuntimeError("the C library's crypt has no bcrypt")
    return hashed.decode()
