"""How an operation of Parameter Store finds what a request names, and asks leave for it.

A parameter that does not exist is asked for under the ARN it would have, so that nobody learns of names without leave.
"""

from collections.abc import Mapping, Sequence

from ....model.arn import Arn
from ...authorize import Resource, Values, authorize
from ...call import Call
from ...parameters.errors import ParameterNotFound, ParameterVersionNotFound
from ...parameters.names import PUBLIC, Reference, check_known_form, reference
from ...parameters.records import Parameter, parameter_arn
from ...services import Services


def ask(
    call: Call, services: Services, names: Sequence[str | Reference], keys: Mapping[str, Values] | None = None
) -> None:
    """Raises AccessDenied for the first name that the caller has no leave for. The action is the operation's."""
    found = [one if isinstance(one, Reference) else Reference(given=one, name=one) for one in names]
    authorize(call, f"ssm:{call.operation}", [resource_of(call, services, one) for one in found], keys)


def resource_of(call: Call, services: Services, named: Reference) -> Resource:
    parameter = find(call, services, named)
    return Resource(arn=arn_of(call, named), tags={} if parameter is None else dict(parameter.tags))


def arn_of(call: Call, named: Reference) -> str:
    """Of what a request names, whether it is there or not. Public parameters belong to no account."""
    if named.account is not None:
        resource = f"parameter{named.name}"
        return str(Arn(service="ssm", region=named.region or "", account=named.account, resource=resource))
    return parameter_arn(call.region, "" if named.name.startswith(PUBLIC) else call.account, named.name)


def references(names: Sequence[str]) -> list[Reference]:
    """Each once, in order."""
    return [reference(name) for name in dict.fromkeys(names)]


def find(call: Call, services: Services, named: Reference) -> Parameter | None:
    """None also for what another account or region has."""
    if named.name.startswith(PUBLIC):
        is_here = named.region in (None, call.region) and named.account in (None, "")
        return services.parameters.public.book.find(named.name) if is_here else None
    return services.parameters.book(call.account).find(named.name) if is_own(call, named) else None


def is_own(call: Call, named: Reference) -> bool:
    """Whether it names something of the caller's account in this region."""
    return named.region in (None, call.region) and named.account in (None, call.account)


def required(call: Call, services: Services, named: Reference) -> Parameter:
    """Raises ParameterNotFound, InvalidRequest for what can be no name."""
    check_known_form(named.name)
    found = find(call, services, named)
    if found is None:
        raise ParameterNotFound.of(named.given)
    return found


def number_of(parameter: Parameter, named: Reference) -> int:
    """Which version a selector means; without one the current. Raises ParameterVersionNotFound, ParameterNotFound."""
    if named.selector is None:
        return parameter.current.number
    if ":" in named.selector:
        raise ParameterNotFound.of(named.given)
    if named.selector.isascii() and named.selector.isdigit():
        number = int(named.selector[:19])
        if parameter.oldest <= number <= parameter.current.number:
            return number
        raise ParameterVersionNotFound.of(named.name, named.selector)
    found = dict(parameter.labels).get(named.selector)
    if found is None:
        raise ParameterVersionNotFound.of(named.name, named.selector)
    return found
