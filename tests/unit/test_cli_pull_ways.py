"""Who asks an image's registry: the task's network where that can lead there, else the machine."""

import pytest

from neargate.cli.config import RegionConfig
from neargate.cli.pull_ways import is_carried, pulls_by_task
from neargate.sandbox.pull.proxies import DIRECT, proxies_of

PROXIES = proxies_of({"HTTPS_PROXY": "http://10.0.0.1:3128", "NO_PROXY": "near.example"})


@pytest.mark.parametrize(
    ("image", "uplink", "is_by_task"),
    [
        ("nginx", "nat", True),
        ("nginx", "none", False),
        ("public.ecr.aws/docker/library/nginx:1", "user", True),
        ("own.example/web:1", "nat", False),
        ("own.example:5000/web:1", "nat", False),
        ("own.example:5001/web:1", "nat", True),
        ("Not/A@Reference", "nat", False),
        ("host.example:99999/web", "nat", False),
    ],
)
def test_who_asks(image: str, uplink: str, is_by_task: bool) -> None:
    config = RegionConfig(uplink=uplink, insecure_registries=("own.example:443", "own.example:5000"))
    assert pulls_by_task(config, DIRECT)(image) is is_by_task


def test_what_goes_through_a_proxy_is_the_machines() -> None:
    decide = pulls_by_task(RegionConfig(uplink="nat"), PROXIES)
    assert not decide("far.example/web") and decide("near.example/web")


@pytest.mark.parametrize(
    ("address", "is_one"),
    [
        ("1.1.1.1", True),
        ("203.0.113.10", True),  # for documents, and carried all the same: it is no way around a task's routes
        ("198.51.100.7", True),
        ("198.18.0.9", True),  # an address of the region's own pool
        ("2606:4700::1111", True),
        ("2001:db8::1", True),
        ("64:ff9b::101:101", True),
        ("::ffff:1.1.1.1", True),
        ("10.1.2.3", False),
        ("172.31.0.9", False),
        ("192.168.0.9", False),
        ("100.64.0.1", False),
        ("169.254.0.9", False),
        ("fd00::9", False),
        ("fe80::1%eth0", False),
        ("::ffff:10.1.2.3", False),
    ],
)
def test_private_networks_are_behind_no_internet_gateway_and_all_others_are(address: str, is_one: bool) -> None:
    assert is_carried(address) is is_one
