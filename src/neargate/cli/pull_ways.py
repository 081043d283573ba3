"""Which images' registries are asked in the task's own network, and which by this machine.

Invariant: a registry that its task could not reach whatever the VPC's routes say (this machine has no uplink for tasks;
the operator named it, or a proxy for it; it is in a private network, which no gateway carries packets to) is the
machine's to ask, as before. All others are the task's: what its subnet's routes and its groups do not let out is not
pulled, as on AWS.
"""

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network

from ..hostnet.uplink.pasta import program
from ..interfaces.sandbox import SandboxError
from ..sandbox.pull.dialling import host_and_port, is_named
from ..sandbox.pull.proxies import Proxies
from ..sandbox.pull.reference import parse_reference
from ..uplink.texts import settled_mode
from ..vpc.table import NOT_ON_THE_INTERNET
from .config import RegionConfig

_PRIVATE6 = ("::/127", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8")
_PRIVATE = tuple(ip_network(text) for text in (*NOT_ON_THE_INTERNET, *_PRIVATE6))


def pulls_by_task(config: RegionConfig, proxies: Proxies) -> Callable[[str], bool]:
    """Of an image's reference. One that is none is nobody's: its pull says so."""
    if settled_mode(config.uplink, has_pasta=program() is not None) == "none":
        return lambda _: False

    def decide(image: str) -> bool:
        try:
            host, port = host_and_port(f"https://{parse_reference(image).api_host}")
        except (SandboxError, ValueError):
            return False
        return not is_named(host, port, config.insecure_registries) and proxies.way_to("https", host, port) is None

    return decide


def is_carried(address: str) -> bool:
    """Whether an internet gateway may take packets to it. By the gateways' own list, not by what an address is
    registered for: those for documents and benchmarks are carried, so their pulls are the task's, too."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return not any(found in network for network in _PRIVATE if network.version == found.version)
