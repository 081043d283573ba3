"""CreateListener, DescribeListeners, ModifyListener, DeleteListener, and the security policies that they may have."""

from collections.abc import Mapping
from typing import Any

from ....model.tls_policies import TLS_POLICIES
from ...authorize import Values
from ...balancing import arns, listeners, lookup
from ...balancing.actions import given_actions
from ...balancing.checks import tags_given
from ...balancing.errors import InvalidConfigurationRequest, ListenerNotFound, ValidationError
from ...balancing.listener_errors import SslPolicyNotFound
from ...balancing.objects import Listener
from ...call import Answer, Call, Params
from ...certificates.records import Certificate
from ...services import Services
from .asking import ask_for, ask_to_describe, ask_to_make, limits_of, resource
from .listener_shapes import listener_shown, policy_shown
from .load_balancers import new_number
from .paging import page


async def create_listener(call: Call, services: Services, params: Params) -> Answer:
    balancer, tags = params["LoadBalancerArn"], tags_given(params.get("Tags") or [])
    asked = resource(call, services, balancer, arns.BALANCER)
    ask_to_make(call, [asked], arns.listener_arn(balancer, "*"), tags, _keys(params))
    wanted, number, most = wanted_listener(params), new_number(services), limits_of(call, services)
    async with services.certificates.in_use:
        made = await services.network.change(
            call.account,
            lambda shelf: listeners.create(
                shelf, balancer, wanted, known(call, services), tags, number, round(call.now, 3), most
            ),
        )
    return {"Listeners": [listener_shown(made)]}


async def modify_listener(call: Call, services: Services, params: Params) -> Answer:
    arn = ask_for(call, services, params["ListenerArn"], arns.LISTENER, _keys(params))
    wanted, most = wanted_listener(params, is_new=False), limits_of(call, services)
    async with services.certificates.in_use:
        after = await services.network.change(
            call.account, lambda shelf: listeners.modify(shelf, arn, wanted, known(call, services), most)
        )
    return {"Listeners": [listener_shown(after)]}


def _keys(params: Params) -> Mapping[str, Values]:
    given = {"ListenerProtocol": params.get("Protocol"), "SecurityPolicy": params.get("SslPolicy")}
    return {f"{arns.SERVICE}:{name}": value for name, value in given.items() if value}


def known(call: Call, services: Services) -> listeners.Known:
    """The account's certificates, as they are when a decision asks."""

    def find(arn: str) -> Certificate | None:
        return services.certificates.certificate(call.account, arn)

    return find


def wanted_listener(params: Params, *, is_new: bool = True) -> listeners.WantedListener:
    """Raises ValidationError and what actions raise, InvalidConfigurationRequest."""
    mutual: Mapping[str, Any] = params.get("MutualAuthentication") or {}
    if mutual.get("Mode", "off") != "off":
        raise InvalidConfigurationRequest("Neargate has no trust stores: the mode of mutual authentication is 'off'")
    actions, certificates, alpn = (params.get(name) for name in ("DefaultActions", "Certificates", "AlpnPolicy"))
    return listeners.WantedListener(
        port=params.get("Port"),
        protocol=params.get("Protocol"),
        actions=given_actions(actions or []) if is_new or actions else None,
        certificates=None if certificates is None else given_certificates(certificates),
        ssl_policy=params.get("SslPolicy") or None,
        alpn=None if alpn is None else tuple(alpn),
    )


def given_certificates(given: list[dict[str, Any]], *, is_list: bool = False) -> tuple[str, ...]:
    """Raises ValidationError."""
    for one in given:
        if not one.get("CertificateArn"):
            raise ValidationError("A certificate ARN must be specified")
        if is_list and one.get("IsDefault") is not None:
            raise ValidationError("You cannot specify 'IsDefault' for certificates of a listener's list")
    return tuple(one["CertificateArn"] for one in given)


async def describe_listeners(call: Call, services: Services, params: Params) -> Answer:
    ask_to_describe(call)
    chosen, more = page(call, params, _meant(call, services, params), lambda one: one.arn)
    return {"Listeners": [listener_shown(one) for one in chosen], **more}


def _meant(call: Call, services: Services, params: Params) -> list[Listener]:
    """In order of ARNs. Raises ValidationError, LoadBalancerNotFound, ListenerNotFound."""
    shelf = services.network.shelf(call.account)
    balancer, asked = params.get("LoadBalancerArn"), params.get("ListenerArns") or []
    if bool(balancer) == bool(asked):
        raise ValidationError("You must specify either listener ARNs or a load balancer ARN")
    if balancer:
        found = lookup.required_balancer(shelf, arns.checked(balancer, arns.BALANCER))
        listed = list(lookup.listeners_of(shelf, found.arn))
    else:
        wanted = dict.fromkeys(arns.checked(arn, arns.LISTENER) for arn in asked)
        listed = [one for one in (shelf.find(Listener, arn) for arn in wanted) if one is not None]
        if len(listed) != len(wanted):
            raise ListenerNotFound
    return sorted(listed, key=lambda one: one.arn)


async def delete_listener(call: Call, services: Services, params: Params) -> Answer:
    arn = ask_for(call, services, params["ListenerArn"], arns.LISTENER)
    await services.network.change(call.account, lambda shelf: listeners.delete(shelf, arn))
    return {}


async def describe_ssl_policies(call: Call, services: Services, params: Params) -> Answer:
    """In AWS's order. All of them are of both types of load balancers."""
    del services
    ask_to_describe(call)
    names = dict.fromkeys(params.get("Names") or TLS_POLICIES)
    for name in names:
        if name not in TLS_POLICIES:
            raise SslPolicyNotFound(name)
    wanted = [(place, TLS_POLICIES[name]) for place, name in enumerate(names)]
    chosen, more = page(call, params, wanted, lambda one: one[0], int)
    return {"SslPolicies": [policy_shown(one) for _, one in chosen], **more}
