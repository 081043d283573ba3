"""GetParameter, GetParameters, GetParametersByPath, GetParameterHistory."""

from typing import Any

from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...parameters import filters
from ...parameters.errors import ParameterNotFound, ParameterVersionNotFound
from ...parameters.names import PUBLIC, Reference, check_path, reference
from ...parameters.records import Parameter, parameter_arn
from ...services import Services
from .finding import ask, is_own, number_of, references, required
from .paging import page, place_of
from .secret_references import PREFIX, referenced_secret
from .shapes import history_shown, parameter_shown
from .values import read

BY_PATH_MAX = 10
HISTORY_MAX = 50


async def get_parameter(call: Call, services: Services, params: Params) -> Answer:
    named = reference(params["Name"])
    ask(call, services, [named])
    return {"Parameter": await _get(call, services, params, named)}


async def get_parameters(call: Call, services: Services, params: Params) -> Answer:
    """Names that nothing has are listed; a key that the caller may not use refuses all."""
    asked = references(params["Names"])
    ask(call, services, asked)
    found: list[dict[str, Any]] = []
    invalid: list[str] = []
    for named in asked:
        try:
            found.append(await _get(call, services, params, named))
        except (ParameterNotFound, ParameterVersionNotFound):
            invalid.append(named.given)
    return {"Parameters": found, "InvalidParameters": invalid}


async def _get(call: Call, services: Services, params: Params, named: Reference) -> dict[str, Any]:
    if named.name.startswith(PREFIX) and is_own(call, named):
        return await referenced_secret(call, services, named, decrypted=bool(params.get("WithDecryption")))
    parameter = required(call, services, named)
    return await _shown(call, services, params, parameter, number_of(parameter, named), named)


async def _shown(
    call: Call, services: Services, params: Params, parameter: Parameter, number: int, named: Reference | None
) -> dict[str, Any]:
    """Raises ParameterNotFound when it was deleted meanwhile."""
    found = await read(call, services, parameter, number, number, decrypted=bool(params.get("WithDecryption")))
    if not found:
        raise ParameterNotFound.of(parameter.name if named is None else named.given)
    return parameter_shown(call, parameter, found[0], named)


async def get_parameters_by_path(call: Call, services: Services, params: Params) -> Answer:
    """Leave for a path is leave for all below it, as on AWS."""
    path, recursive = params["Path"], bool(params.get("Recursive"))
    is_public = path.startswith(PUBLIC)
    arn = parameter_arn(call.region, "" if is_public else call.account, path)
    authorize(call, "ssm:GetParametersByPath", [Resource(arn=arn)], {"ssm:Recursive": str(recursive).lower()})
    path = check_path(path)
    wanted = filters.by_path(params.get("ParameterFilters"))
    book = services.parameters.public.book if is_public else services.parameters.book(call.account)
    below = len(path) + 1
    chosen, more = page(
        call,
        book.below(path, place_of(call, params)),
        params.get("MaxResults") or BY_PATH_MAX,
        lambda one: one.key,
        lambda one: (recursive or "/" not in one.key[below:]) and wanted.let_through(one),
    )
    shown = []
    for one in chosen:
        number = wanted.labelled(one) or one.current.number
        try:
            shown.append(await _shown(call, services, params, one, number, None))
        except ParameterNotFound:
            continue  # deleted since the page was chosen
    return {"Parameters": shown, **more}


async def get_parameter_history(call: Call, services: Services, params: Params) -> Answer:
    named = reference(params["Name"])
    ask(call, services, [named])
    parameter = required(call, services, named)
    if named.selector is not None:
        raise ParameterNotFound.of(named.given)
    place = place_of(call, params)
    first = max(parameter.oldest, int(place) + 1 if place.isascii() and place.isdigit() else 0)
    last = min(parameter.current.number, first + (params.get("MaxResults") or HISTORY_MAX) - 1)
    decrypted = bool(params.get("WithDecryption"))
    found = await read(call, services, parameter, first, last, decrypted=decrypted)
    numbers = range(first, parameter.current.number + 1)
    _, more = page(call, numbers, max(1, last - first + 1), str, lambda _: True)
    return {"Parameters": [history_shown(parameter, one) for one in found], **more}
