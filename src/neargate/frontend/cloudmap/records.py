"""What is kept of Cloud Map: namespaces, services, instances, and the operations that made them so.

Frozen records, stored as JSON documents; times are epoch seconds. `name` is what a record is found by on its shelf,
`called` what its owner named it. Invariant: a service's `instances` and `held` count its records of instances.
"""

import hashlib
from typing import Any

import msgspec
from msgspec import Struct

from ...model.arn import Arn
from ...model.ids import Bits
from ..regional.shelves import Kept

HTTP, PRIVATE = "HTTP", "DNS_PRIVATE"  # types of namespaces
DNS_HTTP = "DNS_HTTP"  # of services, beside HTTP
MULTIVALUE, WEIGHTED = "MULTIVALUE", "WEIGHTED"
SUCCESS, FAIL = "SUCCESS", "FAIL"
IPV4, IPV6, PORT, CNAME = "AWS_INSTANCE_IPV4", "AWS_INSTANCE_IPV6", "AWS_INSTANCE_PORT", "AWS_INSTANCE_CNAME"
INIT_HEALTH = "AWS_INIT_HEALTH_STATUS"
SOA_TTL_S = 15

Pairs = tuple[tuple[str, str], ...]
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Namespace(Kept, frozen=True, kw_only=True):
    """`name`: its id. `vpc` and `hosted_zone`: of a private one. `request`: the CreatorRequestId."""

    kind = "namespace"
    called: str
    type: str
    region: str
    http_name: str
    created: float
    request: str = ""
    description: str | None = None
    vpc: str | None = None
    hosted_zone: str | None = None
    soa_ttl_s: int = SOA_TTL_S
    tags: Pairs = ()

    @property
    def arn(self) -> str:
        return namespace_arn(self.region, self.account, self.name)


class Dns(Struct, frozen=True, kw_only=True):
    """The records that each instance gets. `records`: (type, time to live in seconds)."""

    policy: str
    records: tuple[tuple[str, int], ...]

    @property
    def types(self) -> frozenset[str]:
        return frozenset(kind for kind, _ in self.records)


class Service(Kept, frozen=True, kw_only=True):
    """`name`: its id. `revision` grows with every instance that comes, changes or goes.

    `held`: characters of its instances' attributes.
    """

    kind = "service"
    called: str
    namespace: str
    region: str
    created: float
    request: str = ""
    description: str | None = None
    dns: Dns | None = None
    has_custom_health: bool = False
    tags: Pairs = ()
    attributes: Pairs = ()
    revision: int = 0
    instances: int = 0
    held: int = 0

    @property
    def arn(self) -> str:
        return service_arn(self.region, self.account, self.name)

    @property
    def type(self) -> str:
        return HTTP if self.dns is None else DNS_HTTP


def characters(*texts: Pairs) -> int:
    return sum(len(key) + len(value) for pairs in texts for key, value in pairs)


class Settling(Struct, frozen=True, kw_only=True):
    """A health status that was told and does not hold before `at`."""

    is_healthy: bool
    at: float


class Instance(Kept, frozen=True, kw_only=True):
    """`name`: `instance_name` of its service and id. Health means something where the service has a custom check.

    `owner`: the service of ECS whose task it is, as `CLUSTER/NAME`; ECS takes it away with the task, and no other one.
    """

    kind = "instance"
    service: str
    id: str
    attributes: Pairs
    request: str = ""
    is_healthy: bool = True
    settling: Settling | None = None
    owner: str = ""

    def attribute(self, key: str) -> str | None:
        return next((value for name, value in self.attributes if name == key), None)


class Outcome(Kept, frozen=True, kw_only=True):
    """An operation, which has ended: AWS's take a while. In order of names, they are in order of time.

    `digest`: of what was asked, so that a repeated request is told from another one of the same `request` id.
    """

    kind = "operation"
    type: str
    at: float
    targets: Pairs
    namespace: str = ""
    request: str = ""
    digest: str = ""
    error_code: str | None = None
    error_message: str | None = None

    @property
    def id(self) -> str:
        """As AWS forms them: 32 letters and digits, and the time in milliseconds."""
        moment, _, random = self.name.partition("-")
        return f"{random}-{_base36(int(moment))}"

    @property
    def status(self) -> str:
        return SUCCESS if self.error_code is None else FAIL

    def target(self, kind: str) -> str | None:
        return next((name for target, name in self.targets if target == kind), None)


def outcome_name(at: float, bits: Bits) -> str:
    return f"{int(at * 1000):013d}-{_letters(32, bits)}"


def outcome_named(operation_id: str) -> str | None:
    """The name of the record whose id this is; None for what is no id of ours."""
    random, _, moment = operation_id.rpartition("-")
    try:
        return f"{int(moment, 36):013d}-{random}" if random and len(moment) <= 10 else None
    except ValueError:
        return None


def namespace_id(bits: Bits) -> str:
    return f"ns-{_letters(16, bits)}"


def service_id(bits: Bits) -> str:
    return f"srv-{_letters(16, bits)}"


def hosted_zone_id(bits: Bits) -> str:
    return f"Z{_letters(20, bits).upper()}"


def instance_name(service: str, instance_id: str) -> str:
    """No id of a service has a space."""
    return f"{service} {instance_id}"


def namespace_arn(region: str, account: str, namespace: str) -> str:
    return str(Arn(service="servicediscovery", region=region, account=account, resource=f"namespace/{namespace}"))


def service_arn(region: str, account: str, service: str) -> str:
    return str(Arn(service="servicediscovery", region=region, account=account, resource=f"service/{service}"))


def digest(asked: Any) -> str:
    """Of a request's members."""
    return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).hexdigest()


def _letters(count: int, bits: Bits) -> str:
    """All of one draw; that some letters are a little likelier harms no id."""
    value = bits(6 * count)
    found = []
    for _ in range(count):
        value, at = divmod(value, len(_LETTERS))
        found.append(_LETTERS[at])
    return "".join(found)


def _base36(number: int) -> str:
    found = ""
    while number:
        number, at = divmod(number, 36)
        found = _LETTERS[at] + found
    return found or "0"
