"""The proxies of a region's agent: where they look for what the host's network makes."""

from pathlib import Path

from neargate.cli.balancers import _proxies, memory_max_mib, own_ports
from neargate.cli.config import RegionConfig
from neargate.cli.paths import RegionPaths
from neargate.hostnet.balancers import namespace_of
from neargate.hostnet.network import LinuxNetwork
from neargate.world import OsWorld


def test_they_run_in_the_namespaces_that_the_network_makes() -> None:
    world, paths = OsWorld(), RegionPaths(Path("/var/lib/one"))
    network = LinuxNetwork(world, instance=paths.instance, run_dir=paths.run / "net", public_pool="198.18.0.0/24")
    name = namespace_of("eni-1")
    assert _proxies(world, paths)._namespaces.path(name) == network._namespaces.path(name)


def test_ports_that_the_regions_server_listens_at_are_its_own() -> None:
    assert own_ports(RegionConfig()) == {4566}
    config = RegionConfig(port=4600, metrics_listen="127.0.0.1:9464", registry_listen="0.0.0.0:5000")
    assert own_ports(config) == {4600, 9464, 5000}


def test_a_node_has_an_eighth_of_the_machine_at_most_and_enough_on_a_small_one() -> None:
    assert memory_max_mib(65_536) == 8192
    assert memory_max_mib(2048) == 512
