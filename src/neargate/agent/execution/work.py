"""What is done with the execution roles of this host's tasks, put together for the hooks of a launch.

Owns nothing but the parts. Must not know hooks. Invariant: all of it ends with the task.
"""

from collections.abc import Callable

from ...link.messages import CredentialsIssued, CredentialsRefused
from ...model.knobs import Knobs
from ...model.launch import ContainerLaunch, TaskLaunch
from ...world import World
from ..task_context import Login, Secrets
from .aws_api import AwsApi
from .exchange import Exchange
from .registry_logins import Reachable, RegistryLogins
from .roles import ExecutionRoles
from .secret_values import SecretValues


class ExecutionWork:
    """Implements `task_context.Execution`."""

    def __init__(
        self, world: World, knobs: Knobs, exchange: Exchange, *, ask: Callable[[str], None], registry_domain: str = ""
    ) -> None:
        self._roles = ExecutionRoles(world, knobs, ask=ask)
        api = AwsApi(world, knobs, self._roles, exchange)
        self._values = SecretValues(knobs, api)
        self._logins = RegistryLogins(world, knobs, api, self._values, registry_domain)

    async def environment(self, task: TaskLaunch) -> Secrets:
        return await self._values.environment(task)

    async def log_options(self, task: TaskLaunch, container: ContainerLaunch) -> dict[str, str]:
        return await self._values.log_options(task, container)

    async def login(self, task: TaskLaunch, container: ContainerLaunch, reachable: Reachable) -> Login | None:
        return await self._logins.login(task, container, reachable)

    def refused(self, task: TaskLaunch) -> None:
        self._logins.refused(task)

    def connected(self) -> None:
        """A session with the server stands."""
        self._roles.connected()

    def answered(self, answer: CredentialsIssued | CredentialsRefused) -> None:
        """To an ask for an execution role."""
        self._roles.answered(answer)

    def forget(self, task_id: str) -> None:
        self._roles.forget(task_id)
