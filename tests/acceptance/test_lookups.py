"""A task looks names up at its VPC's resolver: its own, the region's, what is none; and nothing without DNS support.

With the machine's own C library in the container, as most images have it, and with busybox's client. What the world
answers is not asked here (`tests/integration/test_resolver_packets.py` has servers of its own for that).
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from neargate.testing import oci_image
from neargate.testing.oci_image import Entry

from .region import LiveRegion

GETENT = "/usr/bin/getent"
PATIENCE_S = 4  # the C library itself waits 5 s before it asks a second time
LOOK = f"timeout -s KILL {PATIENCE_S} {GETENT}"
# Not the task's own, which is in its /etc/hosts; whether anybody has the address does not matter, as on AWS.
NAME, ADDRESS = "ip-172-31-200-9.ec2.internal", "172.31.200.9"
# Each line is what a lookup ended with; 124 and 137 or 143 are those of a client that had to be stopped.
STORY = f"""
{LOOK} ahostsv4 {NAME} | awk '{{print $1}}' | sort -u
{LOOK} hosts {ADDRESS} | awk '{{print $2}}'
{LOOK} ahostsv4 neargate.internal | awk '{{print $1}}' | sort -u
for name in nobody.ec2.internal neargate.invalid localhost; do
  {LOOK} ahosts $name > /dev/null; echo "$name $?"
done
nslookup -type=a nobody.ec2.internal 2>&1 | grep -o NXDOMAIN
"""
WITHOUT = f"""
for name in {NAME} example.com localhost; do
  {LOOK} ahosts $name > /dev/null; echo "$name $?"
done
timeout -s KILL {PATIENCE_S} nslookup example.com 2>&1 | grep -q "no servers could be reached"; echo "silence $?"
"""


def libraries(program: str) -> list[str]:
    """Paths of what the loader would map for it, itself included."""
    shown = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return [word for word in shown.split() if word.startswith("/")]


@pytest.fixture
def image(region: LiveRegion) -> str:
    if shutil.which("getent") is None:
        pytest.skip("needs getent of the C library")
    files = [GETENT, *libraries(GETENT)]
    folders = sorted({str(parent) for path in files for parent in Path(path).parents if parent != Path("/")})
    layer = oci_image.build_layer(
        [
            *(Entry(path=folder.lstrip("/")) for folder in folders),
            *(Entry(path=path.lstrip("/"), content=Path(path).read_bytes()) for path in files),
        ]
    )
    built = oci_image.build_image([oci_image.busybox_layer(), layer], config={"Env": ["PATH=/bin:/usr/bin"]})
    oci_image.push(region.registry, "getent", "1", built)
    return f"{region.registry}/getent:1"


def test_a_task_knows_its_own_name_and_learns_at_once_what_is_none(region: LiveRegion, image: str) -> None:
    lines = region.output({"image": image, "command": ["sh", "-c", STORY]})
    # 2: "one or more supplied keys could not be found", said by a client that had its answer.
    assert lines == [
        *(ADDRESS, NAME, "169.254.170.10"),
        *("nobody.ec2.internal 2", "neargate.invalid 2", "localhost 0", "NXDOMAIN"),
    ]


def test_without_dns_support_a_lookup_fails_at_once(region: LiveRegion, image: str) -> None:
    [vpc] = region.ec2.describe_vpcs()["Vpcs"]
    region.ec2.modify_vpc_attribute(VpcId=vpc["VpcId"], EnableDnsSupport={"Value": False})
    try:
        lines = region.output({"image": image, "command": ["sh", "-c", WITHOUT]})
    finally:
        region.ec2.modify_vpc_attribute(VpcId=vpc["VpcId"], EnableDnsSupport={"Value": True})
    assert lines == [f"{NAME} 2", "example.com 2", "localhost 0", "silence 1"]
