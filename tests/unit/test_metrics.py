"""The operator's metrics: what they count, that Prometheus's own parser reads them, that callers cannot swell them."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from neargate.cli.commands import parser as commands
from neargate.cli.desks.metrics import MetricsDesk
from neargate.cli.metrics import shown as metrics
from neargate.cli.metrics.table import METRICS
from neargate.cli.metrics.text import exposition
from neargate.cli.paths import RegionPaths
from neargate.cli.problems import Problem
from neargate.cli.version import VERSION
from neargate.clusters import operator_view
from neargate.clusters.registrations import Refusal
from neargate.clusters.schema import MIGRATIONS
from neargate.frontend.asgi import AsgiApp
from neargate.frontend.balancing.objects import (
    Action,
    GroupWeight,
    Listener,
    LoadBalancer,
    Node,
    Target,
    TargetGroup,
)
from neargate.frontend.operations.table import OPERATIONS
from neargate.frontend.record.counts import OTHER, RequestCounts
from neargate.frontend.regional.shelves import Change
from neargate.model.balancing import GroupVerdicts, NodeReport, NodeTraffic, TargetVerdict
from neargate.model.capacity import HostCapacity, HostFacts, HostUse, SubnetView, WaitingMachines
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.model.launch import TaskReport
from neargate.model.lifecycle import StopCode
from neargate.store.connections import connect
from neargate.testing.cell_rig import CellRig, id_of, in_cell, parsed, run_request
from neargate.testing.front_door import ACCOUNT, REGION, ROOT, ZONES, FrontDoor, open_front_door
from neargate.testing.service_rig import ServiceRig

DOCS = Path(__file__).parents[2] / "docs" / "operating.md"
ZONE = ZONES[0][0]
SUBNET = SubnetView(subnet_id="subnet-0a", vpc_id="vpc-0a", zone=ZONE, zone_id=ZONES[0][1], cidr="10.0.0.0/24")
HOST = HostFacts(
    host_id="host-a",
    boot_id="boot",
    capacity=HostCapacity(cpu_units=2048, memory_mib=1024, disk_gib=100),
    sandbox="simulated",
    zone=ZONE,
)
USE = HostUse(
    cpu_units=512,
    disk_mib=64,
    waiting=(
        WaitingMachines(vcpus=1, memory_mib=650, count=2),
        WaitingMachines(vcpus=2, memory_mib=2200, count=1),
    ),
    came_warm=5,
    came_saved=2,
    came_cold=1,
)
GROUP = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/web/0123456789abcdef"
STATES = ("healthy", "unhealthy", "initial", "draining", "unused")
Samples = dict[tuple[str, ...], float]


class Watched:
    """A region in memory and what Prometheus sees of it."""

    def __init__(self, door: FrontDoor) -> None:
        self.door = door
        self.region = door.region
        self.knobs = DEFAULT_KNOBS
        self.stores: dict[str, tuple[int, int]] = {"cell-0": (3, 4)}

    async def text(self) -> str:
        desk = MetricsDesk(self.region, lambda: self.stores, self.knobs)
        told = await desk.told({})
        return exposition(json.loads(json.dumps(told))["metrics"]).decode()

    async def read(self, name: str) -> Samples:
        """Labels' values in the order of the table -> value."""
        known = next(metric for metric in METRICS if metric.name == name)
        return {
            tuple(sample.labels[label] for label in known.labels): sample.value
            for family in text_string_to_metric_families(await self.text())
            for sample in family.samples
            if sample.name == name
        }

    async def host(self, **changes: Any) -> None:
        facts = HostFacts(**({name: getattr(HOST, name) for name in HOST.__struct_fields__} | changes))
        await self.region.capacities[ZONE].register_host(facts)

    async def balancer(self, label: str = "web", created_at: float = 1.0) -> str:
        """The ARN of one that leads to a group of a healthy target, with a node that says so."""
        arn = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/{label}/0123456789abcdef"
        group = GROUP.replace("/web/", f"/{label}/")
        forward = Action(kind="forward", groups=(GroupWeight(arn=group),))
        more: dict[str, Any] = {"account": ACCOUNT, "created_at": created_at}
        node = Node(place=f"place-{label}", subnet_id="subnet-1", zone=ZONE)
        target = Target(ip="10.0.0.9", port=80, zone=ZONE, registered_at=1.0)
        made = (
            LoadBalancer(
                name=arn,
                label=label,
                number="0",
                lb_type="application",
                scheme="internal",
                vpc_id="v",
                dns_name="",
                nodes=(node,),
                **more,
            ),
            TargetGroup(name=group, label=label, protocol="HTTP", port=80, vpc_id="v", targets=(target,), **more),
            Listener(
                name=f"{arn}/1".replace(":loadbalancer/", ":listener/"),
                load_balancer=arn,
                port=80,
                protocol="HTTP",
                default=(forward,),
                **more,
            ),
        )
        await self.region.services.network.change(ACCOUNT, lambda _: Change(result=None, put=made))
        return arn

    def said(self, arn: str, requests: int, label: str = "web", **changes: Any) -> None:
        group = GROUP.replace("/web/", f"/{label}/")
        verdicts = GroupVerdicts(group=group, targets=(TargetVerdict(key="10.0.0.9:80", state="healthy"),))
        traffic = NodeTraffic(
            requests=requests,
            connections=2,
            active=3,
            received=10 * requests,
            sent=20 * requests,
            own=(0, 1, requests // 2),
            lost_lines=requests // 4,
        )
        report = NodeReport(
            arn=arn,
            place=f"place-{label}",
            generation=1,
            is_serving=True,
            groups=(verdicts,),
            requests=((group, (requests, 0, 0, 1, requests // 3)),),
            traffic=traffic,
        )
        self.region.services.verdicts.heard(replace(report, **changes))
        self.region.traffic.heard(report, {group})

    async def report(self, task: dict[str, Any], status: str, seq: int, **changes: Any) -> None:
        outcome: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        query = "SELECT capacity_id FROM tasks WHERE id = ?"
        [(capacity_id,)] = await self.region.cell._store.read(query, (id_of(task),))
        report = TaskReport(
            task_id=id_of(task),
            incarnation=self.region.cell.incarnation,
            capacity_id=capacity_id,
            report_seq=seq,
            known_status=status,
            **changes,
        )
        self.region.cell.submit_report("host-a", report, outcome.set_result)
        await outcome


def story(body: Callable[[Watched], Awaitable[None]]) -> None:
    async def told() -> None:
        await body(Watched(await open_front_door()))

    asyncio.run(asyncio.wait_for(told(), 60))


def test_prometheus_reads_each_metric_as_the_table_says() -> None:
    async def body(watched: Watched) -> None:
        await watched.host(use=USE, machines=3)
        await watched.door.call(ROOT, "ecs", "ListClusters")
        await watched.balancer()
        families = {family.name: family for family in text_string_to_metric_families(await watched.text())}
        assert len(families) == len(METRICS)
        for metric in METRICS:
            family = families[metric.name.removesuffix("_total")]
            assert (family.type, family.documentation) == (metric.kind, metric.said)
            assert family.samples, f"{metric.name} has no sample"
            assert {sample.name for sample in family.samples} == {metric.name}
            assert all(set(sample.labels) == set(metric.labels) for sample in family.samples)
        assert await watched.read("neargate_build_info") == {(VERSION, REGION): 1}

    story(body)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_are_as_prometheus_wants_them(metric: Any) -> None:
    assert re.fullmatch(r"neargate(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") is (metric.kind == "counter")
    assert metric.said.endswith(".")


def test_the_document_lists_what_there_is() -> None:
    rows = re.findall(r"^\| `(neargate_\w+)` \| (counter|gauge) \| ([^|]*) \| (.+) \|$", DOCS.read_text(), re.MULTILINE)
    assert rows == [
        (metric.name, metric.kind, ", ".join(f"`{label}`" for label in metric.labels), metric.said)
        for metric in METRICS
    ]


def test_hosts_and_what_they_have_and_what_is_held() -> None:
    async def body(watched: Watched) -> None:
        await watched.host()
        await watched.host(host_id="host-b", accepts_tasks=False, reason="full")
        await watched.host(host_id="host-c")
        await watched.region.capacities[ZONE].host_seen("host-c", False)
        assert await watched.read("neargate_hosts") == {("connected",): 1, ("refusing",): 1, ("away",): 1}
        offered = 2 * DEFAULT_KNOBS.cpu_overcommit
        assert (await watched.read("neargate_host_offered_vcpus"))[("host-a",)] == offered
        assert (await watched.read("neargate_host_offered_memory_bytes"))[("host-a",)] == 1024**3
        disk = 100 * DEFAULT_KNOBS.disk_overcommit * 1024**3
        assert (await watched.read("neargate_host_offered_disk_bytes"))[("host-a",)] == disk
        await watched.region.cell.create_cluster(ACCOUNT, REGION, "default", {})
        await watched.region.cell.run_task(run_request(subnets=(SUBNET,)))
        held = {name: await watched.read(f"neargate_host_reserved_{name}") for name in ("vcpus", "memory_bytes")}
        assert sum(held["vcpus"].values()) == 0.25
        assert sum(held["memory_bytes"].values()) == 512 * 1024**2

    story(body)


def test_tasks_launches_stops_and_what_waits() -> None:
    async def body(watched: Watched) -> None:
        cell = watched.region.cell
        await watched.host()
        await cell.create_cluster(ACCOUNT, REGION, "default", {})
        one, two = parsed(await cell.run_task(run_request(subnets=(SUBNET,), count=2)))
        refused = await cell.run_task(run_request(subnets=(SUBNET,)))
        assert refused.failures
        assert await watched.read("neargate_task_launches_total") == {(): 2}
        assert await watched.read("neargate_task_launches_refused_total") == {(): 1}
        tasks = await watched.read("neargate_tasks")
        assert tasks[ZONE, "PROVISIONING"] == 2 and tasks[ZONES[1][0], "RUNNING"] == 0
        assert ("STOPPED" not in {status for _, status in tasks}) and len(tasks) == 7 * len(ZONES)
        assert (await watched.read("neargate_queue_depth"))[("orders-run",)] == 2
        await watched.report(one, "RUNNING", 1)
        assert (await watched.read("neargate_tasks"))[ZONE, "RUNNING"] == 1
        await cell.stop_task(ACCOUNT, "default", id_of(two), None)
        waits = await watched.read("neargate_queue_depth")
        assert (waits[("orders-run",)], waits[("orders-stop",)]) == (1, 1)
        await watched.report(one, "STOPPED", 2, stop_code="EssentialContainerExited", stopped_reason="it ended")
        await watched.report(two, "STOPPED", 2)
        await watched.report(two, "STOPPED", 3)
        stops = await watched.read("neargate_task_stops_total")
        assert {code for (code,) in stops} == {*StopCode, "none"}
        assert {code: count for (code,), count in stops.items() if count} == {
            "EssentialContainerExited": 1,
            "UserInitiated": 1,
        }

    story(body)


def test_a_repeated_call_launches_nothing_more() -> None:
    async def body(watched: Watched) -> None:
        await watched.host()
        await watched.region.cell.create_cluster(ACCOUNT, REGION, "default", {})
        for _ in range(3):
            await watched.region.cell.run_task(run_request(subnets=(SUBNET,), count=4, client_token="again"))
        assert await watched.read("neargate_task_launches_total") == {(): 2}
        assert await watched.read("neargate_task_launches_refused_total") == {(): 2}

    story(body)


def test_what_services_launch_and_stop_is_counted_too() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=3)
        await services.until_steady()
        assert rig.cell.counts.launched == 3
        await services.update(desired_count=1)
        await services.until_steady()
        assert rig.cell.counts.launched == 3
        assert rig.cell.counts.stopped[StopCode.SERVICE_SCHEDULER_INITIATED] == 2

    knobs = replace(DEFAULT_KNOBS, service_gather_s=0.001, service_healthy_after_s=0.001)
    in_cell(body, knobs=knobs)


def test_a_task_without_an_address_is_counted_where_it_ends() -> None:
    async def body(watched: Watched) -> None:
        await watched.host(capacity=HostCapacity(cpu_units=65536, memory_mib=65536, disk_gib=65536))
        cell, tiny = (
            watched.region.cell,
            SubnetView(subnet_id="subnet-0t", vpc_id="vpc-0a", zone=ZONE, zone_id=ZONES[0][1], cidr="10.9.0.0/28"),
        )
        await cell.create_cluster(ACCOUNT, REGION, "default", {})
        for _ in range(2):
            await cell.run_task(run_request(subnets=(tiny,), count=10))
        while not (await watched.read("neargate_task_stops_total"))[(StopCode.TASK_FAILED_TO_START.value,)]:
            await watched.door.world.sleep(0.01)

    story(body)


def test_what_hosts_use_and_how_their_machines_came() -> None:
    async def body(watched: Watched) -> None:
        names = [f"neargate_host_{name}" for name in ("used_vcpus", "used_memory_bytes", "used_disk_bytes")]
        names += ["neargate_host_machines", "neargate_host_waiting_machines", "neargate_machine_starts_total"]
        await watched.host()
        assert [await watched.read(name) for name in names] == [{}] * 6, "its agent does not say"
        await watched.host(use=USE, used_memory_mib=640, machines=3)
        used = [await watched.read(name) for name in names[:5]]
        assert used == [{("host-a",): value} for value in (0.5, 640 << 20, 64 << 20, 3, 3)]
        came = {("host-a", "waiting"): 5, ("host-a", "saved"): 2, ("host-a", "booted"): 1}
        assert await watched.read("neargate_machine_starts_total") == came
        await watched.region.capacities[ZONE].host_seen("host-a", False)
        assert [await watched.read(name) for name in names] == [{}] * 6, "nobody knows any more"

    story(body)


def test_registrations_that_were_refused_are_counted_by_reason() -> None:
    async def body(watched: Watched) -> None:
        name = "neargate_registrations_refused_total"
        assert await watched.read(name) == {(why.value,): 0 for why in Refusal}
        watched.region.cell.refusals.note_host("host-x", Refusal.KEY, "known by another key")
        assert (await watched.read(name))[("host-key",)] == 1

    story(body)


def test_what_hosts_count() -> None:
    async def body(watched: Watched) -> None:
        counts = ("neargate_underlay_stray_packets_total", "neargate_refused_plans_total")
        skips = "neargate_flow_log_skips_total"
        await watched.host()
        assert [await watched.read(name) for name in (*counts, skips)] == [{("host-a",): 0}] * 3
        await watched.host(strays=7, last_stray="now", refused_plans=2, flow_log_skips=5)
        assert [await watched.read(name) for name in (*counts, skips)] == [
            {("host-a",): 7},
            {("host-a",): 2},
            {("host-a",): 5},
        ]
        await watched.region.capacities[ZONE].host_seen("host-a", False)
        assert await watched.read(counts[0]) == {("host-a",): 7}, "kept: its number does not begin anew"
        assert await watched.read(counts[1]) == await watched.read(skips) == {}

    story(body)


def test_requests_by_operation_and_class_of_status() -> None:
    async def body(watched: Watched) -> None:
        door = watched.door
        for _ in range(3):
            await door.call(ROOT, "ecs", "ListClusters")
        await door.call(ROOT, "ecs", "DescribeTasks", {"cluster": "none", "tasks": ["0" * 32]})
        await door.call(None, "iam", "ListUsers")
        await door.call(ROOT, "ecs", "RunTask")
        assert await watched.read("neargate_api_requests_total") == {
            ("ecs", "ListClusters", "2xx"): 3,
            ("ecs", "DescribeTasks", "4xx"): 1,
            ("iam", "ListUsers", "4xx"): 1,
            ("ecs", "RunTask", "4xx"): 1,
        }

    story(body)


def test_callers_make_no_series() -> None:
    """Whatever they call operations and services."""

    async def body(watched: Watched) -> None:
        front = watched.region.frontend
        for number in range(50):
            name = f"Nothing{number}"
            target = f"AmazonEC2ContainerServiceV20141113.{name}".encode()
            json_type = (b"content-type", b"application/x-amz-json-1.1")
            await front.handle("POST", b"/", b"", [(b"x-amz-target", target), json_type], b"{}")
            await front.handle("POST", b"/", b"", [(b"x-amz-target", f"S{name}.{name}".encode()), json_type], b"{}")
            await front.handle("GET", f"/{name}".encode(), f"Action={name}&Version=1".encode(), [], b"")
        # In ECS's model and not built.
        await watched.door.call(ROOT, "ecs", "SubmitTaskStateChange")
        found = await watched.read("neargate_api_requests_total")
        assert {(service, operation) for service, operation, _ in found} <= {("ecs", OTHER), (OTHER, OTHER)}
        assert sum(found.values()) == 151

    story(body)


def test_counts_of_requests_are_bounded_by_the_operations() -> None:
    counts = RequestCounts(OPERATIONS)
    for service in (*OPERATIONS, "s3", "", "\n"):
        for operation in ("ListClusters", "x" * 1000, "", '"}\n# HELP'):
            for status in (200, 204, 400, 403, 500, 503):
                counts.add(service, operation, status)
    assert {service for service, _, _ in counts.by_key} == {*OPERATIONS, OTHER}
    assert {operation for _, operation, _ in counts.by_key} == {"ListClusters", OTHER}
    assert sum(counts.by_key.values()) == (len(OPERATIONS) + 3) * 4 * 6


def test_a_region_of_many_hosts_shows_some_and_says_how_many_not() -> None:
    async def body(watched: Watched) -> None:
        watched.knobs = replace(DEFAULT_KNOBS, metrics_hosts_max=3)
        for number in range(10):
            await watched.host(host_id=f"host-{number}")
        assert await watched.read("neargate_hosts_not_shown") == {(): 7}
        assert set(await watched.read("neargate_host_offered_vcpus")) == {("host-0",), ("host-1",), ("host-2",)}
        assert sum((await watched.read("neargate_hosts")).values()) == 10

    story(body)


def test_queues_of_the_databases_are_shown() -> None:
    async def body(watched: Watched) -> None:
        depths = await watched.read("neargate_queue_depth")
        assert (depths[("write-cell-0",)], depths[("read-cell-0",)]) == (3, 4)
        assert {name for (name,) in depths} == {
            *("reports", "record-of-calls", "orders-run", "orders-stop", "releases", "write-cell-0", "read-cell-0")
        }

    story(body)


def test_what_waits_is_counted_by_an_index_that_has_nothing_else(tmp_path: Path) -> None:
    database = connect(str(tmp_path / "cell"), lock_wait_s=1.0)
    for migration in MIGRATIONS:
        database.executescript(migration)
    plans = {
        name: " ".join(str(row[3]) for row in database.execute(f"EXPLAIN QUERY PLAN {rows}"))
        for name, rows in operator_view._OUTBOX.items()
    }
    database.close()
    assert {name: re.findall(r"INDEX (\w+)", plan) for name, plan in plans.items()} == {
        "orders-run": ["tasks_to_run"],
        "orders-stop": ["tasks_to_stop"],
        "releases": ["tasks_to_release"],
    }
    assert not any("TEMP B-TREE" in plan for plan in plans.values())


def test_a_label_is_escaped_and_a_reading_of_another_release_is_passed_over() -> None:
    odd = 'a"b\\c\nneargate_hosts{state="x"} 9'
    text = exposition(
        {
            "neargate_host_offered_vcpus": [[[odd], 1.5], [["a", "b"], 2]],
            "neargate_of_tomorrow": [[[], 1]],
        }
    ).decode()
    families = {family.name: family.samples for family in text_string_to_metric_families(text)}
    assert [(sample.labels, sample.value) for sample in families["neargate_host_offered_vcpus"]] == [
        ({"host": odd}, 1.5)
    ]
    assert families["neargate_hosts"] == [] and "tomorrow" not in text


def test_nothing_of_it_is_at_the_apis_port() -> None:
    async def body(watched: Watched) -> None:
        await watched.host(strays=7)
        api = AsgiApp(frontend=watched.region.frontend, world=watched.door.world, knobs=DEFAULT_KNOBS)
        for path in ("/metrics", "/metrics/", "/_neargate/metrics", "/_neargate/health", "/"):
            status, said = await asked(api, path)
            assert status == (200 if path == "/_neargate/health" else 404)
            assert b"stray" not in said and b"neargate_" not in said

    story(body)


async def asked(app: Any, path: str) -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
    await app(scope | {"headers": [(b"host", b"127.0.0.1")], "client": ("127.0.0.1", 1)}, receive, send)
    return sent[0]["status"], sent[-1]["body"]


def test_the_command_asks_the_operators_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    asked_for: list[str] = []

    def answer(_: RegionPaths, request: str) -> dict[str, Any]:
        asked_for.append(request)
        return {"metrics": {"neargate_hosts": [[["away"], 2]]}}

    monkeypatch.setattr(metrics, "ask", answer)
    assert commands.run(["metrics", "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert 'neargate_hosts{state="away"} 2.0\n' in out and out.endswith("\n") and not out.endswith("\n\n")
    assert asked_for == ["metrics"]


def test_without_a_region_the_command_says_so(tmp_path: Path) -> None:
    paths = RegionPaths(tmp_path)
    with pytest.raises(Problem, match="no region under"):
        metrics.told(paths)


def test_load_balancers_and_their_groups_are_counted_as_cloudwatch_does() -> None:
    async def body(watched: Watched) -> None:
        arn = await watched.balancer()
        for requests in (0, 12):
            watched.said(arn, requests)
        web, group = "app/web/0123456789abcdef", "targetgroup/web/0123456789abcdef"
        assert await watched.read("neargate_load_balancer_requests_total") == {(web,): 12}
        own = await watched.read("neargate_load_balancer_responses_total")
        assert own == {(web, "3xx"): 0, (web, "4xx"): 0, (web, "5xx"): 6}
        assert await watched.read("neargate_load_balancer_active_connections") == {(web,): 3}
        assert await watched.read("neargate_load_balancer_bytes_total") == {(web, "in"): 120, (web, "out"): 240}
        assert await watched.read("neargate_load_balancer_lost_log_lines_total") == {(web,): 3}
        answers = await watched.read("neargate_target_group_responses_total")
        assert answers == {(web, group, f"{n}xx"): 12 if n == 2 else 0 for n in (2, 3, 4, 5)}
        assert await watched.read("neargate_target_group_connection_errors_total") == {(web, group): 4}
        targets = await watched.read("neargate_target_group_targets")
        assert targets == {(web, group, state): int(state == "healthy") for state in STATES}

    story(body)


def test_counters_do_not_go_back_when_a_node_begins_anew_and_one_that_does_not_serve_has_no_connections() -> None:
    async def body(watched: Watched) -> None:
        arn = await watched.balancer()
        for requests in (0, 12, 4):
            watched.said(arn, requests)
        watched.said(arn, 8, is_serving=False)
        assert await watched.read("neargate_load_balancer_requests_total") == {("app/web/0123456789abcdef",): 20}
        assert await watched.read("neargate_load_balancer_active_connections") == {("app/web/0123456789abcdef",): 0}

    story(body)


def test_a_region_of_many_load_balancers_shows_the_oldest_and_says_how_many_not() -> None:
    async def body(watched: Watched) -> None:
        for at, label in enumerate(("new", "old", "older")):
            await watched.balancer(label, created_at=10.0 - at)
        watched.knobs = replace(DEFAULT_KNOBS, metrics_balancers_max=2)
        assert await watched.read("neargate_load_balancers_not_shown") == {(): 1}
        shown = {label for (label,) in await watched.read("neargate_load_balancer_requests_total")}
        assert shown == {"app/old/0123456789abcdef", "app/older/0123456789abcdef"}
        watched.knobs = replace(DEFAULT_KNOBS, metrics_groups_max=0)
        assert await watched.read("neargate_target_group_targets") == {}

    story(body)
