"""What `neargate doctor` says of load balancers: a line for each trouble, with what to do.

Asks the running server for what its state knows (balancing/troubles.py), and this machine who listens at the ports that
load balancers want on its loopback. Must not say anything that only might be so.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from .. import processes
from ..admin import ask
from ..paths import RegionPaths
from ..ports import local_holder
from ..problems import Problem

Facts = Mapping[str, Any]
PORTS_MAX = 20
_SENTENCES = {
    "failed": "load balancer {name} failed: {why} Mend that, delete it and create it anew",
    "unplanned": "load balancer {name} stays as it was, its last changes are not in force: {why}; take rules or "
    "targets out of it, or look into {log}",
    "no-host": "load balancer {name} has no node in {zone}: no host has taken it; connect one of that zone: "
    "neargate hosts{option}",
    "away": "load balancer {name}: its node in {zone} stands on host {host}, which is away, and names pass it by; "
    "bring that host back (its agent's log says more)",
    "not-serving": "load balancer {name}: its node in {zone} on host {host} does not serve: {why}; "
    "what happened: {agent_log} there",
    "kept-back": "load balancer {name}: its node in {zone} on host {host} goes on by what it had before: {why}; "
    "take the last change back, or look into {agent_log} there",
    "no-certificate": "load balancer {name} does not listen at port {port}: its certificate {certificate} is gone; "
    "give the listener another: aws elbv2 modify-listener --certificates",
    "expired": "load balancer {name}: the certificate of {domain} at port {port} expired on {day}, clients refuse it; "
    "{renew}",
    "expires": "load balancer {name}: the certificate of {domain} at port {port} expires on {day}; {renew}",
    "no-target": "target group {group} has no target, so that its load balancer answers 503; register some, or see "
    "whether its service runs: neargate why {arn}{option}",
    "no-healthy-target": "target group {group} has no healthy target ({counted}); why: neargate why {arn}{option}",
}
_IMPORTED = "import the next one: aws acm import-certificate --certificate-arn {certificate}"
_OWN = "it is the region's own and should have been renewed: look into {log}"


def findings(paths: RegionPaths) -> list[str]:
    """None when the server does not run or is not for this user: other lines say so."""
    try:
        facts = ask(paths, "balancer-troubles")
    except Problem:
        return []
    return [*sentences(facts, paths), *_taken(facts["ports"], paths)]


def sentences(facts: Facts, paths: RegionPaths) -> Iterator[str]:
    for kind, sentence in _SENTENCES.items():
        shown = facts["shown"].get(kind, [])
        for one in shown:
            yield sentence.format(**_words(one, paths))
        more = facts["counts"].get(kind, 0) - len(shown)
        if more:
            yield f"... and {more} more of that kind: neargate status{paths.as_option}"


def _words(one: Facts, paths: RegionPaths) -> dict[str, Any]:
    """What sentences name: the trouble's own members, and what follows from them."""
    words = {**one, "option": paths.as_option, "log": paths.log_file("server"), "agent_log": paths.log_file("agent")}
    if one.get("not_after"):
        words["day"] = datetime.fromtimestamp(one["not_after"], UTC).strftime("%Y-%m-%d")
    if "is_own" in one:
        words["renew"] = (_OWN if one["is_own"] else _IMPORTED).format(**words)
    if "counts" in one:
        words["counted"] = ", ".join(f"{count} {state}" for state, count in sorted(one["counts"].items()))
    if "why" in one:
        words["why"] = one["why"] if one["kind"] == "failed" else str(one["why"]).rstrip(".")
    return words


def _taken(ports: Mapping[str, list[int]], paths: RegionPaths) -> Iterator[str]:
    """By somebody who is not the agent, of those that it would have at the loopback of this machine."""
    own, agent = paths.agent / "host-id", processes.find(paths.pid_file("agent"))
    try:
        host = own.read_text().strip()
    except OSError:
        return
    for port in ports.get(host, [])[:PORTS_MAX]:
        who = local_holder(port)
        if who is not None and agent is not None and who.pid != agent.pid:
            yield (
                f"load balancers at port {port} are not at 127.0.0.1:{port} of this machine: {who} listens there; they "
                "are at the API's port by their names, and at their nodes' addresses"
            )
