"""The region's endpoint as calls for tasks reach it: the same front end, over a network with losses.

Owns the agent's `Exchange`. Also the invariant of secrets: a container that starts has the value of its own family's
secret, and one without has none; whatever is killed meanwhile. Must not know how an agent looks them up.
"""

from collections.abc import Callable, Mapping, Sequence

from ...agent.execution.exchange import Exchange, Header, Reply, Unreachable
from .region import Caller, Server, Unanswered
from .sim import Sim
from .world import SimWorld

VARIABLE = "SIM_SECRET"
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


def check_secret(sim: Sim, task_id: str, family: str, container: str, environment: Mapping[str, str]) -> None:
    """A container was started."""
    own = value_of(family) if family in FAMILIES and container == "web" else None
    found = environment.get(VARIABLE)
    if found != own:
        sim.fail("foreign-secret" if found else "no-secret", f"{container} of {task_id} ({family}) has {found!r}")
    elif own is not None:
        sim.count("secrets-given")
