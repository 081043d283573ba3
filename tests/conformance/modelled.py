"""Operations whose answers are held against botocore's model of their service, for clients whose answers are XML.

Owns the comparison. Invariant: no member that AWS's has not, none missing that it must have, each of the model's type.
"""

from collections.abc import Mapping
from typing import Any

import botocore.session

from neargate.frontend.call import Call, Params
from neargate.frontend.services import Operation, Services

_SESSION = botocore.session.Session()


def modelled(service: str, operations: Mapping[str, Operation], *, moments: type) -> dict[str, Operation]:
    """`moments`: as what its operations give times to the serializer."""
    model = _SESSION.get_service_model(service)
    kinds = {"string": str, "boolean": bool, "integer": int, "long": int, "timestamp": moments}

    def held(name: str, operation: Operation) -> Operation:
        output = model.operation_model(name).output_shape

        async def checked(call: Call, services: Services, params: Params) -> Any:
            answer = await operation(call, services, params)
            if output is None:
                assert answer == {}, f"{name} answers nothing"
            else:
                _check(answer, output, name, kinds)
            return answer

        return checked

    return {name: held(name, operation) for name, operation in operations.items()}


def _check(value: Any, shape: Any, where: str, kinds: Mapping[str, type]) -> None:
    if shape.type_name == "structure":
        unknown, missing = set(value) - set(shape.members), set(shape.required_members) - set(value)
        assert not unknown and not missing, f"{where}: unknown {sorted(unknown)}, missing {sorted(missing)}"
        for name, one in value.items():
            _check(one, shape.members[name], f"{where}.{name}", kinds)
    elif shape.type_name == "list":
        for one in value:
            _check(one, shape.member, where, kinds)
    elif shape.type_name == "map":
        for one in value.values():
            _check(one, shape.value, where, kinds)
    else:
        assert isinstance(value, kinds[shape.type_name]), f"{where}: {value!r} is no {shape.type_name}"
