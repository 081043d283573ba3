"""A load balancer's private key on a real region: on no disk in clear, and serving goes on when the agent is killed,
and without the keys that a reboot takes when the server has told them again.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from neargate.cli import processes

from .conftest import end_region, start_region
from .region import LiveRegion, wait_for

PORT = 18443


@pytest.fixture(scope="module")
def alone() -> Iterator[LiveRegion]:
    """Its agent is killed."""
    live = start_region()
    try:
        yield live
    finally:
        end_region(live)


def answers(region: LiveRegion) -> bool:
    name = f"sealed.{region.ecs.meta.region_name}.elb.localhost"
    command = ["curl", "-ksS", "-m", "5", "--resolve", f"{name}:{PORT}:127.0.0.1", f"https://{name}:{PORT}/"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout == "here"


def listen(region: LiveRegion) -> None:
    elb = region.client("elbv2")
    subnets = [one["SubnetId"] for one in region.ec2.describe_subnets()["Subnets"]][:2]
    [made] = elb.create_load_balancer(Name="sealed", Subnets=subnets)["LoadBalancers"]
    anyone = [{"IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    region.ec2.authorize_security_group_ingress(GroupId=made["SecurityGroups"][0], IpPermissions=anyone)
    asked = region.client("acm").request_certificate(DomainName="sealed.example.com", KeyAlgorithm="EC_prime256v1")
    elb.create_listener(
        LoadBalancerArn=made["LoadBalancerArn"],
        Protocol="HTTPS",
        Port=PORT,
        Certificates=[{"CertificateArn": asked["CertificateArn"]}],
        DefaultActions=[
            {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": "here"}}
        ],
    )


def key_lines(run: Path) -> set[bytes]:
    """Of what proxies read: a line in the midst of each private key."""
    pems = [path.read_bytes().splitlines() for path in run.glob("balancers/eni-*/certificates/*.pem")]
    return {
        lines[n + 1] for lines in pems for n, line in enumerate(lines) if b"PRIVATE KEY" in line and b"BEGIN" in line
    }


def kill_agent(region: LiveRegion) -> None:
    running = processes.find(region.paths.pid_file("agent"))
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    assert processes.wait_gone(running, 10.0)


def masters(region: LiveRegion) -> set[int]:
    """Of the region's proxies: their workers are replaced whenever something is changed. Without checks of a file."""
    found = subprocess.run(
        ["ps", "-C", "haproxy", "-o", "pid=,ppid=,args="], check=False, capture_output=True, text=True
    )
    lines = [line for line in found.stdout.splitlines() if f"{region.paths.run}/" in line and " -W " in line]
    rows = [line.split(None, 2) for line in lines]
    pids = {pid for pid, _, _ in rows}
    return {int(pid) for pid, parent, _ in rows if parent not in pids}


def test_no_file_of_the_region_s_data_has_a_key_and_it_serves_on_without_it(alone: LiveRegion) -> None:
    listen(alone)
    wait_for("it answers by TLS", lambda: answers(alone))
    lines = key_lines(alone.paths.run)
    assert len(lines) == 1
    [line] = lines

    def on_disk() -> list[Path]:
        files = (path for path in alone.paths.data.rglob("*") if path.is_file() and not path.is_symlink())
        return [path for path in files if line in path.read_bytes()]

    assert on_disk() == []
    kept = alone.paths.run / "balancers" / "keys"
    assert kept.stat().st_mode & 0o777 == 0o700 and len(list(kept.iterdir())) == 1
    before = wait_for("both nodes run", lambda: found if len(found := masters(alone)) == 2 else None)
    kill_agent(alone)
    wait_for("the next agent is there and it answers", lambda: answers(alone))
    assert masters(alone) == before, "what served serves on"
    for path in kept.iterdir():  # as a reboot does
        path.unlink()
    kill_agent(alone)
    wait_for("the server has told the keys again", lambda: len(list(kept.iterdir())) == 1)
    wait_for("it answers by TLS again", lambda: answers(alone))
    assert on_disk() == []
    elb = alone.client("elbv2")
    [made] = elb.describe_load_balancers(Names=["sealed"])["LoadBalancers"]
    elb.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])
    wait_for("keys go with it", lambda: not list(kept.iterdir()) and not key_lines(alone.paths.run))
