"""Certificates of a listener's list, and its attributes."""

from ...balancing import arns, listener_attributes, listeners, lookup
from ...balancing.errors import ValidationError
from ...balancing.objects import Listener
from ...call import Answer, Call, Params
from ...services import Services
from .asking import ask_for, ask_to_describe, limits_of
from .listener_shapes import certificates_shown
from .listeners import given_certificates, known
from .load_balancers import pairs
from .paging import page
from .shapes import attributes_shown


async def add_listener_certificates(call: Call, services: Services, params: Params) -> Answer:
    arn = ask_for(call, services, params["ListenerArn"], arns.LISTENER)
    given, most = given_certificates(params["Certificates"], is_list=True), limits_of(call, services)
    async with services.certificates.in_use:
        await services.network.change(
            call.account, lambda shelf: listeners.add_certificates(shelf, arn, given, known(call, services), most)
        )
    return {"Certificates": [{"CertificateArn": one, "IsDefault": False} for one in dict.fromkeys(given)]}


async def remove_listener_certificates(call: Call, services: Services, params: Params) -> Answer:
    arn = ask_for(call, services, params["ListenerArn"], arns.LISTENER)
    given = given_certificates(params["Certificates"], is_list=True)
    await services.network.change(call.account, lambda shelf: listeners.remove_certificates(shelf, arn, given))
    return {}


async def describe_listener_certificates(call: Call, services: Services, params: Params) -> Answer:
    ask_to_describe(call)
    found = _required(call, services, params["ListenerArn"])
    chosen, more = page(call, params, list(enumerate(certificates_shown(found))), lambda one: one[0], int)
    return {"Certificates": [shown for _, shown in chosen], **more}


async def describe_listener_attributes(call: Call, services: Services, params: Params) -> Answer:
    ask_to_describe(call)
    found = _required(call, services, params["ListenerArn"])
    return {"Attributes": attributes_shown(listener_attributes.of_listener(found))}


async def modify_listener_attributes(call: Call, services: Services, params: Params) -> Answer:
    arn = ask_for(call, services, params["ListenerArn"], arns.LISTENER)
    given = pairs(params)
    if not given:
        raise ValidationError("At least one listener attribute must be specified")
    after = await services.network.change(call.account, lambda shelf: listener_attributes.modify(shelf, arn, given))
    return {"Attributes": attributes_shown(listener_attributes.of_listener(after))}


def _required(call: Call, services: Services, arn: str) -> Listener:
    return lookup.required_listener(services.network.shelf(call.account), arns.checked(arn, arns.LISTENER))
