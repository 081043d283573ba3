"""Roles that a service assumes: of tasks ECS, for one task at a time, if the role trusts ecs-tasks.amazonaws.com.

For one flow log at a time it is vpc-flow-logs.amazonaws.com; what is said of a task here is said of the flow log then.

Implements TaskRoles over the region's identities. Must not know hosts or links: whether a task may ask at all is the
cell's to say. Invariant: the role is looked up at each call; what was true of it a moment ago decides nothing.
"""

from ...iam.evaluate import decide
from ...iam.principals import caller_keys
from ...iam.request import Caller, Keys, Request
from ...iam.words import denial
from ...interfaces.roles import RoleCredentials
from ...model.arn import Arn
from ...model.errors import RoleNotAssumable
from ...world import World
from ..identity.records import RoleRecord
from ..identity.registry import IdentityRegistry
from ..session_claims import SessionClaims
from .principals import assumed_role_arn
from .sessions import Sessions

ECS_TASKS = "ecs-tasks.amazonaws.com"
FLOW_LOGS = "vpc-flow-logs.amazonaws.com"


class AssumedTaskRoles:
    def __init__(self, world: World, identity: IdentityRegistry, sessions: Sessions, service: str = ECS_TASKS) -> None:
        self._world = world
        self._identity = identity
        self._sessions = sessions
        self._service = service

    def credentials(self, account: str, role_arn: str, task_arn: str, lifetime_s: float) -> RoleCredentials:
        role = assumable_role(self._identity, account, role_arn, task_arn, self._service)
        issued_at = float(int(self._world.now()))
        sealed = self._sessions.seal(
            SessionClaims(
                kind="role",
                account=account,
                issuer_name=role.name,
                issuer_id=role.unique_id,
                session_name=_session_name(task_arn),
            ),
            lifetime_s,
        )
        self._identity.note_use(role.unique_id, service="ecs", region=_region(task_arn))
        return RoleCredentials(
            access_key_id=sealed.access_key_id,
            secret_access_key=sealed.secret_access_key,
            token=sealed.session_token,
            issued_at=issued_at,
            expires_at=sealed.expiration,
        )

    def refusal(self, account: str, role_arn: str, task_arn: str, action: str, resource: str) -> str | None:
        role = assumable_role(self._identity, account, role_arn, task_arn, self._service)
        name = _session_name(task_arn)
        caller = Caller(
            account=account,
            arn=assumed_role_arn(account, role.name, name),
            user_id=f"{role.unique_id}:{name}",
            role_arn=role.arn,
        )
        request = Request(action=action, resource=resource, keys=_keys(role, caller, _region(task_arn)))
        decision = decide(request, caller, self._identity.role_grants(account, role.name))
        return None if decision.allowed else denial(caller.arn, action, resource, decision)


def assumable_role(
    identity: IdentityRegistry, account: str, role_arn: str, source_arn: str, service: str = ECS_TASKS
) -> RoleRecord:
    """The role that the service assumes for a task. `source_arn`: the task's, or `.../*` before it has one.

    Raises RoleNotAssumable.
    """
    role = identity.role(account, role_arn.rpartition("/")[2])
    if role is None or role.arn != role_arn:
        raise RoleNotAssumable(role_arn)
    caller = Caller(account=account, arn=service, user_id=service, service=service)
    keys: Keys = {"aws:sourceaccount": (account,), "aws:sourcearn": (source_arn,)}
    request = Request(action="sts:AssumeRole", resource=role.arn, keys=keys)
    if not decide(request, caller, None, role.trust).allowed:
        raise RoleNotAssumable(role_arn)
    return role


def _keys(role: RoleRecord, caller: Caller, region: str) -> dict[str, tuple[str, ...]]:
    keys = {f"aws:principaltag/{key.lower()}": (value,) for key, value in role.tags}
    return {**keys, **caller_keys(caller), "aws:requestedregion": (region,)}


def _session_name(task_arn: str) -> str:
    return task_arn.rpartition("/")[2]


def _region(task_arn: str) -> str:
    arn = Arn.parse(task_arn)
    assert arn is not None, "the cell made this ARN"
    return arn.region
