"""What a kernel that has a task's eth0 is told: its addresses, and that everything goes by way of the gateway.

One list of messages for all of them: the namespace of a task, and the kernel of its machine's guest, which has the same
interface once more.
"""

from collections.abc import Iterable
from ipaddress import ip_network

from ..model.network import ENI_MAC_GATEWAY, Eni
from . import netlink
from .netlink import Message, Netlink

_GATEWAY_IPV6 = "fe80::1"
_GUEST_LOOPBACK, _GUEST_INTERFACE = 1, 2  # links' numbers in a kernel that has these two alone


def configure_task(links: Netlink, eni: Eni, networks: Iterable[str], *, mtu: int, beyond_mtu: int) -> None:
    """Inside the task's namespace. `networks`: of the VPC, to which packets may have `mtu`; to all else
    `beyond_mtu`."""
    loopback, interface = links.existing("lo").index, links.existing("eth0").index
    links.run(_messages(eni, networks, loopback, interface, mtu=mtu, beyond_mtu=beyond_mtu))
    links.settle("eth0")


def guest_messages(eni: Eni, networks: Iterable[str], *, mtu: int, beyond_mtu: int) -> tuple[bytes, ...]:
    """The same for a guest's kernel, as `GuestInterface.messages`.

    Its interface's hardware address first: a guest that was saved has another one, from before it had a task.
    """
    found = _messages(eni, networks, _GUEST_LOOPBACK, _GUEST_INTERFACE, mtu=mtu, beyond_mtu=beyond_mtu)
    return netlink.complete([netlink.link_hardware(_GUEST_INTERFACE, eni.mac), *found])


def gateway_of(eni: Eni) -> str:
    """The subnet's first address, as on AWS."""
    return str(ip_network(eni.subnet_cidr)[1])


def _messages(
    eni: Eni, networks: Iterable[str], loopback: int, interface: int, *, mtu: int, beyond_mtu: int
) -> list[Message]:
    gateway = gateway_of(eni)
    messages = [
        netlink.link_up(loopback),
        netlink.link_mtu(interface, mtu),
        netlink.no_autoconf(interface),
        netlink.link_up(interface),
        netlink.address(interface, eni.private_ipv4),
        netlink.neighbour(interface, gateway, ENI_MAC_GATEWAY),
        netlink.route("0.0.0.0/0", interface, via=gateway, source=eni.private_ipv4, mtu=beyond_mtu),
    ]
    if eni.ipv6 is not None:
        messages += [
            netlink.address(interface, eni.ipv6),
            netlink.neighbour(interface, _GATEWAY_IPV6, ENI_MAC_GATEWAY),
            netlink.route("::/0", interface, via=_GATEWAY_IPV6, mtu=beyond_mtu),
        ]
    for network in networks:
        if ":" not in network:
            messages.append(netlink.route(network, interface, via=gateway, source=eni.private_ipv4))
        elif eni.ipv6 is not None:
            messages.append(netlink.route(network, interface, via=_GATEWAY_IPV6))
    return messages
