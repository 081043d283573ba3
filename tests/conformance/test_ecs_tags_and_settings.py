"""Tags, account settings, pages and tokens of ECS as boto3 meets them, by callers whom policies limit."""

from typing import Any

import pytest

from .door_clients import allow
from .test_authorization import ECS, IAM, RUN_RESOURCE, Region, denied, refused, region

__all__ = ["region"]  # the fixture

CLUSTER = f"{ECS}:cluster/default"
TEAM = [{"key": "team", "value": "a"}]


def tags_of(region: Region, arn: str) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in region.ecs.list_tags_for_resource(resourceArn=arn)["tags"]}


def test_tags_of_the_resource_decide_who_tags_it(region: Region) -> None:
    al = region.al(
        allow(
            *("ecs:TagResource", "ecs:UntagResource", "ecs:ListTagsForResource"),
            StringEquals={"aws:ResourceTag/stage": "test"},
        )
    )
    other, task = f"{ECS}:cluster/other", region.run(region.ecs, tags=TEAM)["taskArn"]
    region.ecs.create_cluster(clusterName="other")
    al.tag_resource(resourceArn=CLUSTER, tags=TEAM)
    assert al.list_tags_for_resource(resourceArn=CLUSTER)["tags"] == [{"key": "stage", "value": "test"}, *TEAM]
    for arn in (other, task, RUN_RESOURCE, f"{ECS}:cluster/ghost"):
        assert refused(al.tag_resource, resourceArn=arn, tags=TEAM) == denied("ecs:TagResource", arn)
        assert refused(al.untag_resource, resourceArn=arn, tagKeys=["team"]) == denied("ecs:UntagResource", arn)
        assert refused(al.list_tags_for_resource, resourceArn=arn) == denied("ecs:ListTagsForResource", arn)
    for arn in (other, RUN_RESOURCE):
        region.ecs.tag_resource(resourceArn=arn, tags=[{"key": "stage", "value": "test"}])
        al.tag_resource(resourceArn=arn, tags=TEAM)
        assert tags_of(region, arn) == {"stage": "test", "team": "a"}
    al.untag_resource(resourceArn=other, tagKeys=["stage"])
    assert refused(al.list_tags_for_resource, resourceArn=other) == denied("ecs:ListTagsForResource", other)


def test_tags_of_the_request_decide_which_are_given_and_taken(region: Region) -> None:
    al = region.al(
        allow("ecs:TagResource", StringEquals={"aws:RequestTag/team": ["a", "b"]}),
        allow("ecs:UntagResource", **{"ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}),
    )
    al.tag_resource(resourceArn=CLUSTER, tags=TEAM)
    wrong = [{"key": "team", "value": "c"}]
    assert refused(al.tag_resource, resourceArn=CLUSTER, tags=wrong) == denied("ecs:TagResource", CLUSTER)
    assert refused(al.untag_resource, resourceArn=CLUSTER, tagKeys=["team", "stage"]) == denied(
        "ecs:UntagResource", CLUSTER
    )
    al.untag_resource(resourceArn=CLUSTER, tagKeys=["team"])
    assert tags_of(region, CLUSTER) == {"stage": "test"}


def test_leave_to_tag_on_creation_is_no_leave_to_tag(region: Region) -> None:
    al = region.al(
        allow("ecs:CreateCluster"),
        allow("ecs:TagResource", StringEquals={"ecs:CreateAction": ["CreateCluster", "RunTask"]}),
    )
    al.create_cluster(clusterName="made", tags=TEAM)
    made = f"{ECS}:cluster/made"
    assert refused(al.tag_resource, resourceArn=made, tags=TEAM) == denied("ecs:TagResource", made)
    assert tags_of(region, made) == {"team": "a"}


def test_more_than_fifty_tags_are_refused_whole(region: Region) -> None:
    forty_nine = [{"key": f"k{number}", "value": ""} for number in range(49)]
    region.ecs.tag_resource(resourceArn=CLUSTER, tags=forty_nine)
    code, _, message = refused(region.ecs.tag_resource, resourceArn=CLUSTER, tags=TEAM)
    assert (code, message) == ("InvalidParameterException", "The number of tags exceeds the limit of 50.")
    assert len(tags_of(region, CLUSTER)) == 50
    for tag in ({"key": "aws:x", "value": "y"}, {"key": "AWS:x", "value": "y"}):
        assert "reserved for AWS use" in refused(region.ecs.tag_resource, resourceArn=CLUSTER, tags=[tag])[2]


def test_everybody_has_settings_of_their_own_and_root_sets_what_others_have_not(region: Region) -> None:
    al = region.al(allow("ecs:*AccountSetting*"))
    mode = {"name": "defaultLogDriverMode", "effectiveSettings": True}
    assert value(al, **mode) == ("non-blocking", f"{IAM}:root")
    region.ecs.put_account_setting(name="defaultLogDriverMode", value="blocking")
    assert value(al, **mode) == ("blocking", f"{IAM}:root")
    al.put_account_setting(name="defaultLogDriverMode", value="non-blocking")
    assert value(al, **mode) == ("non-blocking", f"{IAM}:user/al")
    assert value(region.ecs, **mode) == ("blocking", f"{IAM}:root")
    assert value(region.ecs, principalArn=f"{IAM}:user/al", **mode)[0] == "non-blocking"
    al.delete_account_setting(name="defaultLogDriverMode")
    assert value(al, **mode) == ("blocking", f"{IAM}:root")


def test_nobody_but_root_sets_anothers(region: Region) -> None:
    al = region.al(allow("ecs:*AccountSetting*"))
    bo = region.iam.create_user(UserName="bo")["User"]["Arn"]
    given: dict[str, Any] = {"name": "awsvpcTrunking", "value": "enabled"}
    for principal in (bo, f"{IAM}:root"):
        told = (
            "AccessDeniedException",
            400,
            "In order to use principalArn, you must be the root user, or the principal.",
        )
        assert refused(al.put_account_setting, principalArn=principal, **given) == told
        assert refused(al.delete_account_setting, principalArn=principal, name="awsvpcTrunking") == told
    assert al.put_account_setting(principalArn=f"{IAM}:user/al", **given)["setting"]["value"] == "enabled"
    assert region.ecs.put_account_setting(principalArn=bo, **given)["setting"]["principalArn"] == bo
    wait = {"name": "fargateTaskRetirementWaitPeriod", "value": "0"}
    refusal = refused(al.put_account_setting, **wait)
    assert refusal[2] == "You must use the root user when you set fargateTaskRetirementWaitPeriod."
    assert al.put_account_setting_default(**wait)["setting"]["principalArn"] == f"{IAM}:root"


def test_leave_may_be_for_some_settings(region: Region) -> None:
    al = region.al(allow("ecs:PutAccountSettingDefault", StringEquals={"ecs:account-setting": "awsvpcTrunking"}))
    al.put_account_setting_default(name="awsvpcTrunking", value="enabled")
    assert refused(al.put_account_setting_default, name="taskLongArnFormat", value="enabled") == denied(
        "ecs:PutAccountSettingDefault", "*"
    )
    assert refused(al.list_account_settings) == denied("ecs:ListAccountSettings", "*")


def value(ecs: Any, **asked: Any) -> tuple[str, str]:
    [setting] = ecs.list_account_settings(**asked)["settings"]
    return setting["value"], setting["principalArn"]


def test_every_paginator_of_what_is_here_ends_with_all(region: Region) -> None:
    for number in range(3):
        region.ecs.create_cluster(clusterName=f"c{number}")
        region.register(region.ecs, family=f"f{number}")
        region.run(region.ecs)
    for operation, member, count, asked in (
        ("list_account_settings", "settings", 11, {"effectiveSettings": True}),
        ("list_attributes", "attributes", 0, {"targetType": "container-instance"}),
        ("list_clusters", "clusterArns", 4, {}),
        ("list_container_instances", "containerInstanceArns", 0, {}),
        ("list_task_definition_families", "families", 4, {}),
        ("list_task_definitions", "taskDefinitionArns", 4, {}),
        ("list_tasks", "taskArns", 3, {}),
    ):
        pages = region.ecs.get_paginator(operation).paginate(PaginationConfig={"PageSize": 2}, **asked)
        found = [repr(item) for page in pages for item in page[member]]
        assert len(found) == len(set(found)) == count, operation


def test_a_token_gives_the_same_tasks_again(region: Region) -> None:
    first = region.run(region.ecs, clientToken="token", count=1)
    again = region.run(region.ecs, clientToken="token", count=1)
    assert again["taskArn"] == first["taskArn"] and region.tasks == [first["taskArn"]]
    region.ecs.create_cluster(clusterName="other")
    elsewhere = region.run(region.ecs, clientToken="token", count=1, cluster="other")
    assert elsewhere["taskArn"] != first["taskArn"], "a token is a cluster's"
    region.register(region.ecs, family="big", cpu="512", memory="1024")
    with_another = {"clientToken": "token", "count": 1, "taskDefinition": "big"}
    with pytest.raises(region.ecs.exceptions.ConflictException) as conflict:
        region.run(region.ecs, **with_another)
    assert conflict.value.response["resourceIds"] == [first["taskArn"]]


def test_what_a_user_may_do_with_clusters_is_asked_by_their_tags(region: Region) -> None:
    al = region.al(allow("ecs:UpdateCluster*", StringEquals={"aws:ResourceTag/stage": "test"}))
    region.ecs.create_cluster(clusterName="live")
    settings = [{"name": "containerInsights", "value": "disabled"}]
    assert al.update_cluster_settings(cluster="default", settings=settings)["cluster"]["settings"] == settings
    live = f"{ECS}:cluster/live"
    assert refused(al.update_cluster, cluster="live") == denied("ecs:UpdateCluster", live)
    assert refused(al.update_cluster_settings, cluster="ghost", settings=[]) == denied(
        "ecs:UpdateClusterSettings", f"{ECS}:cluster/ghost"
    )
