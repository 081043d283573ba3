"""An account's registry as a whole: settings, scanning, replication. What is not built refuses."""

from typing import Any

import msgspec
from msgspec.structs import replace

from ....model.errors import InvalidParameter
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...images.asking import repository_arn
from ...images.errors import Validation
from ...services import Services
from .asking import ask_for, images_of

# What AWS lets an account choose, and what is so here for everybody.
_SETTINGS = {"BASIC_SCAN_TYPE_VERSION": "AWS_NATIVE", "REGISTRY_POLICY_SCOPE": "V2", "BLOB_MOUNTING": "ENABLED"}


async def describe_registry(call: Call, services: Services, params: Params) -> Answer:
    del services, params
    authorize(call, "ecr:DescribeRegistry", ["*"])
    return {"registryId": call.account, "replicationConfiguration": {"rules": []}}


async def put_replication_configuration(call: Call, services: Services, params: Params) -> Answer:
    del services
    authorize(call, "ecr:PutReplicationConfiguration", ["*"])
    if params["replicationConfiguration"]["rules"]:
        raise Validation("Replication is not supported: the regions of this installation know nothing of each other.")
    return {"replicationConfiguration": {"rules": []}}


async def get_registry_scanning_configuration(call: Call, services: Services, params: Params) -> Answer:
    del params
    authorize(call, "ecr:GetRegistryScanningConfiguration", ["*"])
    settings = images_of(services).registry.settings(call.account)
    return {
        "registryId": call.account,
        "scanningConfiguration": {
            "scanType": settings.scan_type,
            "rules": msgspec.json.decode(settings.scan_rules, type=list[dict[str, Any]]),
        },
    }


async def put_registry_scanning_configuration(call: Call, services: Services, params: Params) -> Answer:
    """Kept and shown; nothing is ever scanned."""
    authorize(call, "ecr:PutRegistryScanningConfiguration", ["*"])
    kind, rules = params.get("scanType") or "BASIC", params.get("rules") or []
    if kind != "BASIC":
        raise InvalidParameter("Enhanced scanning is not supported.")
    encoded = msgspec.json.encode(rules).decode()
    await images_of(services).registry.change_settings(
        call.account, lambda now: replace(now, scan_type=kind, scan_rules=encoded)
    )
    return {"registryScanningConfiguration": {"scanType": kind, "rules": rules}}


async def batch_get_repository_scanning_configuration(call: Call, services: Services, params: Params) -> Answer:
    images = images_of(services)
    found: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    for name in params["repositoryNames"]:
        ask_for(call, images, call.account, name)
    for name in params["repositoryNames"]:
        book = images.registry.find(call.account, name)
        if book is None:
            reason = f"The repository with name '{name}' does not exist in the registry with id '{call.account}'"
            failures.append({"repositoryName": name, "failureCode": "REPOSITORY_NOT_FOUND", "failureReason": reason})
            continue
        found.append(
            {
                "repositoryArn": repository_arn(call.region, call.account, name),
                "repositoryName": name,
                "scanOnPush": book.repository.scan_on_push,
                "scanFrequency": "SCAN_ON_PUSH" if book.repository.scan_on_push else "MANUAL",
                "appliedScanFilters": [],
            }
        )
    return {"scanningConfigurations": found, "failures": failures}


async def get_account_setting(call: Call, services: Services, params: Params) -> Answer:
    del services
    authorize(call, "ecr:GetAccountSetting", ["*"])
    return {"name": params["name"], "value": _setting(params["name"])}


async def put_account_setting(call: Call, services: Services, params: Params) -> Answer:
    del services
    authorize(call, "ecr:PutAccountSetting", ["*"])
    if params["value"] != _setting(params["name"]):
        raise Validation(f"The account setting {params['name']} is always {_setting(params['name'])} here.")
    return {"name": params["name"], "value": params["value"]}


def _setting(name: str) -> str:
    if name not in _SETTINGS:
        raise Validation(f"'{name}' is not a valid account setting name.")
    return _SETTINGS[name]
