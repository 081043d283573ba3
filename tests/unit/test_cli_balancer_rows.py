"""`neargate status` of load balancers and services: what a row says, and that it stays a page."""

from typing import Any

from neargate.cli.balancing.rows import ROWS_MAX, balancer_rows, service_rows

Facts = dict[str, Any]


def node(zone: str, **members: Any) -> Facts:
    return {"zone": zone, "host": "h-1", "address": "10.0.0.4", "public_address": "", "serves": True, **members}


def balancer(name: str = "shop", *nodes: Facts, **members: Any) -> Facts:
    own = {"name": name, "state": "active", "reason": "", "nodes": list(nodes), "ports": [], "groups": []}
    return {**own, **members}


def service(name: str = "web", **members: Any) -> Facts:
    own = {"name": name, "cluster": "front", "status": "ACTIVE", "running": 2, "desired": 2, "rollout": "COMPLETED"}
    return {**own, "is_steady": True, "deployments": 1, **members}


def test_nodes_stand_below_each_other_and_groups_beside_them() -> None:
    one = balancer(
        "shop",
        node("a", public_address="198.18.0.5"),
        node("b", serves=False, is_away=True),
        node("c", serves=False, is_away=False, host="", address=""),
        state="active_impaired",
        reason="The load balancer does not serve in b.",
        ports=["HTTP:80", "HTTPS:443", "HTTP:8080"],
        groups=[{"name": "web", "counts": {"healthy": 2, "unhealthy": 1}}],
    )
    [heading, *rows], more = balancer_rows({"shown": [one], "states": {"active_impaired": 1}})
    assert heading[0] == "LOAD BALANCER" and more == ""
    state = "active_impaired: The load balancer does not serve in b."
    assert rows[0] == ("shop", state, "HTTP:80, HTTPS:443", "a", "h-1", "10.0.0.4, 198.18.0.5", "web 2/3")
    assert rows[1] == ("", "", "HTTP:8080", "b: its host is away", "h-1", "10.0.0.4", "")
    assert rows[2] == ("", "", "", "c: does not serve", "-", "-", "")


def test_of_thousands_a_page_is_shown_and_the_rest_counted() -> None:
    shown = [balancer(f"b{n}", node("a"), node("b"), node("c")) for n in range(20)]
    rows, more = balancer_rows({"shown": shown, "states": {"active": 2990, "provisioning": 10}})
    assert len(rows) == 1 + ROWS_MAX
    assert more == "... and 2992 more load balancers; of all: 2990 active, 10 provisioning"
    rows, more = service_rows({"shown": [service()] * 20, "steady": 2990, "count": 3000})
    assert len(rows) == 21 and more == "... and 2980 more services; 2990 of 3000 are steady"


def test_a_service_says_how_its_rollout_stands() -> None:
    going = service("api", running=1, rollout="IN_PROGRESS", is_steady=False, deployments=2)
    [_, first, second], more = service_rows({"shown": [going, service()], "steady": 1, "count": 2})
    assert first == ("api", "front", "ACTIVE", "1/2", "IN_PROGRESS, 2 deployments") and more == ""
    assert second == ("web", "front", "ACTIVE", "2/2", "COMPLETED, steady")


def test_where_there_is_none_there_is_no_heading() -> None:
    assert balancer_rows({"shown": [], "states": {}}) == ([], "")
    assert service_rows({"shown": [], "steady": 0, "count": 0}) == ([], "")
