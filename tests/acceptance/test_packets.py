"""Real packets between real tasks of a running region, allowed and denied; security groups changed through the API.

Probes are sockets made inside the tasks' own network namespaces, so that a refusal and a silence can be told apart.
"""

import http.client
import json
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import botocore.exceptions
import pytest

from neargate.cli import config as configs
from neargate.hostnet.edge import host_address
from neargate.model.network import REGION_ENDPOINT_ADDRESS, TASK_METADATA_ADDRESS
from neargate.testing.netlab import listener_in, socket_in

from .region import LiveRegion, wait_for

OPEN, REFUSED, SILENT = "open", "refused", "silent"
SILENT_S = 0.6
SLEEP = {"command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done"]}


@dataclass
class Peer:
    """A running task: where it is and how it is entered."""

    region: LiveRegion
    arn: str
    netns: str
    private: str
    public: str
    eni: str
    runtime_id: str

    def connect(self, address: str, port: int) -> socket.socket | str:
        """A connection, or why there is none."""
        client = socket_in(self.netns)
        client.settimeout(SILENT_S)
        try:
            client.connect((address, port))
        except ConnectionRefusedError:
            client.close()
            return REFUSED
        except OSError:  # nobody answered, or the way there ends
            client.close()
            return SILENT
        return client

    def probe(self, address: str, port: int) -> str:
        found = self.connect(address, port)
        if isinstance(found, str):
            return found
        found.close()
        return OPEN

    def wait_probe(self, address: str, port: int, wanted: str) -> None:
        wait_for(f"{address}:{port} to be {wanted}", lambda: self.probe(address, port) == wanted or None, 15)

    def get(self, address: str, port: int, path: str) -> tuple[int, bytes]:
        client = self.connect(address, port)
        assert not isinstance(client, str), f"{address}:{port} is {client}"
        connection = http.client.HTTPConnection(address, port)
        connection.sock = client
        client.settimeout(5)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body


def peer_of(region: LiveRegion, arn: str) -> Peer:
    task = region.wait_status(arn, "RUNNING")
    details = {item["name"]: item["value"] for item in task["attachments"][0]["details"]}
    [eni] = region.ec2.describe_network_interfaces(NetworkInterfaceIds=[details["networkInterfaceId"]])[
        "NetworkInterfaces"
    ]
    return Peer(
        region=region,
        arn=arn,
        netns=str(region.paths.run / "net" / "netns" / f"task-{arn.rpartition('/')[2]}"),
        private=details["privateIPv4Address"],
        public=eni.get("Association", {}).get("PublicIp", ""),
        eni=details["networkInterfaceId"],
        runtime_id=task["containers"][0]["runtimeId"],
    )


def make_group(region: LiveRegion, name: str) -> str:
    vpc = region.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    return str(region.ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"])


def tcp(port: int, *, group: str = "", cidr: str = "", last: int = 0) -> list[dict[str, Any]]:
    rule: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": port, "ToPort": last or port}
    rule |= {"UserIdGroupPairs": [{"GroupId": group}]} if group else {"IpRanges": [{"CidrIp": cidr}]}
    return [rule]


@dataclass
class Scene:
    """`server` is in group `web`, which admits `clients` to 8080 and 8082; nothing else is open."""

    region: LiveRegion
    web: str
    clients: str
    server: Peer
    client: Peer
    stranger: Peer


@pytest.fixture(scope="module")
def scene(region: LiveRegion) -> Iterator[Scene]:
    web, clients, strangers = (make_group(region, f"packets-{name}") for name in ("web", "clients", "strangers"))
    for port in (8080, 8082):
        region.ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=tcp(port, group=clients))
    script = "for p in 8080 8081; do httpd -p $p -h /etc; done; trap 'exit 0' TERM; while :; do sleep 0.2; done"
    serving, sleeping = region.register({"command": ["sh", "-c", script]}), region.register(SLEEP)
    arns = [
        region.run(serving, groups=(web,)),
        region.run(sleeping, groups=(clients,), public=True),
        region.run(sleeping, groups=(strangers,)),
    ]
    server, client, stranger = (peer_of(region, arn) for arn in arns)
    yield Scene(region=region, web=web, clients=clients, server=server, client=client, stranger=stranger)
    for arn in arns:
        region.stop(arn)
    for arn in arns:
        region.wait_status(arn, "STOPPED")


def test_a_group_reference_opens_its_ports_to_members_only(scene: Scene) -> None:
    scene.client.wait_probe(scene.server.private, 8080, OPEN)
    assert scene.client.probe(scene.server.private, 8081) == SILENT, "it listens, but no rule names it"
    assert scene.client.probe(scene.server.private, 8082) == REFUSED, "a rule names it, but nobody listens"
    assert scene.stranger.probe(scene.server.private, 8080) == SILENT
    assert scene.server.probe(scene.client.private, 8080) == SILENT, "a reference has a direction"


def _exchange(client: socket.socket, accepted: socket.socket) -> bool:
    accepted.settimeout(5)
    client.settimeout(5)
    client.sendall(b"ping")
    assert accepted.recv(4) == b"ping"
    accepted.sendall(b"pong")
    return client.recv(4) == b"pong"


def _established(scene: Scene, port: int) -> tuple[socket.socket, socket.socket]:
    """A connection from client to server that goes on while rules change."""
    with listener_in(scene.server.netns, "0.0.0.0", port) as listener:
        listener.settimeout(5)

        def look() -> socket.socket | None:
            found = scene.client.connect(scene.server.private, port)
            return None if isinstance(found, str) else found

        client = wait_for(f"port {port}", look, 15)
        accepted, _ = listener.accept()
    assert _exchange(client, accepted)
    return client, accepted


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_a_revoked_rule_leaves_what_is_established_and_denies_what_is_new(scene: Scene, direction: str) -> None:
    ec2 = scene.region.ec2
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    revoke, authorize, request = (
        (
            ec2.revoke_security_group_ingress,
            ec2.authorize_security_group_ingress,
            {"GroupId": scene.web, "IpPermissions": tcp(8080, group=scene.clients)},
        )
        if direction == "ingress"
        else (
            ec2.revoke_security_group_egress,
            ec2.authorize_security_group_egress,
            {"GroupId": scene.clients, "IpPermissions": everything},
        )
    )
    ec2.authorize_security_group_ingress(GroupId=scene.web, IpPermissions=tcp(9000, group=scene.clients))
    client, accepted = _established(scene, 9000)
    with client, accepted:
        ec2.revoke_security_group_ingress(GroupId=scene.web, IpPermissions=tcp(9000, group=scene.clients))
        revoke(**request)
        scene.client.wait_probe(scene.server.private, 8080, SILENT)
        scene.client.wait_probe(scene.server.private, 9000, SILENT)
        assert _exchange(client, accepted)
        authorize(**request)
        scene.client.wait_probe(scene.server.private, 8080, OPEN)
        assert _exchange(client, accepted)


def test_a_rule_added_to_a_group_opens_running_tasks(scene: Scene) -> None:
    request = {"GroupId": scene.web, "IpPermissions": tcp(8080, cidr=f"{scene.stranger.private}/32")}
    assert scene.stranger.probe(scene.server.private, 8080) == SILENT
    scene.region.ec2.authorize_security_group_ingress(**request)
    scene.stranger.wait_probe(scene.server.private, 8080, OPEN)
    scene.region.ec2.revoke_security_group_ingress(**request)
    scene.stranger.wait_probe(scene.server.private, 8080, SILENT)


def test_containers_of_a_task_share_localhost(region: LiveRegion) -> None:
    serve = "httpd -p 127.0.0.1:9999 -h /etc; trap 'exit 0' TERM; while :; do sleep 0.2; done"
    ask = "until wget -q -O - http://127.0.0.1:9999/passwd; do sleep 0.1; done"
    lines = region.output({"command": ["sh", "-c", ask]}, {"command": ["sh", "-c", serve]})
    assert lines[-2].startswith("root:x:0:0")


def test_a_public_address_leads_the_host_to_a_task_and_no_task_to_the_host(scene: Scene) -> None:
    """From the host by the rules of its groups. A task opens no connection to the machine (docs/networking.md), and who
    tries is told of.
    """
    ec2, client = scene.region.ec2, scene.client
    own = host_address(configs.load(scene.region.paths).public_pool)
    with listener_in(client.netns, "0.0.0.0", 8088) as inside, listener_in(None, own, 0) as outside:
        inside.settimeout(5)
        assert _from_host(client.public, 8088) == SILENT, "no rule of its group admits the host"
        request = {"GroupId": scene.clients, "IpPermissions": tcp(8088, cidr=f"{own}/32")}
        ec2.authorize_security_group_ingress(**request)
        wait_for("the way from the host", lambda: _from_host(client.public, 8088) == OPEN or None, 15)
        assert _accepted_from(inside) == own
        ec2.revoke_security_group_ingress(**request)
        wait_for("the way to close", lambda: _from_host(client.public, 8088) == SILENT or None, 15)
        port = outside.getsockname()[1]
        assert client.probe(own, port) == SILENT
        assert scene.stranger.probe(own, port) == SILENT, "it has no public address"

    def is_told() -> bool:
        told = scene.region.command("hosts").stdout
        return "dropped" in told and f"{client.public} to {own} tcp port {port}" in told

    wait_for("the host to tell of it", is_told, 30)
    flows = (scene.region.paths.log_file("underlay")).read_text()
    assert f"src={client.public} dst={own} proto=tcp" in flows and f"dport={port}" in flows
    assert str(scene.region.paths.log_file("underlay")) in scene.region.command("doctor", check=False).stdout


def _accepted_from(listener: socket.socket) -> str:
    accepted, peer = listener.accept()
    accepted.close()
    return str(peer[0])


def _from_host(address: str, port: int) -> str:
    try:
        socket.create_connection((address, port), timeout=SILENT_S).close()
    except ConnectionRefusedError:
        return REFUSED
    except OSError:
        return SILENT
    return OPEN


def test_nothing_of_the_host_is_behind_a_task(scene: Scene) -> None:
    """Its own addresses, its loopback and other ports of the region's address do not answer."""
    with socket.socket() as anywhere:
        anywhere.bind(("0.0.0.0", 0))
        anywhere.listen()
        port = anywhere.getsockname()[1]
        hosts = {TASK_METADATA_ADDRESS, REGION_ENDPOINT_ADDRESS, "169.254.254.1", "169.254.254.2", *_host_addresses()}
        for address in sorted(hosts):
            assert scene.stranger.probe(address, port) == SILENT, f"{address}:{port} answers"
    for port in (80, scene.region.port + 1):
        assert scene.stranger.probe(REGION_ENDPOINT_ADDRESS, port) == SILENT


def _host_addresses() -> list[str]:
    """All of this machine's except loopback, the ends of other regions' pools included."""
    shown = subprocess.run(["ip", "-json", "-4", "address"], capture_output=True, check=True).stdout
    found = [address["local"] for link in json.loads(shown) for address in link["addr_info"]]
    return [address for address in found if not address.startswith("127.")]


def test_every_task_reaches_the_regions_endpoint(scene: Scene) -> None:
    for peer in (scene.client, scene.stranger, scene.server):
        assert peer.get(REGION_ENDPOINT_ADDRESS, scene.region.port, "/_neargate/health")[0] == 200
    url = f"http://{REGION_ENDPOINT_ADDRESS}:{scene.region.port}/_neargate/health"
    task = scene.region.run_to_end({"command": ["wget", "-q", "-O", "/dev/null", url]})
    assert task["containers"][0]["exitCode"] == 0


def test_metadata_knows_who_asks(scene: Scene) -> None:
    mine, others = scene.stranger.runtime_id, scene.client.runtime_id
    status, body = scene.stranger.get(TASK_METADATA_ADDRESS, 80, f"/v4/{mine}/task")
    assert status == 200 and scene.stranger.arn.encode() in body
    status, body = scene.stranger.get(TASK_METADATA_ADDRESS, 80, f"/v4/{others}/task")
    assert status in (400, 403, 404) and scene.client.arn.encode() not in body


def _udp_packet(source: str, target: str, port: int, payload: bytes) -> bytes:
    """An IPv4 packet whose source anybody may write; the kernel fills in length and checksum."""
    udp = struct.pack("!HHHH", 5353, port, 8 + len(payload), 0) + payload
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    return struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_UDP, 0) + addresses + udp


def test_a_spoofed_source_does_not_leave_the_task(scene: Scene) -> None:
    """The server admits UDP from everybody in the subnet: what arrives is what anti-spoofing let through."""
    request = {
        "GroupId": scene.web,
        "IpPermissions": [
            {"IpProtocol": "udp", "FromPort": 5000, "ToPort": 5000, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ],
    }
    scene.region.ec2.authorize_security_group_ingress(**request)
    target = scene.server.private
    with (
        socket_in(scene.server.netns, kind=socket.SOCK_DGRAM) as receiver,
        socket_in(scene.stranger.netns, kind=socket.SOCK_RAW, protocol=socket.IPPROTO_RAW) as sender,
    ):
        receiver.bind(("0.0.0.0", 5000))
        receiver.settimeout(0.2)

        def send(source: str) -> None:
            sender.sendto(_udp_packet(source, target, 5000, source.encode()), (target, 0))

        def arrives() -> bool | None:
            send(scene.stranger.private)
            return _received(receiver) == {scene.stranger.private} or None

        wait_for("an honest packet", arrives, 15)
        for source in (scene.client.private, scene.client.public, "10.1.2.3", target, TASK_METADATA_ADDRESS):
            send(source)
        send(scene.stranger.private)
        assert _received(receiver) == {scene.stranger.private}
    scene.region.ec2.revoke_security_group_ingress(**request)


def _received(receiver: socket.socket) -> set[str]:
    found = set()
    while True:
        try:
            found.add(receiver.recv(64).decode())
        except TimeoutError:
            return found


def test_a_container_cannot_change_its_interface(region: LiveRegion) -> None:
    script = "ip addr add 172.31.99.99/32 dev eth1 || ip addr add 172.31.99.99/32 dev eth0 || echo no; ip -o -4 addr"
    lines = region.output({"command": ["sh", "-c", f"({script}) 2>&1"]})
    assert "no" in lines and not any("172.31.99.99" in line for line in lines if "inet" in line)


def test_an_interface_is_described_while_its_task_lives(region: LiveRegion) -> None:
    group = make_group(region, "packets-eni")
    arn = region.run(region.register(SLEEP), groups=(group,), public=True)
    eni = peer_of(region, arn).eni

    def describe() -> dict[str, Any]:
        [found] = region.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
        return dict(found)

    found = describe()
    assert found["Status"] == "in-use" and [item["GroupId"] for item in found["Groups"]] == [group]
    _refused(lambda: region.ec2.delete_security_group(GroupId=group), "DependencyViolation")
    region.stop(arn)
    region.wait_status(arn, "STOPPED")
    wait_for("the interface to go", lambda: _code(describe) == "InvalidNetworkInterfaceID.NotFound" or None, 15)
    region.ec2.delete_security_group(GroupId=group)


def _code(call: Callable[[], object]) -> str:
    try:
        call()
    except botocore.exceptions.ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def _refused(call: Callable[[], object], code: str) -> None:
    assert _code(call) == code
