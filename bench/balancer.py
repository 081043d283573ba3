"""A load balancer's node against HAProxy by a configuration written by hand, in the same namespaces, taking turns.

By hand is what replaces such a load balancer: forwarded headers, redispatch, retries of what is safe. Twice: as it is,
and with buffers for as many bytes of headers as a node lets through. What may be sent again HAProxy keeps in such a
buffer, and copies all of it for each request and each answer.

The node's targets joined while it ran, as those of a service do. Targets are HAProxy too, answering from memory; wrk
asks by keep-alive connections from a namespace of its own. Each proxy is in a session of its own, as a node's is:
where the kernel shares processors out by sessions, what is in wrk's would be run at other times.
"""

import asyncio
import re
import signal
import subprocess
import time
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

from neargate.hostnet.balancers import namespace_of
from neargate.model.balancing import (
    BalancerPlan,
    Forward,
    HealthCheck,
    PlannedGroup,
    PlannedListener,
    PlannedTarget,
    WeightedGroup,
)
from neargate.proxying.refusals import HEADERS_MAX, REWRITE
from neargate.testing.balancer_lab import ENI, FIRST_TARGET, NODE, BalancerLab, address

from .figures import Figure, Load, foreign_load, spread

COMMAND = "python -m bench balancer"
TURNS = 15
TURN_S = 2
CONNECTIONS = 32
PORTS = {"neargate": 80, "by hand": 81, "by hand, 64 KiB": 82}
TARGETS = 2
DATE = "Mon, 23 Nov 2026 09:00:00 GMT"  # as every origin with a clock has to send one
WITHIN_S = 20.0
_TARGET = """
global
  nbthread 1
  maxconn 400
defaults
  mode http
  timeout client 60s
  timeout connect 5s
  timeout server 60s
frontend all
  bind {address}:8080
  http-request return status 200 content-type text/plain hdr Date "{date}" string "hello from a target"
"""
_BY_HAND = """
global
  nbthread 1
  maxconn 400
  {buffers}
defaults
  mode http
  timeout client 60s
  timeout connect 5s
  timeout server 60s
  option forwardfor
frontend all
  bind {address}:{port}
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Port {port}
  default_backend targets
backend targets
  balance roundrobin
  option httpchk GET /
  retries 2
  option redispatch 1
  retry-on conn-failure empty-response
  http-request disable-l7-retry if !METH_GET
  server one {one}:8080 check inter 5s
  server two {two}:8080 check inter 5s
"""
_BUFFERS = {"by hand": "", "by hand, 64 KiB": f"tune.bufsize {HEADERS_MAX + REWRITE}\n  tune.maxrewrite {REWRITE}"}


def measure() -> list[Figure]:
    others = foreign_load()
    lab = BalancerLab(targets=TARGETS)
    running: list[subprocess.Popen[bytes]] = []
    try:
        targets = [address(FIRST_TARGET + number) for number in range(TARGETS)]
        for number, target in enumerate(targets):
            running.append(_haproxy(lab, f"target{number}", _TARGET.format(address=target, date=DATE)))
        one, two = targets
        for name, buffers in _BUFFERS.items():
            by_hand = _BY_HAND.format(address=address(NODE), port=PORTS[name], one=one, two=two, buffers=buffers)
            running.append(_haproxy(lab, namespace_of(ENI), by_hand))
        first_s = asyncio.run(_node(lab))
        pids = dict(zip(PORTS, [lab.workers()[0], *(process.pid for process in running[TARGETS:])], strict=True))
        rates: dict[str, list[float]] = {name: [] for name in PORTS}
        slowest: dict[str, list[float]] = {name: [] for name in PORTS}
        costs: dict[str, list[float]] = {name: [] for name in PORTS}
        with Load() as load:
            for turn in range(TURNS + 1):
                for name in PORTS if turn % 2 else reversed(PORTS):
                    before = _processor_s(pids[name])
                    rate, p99_ms = _asked(lab, PORTS[name])
                    if turn:
                        costs[name].append((_processor_s(pids[name]) - before) * 1e6 / (rate * TURN_S))
                        rates[name].append(rate)
                        slowest[name].append(p99_ms)
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
            process.wait()
        lab.close()
    return _figures(rates, slowest, costs, first_s, load.busy, others)


def _processor_s(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _haproxy(lab: BalancerLab, namespace: str, text: str) -> "subprocess.Popen[bytes]":
    path = Path(lab.directory) / f"{sha256(text.encode()).hexdigest()[:8]}.cfg"
    path.write_text(text)
    command = ["nsenter", f"--net={lab.namespaces.path(namespace)}", "haproxy", "-db", "-q", "-f", str(path)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)


async def _node(lab: BalancerLab) -> float:
    """Returns when all targets are healthy: the seconds until the first of them was asked."""
    group = PlannedGroup(arn="group", protocol="HTTP", check=HealthCheck(interval_s=5))
    forward = Forward(groups=(WeightedGroup(arn="group"),))
    empty = BalancerPlan(
        arn="lb",
        vpc_id="vpc-0a",
        name="bench",
        kind="application",
        generation=1,
        nodes=(lab.node,),
        listeners=(PlannedListener(arn="listener", port=PORTS["neargate"], protocol="HTTP", default=forward),),
        groups=(group,),
    )
    await lab.apply(empty)
    await _until(lab, 1, 0)
    addresses = [address(FIRST_TARGET + number) for number in range(TARGETS)]
    targets = tuple(PlannedTarget(ip=one, port=8080) for one in addresses)
    begun = time.perf_counter()
    full = PlannedGroup(arn="group", protocol="HTTP", check=HealthCheck(interval_s=5), targets=targets)
    await lab.apply(
        BalancerPlan(
            arn="lb",
            vpc_id="vpc-0a",
            name="bench",
            kind="application",
            generation=2,
            nodes=(lab.node,),
            listeners=empty.listeners,
            groups=(full,),
        )
    )
    first_s = 0.0
    while not first_s:
        asked = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://{address(NODE)}/"]
        if await asyncio.to_thread(lab.run_all, "client", *asked) == "200":
            first_s = time.perf_counter() - begun
    await _until(lab, 2, TARGETS)
    await lab.abandon()
    return first_s


async def _until(lab: BalancerLab, generation: int, healthy: int) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            told = lab.told.get(lab.node.place)
            if told is not None and told.generation == generation and told.is_serving:
                states = [verdict.state for group in told.groups for verdict in group.targets]
                if states == ["healthy"] * healthy:
                    return
            await asyncio.sleep(0.02)


def _asked(lab: BalancerLab, port: int) -> tuple[float, float]:
    """Requests a second, and the 99th percentile of their milliseconds."""
    given = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{TURN_S}s", "--latency", f"http://{address(NODE)}:{port}/"]
    told = lab.run("client", *given)
    if "Non-2xx" in told or "Socket errors" in told:
        raise RuntimeError(told)
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", told)
    slow = re.search(r"99%\s+([0-9.]+)(us|ms|s)", told)
    assert rate is not None and slow is not None, told
    return float(rate[1]), float(slow[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[slow[2]]


def _figures(
    rates: dict[str, list[float]],
    slowest: dict[str, list[float]],
    costs: dict[str, list[float]],
    first_s: float,
    busy: float,
    others: float,
) -> list[Figure]:
    notes = [f"others used {others:.0%} of the processors before"]
    notes += [f"{name:15} {spread(values)} requests/s" for name, values in rates.items()]
    notes += [f"{name:15} {spread(values)} ms, p99" for name, values in slowest.items()]
    spent = [f"{name:15} {spread(values)} microseconds" for name, values in costs.items()]
    against = f"HAProxy by hand, same namespaces; {TURNS} turns of {TURN_S} s each, wrk, {CONNECTIONS} connections"
    large = f"{against}; with buffers for 64 KiB of headers, as a node's"
    common: dict[str, Any] = {"unit": "x", "load": busy, "command": COMMAND}
    alike = "by hand, 64 KiB"
    return [
        Figure(
            name="balancer: requests/s through a node",
            value=_ratio(rates),
            goal=">= 0.95",
            samples=rates,
            against=against,
            notes=notes,
            **common,
        ),
        Figure(
            name="balancer: p99 through a node",
            value=_ratio(slowest),
            goal="<= 1.05",
            samples=slowest,
            against=against,
            notes=notes,
            **common,
        ),
        Figure(
            name="balancer: processor time of a request in a node",
            value=_ratio(costs),
            samples=costs,
            against=against,
            notes=spent,
            **common,
        ),
        Figure(name="balancer: requests/s, buffers alike", value=_ratio(rates, alike), against=large, **common),
        Figure(name="balancer: p99, buffers alike", value=_ratio(slowest, alike), against=large, **common),
        Figure(
            name="balancer: processor time of a request, buffers alike",
            value=_ratio(costs, alike),
            against=large,
            **common,
        ),
        Figure(
            name="balancer: from a target's registration to its first request",
            value=first_s,
            unit="s",
            goal="<= 1",
            against="a target that passes its first check",
            load=busy,
            command=COMMAND,
        ),
    ]


def _ratio(series: dict[str, list[float]], to: str = "by hand") -> float:
    """Of those of one turn, between which others' load changes least."""
    return median(ours / theirs for ours, theirs in zip(series["neargate"], series[to], strict=True))
