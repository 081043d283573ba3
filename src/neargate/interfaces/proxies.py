"""The proxies of load balancers on one host: what the agent asks of whoever runs them."""

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from ..model.balancing import BalancerPlan, NodeReport

# (what lines are sent by, interface of the node, lines with their times in epoch milliseconds): False without room.
AccessLines = Callable[[str, str, Sequence[tuple[int, str]]], bool]


class BalancerRunner(Protocol):
    """Runs one proxy for each node of this host, in the node's namespace (`hostnet.balancers.namespace_of`)."""

    async def apply(self, plans: Sequence[BalancerPlan]) -> None:
        """All plans of this host; of each only the nodes that are here. What is in none of them ends.

        Repeatable. Returns when it is under way: what becomes of it the reports say. A node's namespace may come a
        moment later; then the node is tried again until it is there.
        """

    def reports(self) -> Sequence[NodeReport]:
        """What each node would say now."""

    def on_report(self, listener: Callable[[NodeReport], None]) -> None:
        """Called whenever a verdict or `is_serving` changes, and each period."""

    def on_access_lines(self, ship: AccessLines) -> None:
        """Lines of access logs go there; before, nowhere."""


class Proxy(Struct, frozen=True, kw_only=True):
    """A proxy's process: a pid alone may have been given to somebody else."""

    pid: int
    start_ticks: int


class ProxyHost(Protocol):
    """The proxies' processes and files on this host, by the interface of their node. Calls block, on one thread; they
    may be repeated and raise OSError or HostError."""

    def directory(self, eni_id: str) -> str:
        """Absolute; of this node alone."""

    def write(self, eni_id: str, content: Mapping[str, str]) -> None:
        """All of the node's files: what is not among them goes. Each is whole or not there."""

    def faults(self, eni_id: str) -> str:
        """What the proxy has against its files, in one line; empty when they are good."""

    def find(self, eni_id: str) -> Proxy | None:
        """The one that runs in the node's namespace, whoever started it."""

    def log_socket(self, eni_id: str) -> socket.socket:
        """Where the node's proxy says what it answered: of datagrams, made anew at `log.socket` in the directory. It
        never blocks, who sends to it neither: what finds no room in it is lost."""

    def start(self, eni_id: str) -> Proxy:
        """In the node's namespace, without any privilege. Others of this node end."""

    def is_alive(self, proxy: Proxy) -> bool: ...

    def opened(self, proxy: Proxy) -> int:
        """A descriptor that can be read when the process has ended; the caller closes it."""

    def replace(self, proxy: Proxy) -> None:
        """It reads its files anew, by a process that takes its listeners over. Returns at once."""

    def end(self, eni_id: str) -> None:
        """All of the node's processes, and its files."""

    def nodes(self) -> Sequence[str]:
        """The interfaces whose files are here."""
