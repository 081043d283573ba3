"""Calls through VPC endpoints: one leads to one service, its policy limits what passes, and conditions know the way."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from neargate.testing.front_door import ACCOUNT, REGION, ROOT, FrontDoor, Keys, Said, open_front_door

EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
GONE = "vpce-0123456789abcdef0"
PEER = "172.31.0.9"


def statement(effect: str, action: str, **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Principal": "*", "Action": action, "Resource": "*"} | more


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def play(story: Callable[[FrontDoor], Awaitable[None]]) -> None:
    async def main() -> None:
        await story(await open_front_door())

    asyncio.run(main())


async def endpoint(door: FrontDoor, service: str, document: str | None = None) -> str:
    """Without subnets: the way itself is made elsewhere."""
    [vpc] = door.region.services.network.vpcs(ACCOUNT)
    params = {
        "VpcId": vpc.vpc_id,
        "ServiceName": f"com.amazonaws.{REGION}.{service}",
        "VpcEndpointType": "Interface",
        "PrivateDnsEnabled": "false",
    }
    made = await door.call(
        ROOT, "ec2", "CreateVpcEndpoint", params | ({"PolicyDocument": document} if document else {})
    )
    assert made.status == 200, made.message
    return str(made.body["vpcEndpoint"]["vpcEndpointId"])


async def through(door: FrontDoor, endpoint_id: str, who: Keys, service: str, operation: str, **params: Any) -> Said:
    door.peer, door.through = PEER, endpoint_id
    try:
        return await door.call(who, service, operation, params)
    finally:
        door.peer = door.through = ""


def test_an_endpoint_leads_to_its_own_service() -> None:
    async def story(door: FrontDoor) -> None:
        ecs, agents = await endpoint(door, "ecs"), await endpoint(door, "ecs-agent")
        images = await endpoint(door, "ecr.dkr")
        assert (await through(door, ecs, ROOT, "ecs", "ListClusters")).status == 200
        assert (await through(door, agents, ROOT, "ecs", "ListClusters")).status == 200
        wrong = await through(door, ecs, ROOT, "sts", "GetCallerIdentity")
        assert (wrong.status, wrong.code) == (403, "SignatureDoesNotMatch")
        assert wrong.message.startswith("Credential should be scoped to correct service: 'ecs'.")
        assert (await through(door, images, ROOT, "ecs", "ListClusters")).code == "InvalidSignatureException"
        gone = await through(door, GONE, ROOT, "ecs", "ListClusters")
        assert (gone.status, gone.code) == (403, "AccessDeniedException") and GONE in gone.message
        assert (await door.call(ROOT, "sts", "GetCallerIdentity")).status == 200

    play(story)


def test_its_policy_limits_everybody() -> None:
    async def story(door: FrontDoor) -> None:
        user = await door.user("ann", {"Version": "2012-10-17", "Statement": [EVERYTHING]})
        reads = await endpoint(door, "ecs", policy(statement("Allow", "ecs:List*")))
        for who in (ROOT, user):
            assert (await through(door, reads, who, "ecs", "ListClusters")).status == 200
            refused = await through(door, reads, who, "ecs", "CreateCluster", clusterName="a")
            assert (refused.status, refused.code) == (400, "AccessDeniedException")
            assert refused.message.endswith("because no VPC endpoint policy allows the ecs:CreateCluster action")
        assert (await door.call(user, "ecs", "ListClusters")).body["clusterArns"] == []
        both = policy(statement("Allow", "*"), statement("Deny", "ecs:CreateCluster"))
        await door.call(ROOT, "ec2", "ModifyVpcEndpoint", {"VpcEndpointId": reads, "PolicyDocument": both})
        denied = await through(door, reads, user, "ecs", "CreateCluster", clusterName="a")
        assert denied.message.endswith("with an explicit deny in a VPC endpoint policy")
        await door.call(ROOT, "ec2", "ModifyVpcEndpoint", {"VpcEndpointId": reads, "ResetPolicy": "true"})
        assert (await through(door, reads, user, "ecs", "CreateCluster", clusterName="a")).status == 200

    play(story)


def test_it_gives_nothing_that_the_caller_has_not() -> None:
    async def story(door: FrontDoor) -> None:
        nobody = await door.user("bob")
        ecs = await endpoint(door, "ecs")
        refused = await through(door, ecs, nobody, "ecs", "ListClusters")
        assert refused.message.endswith("because no identity-based policy allows the ecs:ListClusters action")

    play(story)


def test_what_needs_no_leave_passes_by_the_policy_too() -> None:
    async def story(door: FrontDoor) -> None:
        sts = await endpoint(door, "sts", policy(statement("Allow", "sts:AssumeRole")))
        assert (await through(door, sts, ROOT, "sts", "GetCallerIdentity")).code == "AccessDenied"
        assert (await door.call(ROOT, "sts", "GetCallerIdentity")).status == 200

    play(story)


def test_principals_of_its_policy() -> None:
    async def story(door: FrontDoor) -> None:
        ann, bob = [await door.user(name, {"Version": "2012-10-17", "Statement": [EVERYTHING]}) for name in ("a", "b")]
        only = {"AWS": f"arn:aws:iam::{ACCOUNT}:user/a"}
        ecs = await endpoint(door, "ecs", policy(statement("Allow", "*", Principal=only)))
        assert (await through(door, ecs, ann, "ecs", "ListClusters")).status == 200
        assert (await through(door, ecs, bob, "ecs", "ListClusters")).code == "AccessDeniedException"

    play(story)


@pytest.mark.parametrize("key", ["aws:SourceVpce", "aws:SourceVpc", "aws:VpcSourceIp"])
def test_callers_policies_know_the_way(key: str) -> None:
    async def story(door: FrontDoor) -> None:
        ecs, other = await endpoint(door, "ecs"), await endpoint(door, "ecs")
        [vpc] = door.region.services.network.vpcs(ACCOUNT)
        values = {"aws:SourceVpce": ecs, "aws:SourceVpc": vpc.vpc_id, "aws:VpcSourceIp": f"{PEER}/32"}
        operator = "IpAddress" if key == "aws:VpcSourceIp" else "StringEquals"
        only = {"Version": "2012-10-17", "Statement": [EVERYTHING | {"Condition": {operator: {key: values[key]}}}]}
        user = await door.user("ann", only)
        assert (await through(door, ecs, user, "ecs", "ListClusters")).status == 200
        assert (await door.call(user, "ecs", "ListClusters")).code == "AccessDeniedException"
        found = await through(door, other, user, "ecs", "ListClusters")
        assert found.status == (400 if key == "aws:SourceVpce" else 200)

    play(story)


def test_the_address_is_told_as_a_vpcs() -> None:
    """AWS has no aws:SourceIp then: addresses of different VPCs are alike."""

    async def story(door: FrontDoor) -> None:
        ecs = await endpoint(door, "ecs")
        condition = {"IpAddress": {"aws:SourceIp": "172.31.0.0/16"}}
        user = await door.user("ann", {"Version": "2012-10-17", "Statement": [EVERYTHING | {"Condition": condition}]})
        assert (await through(door, ecs, user, "ecs", "ListClusters")).code == "AccessDeniedException"
        door.peer = PEER
        assert (await door.call(user, "ecs", "ListClusters")).status == 200

    play(story)


def test_conditions_of_its_policy_know_tags_of_resources() -> None:
    """Also for the administrator, for whom nobody else would load them."""

    async def story(door: FrontDoor) -> None:
        tagged = {"clusterName": "a", "tags": [{"key": "team", "value": "red"}]}
        assert (await door.call(ROOT, "ecs", "CreateCluster", tagged)).status == 200
        assert (await door.call(ROOT, "ecs", "CreateCluster", {"clusterName": "b"})).status == 200
        only = statement("Allow", "ecs:*", Condition={"StringEquals": {"aws:ResourceTag/team": "red"}})
        ecs = await endpoint(door, "ecs", policy(only))
        assert (await through(door, ecs, ROOT, "ecs", "DeleteCluster", cluster="b")).code == "AccessDeniedException"
        assert (await through(door, ecs, ROOT, "ecs", "DeleteCluster", cluster="a")).status == 200

    play(story)


def test_the_record_names_the_endpoint() -> None:
    async def story(door: FrontDoor) -> None:
        ecs = await endpoint(door, "ecs")
        assert (await through(door, ecs, ROOT, "ecs", "CreateCluster", clusterName="a")).status == 200
        assert (await door.call(ROOT, "ecs", "DeleteCluster", cluster="a")).status == 200
        await door.region.trail.flush()
        events = (await door.call(ROOT, "cloudtrail", "LookupEvents")).body["Events"]
        told = {event["EventName"]: json.loads(event["CloudTrailEvent"]) for event in events}
        made, deleted = told["CreateCluster"], told["DeleteCluster"]
        assert (made["vpcEndpointId"], made["vpcEndpointAccountId"], made["sourceIPAddress"]) == (ecs, ACCOUNT, PEER)
        assert "vpcEndpointId" not in deleted

    play(story)
