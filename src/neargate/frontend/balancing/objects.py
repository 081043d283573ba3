"""Load balancers, target groups, listeners and rules as the registry keeps them, on the shelf of their VPC's account.

Owns their shapes only. They lie beside subnets and groups, so that one decision sees all that it must not break.
A record's name is its ARN. What one says of another is said once: a listener names its load balancer, a rule its
listener, an action its target groups; who uses a group is looked up.
"""

from msgspec import Struct

from ...model.balancing import Condition, HealthCheck
from ..network.records.balancers import (
    ACTIVE,
    ACTIVE_IMPAIRED,
    DELETING,
    FAILED,
    PROVISIONING,
    Attributes,
    LoadBalancer,
    Node,
)
from ..network.records.objects import Tags
from ..regional.shelves import Kept

__all__ = (
    "ACTIVE",
    "ACTIVE_IMPAIRED",
    "DELETING",
    "FAILED",
    "KINDS",
    "PROVISIONING",
    "Action",
    "Attributes",
    "GroupWeight",
    "Listener",
    "LoadBalancer",
    "Node",
    "Rule",
    "Target",
    "TargetGroup",
)


class Target(Struct, frozen=True, kw_only=True):
    """`zone`: its subnet's, or `all`. `draining_since`: when it was deregistered; it is forgotten when its delay is
    over, or no node has a connection to it left."""

    ip: str
    port: int
    zone: str
    registered_at: float
    draining_since: float | None = None

    @property
    def key(self) -> str:
        return f"{self.ip}:{self.port}"


class TargetGroup(Kept, frozen=True, kw_only=True):
    """`matcher`: as it was given (`200-299,301`), of HTTP and HTTPS checks."""

    kind = "target-group"
    label: str
    protocol: str
    port: int
    vpc_id: str
    created_at: float
    version: str = "HTTP1"
    address_type: str = "ipv4"
    check: HealthCheck = HealthCheck()
    matcher: str | None = "200"
    targets: tuple[Target, ...] = ()
    attributes: Attributes = ()
    tags: Tags = ()

    @property
    def arn(self) -> str:
        return self.name


class GroupWeight(Struct, frozen=True, kw_only=True):
    arn: str
    weight: int = 1


class Action(Struct, frozen=True, kw_only=True):
    """As AWS's document says it; of each kind its own members. `order` as given."""

    kind: str  # forward, redirect, fixed-response
    order: int | None = None
    groups: tuple[GroupWeight, ...] = ()
    sticky: bool = False
    sticky_s: int | None = None
    redirect: tuple[tuple[str, str], ...] = ()  # RedirectConfig by its wire names
    fixed: tuple[tuple[str, str], ...] = ()  # FixedResponseConfig by its wire names


class Listener(Kept, frozen=True, kw_only=True):
    kind = "listener"
    load_balancer: str
    port: int
    protocol: str
    created_at: float
    default: tuple[Action, ...]
    certificates: tuple[str, ...] = ()  # ARNs, the default one first
    ssl_policy: str | None = None
    alpn: str | None = None
    attributes: Attributes = ()
    tags: Tags = ()

    @property
    def arn(self) -> str:
        return self.name


class Rule(Kept, frozen=True, kw_only=True):
    """The default rule is the listener's own and no record. `shown`: conditions as they were given, wire JSON."""

    kind = "listener-rule"
    listener: str
    priority: int
    conditions: tuple[Condition, ...]
    shown: bytes
    actions: tuple[Action, ...]
    created_at: float
    tags: Tags = ()

    @property
    def arn(self) -> str:
        return self.name


KINDS: tuple[type[Kept], ...] = (LoadBalancer, TargetGroup, Listener, Rule)
