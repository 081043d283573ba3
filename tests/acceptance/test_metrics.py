"""Metrics of a real region: scraped at their port and printed by the command, while tasks run, send strays and stop."""

import socket
import urllib.request
from collections.abc import Iterator
from ipaddress import ip_network
from urllib.error import HTTPError

import pytest
from botocore.exceptions import ClientError
from prometheus_client.parser import text_string_to_metric_families

from neargate.cli import config as configs
from neargate.cli import processes
from neargate.cli.metrics.table import METRICS
from neargate.testing.registry import free_port

from .conftest import end_region, start_region
from .region import LiveRegion, wait_for

STRAYS = "neargate_underlay_stray_packets_total"
Samples = dict[tuple[str, ...], float]


class Watched:
    def __init__(self, region: LiveRegion, port: int) -> None:
        self.region = region
        self.port = port

    def scrape(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            return str(answer.read().decode())

    def read(self, name: str) -> Samples:
        return samples(self.scrape(), name)


def samples(text: str, name: str) -> Samples:
    """Labels' values in the order of the table -> value."""
    labels = next(metric.labels for metric in METRICS if metric.name == name)
    return {
        tuple(sample.labels[label] for label in labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    port = free_port()
    live = start_region("--uplink", "none", "--metrics-listen", f"127.0.0.1:{port}")
    try:
        live.push_images()
        yield Watched(live, port)
    finally:
        end_region(live)


def test_both_ways_tell_all_metrics(watched: Watched) -> None:
    for text in (watched.scrape(), watched.region.command("metrics").stdout):
        found = {family.name: family.type for family in text_string_to_metric_families(text)}
        assert found == {metric.name.removesuffix("_total"): metric.kind for metric in METRICS}
        assert samples(text, "neargate_hosts")[("connected",)] == 1
    doctor = watched.region.command("doctor", check=False).stdout
    assert f"ok      metrics are served at http://127.0.0.1:{watched.port}/metrics\n" in doctor


def test_a_stray_of_a_task_is_counted(watched: Watched) -> None:
    region = watched.region
    pool = ip_network(configs.load(region.paths).public_pool)
    before = watched.read(STRAYS)
    assert list(before.values()) == [0]
    definition = region.register({"command": ["sh", "-c", f"nc -w 1 {pool[-1]} 9; sleep 300"], "stopTimeout": 2})
    arn = region.run(definition, public=True)
    region.wait_status(arn, "RUNNING")
    try:
        counted = wait_for("a stray", lambda: sum(watched.read(STRAYS).values()) or None)
        assert counted >= 1
        assert watched.read(STRAYS).keys() == before.keys()
        printed = samples(region.command("metrics").stdout, STRAYS)
        assert sum(printed.values()) >= counted
    finally:
        region.stop(arn)
        region.wait_status(arn, "STOPPED")


def test_requests_tasks_and_stops_move_the_counters(watched: Watched) -> None:
    region = watched.region

    def requests(operation: str, status: str) -> float:
        return watched.read("neargate_api_requests_total").get(("ecs", operation, status), 0)

    launches = watched.read("neargate_task_launches_total")[()]
    ended = watched.read("neargate_task_stops_total")[("EssentialContainerExited",)]
    listed = requests("ListClusters", "2xx")
    for _ in range(3):
        region.ecs.list_clusters()
    wait_for("three more", lambda: requests("ListClusters", "2xx") == listed + 3)
    with pytest.raises(ClientError):
        region.ecs.stop_task(task="0" * 32)
    wait_for("a refusal", lambda: requests("StopTask", "4xx") == 1)
    arn = region.run(region.register({"command": ["sleep", "2"], "stopTimeout": 2}))
    zone = region.wait_status(arn, "RUNNING")["availabilityZone"]
    wait_for("a running task", lambda: watched.read("neargate_tasks")[zone, "RUNNING"] == 1)
    assert set(watched.read("neargate_host_reserved_memory_bytes").values()) == {512 * 1024**2}
    region.wait_status(arn, "STOPPED")
    wait_for(
        "its stop",
        lambda: watched.read("neargate_task_stops_total")[("EssentialContainerExited",)] == ended + 1,
    )
    assert watched.read("neargate_task_launches_total")[()] == launches + 1


def test_at_the_apis_port_there_are_none(watched: Watched) -> None:
    for path in ("metrics", "_neargate/metrics", "v2/metrics", "_neargate/health"):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{watched.region.port}/{path}", timeout=10) as answer:
                assert path == "_neargate/health"
                body = answer.read()
        except HTTPError as refused:
            body = refused.read()
        assert b"neargate_" not in body


def test_hostile_scrapers_cost_the_region_nothing(watched: Watched) -> None:
    """More connections than there are places, each with half a head; a head without an end; then all is as before."""
    held = [socket.create_connection(("127.0.0.1", watched.port), timeout=20) for _ in range(64)]
    for one in held:
        try:
            one.sendall(b"GET /metrics HTTP/1.1\r\nx: ")
        except OSError:
            continue  # hung up on already
    with socket.create_connection(("127.0.0.1", watched.port), timeout=20) as endless:
        assert wait_for("the end of it", lambda: _is_cut(endless))
    watched.region.ecs.list_clusters()
    assert samples(watched.region.command("metrics").stdout, "neargate_hosts")[("connected",)] == 1
    for one in held:
        one.close()

    def answers() -> bool:
        try:
            return bool(watched.scrape())
        except OSError:
            return False

    wait_for("a scrape", answers)


def _is_cut(endless: socket.socket) -> bool:
    try:
        endless.sendall(b"y" * 65536)
    except OSError:
        return True
    return False


def test_another_server_serves_them_and_an_up_without_does_not(watched: Watched) -> None:
    region = watched.region
    server = processes.find(region.paths.pid_file("server"))
    assert server is not None
    processes.kill(server)

    def answers() -> bool:
        try:
            return bool(watched.scrape())
        except OSError:
            return False

    wait_for("the next server", answers)
    region.command("down")
    region.up("--metrics-listen", "")
    assert not answers()
    assert "neargate_hosts" in region.command("metrics").stdout
    region.command("down")
    refused = region.up("--metrics-listen", "0.0.0.0:9464", check=False)
    assert refused.returncode == 1 and "on loopback only" in refused.stderr
