"""Which namespace or service a request means, by id or ARN, and whether its caller may do that with it.

What is not there is asked for, too, under the ARN that it would have: nobody learns without leave what there is.
"""

from ....model.arn import Arn
from ...authorize import Resource, Values, authorize, request_tags
from ...call import Call
from ...cloudmap.errors import InvalidInput, NamespaceNotFound, ServiceNotFound
from ...cloudmap.records import Namespace, Pairs, Service, namespace_arn, service_arn
from ...services import Services

_SERVICE = "servicediscovery"
_READING = ("Get", "List")


def namespace_meant(call: Call, services: Services, named: str) -> Namespace:
    """After leave for it. Raises AccessDenied, NamespaceNotFound, InvalidInput."""
    found, resource = namespace_named(call, services, named)
    authorize(call, f"{_SERVICE}:{call.operation}", [resource])
    if found is None:
        raise NamespaceNotFound
    return found


def namespace_named(call: Call, services: Services, named: str) -> tuple[Namespace | None, Resource]:
    """Raises InvalidInput."""
    account, name = _meant(call, services, named, "namespace")
    found = services.cloud_map.namespace(call.account, name) if account == call.account else None
    tags = {} if found is None else dict(found.tags)
    return found, Resource(arn=namespace_arn(services.region, account, name), tags=tags)


def service_meant(call: Call, services: Services, named: str) -> Service:
    """After leave for it. Raises AccessDenied, ServiceNotFound, InvalidInput."""
    account, name = _meant(call, services, named, "service")
    found = services.cloud_map.service(call.account, name) if account == call.account else None
    arn = service_arn(services.region, account, name)
    keys: dict[str, Values] = {}
    if "Instance" in call.operation:
        keys["servicediscovery:ServiceArn"] = arn
    if found is not None and not call.operation.startswith(_READING):
        keys["servicediscovery:ServiceCreatedByAccount"] = found.account
    resource = Resource(arn=arn, tags={} if found is None else dict(found.tags), keys=keys)
    authorize(call, f"{_SERVICE}:{call.operation}", [resource])
    if found is None:
        raise ServiceNotFound
    return found


def _meant(call: Call, services: Services, named: str, kind: str) -> tuple[str, str]:
    """(account, id)."""
    if not named.startswith("arn:"):
        return call.account, named
    arn = Arn.parse(named)
    name = "" if arn is None else arn.resource.removeprefix(f"{kind}/")
    if arn is None or arn.service != _SERVICE or arn.region != services.region or name == arn.resource:
        raise InvalidInput(f"{named} is not the ARN of a {kind} in this Region.")
    return arn.account, name


def ask_for_namespace(call: Call, tags: Pairs) -> None:
    """For one that is to be made."""
    given = request_tags(dict(tags)) if tags else {}
    authorize(call, f"{_SERVICE}:{call.operation}", ["*"], given)
    if tags:
        authorize(call, f"{_SERVICE}:TagResource", ["*"], given)


def ask_for_service(call: Call, namespace: Resource, arn: str, tags: Pairs) -> None:
    """For one that is to be made in a namespace, and will have this ARN."""
    given: dict[str, Values] = request_tags(dict(tags)) if tags else {}
    resources = [namespace, Resource(arn=arn)]
    authorize(call, f"{_SERVICE}:CreateService", resources, given | {"servicediscovery:NamespaceArn": namespace.arn})
    if tags:
        authorize(call, f"{_SERVICE}:TagResource", ["*"], given)


def found_by_name(record: Namespace | Service | None, name: str) -> Resource:
    """What its caller knows no id of, nor learns one by being refused."""
    if record is None:
        return Resource(arn="*", shown=name)
    return Resource(arn=record.arn, tags=dict(record.tags), shown=name)
