"""Load balancers and their nodes as the registry keeps them, on the shelf of their VPC's account.

Owns their shapes only: what a network must know of them, since nodes stand in its subnets, and have addresses and
security groups of it. A record's name is its ARN. What else belongs to a load balancer: `balancing/objects.py`.
"""

from collections.abc import Iterator

from msgspec import Struct

from ...regional.shelves import Kept, Shelf
from .objects import Tags

PROVISIONING, ACTIVE, ACTIVE_IMPAIRED, FAILED, DELETING = (
    "provisioning",
    "active",
    "active_impaired",
    "failed",
    "deleting",
)
# Of nodes. Retiring: another has taken its place, it finishes what it has. Moving: its host lets it go, and it goes to
# another with its addresses.
PENDING, AVAILABLE, RETIRING, MOVING, LEAVING = "pending", "available", "retiring", "moving", "deleting"
Attributes = tuple[tuple[str, str], ...]  # only those that differ from AWS's defaults, sorted


class Node(Struct, frozen=True, kw_only=True):
    """A load balancer's place in one enabled zone, with what the zone gave it. While one takes another's place
    (`node_moves.py`) both are there, of one `line`, which the first of it has given its name.

    `allocation_id`: the elastic address that was asked for (network load balancers), whose address is `public_ip` from
    the beginning. `attached_at`: when the zone gave it its interface. `serves`: as it said last. `is_listed`: and it
    has a healthy target, so names lead to it. `since`: when it began to retire or to move.
    """

    place: str
    subnet_id: str
    zone: str
    state: str = PENDING
    wanted_private_ip: str | None = None
    allocation_id: str | None = None
    eni_id: str | None = None
    mac: str | None = None
    private_ip: str | None = None
    public_ip: str | None = None
    ipv6: str | None = None
    host_id: str | None = None
    attachment_id: str | None = None
    private_dns_name: str | None = None
    capacity_id: str | None = None
    attached_at: float | None = None
    serves: bool = False
    is_listed: bool = False
    since: float | None = None
    followed: str = ""  # the first of its line, of one that is not

    @property
    def line(self) -> str:
        return self.followed or self.place

    @property
    def association_id(self) -> str:
        """Of its elastic address."""
        return "eipassoc-" + self.place.partition("-")[2]


class LoadBalancer(Kept, frozen=True, kw_only=True):
    """`label`: its name. `number`: the end of its ARN and of its DNS name. `lb_type`: application, network.

    `reason`: why it is in a state that needs one.
    """

    kind = "load-balancer"
    label: str
    number: str
    lb_type: str
    scheme: str  # internet-facing, internal
    vpc_id: str
    created_at: float
    dns_name: str
    state: str = PROVISIONING
    reason: str = ""
    nodes: tuple[Node, ...] = ()
    groups: tuple[str, ...] = ()  # security groups
    address_type: str = "ipv4"  # ipv4, dualstack
    attributes: Attributes = ()
    tags: Tags = ()

    @property
    def arn(self) -> str:
        return self.name


def balancers(shelf: Shelf) -> Iterator[LoadBalancer]:
    """But those that are being deleted: their nodes alone are still given back."""
    return (one for one in shelf.all(LoadBalancer) if one.state != DELETING)
