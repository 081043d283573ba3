"""A compromised control plane against a root agent: what it may not make the agent do."""

import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.agent.agent import Agent
from neargate.agent.arrivals.judging import INTEGER_MAX
from neargate.agent.arrivals.messages import OFFSET_MAX, problem
from neargate.hostnet.attachments import safe_id, safe_name
from neargate.interfaces.hostnet import HostError
from neargate.interfaces.sandbox import Image, PullRequest
from neargate.link.messages import (
    ExecOrder,
    LogAck,
    LogOpened,
    Pong,
    ReportAck,
    RunOrder,
    StopOrder,
    ToAgent,
    VpcPush,
    decode_to_agent,
    encode,
)
from neargate.model.flow_logs import DEFAULT_FIELDS, PlannedFlowLog
from neargate.model.launch import (
    AwsLogs,
    ContainerLaunch,
    Dependency,
    Device,
    HealthCheck,
    InjectedSecret,
    KernelRights,
    MountPoint,
    RestartPolicy,
    SplunkLogs,
    TaskLaunch,
    Tmpfs,
    Ulimit,
    VolumesFrom,
)
from neargate.model.network import (
    AclRule,
    NetworkAcl,
    PlannedBalancerNode,
    PlannedEndpoint,
    PlannedNat,
    PlannedPeering,
    PlannedSubnet,
    PublicPool,
    Route,
    RouteTable,
    SecurityGroup,
    SecurityGroupRule,
    VpcDns,
    VpcPlan,
)
from neargate.testing.agent_host import INCARNATION, TASK_ID, VPC, AgentHost, container, launch
from neargate.testing.virtual_time import run_virtual
from neargate.uplink.consent import ALLOWED_MAX
from neargate.vpc.ruleset import local_eni, render

# What an id must not become: a step upwards, a path, an option of a mount, a line of nftables, an argument, nothing.
HOSTILE_IDS = (
    *("", ".", "..", "../../etc/passwd", "/etc", "a/b", "a\0b", "a\n", "a b", "-rf", ".hidden", "a.img", "x,rw", "x:y"),
    *('x"; flush ruleset; #', "x}\nadd rule inet filter input accept", "ä", "\u202egnp", "a" * 65, "a" * 100_000),
)
PLAN = VpcPlan(vpc_id=VPC, generation=1, cidrs=("10.0.0.0/16",), groups=())


def test_honest_messages_pass() -> None:
    full = container(
        name="a" * 255,
        environment=(("A", "b=\n"), ("lower.case-1", "")),
        command=("sh", "-c", "echo 'x\n'"),
        user="1000:1000",
        working_directory="/srv/app",
        capabilities_add=("SYS_PTRACE",),
        ulimits=(Ulimit(name="nofile", soft=-1, hard=-1),),
        tmpfs=(Tmpfs(container_path="/run", size_mib=64, mount_options=("mode=1777", "noexec")),),
        mount_points=(MountPoint(source_volume="v", container_path="/v"),),
        volumes_from=(VolumesFrom(source_container="b"),),
        depends_on=(Dependency(container_name="b", condition="START"),),
        health_check=HealthCheck(command=("CMD-SHELL", "true")),
        logs=AwsLogs(group="/g", region="us-east-1", stream="p/c/t"),
    )
    task = launch(full, container("b"), volumes=("v",))
    group = SecurityGroup(
        group_id="sg-0123456789abcdef0",
        ingress=(SecurityGroupRule(protocol="-1", peer_group="sg-0123456789abcdef0"),),
        egress=(SecurityGroupRule(protocol="icmp", from_port=-1, to_port=-1, cidr_ipv4="0.0.0.0/0"),),
        remote_members=("10.0.3.4", "fd00::1"),
    )
    messages: list[ToAgent] = [
        RunOrder(launch=task),
        RunOrder(launch=launch()),
        VpcPush(plan=replace(PLAN, groups=(group,))),
        StopOrder(task_id=TASK_ID, incarnation=INCARNATION, stop_code="UserInitiated", reason="any\ntext"),
        ReportAck(task_id=TASK_ID, report_seq=INTEGER_MAX),
        LogOpened(request=1, stream_key=7, offset=0),
        LogAck(request=1, stream_key=7, offset=OFFSET_MAX),
    ]
    assert [problem(message) for message in messages] == [None] * len(messages)


def _task(**changes: Any) -> RunOrder:
    return RunOrder(launch=launch(**changes))


def _eni(**changes: Any) -> RunOrder:
    return RunOrder(launch=launch(eni=replace(launch().eni, **changes)))


def _one(**changes: Any) -> RunOrder:
    return RunOrder(launch=launch(container(**changes)))


def _plan(**changes: Any) -> VpcPush:
    return VpcPush(plan=replace(PLAN, **changes))


def _group(**changes: Any) -> VpcPush:
    return _plan(groups=(replace(SecurityGroup(group_id="sg-1"), **changes),))


LOCAL_ROUTE = Route(destination="10.0.0.0/16", target="local")
SUBNET = PlannedSubnet(subnet_id="subnet-1", cidr="10.0.0.0/24", route_table="rtb-1", acl="acl-1")
ACL_RULE = AclRule(number=100, is_egress=False, allow=True, protocol="6", cidr="0.0.0.0/0", from_port=80, to_port=80)
NAT = PlannedNat(nat_id="nat-1", subnet_id="subnet-1", private_ipv4="10.0.0.9", public_ipv4="198.18.0.200")

ENDPOINT = PlannedEndpoint(
    endpoint_id="vpce-1",
    service="ecs",
    eni_id="eni-1",
    mac="0e:00:00:00:00:09",
    subnet_id=SUBNET.subnet_id,
    private_ipv4="10.0.0.9",
    security_groups=("sg-1",),
)


def _endpoint(**changes: Any) -> VpcPush:
    return _plan(subnets=(SUBNET,), endpoints=(replace(ENDPOINT, **changes),))


NODE = PlannedBalancerNode(
    place="elbnode-1",
    balancer="arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/web/50dc6c495c0c9188",
    eni_id="eni-1",
    mac="0e:00:00:00:00:09",
    subnet_id=SUBNET.subnet_id,
    private_ipv4="10.0.0.9",
    public_ipv4="198.18.0.9",
    security_groups=("sg-1",),
    host_id="host-1",
)


def _node(**changes: Any) -> VpcPush:
    return _plan(subnets=(SUBNET,), nodes=(replace(NODE, **changes),))


FLOW_LOG = PlannedFlowLog(
    flow_log_id="fl-0123456789abcdef0",
    account="000000000000",
    resource_id="vpc-1",
    traffic="ALL",
    fields=DEFAULT_FIELDS,
    interval_s=60,
)


def _subnet(**changes: Any) -> PlannedSubnet:
    return replace(SUBNET, **changes)


def _table(destination: str, target: str) -> RouteTable:
    return RouteTable(table_id="rtb-1", routes=(Route(destination=destination, target=target),))


def _acl(**changes: Any) -> NetworkAcl:
    return NetworkAcl(acl_id="acl-1", rules=(replace(ACL_RULE, **changes),))


def _rule(**changes: Any) -> VpcPush:
    return _group(ingress=(SecurityGroupRule(**({"protocol": "tcp"} | changes)),))


IDS: dict[str, Callable[[str], ToAgent]] = {
    "a subnet": lambda text: _plan(subnets=(_subnet(subnet_id=text),)),
    "a table": lambda text: _plan(tables=(RouteTable(table_id=text, routes=()),)),
    "an acl": lambda text: _plan(acls=(NetworkAcl(acl_id=text, rules=()),)),
    "a nat": lambda text: _plan(nats=(replace(NAT, nat_id=text),)),
    "a nat's interface": lambda text: _plan(nats=(replace(NAT, eni_id=text or "/"),)),
    "a nat's subnet": lambda text: _plan(nats=(replace(NAT, subnet_id=text),)),
    "a peering": lambda text: _plan(peerings=(PlannedPeering(peering_id=text, peer_vpc="vpc-1"),)),
    "a flow log": lambda text: _plan(flow_logs=(replace(FLOW_LOG, flow_log_id=text),)),
    "what a flow log is of": lambda text: _plan(flow_logs=(replace(FLOW_LOG, resource_id=text),)),
    "a flow log's account": lambda text: _plan(flow_logs=(replace(FLOW_LOG, account=text),)),
    "task": lambda text: _task(task_id=text),
    "incarnation": lambda text: _task(incarnation=text),
    "capacity": lambda text: _task(capacity_id=text),
    "eni": lambda text: _eni(eni_id=text),
    "attachment": lambda text: _eni(attachment_id=text),
    "eni's vpc": lambda text: _eni(vpc_id=text),
    "subnet": lambda text: _eni(subnet_id=text),
    "eni's group": lambda text: _eni(security_groups=(text,)),
    "vpc": lambda text: _plan(vpc_id=text),
    "group": lambda text: _group(group_id=text),
    "peer": lambda text: _rule(peer_group=text),
    "stop": lambda text: StopOrder(task_id=text, incarnation="i", stop_code="s", reason="r"),
    "stop's incarnation": lambda text: StopOrder(task_id="t", incarnation=text, stop_code="s", reason="r"),
    "acknowledged": lambda text: ReportAck(task_id=text, report_seq=1),
}


@pytest.mark.parametrize("place", IDS)
def test_an_id_that_is_none_is_refused_wherever_it_stands(place: str) -> None:
    passed = [text for text in HOSTILE_IDS if problem(IDS[place](text)) is None]
    assert not passed


NAMES: dict[str, Callable[[str], ToAgent]] = {
    "container": lambda text: _one(name=text),
    "volume": lambda text: _task(volumes=(text,)),
}


@pytest.mark.parametrize("place", NAMES)
def test_a_name_is_letters_digits_hyphens_underscores(place: str) -> None:
    """They become directories, cgroups and options of an overlay mount."""
    hostile = [text for text in HOSTILE_IDS if text not in ("-rf", "a" * 65)]
    assert [text for text in hostile if problem(NAMES[place](text)) is None] == []


def _exec(**changes: Any) -> ExecOrder:
    order = ExecOrder(session="s-1", task_id=TASK_ID, incarnation="cell-1", container="web", args=("sh",))
    assert problem(order) is None
    return replace(order, **changes)


OTHERS: dict[str, ToAgent] = {
    "two containers of one name": RunOrder(launch=launch(container("a"), container("a"))),
    "no container": RunOrder(launch=replace(launch(), containers=())),
    "eleven containers": RunOrder(launch=launch(*(container(f"c{n}") for n in range(11)))),
    "a mac of many": _eni(mac="0b:00:00:00:00:01"),
    "the gateway's mac": _eni(mac="0e:ee:ee:ee:ee:ee"),
    "no mac": _eni(mac="x"),
    "the gateway's address": _eni(private_ipv4="10.0.1.1"),
    "an address of elsewhere": _eni(private_ipv4="10.9.1.5"),
    "a subnet of one": _eni(subnet_cidr="10.0.1.5/32"),
    "a subnet of IPv6": _eni(subnet_cidr="fd00::/64"),
    "no subnet": _eni(subnet_cidr="x"),
    "the metadata address": _eni(subnet_cidr="169.254.170.0/24", private_ipv4="169.254.170.2"),
    "loopback": _eni(subnet_cidr="127.0.0.0/24", private_ipv4="127.0.0.5"),
    "a public loopback": _eni(public_ipv4="127.0.0.1"),
    "no public address": _eni(public_ipv4="1.2.3.4/0"),
    "IPv6 of the link": _eni(ipv6="fe80::1"),
    "IPv6 with a zone": _eni(ipv6="fe80::1%eth0"),
    "IPv6 of the machine's end": _eni(ipv6="fd6e:6761:7465:3::1"),
    "a name of two lines": _eni(private_dns_name="a\n1.2.3.4 registry.example"),
    "sixty-five groups": _eni(security_groups=tuple(f"sg-{n}" for n in range(65))),
    "no processor": _task(cpu_units=0),
    "memory below zero": _task(memory_mib=-1),
    "a disk of a petabyte": _task(ephemeral_gib=1 << 20),
    "a disk of nothing": _task(ephemeral_gib=0),
    "an environment without names": _one(environment=(("", "x"),)),
    "an environment with another inside": _one(environment=(("A=B", "x"),)),
    "an environment with NUL": _one(environment=(("A", "x\0y"),)),
    "a secret without a name": _one(secrets=(InjectedSecret(name="", value_from="a"),)),
    "a secret with a name that holds two": _one(secrets=(InjectedSecret(name="A=B", value_from="a"),)),
    "a secret with a line end": _one(secrets=(InjectedSecret(name="A", value_from="a\nb"),)),
    "a registry's password with NUL": _one(repository_credentials="a\0"),
    "a kernel parameter of the machine": _one(ipc_controls=(("kernel.core_pattern", "1"),)),
    "a kernel parameter of the network among those of IPC": _one(ipc_controls=(("net.core.somaxconn", "1"),)),
    "a kernel parameter that routes": _one(network_controls=(("net.ipv4.ip_forward", "1"),)),
    "a kernel parameter that climbs": _one(network_controls=(("net.core.../../kernel/core_pattern", "1"),)),
    "a parameter of a task's kernel that climbs": _one(kernel=KernelRights(controls=(("vm.../../x", "1"),))),
    "a parameter of a task's kernel with a line's end": _one(kernel=KernelRights(controls=(("vm.swappiness", "1\n"),))),
    "swap without bound": _one(kernel=KernelRights(max_swap_mib=1 << 40)),
    "a device of the host": _one(kernel=KernelRights(devices=(Device(kind="/dev/kvm", path="/dev/kvm"),))),
    "a device that climbs": _one(kernel=KernelRights(devices=(Device(kind="/dev/fuse", path="/dev/../fuse"),))),
    "a device for more than access": _one(
        kernel=KernelRights(devices=(Device(kind="/dev/fuse", path="/dev/fuse", access="rwx"),))
    ),
    "a kernel parameter of words": _one(network_controls=(("net.core.somaxconn", "a b"),)),
    "a restart without a pause": _one(restart_policy=RestartPolicy(attempt_period_s=0)),
    "a restart that ignores all": _one(restart_policy=RestartPolicy(ignored_exit_codes=tuple(range(51)))),
    "an exit code that is none": _one(restart_policy=RestartPolicy(ignored_exit_codes=(1 << 40,))),
    "an expression of a mebibyte": _one(logs=AwsLogs(group="g", region="r", stream="s", event_start="a" * (1 << 20))),
    "a command with NUL": _one(command=("a\0b",)),
    "a word of a mebibyte": _one(entry_point=("a" * (1 << 20),)),
    "a user of two lines": _one(user="root\nroot"),
    "a relative directory": _one(working_directory="../.."),
    "memory of nothing": _one(memory_mib=0),
    "a capability that is none": _one(capabilities_drop=("../x",)),
    "a ulimit that is none": _one(ulimits=(Ulimit(name="RLIMIT_NOFILE\0", soft=1, hard=1),)),
    "a tmpfs that binds": _one(tmpfs=(Tmpfs(container_path="/x", size_mib=1, mount_options=("rbind",)),)),
    "a tmpfs that remounts": _one(tmpfs=(Tmpfs(container_path="/x", size_mib=1, mount_options=("remount",)),)),
    "a tmpfs with two options in one": _one(
        tmpfs=(Tmpfs(container_path="/x", size_mib=1, mount_options=("mode=1,dev",)),)
    ),
    "a tmpfs over the root": _one(tmpfs=(Tmpfs(container_path="/.", size_mib=1),)),
    "a mount of nothing": _one(mount_points=(MountPoint(source_volume="v", container_path="/v"),)),
    "a mount upwards": RunOrder(
        launch=launch(
            container(mount_points=(MountPoint(source_volume="v", container_path="/a/../../b"),)), volumes=("v",)
        )
    ),
    "volumes from nobody": _one(volumes_from=(VolumesFrom(source_container="x"),)),
    "volumes from itself": _one(volumes_from=(VolumesFrom(source_container="web"),)),
    "waiting for nobody": _one(depends_on=(Dependency(container_name="x", condition="START"),)),
    "waiting for what never is": RunOrder(
        launch=launch(container("a", depends_on=(Dependency(container_name="b", condition="x"),)), container("b"))
    ),
    "waiting in a circle": RunOrder(
        launch=launch(
            container("a", depends_on=(Dependency(container_name="b", condition="START"),)),
            container("b", depends_on=(Dependency(container_name="a", condition="START"),)),
        )
    ),
    "a check without a pause": _one(health_check=HealthCheck(command=("CMD", "x"), interval_s=0)),
    "a check of no kind": _one(health_check=HealthCheck(command=())),
    "a stop that never ends": _one(stop_timeout_s=1 << 40),
    "a stop before it began": _one(stop_timeout_s=-1),
    "a buffer of everything": _one(logs=AwsLogs(group="g", region="r", stream="s", max_buffer_bytes=1 << 50)),
    "a log option that names a file of the host": _one(splunk=SplunkLogs(options=(("splunk-capath", "/etc/shadow"),))),
    "a log option of a mebibyte": _one(splunk=SplunkLogs(options=(("tag", "a" * (1 << 20)),))),
    "a buffer of everything for splunk": _one(splunk=SplunkLogs(options=(), max_buffer_bytes=1 << 50)),
    "a generation too high for the database": _plan(generation=INTEGER_MAX + 1),
    "a plan of the whole internet": _plan(cidrs=("0.0.0.0/0",)),
    "a plan of the metadata's network": _plan(cidrs=("169.254.0.0/16",)),
    "a plan of nothing": _plan(cidrs=("x",)),
    "a subnet that is a line of rules": _plan(subnets=(_subnet(cidr="10.0.0.0/24 }"),)),
    "a subnet's table with a path": _plan(subnets=(_subnet(route_table="../rtb"),)),
    "a subnet's acl with syntax": _plan(subnets=(_subnet(acl="acl\naccept"),)),
    "a subnet of the other family": _plan(subnets=(_subnet(ipv6_cidr="10.0.0.0/24"),)),
    "a route to nowhere": _plan(tables=(_table("10.0.0.0/8", "up0"),)),
    "a route with syntax": _plan(tables=(_table("10.0.0.0/8", "igw-0123456789abcdef0 }"),)),
    "a route of no network": _plan(tables=(_table("10.0.0.1/8", "local"),)),
    "routes without number": _plan(tables=(RouteTable(table_id="rtb-1", routes=(LOCAL_ROUTE,) * 65_537),)),
    "an acl's protocol with syntax": _plan(acls=(_acl(protocol="6 }"),)),
    "an acl's network that is none": _plan(acls=(_acl(cidr="anywhere"),)),
    "an acl's number beyond the last": _plan(acls=(_acl(number=40_000),)),
    "an acl's port too high": _plan(acls=(_acl(from_port=70_000),)),
    "a gateway of the metadata's address": _plan(
        nats=(PlannedNat(nat_id="nat-1", subnet_id="subnet-1", private_ipv4="169.254.170.2"),)
    ),
    "a gateway whose address is a rule": _plan(
        nats=(PlannedNat(nat_id="nat-1", subnet_id="subnet-1", private_ipv4="10.0.0.9", public_ipv4="1.2.3.4 }"),)
    ),
    "a flow log of other traffic": _plan(flow_logs=(replace(FLOW_LOG, traffic="SOME"),)),
    "a flow log with two fields in one": _plan(flow_logs=(replace(FLOW_LOG, fields=("start end",)),)),
    "a flow log without fields": _plan(flow_logs=(replace(FLOW_LOG, fields=()),)),
    "a flow log without time": _plan(flow_logs=(replace(FLOW_LOG, interval_s=0),)),
    "an endpoint in no subnet": _plan(endpoints=(ENDPOINT,)),
    "an endpoint without a service": _endpoint(service="../x"),
    "an endpoint with an interface's path": _endpoint(eni_id="../x"),
    "an endpoint of the metadata's address": _endpoint(private_ipv4="169.254.170.2"),
    "an endpoint whose address is a rule": _endpoint(private_ipv4="10.0.0.9 }"),
    "an endpoint with a group's line": _endpoint(security_groups=("sg-1\n",)),
    "a load balancer's node in no subnet": _plan(nodes=(NODE,)),
    "a node with an interface's path": _node(eni_id="../x"),
    "a node with a place's path": _node(place="../x"),
    "a node of the metadata's address": _node(private_ipv4="169.254.170.2"),
    "a node whose public address is a rule": _node(public_ipv4="198.18.0.9 }"),
    "a node with a group's line": _node(security_groups=("sg-1\n",)),
    "a node of a load balancer of two lines": _node(balancer="arn\nx"),
    "a node on a host that is a path": _node(host_id="../x"),
    "a pool of the machine's loopback": _plan(pools=(PublicPool(cidr="127.0.0.0/24"),)),
    "a pool of everything": _plan(pools=(PublicPool(cidr="0.0.0.0/0"),)),
    "a pool that is a rule": _plan(pools=(PublicPool(cidr="198.51.100.0/24 }"),)),
    "more pools than a machine can allow": _plan(
        pools=tuple(PublicPool(cidr=f"198.51.{n}.0/24") for n in range(ALLOWED_MAX + 1))
    ),
    "a pool found by no known way": _plan(pools=(PublicPool(cidr="198.51.100.0/24", way="x"),)),
    "networks beyond gateways": _plan(private_beyond=("10.1.0.0/16",)),
    "a peering with a path": _plan(peerings=(PlannedPeering(peering_id="pcx-1", peer_vpc="../vpc"),)),
    "a name that is none": _plan(dns=VpcDns(domain="ec2.internal\nx")),
    "an endpoint without an address": _plan(dns=VpcDns(domain="ec2.internal", endpoints=(("a.b", "c"),))),
    "a member that is none": _group(remote_members=("1.2.3.4 }",)),
    "a member in a zone of rules": _group(remote_members=("2001:db8::1%} ; flush ruleset ; #",)),
    "a subnet in a zone": _plan(subnets=(_subnet(ipv6_cidr="2001:db8::%x } ; flush ruleset/64"),)),
    "a server of names in a zone": _plan(dns=VpcDns(domain="ec2.internal", servers=("2001:db8::1%a\nsearch x",))),
    "an interface's address in a zone": _eni(ipv6="2001:db8::5%} ; flush ruleset ; #"),
    "an interface's address of the other family": _eni(ipv6="::ffff:127.0.0.1"),
    "a protocol with syntax": _rule(protocol="tcp\naccept", cidr_ipv4="1.2.3.4/32"),
    "a port too high": _rule(from_port=70_000, cidr_ipv4="1.2.3.4/32"),
    "an acknowledgement too high": ReportAck(task_id=TASK_ID, report_seq=INTEGER_MAX + 1),
    "an acknowledgement below zero": ReportAck(task_id=TASK_ID, report_seq=-1),
    "an offset below zero": LogAck(request=1, stream_key=1, offset=-1),
    "an offset beyond every file": LogOpened(request=1, stream_key=1, offset=2**63),
    "a stream key too high": LogOpened(request=1, stream_key=2**63, offset=0),
    "a session's id with a path": _exec(session="../x"),
    "a session's id with an option": _exec(session="-x"),
    "a session's id with a line end": _exec(session="x\n"),
    "a session's id that is long": _exec(session="a" * 65),
    "a terminal in no task": _exec(task_id="../x"),
    "a terminal in no container": _exec(container="a/b"),
    "a terminal without a command": _exec(args=()),
    "a terminal with an empty command": _exec(args=("", "x")),
    "a terminal with NUL": _exec(args=("sh", "a\0b")),
    "a pong too high": Pong(n=2**63),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_no_honest_server_sends_is_refused(what: str) -> None:
    # Only what can travel counts: the refusal must not depend on a value that the wire would not carry.
    assert problem(decode_to_agent(encode(OTHERS[what]))) is not None


def test_a_refusal_never_repeats_a_whole_value() -> None:
    """It is written to a log that somebody reads."""
    said = problem(_task(task_id="x\n" * 100_000))
    assert said is not None and len(said) < 300 and "\n" not in said


def play(root: Path, scenario: Callable[[AgentHost, Agent], Coroutine[Any, Any, None]]) -> None:
    """In virtual time, on a fake machine whose agent has its VPC's plan."""

    async def main() -> None:
        async with AgentHost(root) as host:
            await scenario(host, await host.started())

    run_virtual(main())


def test_a_refused_order_ends_its_task_with_a_reason_and_touches_nothing(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, agent: Agent) -> None:
        host.server.run(launch(container(name="../../../../etc")))
        report = await host.server.status(TASK_ID, "STOPPED")
        assert report.stop_code == "TaskFailedToStart"
        assert "the host refused the task" in (report.stopped_reason or "")
        assert host.leftovers() == []

    play(tmp_path, scenario)


def test_a_refused_order_of_a_running_task_does_not_stop_it(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, agent: Agent) -> None:
        host.server.run(launch())
        await host.server.status(TASK_ID, "RUNNING")
        host.server.run(launch(container(name="x/y")))
        other = replace(launch(), task_id="e" * 32, containers=())
        host.server.run(other)
        await host.server.status("e" * 32, "STOPPED")
        assert [record.known_status for record in agent.tasks.records()] == ["RUNNING"]

    play(tmp_path, scenario)


def test_nothing_the_server_says_ends_the_agent(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, agent: Agent) -> None:
        for message in OTHERS.values():
            if not isinstance(message, RunOrder):
                host.server._say(message)
        host.server.run(launch())
        await host.server.status(TASK_ID, "RUNNING")

    play(tmp_path, scenario)


class _Broken:
    """A sandbox whose pull has a fault of the kind that a hostile image brings out."""

    def __init__(self, host: AgentHost) -> None:
        self._pull = host.sandbox.pull_image
        self.reference = ""

    async def pull_image(self, request: PullRequest, progress: Callable[[int, int], None]) -> Image:
        if request.reference == self.reference:
            raise TypeError("unhashable type: 'list'")
        return await self._pull(request, progress)


def test_a_fault_in_one_launch_ends_that_task_and_no_other(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, agent: Agent) -> None:
        broken = _Broken(host)
        broken.reference = "registry.example/hostile:1"
        host.sandbox.pull_image = broken.pull_image  # type: ignore[method-assign]
        host.server.run(launch(container(image=broken.reference)))
        report = await host.server.status(TASK_ID, "STOPPED")
        assert report.stop_code == "TaskFailedToStart"
        assert report.stopped_reason == "ResourceInitializationError: image: internal error"
        good = launch(task_id="a" * 32)
        host.server.run(good)
        await host.server.status(good.task_id, "RUNNING")

    play(tmp_path, scenario)


def test_every_number_that_passes_fits_the_agents_database() -> None:
    database = sqlite3.connect(":memory:")
    assert database.execute("SELECT ?", (INTEGER_MAX,)).fetchone() == (INTEGER_MAX,)
    with pytest.raises(OverflowError):
        database.execute("SELECT ?", (INTEGER_MAX + 1,))
    database.close()


def test_an_honest_plan_passes() -> None:
    plan = _plan(
        dns=VpcDns(
            domain="ec2.internal", pools=("198.18.0.0/24",), endpoints=(("neargate.internal", "169.254.170.10"),)
        ),
        subnets=(SUBNET, _subnet(subnet_id="subnet-2", ipv6_cidr="fd00:0:0:1::/64", route_table="", acl="")),
        tables=(_table("0.0.0.0/0", "igw-0123456789abcdef0"), _table("::/0", "blackhole")),
        acls=(_acl(), _acl(protocol="-1", from_port=None, to_port=None)),
        nats=(NAT,),
        peerings=(PlannedPeering(peering_id="pcx-1", peer_vpc="vpc-2"),),
        flow_logs=(FLOW_LOG,),
        endpoints=(ENDPOINT,),
        nodes=(NODE,),
        pools=(PublicPool(cidr="198.51.100.0/24"),),
    )
    assert problem(plan) is None


def test_the_types_still_have_only_the_fields_that_were_judged() -> None:
    """A new field of an order must be looked at here before it is believed."""
    assert set(TaskLaunch.__struct_fields__) == {
        *("task_id", "task_arn", "incarnation", "capacity_id", "account", "region", "zone", "zone_id", "cluster"),
        *("cluster_arn", "family", "revision", "group", "started_by", "created_at", "cpu_units", "memory_mib"),
        *("ephemeral_gib", "share_pid_namespace", "execution_role_arn", "task_role_arn", "eni", "volumes"),
        *("containers", "tags", "platform_version", "launch_type", "service_name", "executes_commands"),
    }
    assert set(ContainerLaunch.__struct_fields__) == {
        *("name", "image", "arn", "essential", "command", "entry_point", "environment", "cpu_units", "memory_mib"),
        *("memory_reservation_mib", "user", "working_directory", "readonly_root", "interactive", "pseudo_terminal"),
        *("init_process", "capabilities_add", "capabilities_drop", "ulimits", "tmpfs", "port_mappings"),
        *("mount_points", "volumes_from", "docker_labels", "depends_on", "start_timeout_s", "stop_timeout_s"),
        *("health_check", "logs", "secrets", "repository_credentials", "image_pin"),
        *("ipc_controls", "network_controls", "restart_policy", "files", "splunk", "kernel"),
    }
    assert set(VpcPlan.__struct_fields__) == {
        *("vpc_id", "generation", "cidrs", "groups", "dns", "subnets", "tables", "acls", "nats", "peerings"),
        *("flow_logs", "endpoints", "pools", "private_beyond", "nodes"),
    }


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a\n", "../x", "a\0", "-x"])
def test_the_hosts_own_check_of_names_takes_no_line_end_for_nothing(text: str) -> None:
    """The second line of defence: whoever calls the adapters, no path is built from it."""
    with pytest.raises(HostError):
        safe_id(text)
    if text != "-x":
        with pytest.raises(HostError):
            safe_name(text)


def test_a_containers_name_may_be_as_long_as_a_file_name() -> None:
    assert safe_name("_" + "a" * 254)


def test_a_group_with_a_line_end_is_no_line_of_the_rule_set() -> None:
    eni = replace(launch().eni, security_groups=("sg-a",))
    group = SecurityGroup(group_id="sg-a", ingress=(SecurityGroupRule(protocol="-1", peer_group="sg-b\n"),))
    rules = render(replace(PLAN, groups=(group,)), [local_eni("e1", eni)], endpoint_port=4566)
    assert [name for name in rules.sets if "\n" in name] == []
    assert not [rule for chain in rules.chains.values() for rule in chain if "\n" in rule]
