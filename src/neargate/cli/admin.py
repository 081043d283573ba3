"""The operator's own channel to a running server: a UNIX socket that only root and the server's user can open.

One request and one answer per connection, JSON lines. It carries what AWS has no operation for: hosts, explanations,
and stopping every task of the region.
"""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from . import locks, patience
from .paths import RegionPaths
from .problems import NoServer, Problem

MAX_LINE = 4 * 1024 * 1024
ASK_S = 10.0
Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


async def serve(path: Path, handlers: dict[str, Handler]) -> asyncio.AbstractServer:
    """Listen with mode 0600. An unknown request and a failing handler answer {"error": text}."""
    # Here, and not for every command, which only asks.
    from ..log import get_logger
    from ..model.bugs import told
    from ..world import held

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = ""
        try:
            request = json.loads(await reader.readline())
            asked = str(request.get("request", ""))
            handler = handlers.get(asked)
            answer = await handler(request) if handler else {"error": "unknown request"}
        except Exception as error:  # whatever happens, the operator gets a sentence instead of a closed socket
            answer = {"error": str(error) or type(error).__name__}
            if not isinstance(error, Problem | json.JSONDecodeError):
                get_logger(__name__).error("operator_request_failed", request=asked, bug=told(error))
        if writer.is_closing():
            return  # the asker went away; there is nobody to tell
        writer.write(json.dumps(answer).encode() + b"\n")
        try:
            await writer.drain()
        except ConnectionError:
            pass  # as above
        writer.close()

    path.unlink(missing_ok=True)  # noqa: ASYNC240 (once, at the start: nothing else runs yet)
    server = await asyncio.start_unix_server(held(connection), str(path), limit=MAX_LINE)
    os.chmod(path, 0o600)
    return server


class NotThere(Exception):
    """Nobody listens at the socket."""


class Silent(Exception):
    """Somebody listens and does not answer: hung, stopped, or ended while it was asked."""


def ask(paths: RegionPaths, request: str, timeout_s: float = ASK_S, **arguments: object) -> dict[str, Any]:
    """Ask the running server. Problem when it does not run, does not answer or refuses."""
    try:
        answer = exchange(paths.admin_socket, {"request": request, **arguments}, timeout_s)
    except NotThere:
        if not paths.config.exists():
            raise Problem(f"no region under {paths.data}; start one with: neargate up{paths.as_option}") from None
        raise NoServer(f"the API of the region under {paths.data} does not run; {_way_back(paths)}") from None
    except Silent:
        raise NoServer(
            f"the API of the region under {paths.data} does not answer (its log: {paths.log_file('server')}); "
            f"end it with: neargate down{paths.as_option}"
        ) from None
    if "error" in answer:
        raise Problem(str(answer["error"]))
    return answer


def _way_back(paths: RegionPaths) -> str:
    """Where an `up` watches there is nothing to type: a second one would only be refused."""
    if locks.is_taken(paths.up_lock):
        return f"neargate up starts it again in a moment (its log: {paths.log_file('server')})"
    return f"start it with: neargate up{paths.as_option}"


def exchange(path: Path, request: dict[str, object], timeout_s: float) -> dict[str, Any]:
    """One request, one answer. Raises NotThere or Silent; Problem for a user who may not ask."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(patience.of(timeout_s))
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer = json.loads(lines.readline(MAX_LINE) or b"null")
        except PermissionError:
            raise Problem("this user may not ask the region; run as root") from None
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotThere from None
        except (OSError, ValueError):  # a time-out, a reset, half an answer
            raise Silent from None
    if not isinstance(answer, dict):
        raise Silent
    return answer
