"""Which pools of public addresses this machine lets its region have, as its operator says: the agent's file, written.

Invariant: what the server wants is never written; only what was typed here is.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import msgspec

from ..hostnet.pool_consent import CONSENT_FILE, read_consent
from ..model.network import PublicPool
from ..uplink.consent import ALLOWED_MAX, refusal
from . import private_files
from .admin import NotThere, Silent, exchange
from .paths import RegionPaths
from .problems import Problem

ASK_S = 10.0


def put(paths: RegionPaths, pool: PublicPool, *, exactly: bool = False) -> bool:
    """Whether it was not allowed before. `exactly`: what was allowed of the same network beyond it no longer is.
    Raises Problem."""
    with _changing(paths):
        before = allowed(paths)
        others = [one for one in before if one.cidr != pool.cidr]
        if not refusal(pool, before) and not (exactly and len(others) < len(before) and pool not in before):
            return False
        if len(others) >= ALLOWED_MAX:
            raise Problem(f"a machine allows at most {ALLOWED_MAX} pools; forbid one first")
        _write(paths, (*others, pool))
        return True


def allowed(paths: RegionPaths) -> tuple[PublicPool, ...]:
    return read_consent(paths.agent / CONSENT_FILE)


def take_back(paths: RegionPaths, cidr: str) -> bool:
    """Whether it was allowed. Raises Problem."""
    with _changing(paths):
        before = allowed(paths)
        left = tuple(one for one in before if one.cidr != cidr)
        if left != before:
            _write(paths, left)
        return left != before


def put_back(paths: RegionPaths, cidr: str, before: Iterable[PublicPool]) -> None:
    """Of the network is allowed what was before, which may have been less. Raises Problem."""
    with _changing(paths):
        others = (one for one in allowed(paths) if one.cidr != cidr)
        _write(paths, (*others, *(one for one in before if one.cidr == cidr)))


def tell_agent(paths: RegionPaths) -> None:
    """One that starts later reads the file. Raises Problem with what stands in the way."""
    with suppress(NotThere, Silent):
        answer = exchange(paths.agent_socket, {"request": "pools-look"}, ASK_S)
        if "error" in answer:
            raise Problem(str(answer["error"]))


@contextmanager
def _changing(paths: RegionPaths) -> Iterator[None]:
    """One at a time. Raises Problem."""
    try:
        paths.agent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(paths.agent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        raise Problem("which pools this machine allows is root's to say; run as root") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(paths: RegionPaths, pools: tuple[PublicPool, ...]) -> None:
    try:
        private_files.write(paths.agent / CONSENT_FILE, msgspec.json.encode(pools) + b"\n")
    except OSError as error:
        raise Problem(f"{paths.agent / CONSENT_FILE} cannot be written: {error}") from None
