"""DeleteParameter, DeleteParameters, LabelParameterVersion, UnlabelParameterVersion."""

from functools import partial

from ...call import Answer, Call, Params
from ...parameters import changes
from ...parameters.errors import ParameterNotFound
from ...services import Services
from .finding import ask


async def delete_parameter(call: Call, services: Services, params: Params) -> Answer:
    name = params["Name"]
    ask(call, services, [name])
    if not await services.parameters.change(call.account, partial(changes.delete, names=[name])):
        raise ParameterNotFound.of(name)
    return {}


async def delete_parameters(call: Call, services: Services, params: Params) -> Answer:
    names = list(dict.fromkeys(params["Names"]))
    ask(call, services, names)
    deleted = await services.parameters.change(call.account, partial(changes.delete, names=names))
    return {"DeletedParameters": deleted, "InvalidParameters": [name for name in names if name not in deleted]}


async def label_parameter_version(call: Call, services: Services, params: Params) -> Answer:
    name = params["Name"]
    ask(call, services, [name])
    decide = partial(changes.label, name=name, number=params.get("ParameterVersion"), labels=params["Labels"])
    found = await services.parameters.change(call.account, decide)
    return {"InvalidLabels": list(found.invalid), "ParameterVersion": found.number}


async def unlabel_parameter_version(call: Call, services: Services, params: Params) -> Answer:
    name = params["Name"]
    ask(call, services, [name])
    decide = partial(changes.unlabel, name=name, number=params["ParameterVersion"], labels=params["Labels"])
    found = await services.parameters.change(call.account, decide)
    return {"RemovedLabels": list(found.done), "InvalidLabels": list(found.invalid)}
