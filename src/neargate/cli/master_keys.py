"""Where the server's master keys come from: the region's file, or a command of the operator. Their form: envelope.py.

The command runs as the server's own unprivileged user, without a shell, with bounded time and output. What it printed
is never shown: not its output, which holds keys, and its complaints only in its own words on standard error.
"""

import os
import selectors
import shlex
import signal
import subprocess
import time

from ..frontend.envelope import MASTER_KEYS_MAX_BYTES, MasterKeysUnreadable, parse_master_keys
from .config import RegionConfig
from .paths import RegionPaths
from .problems import Problem

COMMAND_TIMEOUT_S = 30.0


def load(paths: RegionPaths, config: RegionConfig) -> tuple[bytes, ...]:
    """The newest last. Raises Problem."""
    source = "--master-key-command" if config.master_key_command else str(paths.master_keys)
    try:
        if config.master_key_command:
            return parse_master_keys(_printed(shlex.split(config.master_key_command), COMMAND_TIMEOUT_S))
        return parse_master_keys(paths.master_keys.read_bytes())
    except MasterKeysUnreadable as error:
        raise Problem(f"{source}: {error}") from None
    except OSError as error:
        raise Problem(
            f"{source}: {error.strerror}; without its master keys a region cannot open its secrets: restore them"
        ) from None


def _printed(command: list[str], timeout_s: float) -> bytes:
    """Standard output of a command that succeeded. One that takes too long ends with its children."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True, bufsize=0
    ) as child:
        try:
            text = _read(child, time.monotonic() + timeout_s)
            status = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Problem(f"--master-key-command did not end within {timeout_s:g} s") from None
        finally:
            _end(child)
    if status != 0:
        raise Problem(f"--master-key-command failed with status {status}")
    return text


def _read(child: "subprocess.Popen[bytes]", until: float) -> bytes:
    assert child.stdout is not None
    text = b""
    with selectors.DefaultSelector() as ready:
        ready.register(child.stdout, selectors.EVENT_READ)
        while len(text) <= MASTER_KEYS_MAX_BYTES:
            if not ready.select(max(0.0, until - time.monotonic())):
                raise subprocess.TimeoutExpired(child.args, 0)
            piece = child.stdout.read(MASTER_KEYS_MAX_BYTES)
            if not piece:
                return text
            text += piece
    raise MasterKeysUnreadable(f"more than {MASTER_KEYS_MAX_BYTES} bytes of master keys")


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
