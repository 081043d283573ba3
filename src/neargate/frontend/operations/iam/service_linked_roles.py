"""Service-linked roles. Deleting one takes effect at once, or fails while its service has something in the account.

No task of deletion is kept: its status is told from what is there.
"""

import re

from ....model.ids import uuid4
from ...call import Answer, Call, Params
from ...identity import roles as decisions
from ...identity.errors import InvalidInput, NoSuchEntity
from ...identity.records import Role, entity_arn
from ...identity.registry import Change
from ...identity.rules import required
from ...identity.service_linked import ECS, LINKED_SERVICES
from ...services import Services
from .asking import ask, ask_for, book_of
from .shapes import role_shown

_USERS_MAX = 100  # of a role in use, how many are told
_TASK = re.compile(r"task/aws-service-role/([a-z0-9.-]{1,128})/([\w+=,.@-]{1,64})/[0-9a-f-]{36}", re.ASCII)


async def create_service_linked_role(call: Call, services: Services, params: Params) -> Answer:
    service = params["AWSServiceName"]
    linked = LINKED_SERVICES.get(service)
    name = "*" if linked is None else linked.role
    arn = entity_arn(call.account, Role.kind, f"/aws-service-role/{service}/", name)
    ask(call, arn, keys={"iam:AWSServiceName": service})
    role = await services.identity.change(
        call.account,
        lambda book: decisions.create_linked_role(
            book,
            service,
            suffix=params.get("CustomSuffix"),
            description=params.get("Description"),
            now=int(call.now),
            bits=services.world.random.getrandbits,
        ),
    )
    return {"Role": role_shown(services.identity, role)}


async def delete_service_linked_role(call: Call, services: Services, params: Params) -> Answer:
    name, book = params["RoleName"], book_of(call, services)
    ask_for(call, book, Role, name)
    role = required(book, Role, name)
    if not role.is_service_linked:
        raise NoSuchEntity(f"The role with name {name} cannot be found.")
    if not await _users(call, services, name):
        await services.identity.change(
            call.account, lambda book: Change(result=None, drop=(required(book, Role, name),))
        )
    return {"DeletionTaskId": f"task{role.path}{name}/{uuid4(services.world.random.getrandbits)}"}


async def get_service_linked_role_deletion_status(call: Call, services: Services, params: Params) -> Answer:
    named = _TASK.fullmatch(params["DeletionTaskId"])
    service, name = ("*", "*") if named is None else (named[1], named[2])
    ask(call, entity_arn(call.account, Role.kind, f"/aws-service-role/{service}/", name))
    if named is None:
        raise InvalidInput("The specified value for deletionTaskId is invalid.")
    if book_of(call, services).find(Role, name) is None:
        return {"Status": "SUCCEEDED"}
    users = await _users(call, services, name)
    if not users:
        return {"Status": "FAILED"}
    usage = [{"Region": call.region, "Resources": users}]
    return {"Status": "FAILED", "Reason": {"Reason": "The role is in use.", "RoleUsageList": usage}}


async def _users(call: Call, services: Services, name: str) -> list[str]:
    """ARNs of what the role's service has in the account: of ECS its clusters. The other services have nothing here."""
    if name != LINKED_SERVICES[ECS].role:
        return []
    arns, _ = await services.cell_of(call.account, "").list_clusters(call.account, _USERS_MAX, None)
    return arns
