"""What a host must know to run a load balancer's node, and what it tells of it: the frozen words of both sides.

Pure shapes. Times are seconds. A group's and a listener's key is its ARN; a target's is `IP:PORT`.
"""

from msgspec import Struct

from .concealed import Concealed

APPLICATION, NETWORK_LB = "application", "network"
INITIAL, HEALTHY, UNHEALTHY, UNUSED, DRAINING = "initial", "healthy", "unhealthy", "unused", "draining"
REGISTRATION_IN_PROGRESS, INITIAL_CHECKS = "Elb.RegistrationInProgress", "Elb.InitialHealthChecking"
CODE_MISMATCH, TIMED_OUT, FAILED_CHECKS = (
    "Target.ResponseCodeMismatch",
    "Target.Timeout",
    "Target.FailedHealthChecks",
)
NOT_REGISTERED, NOT_IN_USE, DEREGISTERING = "Target.NotRegistered", "Target.NotInUse", "Target.DeregistrationInProgress"


class HealthCheck(Struct, frozen=True, kw_only=True):
    """`port` None: the target's own (`traffic-port`). `codes`: inclusive ranges of HTTP status, or of gRPC status."""

    enabled: bool = True
    protocol: str = "HTTP"  # HTTP, HTTPS, TCP
    port: int | None = None
    path: str = "/"
    codes: tuple[tuple[int, int], ...] = ((200, 200),)
    interval_s: float = 30.0
    timeout_s: float = 5.0
    healthy: int = 5
    unhealthy: int = 2


class PlannedTarget(Struct, frozen=True, kw_only=True):
    """`zone` None: outside of the VPC's zones (`all`). `is_draining`: no new requests, those in flight go on."""

    ip: str
    port: int
    zone: str | None = None
    is_draining: bool = False

    @property
    def key(self) -> str:
        return f"{self.ip}:{self.port}"


class Stickiness(Struct, frozen=True, kw_only=True):
    """`kind`: lb_cookie, app_cookie (then `cookie` is the application's), source_ip."""

    kind: str
    duration_s: int = 86400
    cookie: str = ""


class PlannedGroup(Struct, frozen=True, kw_only=True):
    """A target group as far as a node must know it. `version`: HTTP1, HTTP2, GRPC; of TCP and TLS groups ``."""

    arn: str
    protocol: str  # HTTP, HTTPS, TCP, TLS
    version: str = "HTTP1"
    check: HealthCheck = HealthCheck()
    targets: tuple[PlannedTarget, ...] = ()
    stickiness: Stickiness | None = None
    algorithm: str = "round_robin"  # round_robin, least_outstanding_requests, weighted_random
    slow_start_s: int = 0
    deregistration_delay_s: int = 300
    cross_zone: bool = True
    proxy_protocol_v2: bool = False
    ends_on_deregistration: bool = False  # deregistration_delay.connection_termination.enabled
    ends_when_unhealthy: bool = True  # target_health_state.unhealthy.connection_termination.enabled (NLB)


class WeightedGroup(Struct, frozen=True, kw_only=True):
    arn: str
    weight: int = 1


class Forward(Struct, frozen=True, kw_only=True, tag="forward"):
    groups: tuple[WeightedGroup, ...]
    stickiness_s: int | None = None  # a client stays with its group for so long


class Redirect(Struct, frozen=True, kw_only=True, tag="redirect"):
    """Each may hold `#{protocol}`, `#{host}`, `#{port}`, `#{path}`, `#{query}`."""

    code: int  # 301, 302
    protocol: str = "#{protocol}"
    host: str = "#{host}"
    port: str = "#{port}"
    path: str = "/#{path}"
    query: str = "#{query}"


class FixedResponse(Struct, frozen=True, kw_only=True, tag="fixed-response"):
    code: int
    content_type: str = "text/plain"
    body: str = ""


PlannedAction = Forward | Redirect | FixedResponse


class Condition(Struct, frozen=True, kw_only=True):
    """`field`: host-header, path-pattern, http-header, http-request-method, query-string, source-ip. One of `values`
    must match (`*` and `?` are wild where AWS's are); `name`: the header's. `pairs`: (key or None, value) of a query.
    """

    field: str
    values: tuple[str, ...] = ()
    name: str = ""
    pairs: tuple[tuple[str | None, str], ...] = ()


class PlannedRule(Struct, frozen=True, kw_only=True):
    """The lowest `priority` whose conditions all hold decides."""

    priority: int
    conditions: tuple[Condition, ...]
    action: PlannedAction


class PlannedCertificate(Concealed, frozen=True, kw_only=True):
    """`pem`: certificate, chain and private key. Never logged, never in a repr of ours."""

    arn: str
    names: tuple[str, ...]  # what it is good for; `*.` is wild for one label
    pem: str


class PlannedListener(Struct, frozen=True, kw_only=True):
    """`certificates`: the default one first. `alpn`: of a TLS listener (HTTP1Only, HTTP2Only, HTTP2Optional, ...)."""

    arn: str
    port: int
    protocol: str  # HTTP, HTTPS, TCP, TLS
    default: PlannedAction
    rules: tuple[PlannedRule, ...] = ()
    certificates: tuple[PlannedCertificate, ...] = ()
    ssl_policy: str = ""
    alpn: str = ""
    idle_timeout_s: float = 350.0  # tcp.idle_timeout.seconds, of TCP


class PlannedNode(Struct, frozen=True, kw_only=True):
    """One per enabled zone. Its interface is in the VPC's plan (`VpcPlan.nodes`); a host runs its own."""

    place: str
    eni_id: str
    zone: str
    private_ipv4: str
    public_ipv4: str | None = None
    host_id: str = ""


class BalancerPlan(Struct, frozen=True, kw_only=True):
    """All that a host must know of a load balancer of which it has nodes. A host refuses a lower generation.

    `attributes`: those of AWS's keys that change packets (idle_timeout.timeout_seconds, client_keep_alive.seconds,
    routing.http.*, ...); the rest is the API's alone. `access_log`: what the node's lines are sent by, empty where
    there is no access log.
    """

    arn: str
    vpc_id: str
    name: str
    kind: str  # application, network
    generation: int
    nodes: tuple[PlannedNode, ...] = ()
    listeners: tuple[PlannedListener, ...] = ()
    groups: tuple[PlannedGroup, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    cross_zone: bool = True
    access_log: str = ""


class TargetVerdict(Struct, frozen=True, kw_only=True):
    """What a node's checks say of a target. `state`: initial, healthy, unhealthy, draining. `in_flight`: connections
    that it still has, of a draining one. `reason`, `detail`: AWS's, of an unhealthy one."""

    key: str
    state: str
    reason: str = ""
    detail: str = ""
    in_flight: int = 0


class GroupVerdicts(Struct, frozen=True, kw_only=True):
    """`generation`: of the plan that the node runs: a target that is not here at it or later is not in use any more."""

    group: str
    targets: tuple[TargetVerdict, ...] = ()


class NodeTraffic(Struct, frozen=True, kw_only=True):
    """Of a node's listeners, growing from when its runner began; `active`: connections now.

    `own`: 3xx, 4xx, 5xx that the load balancer answered itself. `lost_lines`: of its access log.
    """

    requests: int = 0
    connections: int = 0
    active: int = 0
    received: int = 0  # bytes, from clients
    sent: int = 0  # bytes, to clients
    own: tuple[int, int, int] = (0, 0, 0)
    lost_lines: int = 0


class NodeReport(Struct, frozen=True, kw_only=True):
    """Of one node, whenever a verdict changes and each period. `is_serving`: its proxy answers on its listeners.

    `requests`: per group what its targets answered (2xx, 3xx, 4xx, 5xx), and connections to them that failed; growing
    from when the node's runner began.
    """

    arn: str
    place: str
    generation: int
    is_serving: bool
    groups: tuple[GroupVerdicts, ...] = ()
    requests: tuple[tuple[str, tuple[int, int, int, int, int]], ...] = ()
    why: str = ""  # it does not serve
    traffic: NodeTraffic = NodeTraffic()
