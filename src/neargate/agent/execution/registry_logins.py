"""What opens the registry of a task's image: its `repositoryCredentials`, or a token for the region's own registry.

Owns how each is asked for, by the task's execution role. Must not know registries. Invariants: a token is for the
account and the role that it was given to, kept for a while and no longer once the registry refused it; a secret is
asked for at each launch.
"""

import base64
import binascii
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from ...definitions.own_images import is_own_image
from ...definitions.secrets import SecretSource, parse_value_from
from ...model.concealed import Concealed
from ...model.knobs import Knobs
from ...model.launch import ContainerLaunch, TaskLaunch
from ...world import World
from ..task_context import LaunchFailed, Login
from . import texts
from .aws_api import AwsApi, CallFailed, Operation
from .secret_values import SecretValues

Reachable = Callable[[], Awaitable[None]]
GET_TOKEN = Operation(
    service="ecr",
    title="ECR",
    target="AmazonEC2ContainerRegistry_V20150921",
    name="GetAuthorizationToken",
    modelled=frozenset({"InvalidParameterException", "ServerException"}),
)


class _Authorization(Concealed, frozen=True, kw_only=True, rename="camel"):
    authorization_token: str  # base64 of user:password


class _Authorizations(Concealed, frozen=True, kw_only=True, rename="camel"):
    authorization_data: tuple[_Authorization, ...]


class _Kept(Concealed, frozen=True, kw_only=True):
    login: Login
    until: float


class RegistryLogins:
    """`reachable` is awaited before the network is needed: what is known already costs a launch nothing.

    `domain`: the operator's for the region's registry, besides `localhost`.
    """

    def __init__(self, world: World, knobs: Knobs, api: AwsApi, values: SecretValues, domain: str = "") -> None:
        self._domain = domain
        self._world = world
        self._knobs = knobs
        self._api = api
        self._values = values
        self._tokens: OrderedDict[tuple[str, str, str], _Kept] = OrderedDict()  # account, role, region

    async def login(self, task: TaskLaunch, container: ContainerLaunch, reachable: Reachable) -> Login | None:
        """None: the task has nothing of its own for this registry. Raises LaunchFailed in AWS's words."""
        if container.repository_credentials:
            await reachable()
            return await self._of_secret(task, container.repository_credentials)
        if is_own_image(container.image, task.region, self._domain):
            return await self._of_region(task, reachable)
        return None

    def refused(self, task: TaskLaunch) -> None:
        """What was kept for this task's role is not shown again."""
        self._tokens.pop(_key(task), None)

    async def _of_secret(self, task: TaskLaunch, reference: str) -> Login:
        source = parse_value_from(reference)
        if not isinstance(source, SecretSource):
            raise texts.retrieval_failed(texts.SECRET, f"{reference} is no ARN of a secret")
        text = (await self._values.secret(task, source)).text
        try:
            found = msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            found = {}
        username, password = found.get("username"), found.get("password")
        if not (isinstance(username, str) and isinstance(password, str) and username and password):
            raise texts.retrieval_failed(
                texts.SECRET, f"the secret {source.arn} does not hold the keys username and password"
            )
        return Login(username=username, password=password)

    async def _of_region(self, task: TaskLaunch, reachable: Reachable) -> Login:
        if task.execution_role_arn is None:
            raise LaunchFailed("Fargate requires task definition to have execution role ARN to support ECR images.")
        key = _key(task)
        kept = self._tokens.get(key)
        if kept is not None and kept.until > self._world.monotonic():
            return replace(kept.login, is_kept=True)
        await reachable()
        login = await self._ask(task)
        self._tokens[key] = _Kept(login=login, until=self._world.monotonic() + self._knobs.registry_token_keep_s)
        self._tokens.move_to_end(key)
        while len(self._tokens) > self._knobs.pull_authorisations_max:
            self._tokens.popitem(last=False)
        return login

    async def _ask(self, task: TaskLaunch) -> Login:
        attempts = self._knobs.execution_registry_attempts
        try:
            answer = await self._api.call(task, GET_TOKEN, {}, _Authorizations, attempts)
        except CallFailed as failure:
            raise texts.call_failed(texts.REGISTRY, failure) from None
        token = answer.authorization_data[0].authorization_token if answer.authorization_data else ""
        try:
            username, _, password = base64.b64decode(token, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            username = password = ""
        if not username or not password:
            raise texts.retrieval_failed(texts.REGISTRY, "the answer holds no token")
        return Login(username=username, password=password, is_regional=True)


def _key(task: TaskLaunch) -> tuple[str, str, str]:
    return task.account, task.execution_role_arn or "", task.region
