"""Tags of ECS resources: what may be one, what has them, and that none is lost. Over the parts of a whole region."""

import asyncio
from typing import Any

import pytest

from neargate.definitions.tags import merged_tags, without_tags
from neargate.model.errors import InvalidParameter

from .test_ecs_operations import ACCOUNT, ARN, OTHER_ACCOUNT, REGION, TASK_ID, Region, definition, story

TEAM = {"key": "team", "value": "a"}
STAGE = {"key": "stage", "value": "test"}


async def running(region: Region, **changes: Any) -> str:
    answer = await region("RunTask", **region.run(**changes))
    arn: str = answer["tasks"][0]["taskArn"]
    return arn


async def tags_of(region: Region, arn: str) -> list[dict[str, str]]:
    tags: list[dict[str, str]] = (await region("ListTagsForResource", resourceArn=arn))["tags"]
    return tags


def test_each_kind_is_tagged_untagged_and_shows_it() -> None:
    async def body(region: Region) -> None:
        await region.ready()
        task = await running(region)
        for arn in (f"{ARN}:cluster/default", f"{ARN}:task-definition/web:1", task):
            assert await tags_of(region, arn) == []
            assert await region("TagResource", resourceArn=arn, tags=[TEAM, STAGE]) == {}
            await region("TagResource", resourceArn=arn, tags=[{"key": "team", "value": "b"}])
            assert await tags_of(region, arn) == [{"key": "team", "value": "b"}, STAGE]
            assert await region("UntagResource", resourceArn=arn, tagKeys=["team", "never"]) == {}
            assert await tags_of(region, arn) == [STAGE]
        described = await region("DescribeClusters", include=["TAGS"])
        assert described["clusters"][0]["tags"] == [STAGE]
        described = await region("DescribeTasks", tasks=[task], include=["TAGS"])
        assert described["tasks"][0]["tags"] == [STAGE] and described["tasks"][0]["version"] == 1
        assert (await region("DescribeTasks", tasks=[task]))["tasks"][0]["tags"] == []
        shown = await region("DescribeTaskDefinition", taskDefinition="web", include=["TAGS"])
        assert shown["tags"] == [STAGE]
        assert "tags" not in await region("DescribeTaskDefinition", taskDefinition="web")

    story(body)


def test_tags_survive_what_changes_their_resource() -> None:
    async def body(region: Region) -> None:
        await region.ready()
        await region("TagResource", resourceArn=f"{ARN}:task-definition/web:1", tags=[TEAM])
        await region("DeregisterTaskDefinition", taskDefinition="web:1")
        assert await tags_of(region, f"{ARN}:task-definition/web:1") == [TEAM]
        await region.services.task_definitions.load()
        assert await tags_of(region, f"{ARN}:task-definition/web:1") == [TEAM]

    story(body)


def test_tags_go_with_a_deleted_cluster() -> None:
    async def body(region: Region) -> None:
        await region("CreateCluster", tags=[TEAM])
        await region("DeleteCluster", cluster="default")
        described = await region("DescribeClusters", include=["TAGS"])
        assert described["clusters"][0]["status"] == "INACTIVE" and described["clusters"][0]["tags"] == []
        assert (await region("CreateCluster", tags=[STAGE]))["cluster"]["tags"] == [STAGE]

    story(body)


def test_taggings_side_by_side_are_all_kept() -> None:
    async def body(region: Region) -> None:
        await region.ready()
        task = await running(region)
        for arn in (f"{ARN}:cluster/default", f"{ARN}:task-definition/web:1", task):
            given = [{"key": f"k{number}", "value": "v"} for number in range(6)]
            await asyncio.gather(*(region("TagResource", resourceArn=arn, tags=[tag]) for tag in given))
            assert sorted(tag["key"] for tag in await tags_of(region, arn)) == [tag["key"] for tag in given]

    story(body)


NO_TASK = f"{ARN}:task/default/{TASK_ID}"
REFUSED = [
    ("cluster", ("InvalidParameterException", "Resource Identifier is invalid")),
    (f"arn:aws:s3:::{ACCOUNT}", ("InvalidParameterException", "Resource Identifier is invalid")),
    (f"arn:aws:ecs:{REGION}:{OTHER_ACCOUNT}:cluster/a", ("InvalidParameterException", "AccountIDs mismatch")),
    (
        f"arn:aws:ecs:eu-west-1:{ACCOUNT}:cluster/a",
        ("InvalidParameterException", f"Identifier is for region eu-west-1. Your region is {REGION}"),
    ),
    (f"{ARN}:potato/a", ("InvalidParameterException", "Unsupported resource type: potato")),
    (f"{ARN}:cluster/ghost", ("ClusterNotFoundException", "Cluster not found.")),
    (f"{ARN}:task/ghost/{TASK_ID}", ("ClusterNotFoundException", "Cluster not found.")),
    (
        f"{ARN}:cluster/gone",
        (
            "InvalidParameterException",
            "The specified cluster is inactive. Specify an active cluster and try again.",
        ),
    ),
    (
        NO_TASK,
        ("InvalidParameterException", "The specified task does not exist. Specify a valid task and try again."),
    ),
    (f"{ARN}:task-definition/web", ("ClientException", "Revision is missing.")),
    (f"{ARN}:task-definition/web:7", ("ClientException", "Unable to describe task definition.")),
    (
        f"{ARN}:service/default/web",
        (
            "InvalidParameterException",
            "The specified service does not exist. Specify a valid service and try again.",
        ),
    ),
    *(
        (f"{ARN}:{short}", ("InvalidParameterException", "Long arn format must be used for tagging operations"))
        for short in (f"task/{TASK_ID}", "service/web", f"container-instance/{TASK_ID}")
    ),
]


@pytest.mark.parametrize(("arn", "refusal"), REFUSED)
def test_what_has_no_tags_is_refused(arn: str, refusal: tuple[str, str]) -> None:
    async def body(region: Region) -> None:
        await region.ready()
        await region("CreateCluster", clusterName="gone")
        await region("DeleteCluster", cluster="gone")
        assert await region.refused("ListTagsForResource", resourceArn=arn) == refusal
        assert await region.refused("TagResource", resourceArn=arn, tags=[TEAM]) == refusal
        assert await region.refused("UntagResource", resourceArn=arn, tagKeys=["team"]) == refusal

    story(body)


def test_tags_of_a_run_come_from_the_request_the_definition_and_ecs() -> None:
    async def body(region: Region) -> None:
        await region("CreateCluster")
        await region("RegisterTaskDefinition", **definition(tags=[TEAM, STAGE]))
        managed = {"key": "aws:ecs:clusterName", "value": "default"}
        assert await tags_of(region, await running(region)) == []
        assert await tags_of(region, await running(region, propagateTags="NONE", tags=[TEAM])) == [TEAM]
        task = await running(
            region, propagateTags="TASK_DEFINITION", enableECSManagedTags=True, tags=[{"key": "team", "value": "b"}]
        )
        assert await tags_of(region, task) == [{"key": "team", "value": "b"}, STAGE, managed]
        refusal = await region.refused("UntagResource", resourceArn=task, tagKeys=["aws:ecs:clusterName"])
        assert refusal[1] == "Tag keys and values cannot start with 'aws:'. It is reserved for AWS use."
        assert managed in await tags_of(region, task)

    story(body)


def test_tags_of_a_run_are_counted_together() -> None:
    async def body(region: Region) -> None:
        await region("CreateCluster")
        await region("RegisterTaskDefinition", **definition(tags=[{"key": f"d{n}"} for n in range(30)]))
        more = [{"key": f"r{n}"} for n in range(21)]
        refusal = await region.refused("RunTask", **region.run(propagateTags="TASK_DEFINITION", tags=more))
        assert refusal == ("InvalidParameterException", "The number of tags exceeds the limit of 50.")
        await running(region, propagateTags="TASK_DEFINITION", tags=more[1:])

    story(body)


def test_fifty_tags_are_the_limit_and_awss_own_do_not_count() -> None:
    fifty = tuple((f"k{number}", "") for number in range(50))
    assert len(merged_tags((("aws:ecs:clusterName", "a"),), fifty)) == 51
    assert merged_tags(fifty, (("k7", "x"),))[7] == ("k7", "x")
    with pytest.raises(InvalidParameter, match="exceeds the limit of 50"):
        merged_tags(fifty, (("one more", ""),))
    assert without_tags(fifty, ["k0"]) == fifty[1:]


def test_whoever_may_not_learns_nothing() -> None:
    async def body(region: Region) -> None:
        await region.ready()
        for arn in (f"{ARN}:cluster/default", f"{ARN}:cluster/ghost", f"{ARN}:service/default/x", NO_TASK):
            for operation, action, more in (
                ("TagResource", "ecs:TagResource", {"tags": [TEAM]}),
                ("UntagResource", "ecs:UntagResource", {"tagKeys": ["a"]}),
                ("ListTagsForResource", "ecs:ListTagsForResource", {}),
            ):
                code, message = await region.refused(operation, administrator=False, resourceArn=arn, **more)
                assert code == "AccessDeniedException" and f"{action} on resource: {arn} " in message

    story(body)
