"""What is added to requests on their way to a target, and which requests need no more than that.

Rules are most of what a request costs a node. So a listener that only forwards ends a usual request's rules early, and
what it is still without its backend adds. Invariant: whoever comes by all rules arrives with the same headers.
"""

from ..model.balancing import BalancerPlan, PlannedListener
from . import refusals

_TRACE = "X-Amzn-Trace-Id"
_DEFAULT_PORTS = (80, 443)


def attribute(plan: BalancerPlan, key: str, default: str) -> str:
    return dict(plan.attributes).get(key, default)


def _hex(fetch: str) -> str:
    """Eight digits."""
    return f"%[{fetch},bytes(4,4),hex,lower]"


_IDENTIFIER = f"1-{_hex('date')}-%[var(sess.trace)]{_hex('rand')}"
DRAWN = f"tcp-request session set-var-fmt(sess.trace) '{_hex('rand') * 2}'"  # not drawn again for each request
MISSING = (f"http-request add-header {_TRACE} 'Root={_IDENTIFIER}' if !{{ req.fhdr(x-amzn-trace-id) -m found }}",)


def always(plan: BalancerPlan, listener: PlannedListener, scheme: str) -> list[str]:
    """Lines of a frontend, for every request."""
    found = []
    if attribute(plan, "routing.http.drop_invalid_header_fields.enabled", "false") == "true":
        found.append("http-request del-header '[^A-Za-z0-9-]' -m reg")
    found += [
        f"http-request set-header X-Forwarded-Proto {scheme}",
        f"http-request set-header X-Forwarded-Port {int(listener.port)}",
    ]
    if attribute(plan, "routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false") == "true":
        found += [
            "http-request set-header X-Amzn-Tls-Version '%[ssl_fc_protocol]' if { ssl_fc }",
            "http-request set-header X-Amzn-Tls-Cipher-Suite '%[ssl_fc_cipher]' if { ssl_fc }",
        ]
    return found


def usual(plan: BalancerPlan, listener: PlannedListener) -> str:
    """Ends the rules of what no later line of the frontend would refuse or change: it has none of the headers that they
    look at but one `Host`, and that is as it has to be. Empty where all requests need them.
    """
    if _mode(plan) == "append" and _source(plan) != "%[src]":
        return ""  # the backend's option knows no ports
    host = "{ req.fhdr(host) -m reg '^[^:,]+$' }"
    if attribute(plan, "routing.http.preserve_host_header.enabled", "false") == "true":
        host = "{ req.fhdr(host) -m reg '^[^,]+$' }"
    elif listener.port not in _DEFAULT_PORTS:
        host = f"{{ req.fhdr(host) -m reg '^[^:,]+:{int(listener.port)}$' }}"
    bare = "!{ req.fhdr(x-forwarded-for) -m found } !{ req.fhdr(x-amzn-trace-id) -m found }"
    return f"http-request allow if {refusals.SMALL} HTTP_1.1 !METH_TRACE {host} {bare}"


def unusual(plan: BalancerPlan, listener: PlannedListener) -> list[str]:
    """Lines of a frontend for the others."""
    found = []
    if _mode(plan) == "remove":
        found.append("http-request del-header X-Forwarded-For")
    elif _mode(plan) == "append":
        # Who has one gets it longer; several are one list, which one more makes longer.
        one = "{ req.fhdr_cnt(x-forwarded-for) eq 1 }"
        found += [
            f"http-request replace-header X-Forwarded-For '(.*)' '\\1, {_source(plan)}' if {one}",
            f"http-request add-header X-Forwarded-For '{_source(plan)}' if !{one}",
        ]
    return [*found, *_traced(), *_host(plan, listener)]


def of_backend(plan: BalancerPlan) -> list[str]:
    """Lines of a backend: what who comes by `usual` is still without."""
    found = list(MISSING)
    if _mode(plan) == "append" and _source(plan) == "%[src]":
        found.append("option forwardfor if-none")
    return found


def _mode(plan: BalancerPlan) -> str:
    return attribute(plan, "routing.http.xff_header_processing.mode", "append")


def _source(plan: BalancerPlan) -> str:
    with_port = attribute(plan, "routing.http.xff_client_port.enabled", "false") == "true"
    return "%[src]:%[src_port]" if with_port else "%[src]"


def _traced() -> list[str]:
    """Who comes with a Root gets a Self of this load balancer before it; who comes without gets a Root."""
    found, rooted = "{ req.fhdr(x-amzn-trace-id) -m found }", "{ req.fhdr(x-amzn-trace-id) -m sub Root= }"
    return [
        f"http-request replace-header {_TRACE} '^(.*;)?Self=[^;]*;?(.*)$' '\\1\\2'",
        f"http-request replace-header {_TRACE} '^(.*)$' 'Self={_IDENTIFIER};\\1' if {rooted}",
        f"http-request replace-header {_TRACE} '^(.*)$' 'Root={_IDENTIFIER};\\1' if {found} !{rooted}",
    ]


def _host(plan: BalancerPlan, listener: PlannedListener) -> list[str]:
    """As AWS has it: with the listener's port where that is no default one, else without any."""
    if attribute(plan, "routing.http.preserve_host_header.enabled", "false") == "true":
        return []
    ported = "{ req.hdr(host),port_only gt 0 }"
    if listener.port in _DEFAULT_PORTS:
        return [f"http-request set-header Host '%[req.hdr(host),host_only]' if {ported}"]
    return [
        f"http-request set-header Host '%[req.hdr(host)]:{int(listener.port)}'"
        f" if {{ req.hdr(host) -m found }} !{ported}"
    ]
