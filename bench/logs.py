"""A task's output on its way to GetLogEvents: CPU per MiB of agent and server, and how soon a line can be read."""

import time
from typing import Any

from .figures import Figure, Load, foreign_load, quantile, spread
from .region import BenchRegion, container_region

LINES = 400_000
LINE_BYTES = 100
LINE = "x" * (LINE_BYTES - 1)
WATCH_S = 12.0
COMMAND = "python -m bench logs"
OWN = ("server", "agent")
MIB = 1024 * 1024


def measure() -> list[Figure]:
    others = foreign_load()
    with container_region() as region:
        with Load() as load:
            rate = _throughput(region)
        throughput_busy = load.busy
        with Load() as load:
            delays = _delays(region)
    return [
        Figure(
            name="logs: task to GetLogEvents, per CPU-second",
            value=rate["mib"] / rate["ingest_cpu_s"],
            unit="MiB/CPU-s",
            goal=">= 10",
            against=f"CPU of agent and server until the last of {LINES} lines of {LINE_BYTES} bytes was readable",
            samples={name: [value] for name, value in rate.items()},
            notes=[
                f"{rate['mib']:.1f} MiB in {rate['seconds']:.1f} s: agent {rate['agent_cpu_s']:.2f}, "
                f"server {rate['server_cpu_s']:.2f} CPU seconds (blocking mode, nothing dropped)",
                f"reading all of it back once with GetLogEvents: {rate['read_cpu_s']:.2f} CPU seconds more "
                f"({rate['mib'] / (rate['ingest_cpu_s'] + rate['read_cpu_s']):.1f} MiB/CPU-s in all)",
            ],
            load=throughput_busy,
            command=COMMAND,
        ),
        Figure(
            name="logs: line written to line readable, p99",
            value=quantile(delays, 0.99),
            unit="s",
            goal="<= 1",
            against="the container's own clock (/proc/uptime, 10 ms); GetLogEvents asked every 20 ms",
            samples={"delay_s": delays},
            notes=[
                f"{len(delays)} lines, {spread([delay * 1000 for delay in delays])} ms",
                f"others used {others:.0%} of the processors before",
            ],
            load=load.busy,
            command=COMMAND,
        ),
    ]


def _throughput(region: BenchRegion) -> dict[str, float]:
    script = f"sleep 1; yes {LINE} | head -n {LINES}; echo the end; sleep 100000 & trap 'exit 0' TERM; wait"
    definition = region.register(command=["sh", "-c", script], log_options={"mode": "blocking"})
    arn = region.run(definition)
    region.wait(arn, "RUNNING")
    before = {name: region.cpu_seconds(name) for name in OWN}
    begun = time.monotonic()
    while _last_message(region, arn) != "the end":
        if time.monotonic() - begun > 180:
            raise RuntimeError("the last line did not arrive within three minutes")
        time.sleep(0.25)
    seconds = time.monotonic() - begun
    cpu = {name: region.cpu_seconds(name) - before[name] for name in OWN}
    reading = region.cpu_seconds(*OWN)
    count = _count_lines(region, arn)
    read_cpu_s = region.cpu_seconds(*OWN) - reading
    region.stop(arn)
    if count != LINES + 1:
        raise RuntimeError(f"{count} lines came, not {LINES + 1}")
    return {
        "mib": LINES * LINE_BYTES / MIB,
        "seconds": seconds,
        "agent_cpu_s": cpu["agent"],
        "server_cpu_s": cpu["server"],
        "ingest_cpu_s": sum(cpu.values()),
        "read_cpu_s": read_cpu_s,
    }


def _stream(arn: str) -> dict[str, Any]:
    return {"logGroupName": "/bench", "logStreamName": f"b/c/{arn.rpartition('/')[2]}"}


def _last_message(region: BenchRegion, arn: str) -> str:
    page = region.client.call("logs", "GetLogEvents", **_stream(arn), limit=1)
    return str(page["events"][-1]["message"]) if page["events"] else ""


def _count_lines(region: BenchRegion, arn: str) -> int:
    count, token = 0, None
    while True:
        following: dict[str, Any] = {"nextToken": token} if token else {}
        page = region.client.call("logs", "GetLogEvents", **_stream(arn), startFromHead=True, **following)
        count += len(page["events"])
        if page["nextForwardToken"] == token:
            return count
        token = page["nextForwardToken"]


def _delays(region: BenchRegion) -> list[float]:
    """Each line is the time of its writing; how old is it when it is read."""
    script = "trap 'exit 0' TERM; while true; do read now rest </proc/uptime; echo $now; sleep 0.02; done"
    definition = region.register(command=["sh", "-c", script], log_options={})
    arn = region.run(definition)
    region.wait(arn, "RUNNING")
    while not _last_message(region, arn):
        time.sleep(0.05)
    page = region.client.call("logs", "GetLogEvents", **_stream(arn), limit=1)
    token, delays = page["nextForwardToken"], []
    end = time.monotonic() + WATCH_S
    while time.monotonic() < end:
        page = region.client.call("logs", "GetLogEvents", **_stream(arn), nextToken=token, startFromHead=True)
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        token = page["nextForwardToken"]
        delays += [max(0.0, now - float(event["message"])) for event in page["events"]]
        time.sleep(0.02)
    region.stop(arn)
    return delays
