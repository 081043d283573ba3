"""How parameters look in answers. Pure."""

from typing import Any

from ...call import Call
from ...parameters.names import PUBLIC, Reference
from ...parameters.records import Parameter, ParameterValue, Version, parameter_arn


def parameter_shown(call: Call, parameter: Parameter, found: ParameterValue, named: Reference | None) -> dict[str, Any]:
    version = found.version
    selector = None if named is None or named.selector is None else f":{named.selector}"
    return _without_none(
        {
            "Name": parameter.name,
            "Type": version.type,
            "Value": found.value,
            "Version": version.number,
            "Selector": selector,
            "LastModifiedDate": version.modified,
            "ARN": _arn(call, parameter),
            "DataType": version.data_type,
        }
    )


def metadata_shown(call: Call, parameter: Parameter) -> dict[str, Any]:
    return _without_none({"ARN": _arn(call, parameter), **_described(parameter, parameter.current)})


def history_shown(parameter: Parameter, found: ParameterValue) -> dict[str, Any]:
    number = found.version.number
    shown = {**_described(parameter, found.version), "Value": found.value, "Labels": parameter.labels_of(number)}
    return _without_none(shown)


def _described(parameter: Parameter, version: Version) -> dict[str, Any]:
    return {
        "Name": parameter.name,
        "Type": version.type,
        "KeyId": version.key_id,
        "LastModifiedDate": version.modified,
        "LastModifiedUser": version.user,
        "Description": version.description or None,
        "AllowedPattern": version.allowed_pattern,
        "Version": version.number,
        "Tier": version.tier,
        "Policies": [],
        "DataType": version.data_type,
    }


def _arn(call: Call, parameter: Parameter) -> str:
    return parameter_arn(call.region, "" if parameter.name.startswith(PUBLIC) else call.account, parameter.name)


def _without_none(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if value is not None}
