"""The process that writes databases for a server: no interpreter is shared with the loop that answers callers.

It owns the writing connections, a thread for each; it must not know a table, the loop or the network. Invariants: the
batches of a database are applied in the order in which they came, each once; and its process holds the lock of the
directory as long as it can write there, so that no next server opens what the last one may still commit.

SQLite gives the interpreter up in every statement. Beside a busy loop a thread has to win it back each time: a group of
RunTask calls took twice as long to write as its statements and its sync need, and cost the loop as much again.
"""

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from ..log import get_logger
from .connections import checkpoint_and_close, connect_writer, has_room, lengthen_log
from .writer import apply_writes
from .writing_messages import HEAD_BYTES, Open, batch_of, frame_of_lost, frame_of_outcomes

_log = get_logger(__name__)
STARTING_BATCHES = 8
_ORDER_MAX = 65_536  # bytes
_read_order = msgspec.msgpack.Decoder(Open).decode


def serve(control: socket.socket) -> None:
    """Write for whoever holds the other end, until that is closed. `control` keeps messages apart (SOCK_SEQPACKET)."""
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, _ORDER_MAX, 2)
        if not order:
            return
        stream, lock = descriptors
        threading.Thread(target=_write, args=(_read_order(order), stream, lock), daemon=True).start()


def _write(order: Open, stream: int, lock: int) -> None:
    """One database until its stream ends. What is wrong with the database is told once, and ends the server."""
    with socket.socket(fileno=stream) as link:
        try:
            _apply_batches(order, link)
        except ConnectionError:
            pass  # the server is gone: nobody is left to tell
        except Exception as error:
            with suppress(ConnectionError):
                link.sendall(frame_of_lost(error))
        finally:
            os.close(lock)


def _apply_batches(order: Open, link: socket.socket) -> None:
    path = Path(order.path)
    connection = connect_writer(
        path,
        rebuildable=order.rebuildable,
        checkpoint_pages=order.checkpoint_pages,
        lock_wait_s=order.lock_wait_s,
    )
    with link.makefile("rb") as frames:
        count = 0
        while (body := _next_frame(frames)) is not None:
            outcomes = apply_writes(connection, batch_of(body), lambda: has_room(path.parent, order.free_min_bytes))
            link.sendall(frame_of_outcomes(outcomes))
            count += 1
            # Not at once: a start has its own writes to wait for. A database that is not synced gains nothing.
            if count == STARTING_BATCHES and not order.rebuildable and has_room(path.parent, 2 * order.free_min_bytes):
                _lengthen(path)
    checkpoint_and_close(connection)


def _lengthen(path: Path) -> None:
    """What fails here has cost nobody anything: the outcome of every batch is known."""
    try:
        lengthen_log(path)
    except OSError as error:
        _log.warning("a write-ahead log keeps growing, so that commits take longer", database=path.name, why=str(error))


def _next_frame(frames: BinaryIO) -> bytes | None:
    """None at the end; half a frame is the end of a server that was killed while it spoke."""
    head = frames.read(HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        return None
    size = int.from_bytes(head, "big")
    body = frames.read(size)
    return body if len(body) == size else None
