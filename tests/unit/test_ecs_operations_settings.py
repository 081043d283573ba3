"""Account settings: their values, whose they are, what holds; and changes of clusters."""

from typing import Any, cast

import pytest

from neargate.frontend.regional import account_settings
from neargate.frontend.regional.account_settings import KNOWN
from neargate.link.messages import decode_to_agent
from neargate.wire.shapes import Models

from .test_ecs_operations import ACCOUNT, ARN, Region, definition, story

ROOT = f"arn:aws:iam::{ACCOUNT}:root"
LONG = "You can no longer disable Long Arn settings."


def shown(name: str, value: str, principal: str = ROOT) -> dict[str, str]:
    return {"name": name, "value": value, "principalArn": principal, "type": "user"}


async def listed(region: Region, **params: Any) -> list[dict[str, str]]:
    answer = await region("ListAccountSettings", **params)
    found: list[dict[str, str]] = answer["settings"]
    return found


def test_every_setting_of_the_model_is_known() -> None:
    assert set(KNOWN) == set(Models().service("ecs").shape("SettingName").enum)


def test_what_is_set_is_listed_and_what_holds_is_effective() -> None:
    async def body(region: Region) -> None:
        assert await listed(region) == []
        put = await region("PutAccountSetting", name="fargateTaskRetirementWaitPeriod", value="14")
        assert put == {"setting": shown("fargateTaskRetirementWaitPeriod", "14")}
        await region("PutAccountSettingDefault", name="awsvpcTrunking", value="enabled")
        assert await listed(region) == [
            shown("awsvpcTrunking", "enabled"),
            shown("fargateTaskRetirementWaitPeriod", "14"),
        ]
        assert await listed(region, name="awsvpcTrunking") == [shown("awsvpcTrunking", "enabled")]
        assert await listed(region, value="14") == [shown("fargateTaskRetirementWaitPeriod", "14")]
        deleted = await region("DeleteAccountSetting", name="fargateTaskRetirementWaitPeriod")
        assert deleted == {"setting": shown("fargateTaskRetirementWaitPeriod", "7")}
        assert deleted == await region("DeleteAccountSetting", name="fargateTaskRetirementWaitPeriod")
        assert await listed(region) == [shown("awsvpcTrunking", "enabled")]

    story(body)


def test_effective_settings_come_in_pages_of_ten() -> None:
    async def body(region: Region) -> None:
        first = await region("ListAccountSettings", effectiveSettings=True)
        assert len(first["settings"]) == 10
        rest = await region("ListAccountSettings", effectiveSettings=True, nextToken=first["nextToken"])
        found = {item["name"]: item["value"] for item in first["settings"] + rest["settings"]}
        assert found == {name: known.default for name, known in KNOWN.items()}
        assert found["taskLongArnFormat"] == "enabled" and found["tagResourceAuthorization"] == "on"
        assert "nextToken" not in rest
        [managed] = [item for item in first["settings"] if item["name"] == "guardDutyActivate"]
        assert managed["type"] == "aws_managed"
        one = await region("ListAccountSettings", effectiveSettings=True, maxResults=1)
        assert len(one["settings"]) == 1
        refusal = await region.refused("ListAccountSettings", maxResults=11)
        assert refusal == ("InvalidParameterException", "maxResults should be between 1 and 10")
        assert await region.refused("ListAccountSettings", nextToken="x") == (
            "InvalidParameterException",
            "Invalid token.",
        )

    story(body)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("taskLongArnFormat", "disabled", LONG),
        ("serviceLongArnFormat", "disabled", LONG),
        ("containerInstanceLongArnFormat", "disabled", LONG),
        ("tagResourceAuthorization", "off", "You can no longer disable tagResourceAuthorization."),
        ("taskLongArnFormat", "ENABLED", "Invalid setting 'value'"),
        ("fargateTaskRetirementWaitPeriod", "1", "Invalid setting 'value'"),
        ("defaultLogDriverMode", "enabled", "Invalid setting 'value'"),
        ("guardDutyActivate", "on", "The setting guardDutyActivate is read-only: Amazon GuardDuty controls it."),
        (
            "containerInsights",
            "enhanced",
            "Neargate does not support containerInsights yet: its value must be disabled.",
        ),
        ("fargateFIPSMode", "enabled", "Neargate does not support fargateFIPSMode: its value must be disabled."),
    ],
)
def test_what_nobody_may_set_is_refused(name: str, value: str, message: str) -> None:
    async def body(region: Region) -> None:
        for operation in ("PutAccountSetting", "PutAccountSettingDefault"):
            refusal = await region.refused(operation, name=name, value=value)
            assert refusal == ("InvalidParameterException", message)
        assert await listed(region) == []

    story(body)


def test_a_principal_must_be_there() -> None:
    async def body(region: Region) -> None:
        role = f"arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole"
        given = {"name": "awsvpcTrunking", "value": "enabled"}
        made = await region("PutAccountSetting", principalArn=role, **given)
        assert made == {"setting": shown("awsvpcTrunking", "enabled", role)}
        assert await listed(region) == []
        assert await listed(region, principalArn=role) == [shown("awsvpcTrunking", "enabled", role)]
        assert await listed(region, effectiveSettings=True, principalArn=role, value="enabled", name="awsvpcTrunking")
        for ghost in (f"arn:aws:iam::{ACCOUNT}:user/ghost", "x", "arn:aws:iam::1:root", f"{ROOT}/x"):
            refusal = await region.refused("PutAccountSetting", principalArn=ghost, **given)
            assert refusal == ("InvalidParameterException", "Invalid setting 'principalArn'")

    story(body)


def test_settings_outlive_the_process() -> None:
    async def body(region: Region) -> None:
        await region("PutAccountSettingDefault", name="defaultLogDriverMode", value="blocking")
        shelves = region.services.account_settings._shelves
        assert shelves is not None
        store = shelves._store
        again = await account_settings.open_account_settings(region.services.world, store)
        assert again.effective(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/al", "defaultLogDriverMode").value == "blocking"
        assert again.effective("210987654321", ROOT, "defaultLogDriverMode").value == "non-blocking"

    story(body)


def test_the_log_mode_of_the_account_holds_for_what_names_none() -> None:
    async def body(region: Region) -> None:
        await region("CreateCluster")
        options = {"awslogs-group": "/g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}
        logged = [
            {"name": name, "image": "web:1", "logConfiguration": {"logDriver": "awslogs", "options": options | mode}}
            for name, mode in (("plain", {}), ("said", {"mode": "non-blocking"}))
        ]
        await region(
            "RegisterTaskDefinition",
            **definition(containerDefinitions=logged, executionRoleArn="ecsTaskExecutionRole"),
        )
        assert await log_modes(region) == {"plain": False, "said": False}
        await region("PutAccountSettingDefault", name="defaultLogDriverMode", value="blocking")
        assert await log_modes(region) == {"plain": True, "said": False}

    story(body)


async def log_modes(region: Region) -> dict[str, bool]:
    """Of the order for the task that is run now: whether each container's log is blocking."""
    await region("RunTask", **region.run())
    store = cast(Any, region.services.cells["cell-0"])._store
    [[message]] = await store.read("SELECT message FROM launches ORDER BY task DESC LIMIT 1")
    launch = cast(Any, decode_to_agent(message)).launch
    return {container.name: container.logs.blocking for container in launch.containers}


# -- changes of clusters

EXECUTE = {
    "executeCommandConfiguration": {
        "logging": "OVERRIDE",
        "logConfiguration": {"cloudWatchLogGroupName": "exec"},
    }
}


def test_a_cluster_is_updated_and_shows_it() -> None:
    async def body(region: Region) -> None:
        made = await region("CreateCluster", clusterName="blue", tags=[{"key": "a", "value": "b"}])
        assert "configuration" not in made["cluster"]
        answer = await region("UpdateCluster", cluster="blue", configuration=EXECUTE)
        assert answer["cluster"]["configuration"] == EXECUTE
        assert answer["cluster"]["tags"] == [{"key": "a", "value": "b"}]
        settings = [{"name": "containerInsights", "value": "disabled"}]
        answer = await region("UpdateClusterSettings", cluster=f"{ARN}:cluster/blue", settings=settings)
        assert answer["cluster"]["settings"] == settings and answer["cluster"]["configuration"] == EXECUTE
        [shown] = (await region("DescribeClusters", clusters=["blue"], include=["CONFIGURATIONS"]))["clusters"]
        assert shown["configuration"] == EXECUTE and shown["settings"] == []
        [bare] = (await region("DescribeClusters", clusters=["blue"]))["clusters"]
        assert "configuration" not in bare
        [whole] = (await region("DescribeClusters", clusters=["blue"], include=["SETTINGS", "STATISTICS"]))["clusters"]
        assert (
            whole["settings"] == settings and {"name": "runningFargateTasksCount", "value": "0"} in whole["statistics"]
        )
        made = await region("CreateCluster", clusterName="green", configuration=EXECUTE)
        assert made["cluster"]["configuration"] == EXECUTE

    story(body)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"configuration": {"executeCommandConfiguration": {"logConfiguration": {"s3BucketName": "b"}}}},
            "You must set logging to 'OVERRIDE' when you supply a log configuration",
        ),
        (
            {"configuration": {"executeCommandConfiguration": {"logging": "OVERRIDE"}}},
            "You must supply a log configuration when you set logging to 'OVERRIDE'",
        ),
        (
            {"configuration": {"executeCommandConfiguration": {"kmsKeyId": "k" * 2049}}},
            "The kmsKeyId can have at most 2048 characters.",
        ),
        (
            {
                "configuration": {
                    "executeCommandConfiguration": {
                        "logging": "OVERRIDE",
                        "logConfiguration": {"cloudWatchLogGroupName": "g" * 513},
                    }
                }
            },
            "The cloudWatchLogGroupName can have at most 512 characters.",
        ),
        (
            {"configuration": {"managedStorageConfiguration": {"kmsKeyId": "k"}}},
            "Neargate does not support managedStorageConfiguration of a cluster yet.",
        ),
        (
            {"serviceConnectDefaults": {"namespace": "ns"}},
            "Neargate does not support serviceConnectDefaults of a cluster yet.",
        ),
        (
            {"settings": [{"name": "containerInsights", "value": "enabled"}]},
            "Neargate does not support containerInsights yet: its value must be disabled.",
        ),
        ({"settings": [{"name": "containerInsights", "value": "v"}]}, "Invalid setting 'value'"),
        ({"settings": [{"value": "disabled"}]}, "Invalid setting 'name'"),
    ],
)
def test_what_a_cluster_cannot_do_is_refused(changes: dict[str, Any], message: str) -> None:
    async def body(region: Region) -> None:
        await region("CreateCluster")
        before = await region("DescribeClusters", include=["SETTINGS", "CONFIGURATIONS"])
        wanted = ("InvalidParameterException", message)
        assert await region.refused("UpdateCluster", cluster="default", **changes) == wanted
        assert await region.refused("CreateCluster", clusterName="x", **changes) == wanted
        assert await region("DescribeClusters", include=["SETTINGS", "CONFIGURATIONS"]) == before

    story(body)


def test_what_is_gone_is_not_updated() -> None:
    async def body(region: Region) -> None:
        refusal = await region.refused("UpdateCluster", cluster="ghost")
        assert refusal == ("ClusterNotFoundException", "Cluster not found.")
        await region("CreateCluster", clusterName="gone")
        await region("DeleteCluster", cluster="gone")
        refusal = await region.refused("UpdateClusterSettings", cluster="gone", settings=[])
        assert refusal == ("ClientException", "The referenced cluster was inactive.")

    story(body)
