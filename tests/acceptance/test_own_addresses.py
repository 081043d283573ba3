"""A running region is given public addresses and lets go of them, and its machine is told of names: as operators do it.

Nothing is announced here, and this machine's own lookups stay as they are: files are under a root of the test's.
"""

import socket
import struct
import urllib.request
from pathlib import Path

from neargate.cli import host_dns, processes
from neargate.cli import host_dns_ways as ways
from neargate.dns.message import A, name
from neargate.testing import libresolv

from .region import LiveRegion, wait_for

POOL, FIRST = "100.127.77.0/29", "100.127.77.0"
POOL6 = "2001:db8:77::/48"
# SIGTERM is not heard by the first process of a task that did not ask for it.
SERVE = {"command": ["sh", "-c", "echo hello > /index.html; httpd -f -p 80 -h /"], "stopTimeout": 2}


def public_of(region: LiveRegion, arn: str) -> tuple[str, str]:
    """Private and public address of a running task."""
    details = region.wait_status(arn, "RUNNING")["attachments"][0]["details"]
    [eni] = [one["value"] for one in details if one["name"] == "networkInterfaceId"]
    [found] = region.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
    return found["PrivateIpAddress"], found["Association"]["PublicIp"]


def fetched(address: str) -> str:
    def look() -> str | None:
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=2) as answer:
                return str(answer.read().decode().strip())
        except OSError:
            return None

    return wait_for(f"{address} answers", look)


def looked_up(region: LiveRegion, text: str) -> list[str]:
    """By the region's listener on this machine."""
    asked = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + name(text) + struct.pack(">HH", A, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect((ways.address(region.paths.instance), 53))  # the kernel says at once that nobody listens
        client.send(asked)
        return [record.split()[-1] for record in libresolv.read(client.recv(4096)).records["answer"]]


def test_addresses_of_ones_own(own_region: LiveRegion) -> None:
    region = own_region
    group = region.ec2.create_security_group(GroupName="web", Description="HTTP")["GroupId"]
    region.ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=80, ToPort=80, CidrIp="0.0.0.0/0"
    )
    family = region.register({**SERVE, "image": region.busybox})
    before = region.run(family, public=True, groups=(group,))
    assert public_of(region, before)[1].startswith("198.18.")
    refused = region.command("ip-pool", "add", POOL, "--announce", check=False)
    assert refused.returncode == 1 and "--uplink nat" in refused.stderr
    assert f"{POOL} is a pool of this region: 6 addresses for tasks, 2 elastic ones" in (
        region.command("ip-pool", "add", POOL).stdout
    )
    task = region.run(family, public=True, groups=(group,))
    assert public_of(region, task)[1] == FIRST
    assert fetched(FIRST) == "hello"
    elastic = region.ec2.allocate_address(Domain="vpc")
    allocation = elastic["AllocationId"]
    assert elastic["PublicIp"] == "100.127.77.6"
    for process in ("server", "agent"):
        found = processes.find(region.paths.pid_file(process))
        assert found is not None
        processes.kill(found)
    wait_for("the region", lambda: "connected" in region.command("hosts", check=False).stdout)
    assert fetched(FIRST) == "hello"
    refused = region.command("ip-pool", "remove", POOL, check=False)
    assert refused.returncode == 1
    for holder in (
        f"{FIRST} (task {task.rpartition('/')[2]})",
        f"100.127.77.6 (elastic address {elastic['AllocationId']}",
    ):
        assert holder in refused.stderr
    region.stop(task)
    region.wait_status(task, "STOPPED")
    region.ec2.release_address(AllocationId=allocation)
    wait_for("its room", lambda: region.command("ip-pool", "remove", POOL, check=False).returncode == 0)
    after = region.run(family, public=True, groups=(group,))
    address = public_of(region, after)[1]
    assert address.startswith("198.18.") and fetched(address) == "hello"


def test_names_on_the_machine(own_region: LiveRegion, tmp_path: Path) -> None:
    region, root = own_region, tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / ways.RESOLV_CONF).write_text("nameserver 192.0.2.1\n")
    family = region.register({**SERVE, "image": region.busybox})
    private, public = public_of(region, region.run(family, public=True))
    own_name = f"ip-{private.replace('.', '-')}.ec2.internal"
    said = host_dns.install(region.paths, "", root=root)
    assert "ec2.internal" in said and "neargate dns uninstall" in said
    assert looked_up(region, own_name) == [public]
    assert looked_up(region, "neargate.internal") == ["127.0.0.1"]
    agent = processes.find(region.paths.pid_file("agent"))
    assert agent is not None
    processes.kill(agent)

    def answers_again() -> bool:
        try:
            return looked_up(region, own_name) == [public]
        except OSError:
            return False

    wait_for("the next agent", answers_again)
    assert "looks up names as before" in host_dns.uninstall(region.paths, root=root)
    assert (root / ways.RESOLV_CONF).read_text() == "nameserver 192.0.2.1\n"
    try:
        looked_up(region, own_name)
    except OSError:
        return
    raise AssertionError("it listens on")


def test_what_the_machine_does_not_allow_stays_away_from_tasks(own_region: LiveRegion) -> None:
    region = own_region
    family = region.register({**SERVE, "image": region.busybox})
    region.command("ip-pool", "add", POOL)
    assert POOL in region.command("doctor", check=False).stdout
    assert "no longer lets its region have" in region.command("ip-pool", "forbid", POOL).stdout
    refused = region.wait_status(region.run(family, public=True), "STOPPED")
    allowed_by = f"{POOL} (local) is not allowed on this host; as root of it: neargate ip-pool allow {POOL}"
    assert f"{FIRST} cannot be given: {allowed_by}" in refused["stoppedReason"]
    assert f"a pool of public addresses is refused: {allowed_by}" in region.command("doctor", check=False).stdout
    wait_for("hosts says so", lambda: f"refuses pools of public addresses: {POOL}" in region.command("hosts").stdout)
    region.command("ip-pool", "allow", POOL)
    group = region.ec2.create_security_group(GroupName="web", Description="HTTP")["GroupId"]
    region.ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=80, ToPort=80, CidrIp="0.0.0.0/0"
    )
    task = region.run(family, public=True, groups=(group,))
    assert fetched(public_of(region, task)[1]) == "hello"
    region.stop(task)
    region.wait_status(task, "STOPPED")
    wait_for("its room", lambda: region.command("ip-pool", "remove", POOL, check=False).returncode == 0)
    assert "is not allowed here; what is: nothing" in region.command("ip-pool", "forbid", POOL, check=False).stderr


def test_a_vpc_with_a_network_of_a_pool_of_ipv6(own_region: LiveRegion) -> None:
    region, ec2 = own_region, own_region.ec2
    assert "its id is ipv6pool-ec2-" in region.command("ip-pool", "add", POOL6).stdout
    [pool] = ec2.describe_ipv6_pools()["Ipv6Pools"]
    [vpc] = ec2.describe_vpcs()["Vpcs"]
    made = ec2.associate_vpc_cidr_block(VpcId=vpc["VpcId"], Ipv6Pool=pool["PoolId"])["Ipv6CidrBlockAssociation"]
    [table] = ec2.describe_route_tables()["RouteTables"]
    [gateway] = ec2.describe_internet_gateways()["InternetGateways"]
    ec2.create_route(
        RouteTableId=table["RouteTableId"],
        DestinationIpv6CidrBlock="::/0",
        GatewayId=gateway["InternetGatewayId"],
    )
    [subnet] = region.network(public=True)["awsvpcConfiguration"]["subnets"][:1]
    six = made["Ipv6CidrBlock"].replace("/56", "/64")
    ec2.associate_subnet_cidr_block(SubnetId=subnet, Ipv6CidrBlock=six)
    ec2.modify_subnet_attribute(SubnetId=subnet, AssignIpv6AddressOnCreation={"Value": True})
    group = ec2.create_security_group(GroupName="web6", Description="HTTP")["GroupId"]
    everybody = [{"CidrIpv6": "::/0"}]
    permission = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "Ipv6Ranges": everybody}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    only = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group], "assignPublicIp": "ENABLED"}}
    family = region.register({**SERVE, "image": region.busybox})
    task = region.run(family, networkConfiguration=only)
    details = region.wait_status(task, "RUNNING")["attachments"][0]["details"]
    [eni] = [one["value"] for one in details if one["name"] == "networkInterfaceId"]
    [found] = ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
    [address] = [one["Ipv6Address"] for one in found["Ipv6Addresses"]]
    assert address.startswith(six.split("::")[0])
    assert fetched(f"[{address}]") == "hello"
    refused = region.command("ip-pool", "remove", POOL6, check=False)
    assert refused.returncode == 1 and f"{made['Ipv6CidrBlock']} (of {vpc['VpcId']}" in refused.stderr
