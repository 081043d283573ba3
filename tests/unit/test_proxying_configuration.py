"""What is in the files of a node's proxy, without a proxy: limits, pages, headers of requests, cookies."""

import re
from typing import Any

import pytest

from neargate.model.balancing import (
    BalancerPlan,
    FixedResponse,
    Forward,
    PlannedGroup,
    PlannedListener,
    PlannedNode,
    PlannedRule,
    Stickiness,
    WeightedGroup,
)
from neargate.model.tls_policies import TLS_POLICIES
from neargate.proxying import backends, configuration, names, pages, refusals

NODE = PlannedNode(place="p", eni_id="eni-1", zone="a", private_ipv4="10.0.0.9", host_id="h")
PRESERVED = ("routing.http.preserve_host_header.enabled", "true")


def files(kind: str = "application", attributes: Any = (), listener: Any = (), group: Any = ()) -> dict[str, str]:
    protocol = "HTTP" if kind == "application" else "TCP"
    forward = Forward(groups=(WeightedGroup(arn="group"),))
    plan = BalancerPlan(
        arn="lb",
        vpc_id="v",
        name="n",
        kind=kind,
        generation=1,
        nodes=(NODE,),
        listeners=(
            PlannedListener(**{"arn": "l", "port": 80, "protocol": protocol, "default": forward, **dict(listener)}),
        ),
        groups=(PlannedGroup(**{"arn": "group", "protocol": protocol, **dict(group)}),),
        attributes=tuple(attributes),
    )
    return dict(configuration.files(plan, NODE, configuration.Place(directory="/x")).content)


def lines(**given: Any) -> list[str]:
    return files(**given)[configuration.MAIN].splitlines()


def test_only_a_proxy_that_reads_headers_has_buffers_for_large_ones() -> None:
    assert f"tune.bufsize {64 * 1024 + refusals.REWRITE}" in lines()
    assert not [line for line in lines(kind="network") if line.startswith("tune.bufsize")]


def test_so_many_processes_that_were_replaced_live_on_and_no_more() -> None:
    assert {"hard-stop-after 3600s", "mworker-max-reloads 50"} <= set(lines())


def test_all_attempts_at_a_connection_take_the_ten_seconds_of_aws() -> None:
    total_ms = backends.CONNECT_MS * (1 + backends.ATTEMPTS_AFTER)
    assert 9_900 <= total_ms <= 10_000
    # Between what two refusals take (a second each) and what one silence does.
    found = re.search(r"div\((\d+)\)", backends.files()[backends.UNREACHED])
    assert found is not None and 2_000 < int(found[1]) < backends.CONNECT_MS


def test_only_policies_that_have_tls_before_1_2_lower_the_level_that_refuses_it() -> None:
    for name, policy in TLS_POLICIES.items():
        listener = {"protocol": "HTTPS", "ssl_policy": name}
        [bind] = [line for line in lines(listener=listener) if line.startswith("bind ") and " ssl " in line]
        assert ("@SECLEVEL=0" in bind) == bool({"TLSv1", "TLSv1.1"} & set(policy.protocols)), name


@pytest.mark.parametrize(("code", "length"), [(301, 134), (400, 122), (414, 142), (502, 122), (503, 162), (504, 132)])
def test_pages_are_as_long_as_those_of_aws(code: int, length: int) -> None:
    assert len(pages.body(code)) == length
    assert files()[f"pages/{code}.html"] == pages.body(code)


def test_each_file_that_is_named_is_there() -> None:
    content = files()
    named = set(re.findall(r"'/x/(pages/[^']+)'", content[configuration.MAIN]))
    assert named and named <= content.keys()


def host(**given: Any) -> list[str]:
    return [line for line in lines(**given) if line.startswith("http-request set-header Host ")]


def test_the_host_that_a_target_hears_has_the_listeners_port_where_that_is_no_default_one() -> None:
    for port in (80, 443):
        (line,) = host(listener={"port": port})
        assert "'%[req.hdr(host),host_only]' if { req.hdr(host),port_only gt 0 }" in line
    (line,) = host(listener={"port": 8080})
    assert "'%[req.hdr(host)]:8080'" in line and "!{ req.hdr(host),port_only gt 0 }" in line
    assert host(listener={"port": 8080}, attributes=(PRESERVED,)) == []


def test_usual_requests_end_their_rules_early_where_a_listener_only_forwards() -> None:
    def ends(**given: Any) -> list[str]:
        return [line for line in lines(**given) if line.startswith("http-request allow ")]

    (line,) = ends()
    assert "{ req.fhdr(host) -m reg '^[^:,]+$' }" in line
    (line,) = ends(listener={"port": 8080})
    assert "{ req.fhdr(host) -m reg '^[^:,]+:8080$' }" in line
    rule = PlannedRule(priority=1, conditions=(), action=FixedResponse(code=200))
    weighted = Forward(groups=(WeightedGroup(arn="group"), WeightedGroup(arn="other")))
    for listener in ({"rules": (rule,)}, {"default": weighted}, {"default": FixedResponse(code=200)}):
        assert ends(listener=listener) == []
    # A backend's own option for who forwarded knows no ports.
    assert ends(attributes=(("routing.http.xff_client_port.enabled", "true"),)) == []


def test_who_comes_from_another_sites_page_keeps_target_and_group() -> None:
    sticky = lines(group={"stickiness": Stickiness(kind="lb_cookie")})
    assert any(line.startswith("use-server %[req.cook(AWSALBCORS)]") for line in sticky)
    (cors,) = {line for line in sticky if " 'AWSALBCORS=" in line}
    assert cors.endswith("; SameSite=None; Secure'")
    weighted = Forward(groups=(WeightedGroup(arn="group"), WeightedGroup(arn="other")), stickiness_s=60)
    kept = lines(listener={"default": weighted})
    (cookie,) = [line for line in kept if " 'AWSALBTG=" in line]
    (cors,) = [line for line in kept if " 'AWSALBTGCORS=" in line]
    assert "; SameSite=None; Secure'" in cors and "SameSite" not in cookie
    assert any(f"req.cook(AWSALBTGCORS) -m str {names.backend('group')}" in line for line in kept)


def test_targets_are_spoken_to_by_nobody_who_speaks_another_version() -> None:
    def refused(version: str) -> list[str]:
        return [line.partition(" if ")[2] for line in refusals.of_version(version)]

    assert refused("HTTP2") == ["{ fc_http_major 1 }"]
    assert refused("GRPC") == ["{ fc_http_major 1 }", "!METH_POST"]
    assert refused("HTTP1") == ["{ fc_http_major 2 } { req.hdr(content-type) -m beg application/grpc }"]
