"""Operations on instances of a service, and on their health."""

from functools import partial

from ...call import Answer, Call, Params
from ...cloudmap import instances as decisions
from ...cloudmap.errors import InstanceNotFound
from ...cloudmap.records import Instance, Service, instance_name
from ...cloudmap.room import most_of
from ...services import Services
from .asking import service_meant
from .outcomes import begun
from .paging import page
from .shapes import health, instance_summary, whole_instance


async def register_instance(call: Call, services: Services, params: Params) -> Answer:
    service = service_meant(call, services, params["ServiceId"])
    instance_id: str = params["InstanceId"]
    new = Instance(
        account=call.account,
        name=instance_name(service.name, instance_id),
        service=service.name,
        id=instance_id,
        attributes=tuple(params["Attributes"].items()),
        request=params.get("CreatorRequestId") or "",
    )
    outcome = begun(
        call, services, "REGISTER_INSTANCE", params, _targets(service, instance_id), namespace=service.namespace
    )
    made = await services.cloud_map.change(
        call.account,
        partial(decisions.registered, new=new, outcome=outcome, most=most_of(services.cloud_map.quotas, call.account)),
    )
    return {"OperationId": made.id}


def _targets(service: Service, instance_id: str) -> tuple[tuple[str, str], ...]:
    return ("INSTANCE", instance_id), ("SERVICE", service.name)


async def deregister_instance(call: Call, services: Services, params: Params) -> Answer:
    service = service_meant(call, services, params["ServiceId"])
    instance_id: str = params["InstanceId"]
    outcome = begun(
        call, services, "DEREGISTER_INSTANCE", params, _targets(service, instance_id), namespace=service.namespace
    )
    made = await services.cloud_map.change(
        call.account,
        partial(decisions.deregistered, service_id=service.name, instance_id=instance_id, outcome=outcome),
    )
    return {"OperationId": made.id}


async def get_instance(call: Call, services: Services, params: Params) -> Answer:
    service = service_meant(call, services, params["ServiceId"])
    found = services.cloud_map.instance(service, params["InstanceId"])
    if found is None:
        raise InstanceNotFound
    return {"ResourceOwner": service.account, "Instance": whole_instance(found)}


async def list_instances(call: Call, services: Services, params: Params) -> Answer:
    service = service_meant(call, services, params["ServiceId"])
    chosen, more = page(call, params, services.cloud_map.instances(service), lambda one: one.id)
    return {"ResourceOwner": service.account, "Instances": [instance_summary(one) for one in chosen], **more}


async def get_instances_health_status(call: Call, services: Services, params: Params) -> Answer:
    service = service_meant(call, services, params["ServiceId"])
    named: list[str] | None = params.get("Instances")
    found = services.cloud_map.instances(service)
    if named is not None:
        found = [one for one in found if one.id in named]
        if len(found) != len(set(named)):
            raise InstanceNotFound
    chosen, more = page(call, params, found, lambda one: one.id)
    return {"Status": {one.id: health(service, one) for one in chosen}, **more}


async def update_instance_custom_health_status(call: Call, services: Services, params: Params) -> Answer:
    service = service_meant(call, services, params["ServiceId"])
    await services.cloud_map.change(
        call.account,
        partial(
            decisions.told_health,
            service_id=service.name,
            instance_id=params["InstanceId"],
            is_healthy=params["Status"] == "HEALTHY",
            at=call.now + services.cloud_map.knobs.cloud_map_health_settle_s,
        ),
    )
    return {}
