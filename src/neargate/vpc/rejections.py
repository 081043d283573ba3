"""What becomes of packets that groups and network ACLs of a VPC's interfaces refuse, where a flow log wants to know.

Owns the chains that tell of such a packet before they drop it; without such a flow log there is no trace of them.
Invariant: a flood costs the reader a bounded number of packets a second, of each interface and of all together; of what
is beyond it hears once a second for each interface, so that it can say that records are missing.
"""

from collections.abc import Iterator

from msgspec import Struct

from ..model.flow_logs import ACCEPT
from ..model.network import VpcPlan

LOG_GROUP = 7  # of nflog, in the router's namespace
REJECTED_PER_S = 200  # of one interface and direction
ALL_REJECTED_PER_S = 2000  # of a VPC's interfaces and one direction
HEADERS_BYTES = 128  # of a packet: those of IP and TCP are wanted
# What the reader knows the rule by: one letter, since a packet's own bytes stand beside it.
EGRESS, INGRESS, INGRESS_KNOWN = "o", "i", "I"
EGRESS_OVER, INGRESS_OVER = "x", "y"


class Refusals(Struct, frozen=True, kw_only=True):
    """The last words of a rule that refuses."""

    egress: str = "drop"
    ingress: str = "drop"


def are_logged(plan: VpcPlan) -> bool:
    return any(log.traffic != ACCEPT for log in plan.flow_logs)


def refusals(plan: VpcPlan) -> Refusals:
    return Refusals(egress="goto r_out", ingress="goto r_in") if are_logged(plan) else Refusals()


def rejection_sets() -> dict[str, dict[str, str]]:
    names = (f"q{version}_{side}{over}" for version in (4, 6) for side in ("out", "in") for over in ("", "_x"))
    return {name: {} for name in names}


def rejection_chains() -> dict[str, tuple[str, ...]]:
    """An ACL refuses packets of known flows as well, which the kernel has counted by then: they are told apart."""
    return {
        "r_out": (*_bounded("out", "saddr"), _told(EGRESS), "drop"),
        "r_out_x": (*_seldom("out", "saddr", EGRESS_OVER), "drop"),
        "r_in": (
            *_bounded("in", "daddr"),
            f"ct state established,related {_told(INGRESS_KNOWN, at_once=True)} drop",
            _told(INGRESS),
            "drop",
        ),
        "r_in_x": (*_seldom("in", "daddr", INGRESS_OVER), "drop"),
    }


def _bounded(side: str, address: str) -> Iterator[str]:
    rate = f"limit rate over {REJECTED_PER_S}/second burst {REJECTED_PER_S} packets"
    for version, family in ((4, "ip"), (6, "ip6")):
        yield f"update @q{version}_{side} {{ {family} {address} {rate} }} goto r_{side}_x"
    yield f"limit rate over {ALL_REJECTED_PER_S}/second burst {ALL_REJECTED_PER_S} packets goto r_{side}_x"


def _seldom(side: str, address: str, prefix: str) -> Iterator[str]:
    for version, family in ((4, "ip"), (6, "ip6")):
        once = f"{family} {address} limit rate 1/second burst 1 packets"
        yield f"update @q{version}_{side}_x {{ {once} }} {_told(prefix)} drop"


def _told(prefix: str, *, at_once: bool = False) -> str:
    """`at_once`: before the kernel's count of the same packet is read."""
    threshold = 1 if at_once else 64
    return f'log prefix "{prefix}" group {LOG_GROUP} snaplen {HEADERS_BYTES} queue-threshold {threshold}'
