"""The region's endpoint as calls for tasks reach it: the same front end, over a network with losses.

Owns the agent's `Exchange`. Also the invariant of secrets: a container that starts has the value of its own family's
secret, in its environment and in a file, and one without has none; whatever is killed meanwhile. Must not know how an
agent looks them up.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from ...agent.execution.exchange import Exchange, Header, Reply, Unreachable
from ...interfaces.sandbox import ContainerConfig
from .region import Caller, Server, Unanswered
from .sim import Sim
from .world import SimWorld

VARIABLE, OF_FILE = "SIM_SECRET", "SIM_SECRET_OF_FILE"
SECRET_FILE, PLAIN_FILE = "/run/secrets/sim", "/etc/sim"
FAMILIES = ("web", "large")  # whose first container has a secret
Endpoints = Callable[[SimWorld], Exchange]


def parameter_of(family: str) -> str:
    return f"/sim/{family}"


def value_of(family: str) -> str:
    return f"the secret of {family}"


class Endpoint:
    """One of each agent's process."""

    def __init__(self, sim: Sim, server: Server, world: SimWorld) -> None:
        self.host = "169.254.170.10:4566"
        self._sim = sim
        self._caller = Caller(sim, server, world, stream=f"endpoint/{world.process.name}")

    async def post(self, task_id: str, headers: Sequence[Header], body: bytes) -> Reply:
        del task_id
        try:
            response = await self._caller.send(list(headers), body)
        except Unanswered:
            raise Unreachable("canceled, context deadline exceeded") from None
        self._sim.count(f"endpoint {response.status}")
        named = {name.decode(): value.decode() for name, value in response.headers}
        return Reply(status=response.status, request_id=named.get("x-amzn-requestid", ""), body=bytes(response.body))


def check_secret(sim: Sim, task_id: str, family: str, config: ContainerConfig) -> None:
    """A container was started."""
    environment = dict(config.environment)
    files = {mount.target: mount.source for mount in config.mounts if mount.is_data}
    own = value_of(family) if family in FAMILIES and config.name == "web" else None
    in_file = _text(files.get(SECRET_FILE))
    for found in (environment.get(VARIABLE), in_file):
        if found != own:
            sim.fail("foreign-secret" if found else "no-secret", f"{config.name} of {task_id} ({family}) has {found!r}")
    if OF_FILE in environment or _text(files.get(PLAIN_FILE)) != (None if own is None else family):
        sim.fail("files", f"{config.name} of {task_id} ({family}) has {sorted(environment)}, {sorted(files)}")
    if own is not None:
        sim.count("secrets-given")


def _text(path: str | None) -> str | None:
    return Path(path).read_text() if path is not None and Path(path).exists() else None
