"""Many runs, each in a child process of its own that ends without running any `finally`.

A child per run: nothing of one seed reaches the next, memory is given back, and more than one processor is used.
"""

import os
import selectors
from collections.abc import Callable, Iterable, Iterator

import msgspec

from .run import SeedResult

Work = Callable[[], SeedResult]


def forked(work: Work) -> SeedResult:
    """One run."""
    return next(in_children([work]))


def in_order(works: Iterable[Work], at_once: int = 2) -> list[SeedResult]:
    """All results, in the order of the works."""
    numbered = dict(_numbered(works, at_once))
    return [numbered[number] for number in sorted(numbered)]


def in_children(works: Iterable[Work], at_once: int = 2) -> Iterator[SeedResult]:
    """Results as they come."""
    return (result for _, result in _numbered(works, at_once))


def _numbered(works: Iterable[Work], at_once: int) -> Iterator[tuple[int, SeedResult]]:
    """A child that dies is a result too. Those that still run when nobody asks for more end by themselves."""
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
