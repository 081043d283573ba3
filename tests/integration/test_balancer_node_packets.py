"""Real packets to and from load balancers' nodes: their groups, their public addresses, what stays and what goes."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.hostnet.balancers import namespace_of
from neargate.interfaces.hostnet import HostError
from neargate.model.network import PlannedBalancerNode, SecurityGroup
from neargate.testing.netlab import connect, echo, entered, is_cut_off, listener_in, reaches, rule, seen_source

from .test_network_routes import EVERYWHERE, OUT, OUTSIDE, TO_INTERNET, A, B, Lab, Run, Vpc, run

__all__ = ["run"]
pytestmark = pytest.mark.root
FRONT = SecurityGroup(group_id="sg-0front", ingress=(rule("tcp", 80, 80, peer=EVERYWHERE),), egress=OUT)
BEHIND = SecurityGroup(group_id="sg-0behind", ingress=(rule("tcp", 8080, 8080, peer=FRONT.group_id),), egress=OUT)
ADDRESS = "172.31.0.60"


def planned(vpc: Vpc, public: str | None = None) -> PlannedBalancerNode:
    return PlannedBalancerNode(
        place=f"elbnode-0{vpc.vpc_id[4:]}",
        balancer="arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/web/50dc6c495c0c9188",
        eni_id=f"eni-0{vpc.vpc_id[4:]}60",
        mac="0a:00:00:00:02:60",
        subnet_id=A,
        private_ipv4=ADDRESS,
        public_ipv4=public,
        security_groups=(FRONT.group_id,),
    )


def netns(lab: Lab, node: PlannedBalancerNode) -> str:
    return str(lab.net.directory / "netns" / namespace_of(node.eni_id))


def settings(netns_path: str, *names: str) -> dict[str, str]:
    with entered(netns_path):
        return {name: Path(f"/proc/sys/net/ipv4/{name}").read_text().strip() for name in names}


def is_there(netns_path: str) -> bool:
    return Path(netns_path).exists()


async def with_node(vpc: Vpc, node: PlannedBalancerNode) -> None:
    groups = (*(one for one in vpc.plan.groups if one not in (FRONT, BEHIND)), FRONT, BEHIND)
    await vpc.apply({A: (TO_INTERNET,)}, nodes=(node,), groups=groups)


def test_clients_reach_a_node_and_a_node_its_targets_as_groups_say(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        vpc, public = lab.new_vpc(), lab.public()
        node = planned(vpc, public)
        await with_node(vpc, node)
        here = netns(lab, node)
        target = await vpc.task(B, 8, group=BEHIND.group_id)
        inside, shown = await vpc.task(B, 9), await vpc.task(A, 9, public=lab.public())
        with (
            listener_in(here, "0.0.0.0", 80) as web,
            listener_in(here, "0.0.0.0", 81),
            listener_in(target.netns_path, "0.0.0.0", 8080) as app,
        ):
            assert await seen_source(lab.outside, public, 80, web) == OUTSIDE
            assert await is_cut_off(lab.outside, public, 81)
            assert await seen_source(inside.netns_path, ADDRESS, 80, web) == "172.31.16.9"
            # By its public address, from the VPC itself: out by the edge and in again, as on AWS.
            assert await reaches(shown.netns_path, public, 80)
            assert await is_cut_off(inside.netns_path, public, 80), "a private subnet has no way to public addresses"
            assert await reaches(None, public, 80), "the machine itself is a client too"
            assert await seen_source(here, "172.31.16.8", 8080, app) == ADDRESS
            assert await is_cut_off(inside.netns_path, "172.31.16.8", 8080), "only nodes may reach the target"

    run(scenario)


def test_inside_every_port_may_be_bound_without_a_privilege_and_nothing_is_forwarded(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        node = planned(vpc)
        await with_node(vpc, node)
        read = settings(netns(lab, node), "ip_unprivileged_port_start", "ip_forward", "conf/all/rp_filter")
        assert read == {"ip_unprivileged_port_start": "0", "ip_forward": "0", "conf/all/rp_filter": "1"}

    run(scenario)


def test_connections_of_a_node_outlive_the_agent(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        vpc, public = lab.new_vpc(), lab.public()
        node = planned(vpc, public)
        await with_node(vpc, node)
        await vpc.task(A, 5)
        with listener_in(netns(lab, node), "0.0.0.0", 80) as web:
            client = await connect(lab.outside, public, 80)
            assert client is not None
            with client, web.accept()[0] as accepted:
                accepted.setblocking(False)
                await lab.net.restart()
                assert await echo(client, accepted, b"still here") == b"still here"
                assert await reaches(lab.outside, public, 80)

    run(scenario)


def test_a_host_without_tasks_keeps_its_nodes_when_the_agent_comes_again(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        vpc, public = lab.new_vpc(), lab.public()
        node = planned(vpc, public)
        await with_node(vpc, node)
        await lab.net.restart()
        with listener_in(netns(lab, node), "0.0.0.0", 80):
            assert await reaches(lab.outside, public, 80)

    run(scenario)


def test_nothing_is_left_of_a_node_that_goes(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        vpc, public = lab.new_vpc(), lab.public()
        node = planned(vpc, public)
        await with_node(vpc, node)
        inside = await vpc.task(A, 7)
        with listener_in(netns(lab, node), "0.0.0.0", 80):
            assert await reaches(lab.outside, public, 80)
            await vpc.apply(nodes=())
            assert await is_cut_off(lab.outside, public, 80)
            assert await is_cut_off(inside.netns_path, ADDRESS, 80)
        assert not is_there(netns(lab, node))
        # The address is free for a task.
        other = await vpc.task(A, 60, public=public)
        with listener_in(other.netns_path, "0.0.0.0", 443):
            assert await reaches(lab.outside, public, 443)

    run(scenario)


def test_a_nodes_addresses_are_no_tasks(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        vpc, public = lab.new_vpc(), lab.public()
        await with_node(vpc, planned(vpc, public))
        with pytest.raises(HostError, match=f"{ADDRESS} still belongs to arn:aws:elasticloadbalancing"):
            await vpc.task(A, 60)
        with pytest.raises(HostError, match=f"{public} still belongs to a NAT gateway or a load balancer"):
            await vpc.task(A, 61, public=public)

    run(scenario)


def test_an_address_that_is_not_for_tasks_leads_to_no_node(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        node = planned(vpc, "203.0.113.99")
        await with_node(vpc, node)
        with listener_in(netns(lab, node), "0.0.0.0", 80):
            assert await is_cut_off(lab.outside, "203.0.113.99", 80)
            inside = await vpc.task(A, 7)
            assert await reaches(inside.netns_path, ADDRESS, 80)
        await vpc.apply(nodes=(replace(node, public_ipv4=None),))

    run(scenario)
