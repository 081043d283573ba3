"""UpdateCluster, UpdateClusterSettings, and what may be said of a cluster when it is made or changed.

Owns the rules and words of settings and configuration; clusters are the cell's. Invariant: what a cluster cannot do yet
is refused when it is asked for.
"""

from collections.abc import Mapping
from typing import Any

from ....model.errors import InvalidParameter
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...services import Services
from .answers import single
from .asking import cluster_resources
from .names import cluster_name

INSIGHTS = "Neargate does not support containerInsights yet: its value must be disabled."
_LOG_TARGETS = ("cloudWatchLogGroupName", "s3BucketName")
# KMS's and CloudWatch Logs' own: sessions carry them to clients, to each call of their log and into our own.
_KEY_ID_MAX_CHARS, _GROUP_MAX_CHARS = 2048, 512


async def update_cluster(call: Call, services: Services, params: Params) -> Answer:
    return await _update(call, services, params, "ecs:UpdateCluster")


async def update_cluster_settings(call: Call, services: Services, params: Params) -> Answer:
    return await _update(call, services, params, "ecs:UpdateClusterSettings")


async def _update(call: Call, services: Services, params: Params, action: str) -> Answer:
    name = cluster_name(call, params["cluster"])
    authorize(call, action, await cluster_resources(call, services, [name]))
    changes = checked_changes(params)
    return single("cluster", await services.cell_of(call.account, name).change_cluster(call.account, name, changes))


def checked_changes(params: Mapping[str, Any]) -> dict[str, Any]:
    """The members that a cluster's document takes over, where they are given. Raises InvalidParameter."""
    if params.get("serviceConnectDefaults"):
        raise InvalidParameter("Neargate does not support serviceConnectDefaults of a cluster yet.")
    changes: dict[str, Any] = {}
    if params.get("settings"):
        changes["settings"] = [_setting(setting) for setting in params["settings"]]
    if params.get("configuration"):
        _check_configuration(params["configuration"])
        changes["configuration"] = params["configuration"]
    return changes


def _setting(setting: Mapping[str, Any]) -> dict[str, str]:
    if not setting.get("name"):
        raise InvalidParameter("Invalid setting 'name'")
    value = setting.get("value") or "disabled"
    if value not in ("disabled", "enabled", "enhanced"):
        raise InvalidParameter("Invalid setting 'value'")
    if value != "disabled":
        raise InvalidParameter(INSIGHTS)
    return {"name": setting["name"], "value": value}


def _check_configuration(configuration: Mapping[str, Any]) -> None:
    if configuration.get("managedStorageConfiguration"):
        raise InvalidParameter("Neargate does not support managedStorageConfiguration of a cluster yet.")
    execute = configuration.get("executeCommandConfiguration") or {}
    if len(execute.get("kmsKeyId") or "") > _KEY_ID_MAX_CHARS:
        raise InvalidParameter(f"The kmsKeyId can have at most {_KEY_ID_MAX_CHARS} characters.")
    logs = execute.get("logConfiguration")
    if len((logs or {}).get("cloudWatchLogGroupName") or "") > _GROUP_MAX_CHARS:
        raise InvalidParameter(f"The cloudWatchLogGroupName can have at most {_GROUP_MAX_CHARS} characters.")
    if logs and execute.get("logging") != "OVERRIDE":
        raise InvalidParameter("You must set logging to 'OVERRIDE' when you supply a log configuration")
    if execute.get("logging") == "OVERRIDE" and not any((logs or {}).get(target) for target in _LOG_TARGETS):
        raise InvalidParameter("You must supply a log configuration when you set logging to 'OVERRIDE'")
