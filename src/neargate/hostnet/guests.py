"""The guest's end of a task's interface: a tap in the task's namespace and the rules between it and eth0.

Owns what of it the kernel holds; what passes is decided by `vpc.guest_frames`. Every method runs on the network lane's
thread, may be repeated, and picks up what an earlier, killed call left. Tasks without a machine have nothing of this.
"""

import os
from collections.abc import Iterable

from ..interfaces.hostnet import GuestInterface, HostError
from ..model.network import AGENT_PORTS, Eni
from ..vpc.guest_frames import guest_rules
from . import netlink
from .namespaces import Namespaces, write_sysctl
from .netlink import Netlink
from .nftables import Nftables, NftablesError
from .taps import bring_up, home_of, keep, open_tap
from .task_link import guest_messages

_TAP, _INTERFACE = "tap0", "eth0"


class Guests:
    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        # Descriptors by namespace: a caller that gave up waiting has not taken its own, and it would keep the tap.
        self._untaken: dict[str, int] = {}

    def admit(
        self,
        namespace: str,
        eni: Eni,
        networks: Iterable[str],
        *,
        mtu: int,
        beyond_mtu: int,
        spare: int | None = None,
    ) -> GuestInterface:
        """As `configure_task`, whose messages the guest gets too. Whoever gets the answer calls `taken`.

        `spare`: a tap of `spare`, which a machine has open already: it becomes the task's.
        """
        self._close_untaken(namespace)
        messages = guest_messages(eni, networks, mtu=mtu, beyond_mtu=beyond_mtu)
        with self._namespaces.inside(namespace), Netlink() as links:
            if links.link(_INTERFACE) is None:
                raise HostError("the task's interface is not attached")
            keep_agent_ports()
            descriptor = None
            if spare is None:
                descriptor = open_tap(_TAP)
            else:
                self._move(links, spare, namespace)
            if descriptor is not None:
                self._untaken[namespace] = descriptor
            _load(guest_rules(eni, interface=_INTERFACE, tap=_TAP))
            bring_up(links, _TAP, mtu=mtu)  # after the rules: no frame comes before them
        return GuestInterface(descriptor=descriptor, mac=eni.mac, messages=messages)

    def spare(self) -> int:
        """A tap that leads nowhere, in a namespace of its own: both end with its descriptor."""
        with self._namespaces.aside():
            descriptor = open_tap(_TAP, stays=False)
        assert descriptor is not None, "nobody else is in there"
        return descriptor

    def _move(self, links: Netlink, spare: int, namespace: str) -> None:
        """Into the namespace that `links` is in, in place of the tap of a machine that ended."""
        links.run([netlink.link_gone(_TAP)])
        home = home_of(spare)
        try:
            with (
                self._namespaces.opened(namespace) as target,
                self._namespaces.inside_of(home),
                Netlink() as there,
            ):
                there.run([netlink.link_moved(there.existing(_TAP).index, target)])
            keep(spare)
        finally:
            os.close(home)

    def taken(self, namespace: str) -> None:
        self._untaken.pop(namespace, None)

    def remove(self, namespace: str) -> None:
        """A machine that lives has nothing in its hands any more."""
        self._close_untaken(namespace)
        if self._namespaces.exists(namespace):
            with self._namespaces.inside(namespace), Netlink() as links:
                links.run([netlink.link_gone(_TAP)])

    def close(self) -> None:
        for namespace in list(self._untaken):
            self._close_untaken(namespace)

    def _close_untaken(self, namespace: str) -> None:
        descriptor = self._untaken.pop(namespace, None)
        if descriptor is not None:
            os.close(descriptor)


def keep_agent_ports() -> None:
    """Of the calling thread's namespace: connections begin from the agent's ports. These are few, so one that is over
    is soon in nobody's way."""
    write_sysctl("ipv4/ip_local_port_range", "{} {}".format(*AGENT_PORTS))
    write_sysctl("ipv4/tcp_tw_reuse", "1")


def _load(rules: str) -> None:
    table = Nftables()
    try:
        table.run(rules)
    except NftablesError as error:
        raise HostError(
            "this kernel cannot lead frames to the machine of a task: that needs nftables' netdev family and its `fwd`"
            f" (CONFIG_NF_TABLES_NETDEV, CONFIG_NFT_FWD_NETDEV). nftables says: {error}"
        ) from error
    finally:
        table.close()
