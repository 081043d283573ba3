"""Many runs, each in a child process of its own that ends without running any `finally`.

A child per run: nothing of one seed reaches the next, memory is given back, and more than one processor is used. They
are children of a *forge*, which may do first what all of them would do: build what is built at the first use, or play
the part of a run that they share. Invariant: when nobody asks for more results, no process and no file is left.
"""

import os
import selectors
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import IO

import msgspec

from .run import SeedResult
from .scratch import remove_abandoned

Work = Callable[[], SeedResult]
First = Callable[[], object]
_LENGTH_BYTES = 4


def _nothing() -> None:
    """Nothing is shared."""


def forked(work: Work) -> SeedResult:
    """One run."""
    for _, result in _numbered([work], 1):
        return result
    raise AssertionError("one work has one result")


def in_order(works: Iterable[Work], first: First = _nothing, at_once: int = 2) -> list[SeedResult]:
    """All results, in the order of the works."""
    numbered = dict(_forged(works, first, at_once))
    return [numbered[number] for number in sorted(numbered)]


def in_children(works: Iterable[Work], first: First = _nothing, at_once: int = 2) -> Iterator[SeedResult]:
    """Results as they come. `first` is done once, in the process whose children do the works."""
    return (result for _, result in _forged(works, first, at_once))


def _forged(works: Iterable[Work], first: First, at_once: int) -> Iterator[tuple[int, SeedResult]]:
    read, write = os.pipe()
    forge = os.fork()
    if not forge:
        os.close(read)
        os.setpgid(0, 0)  # it ends with all its children
        _forge(write, works, first, at_once)
    os.close(write)
    try:
        with os.fdopen(read, "rb") as results:
            while frame := _frame(results):
                yield msgspec.msgpack.decode(frame, type=tuple[int, SeedResult])
            if frame is None:
                yield -1, _broken("the process whose children do the works has died")
    finally:
        _end(forge)
        remove_abandoned()


def _forge(write: int, works: Iterable[Work], first: First, at_once: int) -> None:
    """Does not return."""
    status = 1
    try:
        with os.fdopen(write, "wb") as pipe:
            try:
                first()
            except BaseException as error:
                _tell(pipe, 0, _broken(f"what comes first failed: {error!r}"))
                raise
            for number, result in _numbered(works, at_once):
                _tell(pipe, number, result)
            pipe.write(bytes(_LENGTH_BYTES))
        status = 0
    finally:
        os._exit(status)


def _tell(pipe: IO[bytes], number: int, result: SeedResult) -> None:
    frame = msgspec.msgpack.encode((number, result))
    pipe.write(len(frame).to_bytes(_LENGTH_BYTES) + frame)
    pipe.flush()


def _frame(results: IO[bytes]) -> bytes | None:
    """Empty at the end; None where it broke off."""
    length = results.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return None
    frame = results.read(int.from_bytes(length))
    return frame if len(frame) == int.from_bytes(length) else None


def _end(forge: int) -> None:
    try:
        os.killpg(forge, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        os.kill(forge, signal.SIGKILL)  # it has not made its group yet; not waited for, so it is there
    os.waitpid(forge, 0)


def _numbered(works: Iterable[Work], at_once: int) -> Iterator[tuple[int, SeedResult]]:
    """A child that dies is a result too."""
    waiting = enumerate(works)
    with selectors.DefaultSelector() as selector:
        children: dict[int, tuple[int, int]] = {}  # pipe -> number of the work, process id
        while True:
            while len(children) < at_once and (work := next(waiting, None)) is not None:
                pipe, child = _start(work[1])
                children[pipe] = (work[0], child)
                selector.register(pipe, selectors.EVENT_READ)
            if not children:
                return
            for key, _ in selector.select():
                pipe = key.fd
                selector.unregister(pipe)
                number, child = children.pop(pipe)
                yield number, _result(pipe, child)


def _start(work: Work) -> tuple[int, int]:
    """(pipe to read the result from, process id)."""
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(write)
        return read, child
    os.close(read)
    try:
        result = work()
    except BaseException as error:
        result = _broken(f"{error!r}")
    with os.fdopen(write, "wb") as pipe:
        pipe.write(msgspec.msgpack.encode(result))
    os._exit(0)


def _result(pipe: int, child: int) -> SeedResult:
    with os.fdopen(pipe, "rb") as source:
        data = source.read()
    _, status = os.waitpid(child, 0)
    if not data:
        return _broken(f"the child ended with status {status}")
    return msgspec.msgpack.decode(data, type=SeedResult)


def _broken(why: str) -> SeedResult:
    return SeedResult(seed="", error=f"simulator: {why}", digest=0, steps=0, faults=())
