"""Block I/O of a container: from the kernel's files, of both cgroup versions, to Docker's lists."""

from pathlib import Path
from typing import Any

from neargate.agent.metadata.docker_stats import Sample, docker_stats
from neargate.hostnet.cgroups_v1 import HierarchiesV1
from neargate.hostnet.cgroups_v2 import HierarchyV2
from neargate.interfaces.hostnet import BlockIo, CgroupStats

# A loop device (7), a virtual disk (254) and a line without numbers, as kernels write them.
IO_STAT = """\
7:0 rbytes=122880 wbytes=31461376 rios=11 wios=42 dbytes=4096 dios=1
254:0 rbytes=2461696 wbytes=31461376 rios=61 wios=33 dbytes=0 dios=0
253:1 \n
"""
SERVICE_BYTES = """\
7:3 Read 45056
7:3 Write 10485760
7:3 Sync 10530816
7:3 Async 0
7:3 Discard 0
7:3 Total 10530816
Total 10530816
"""
SERVICED = """\
7:3 Read 4
7:3 Write 10
7:3 Sync 14
7:3 Async 0
7:3 Discard 0
7:3 Total 14
Total 14
"""


def stats_v2(root: Path, io_stat: str | None) -> CgroupStats:
    (root / "cgroup.controllers").write_text("cpu io memory pids\n")
    web = root / "task" / "web"
    web.mkdir(parents=True)
    (web / "memory.current").write_text("5000\n")
    if io_stat is not None:
        (web / "io.stat").write_text(io_stat)
    found = HierarchyV2(root).stats("task/web")
    assert found is not None
    return found


def stats_v1(root: Path, **files: str) -> CgroupStats:
    for controller in ("memory", "blkio"):
        (root / controller / "task" / "web").mkdir(parents=True)
    (root / "memory/task/web/memory.usage_in_bytes").write_text("5000\n")
    for name, text in files.items():
        (root / "blkio/task/web" / f"blkio.{name.replace('__', '.')}").write_text(text)
    found = HierarchiesV1(root).stats("task/web")
    assert found is not None
    return found


def document(cgroup: CgroupStats) -> dict[str, Any]:
    sample = Sample(at=0.0, cgroup=cgroup, interface=None, host_cpu_ns=0, online_cpus=1)
    shown: dict[str, Any] = docker_stats("id", "web", sample, sample, task_memory_bytes=1)["blkio_stats"]
    return shown


def test_version_2(tmp_path: Path) -> None:
    found = {
        (io.major, io.minor, io.kind): (io.served_bytes, io.operations) for io in stats_v2(tmp_path, IO_STAT).block_io
    }
    assert {key: value for key, value in found.items() if key[0] != 253} == {
        (7, 0, "Read"): (122880, 11),
        (7, 0, "Write"): (31461376, 42),
        (7, 0, "Discard"): (4096, 1),
        (7, 0, "Total"): (122880 + 31461376 + 4096, 54),
        (254, 0, "Read"): (2461696, 61),
        (254, 0, "Write"): (31461376, 33),
        (254, 0, "Discard"): (0, 0),
        (254, 0, "Total"): (2461696 + 31461376, 94),
    }
    assert not any(any(value) for key, value in found.items() if key[0] == 253)


def test_version_1(tmp_path: Path) -> None:
    files = {
        "throttle__io_service_bytes_recursive": SERVICE_BYTES,
        "throttle__io_serviced_recursive": SERVICED,
        "bfq__io_service_bytes_recursive": "8:0 Read 1\n",
    }
    assert stats_v1(tmp_path, **files).block_io == tuple(
        BlockIo(major=7, minor=3, kind=kind, served_bytes=served, operations=operations)
        for kind, served, operations in (
            ("Read", 45056, 4),
            ("Write", 10485760, 10),
            ("Sync", 10530816, 14),
            ("Async", 0, 0),
            ("Discard", 0, 0),
            ("Total", 10530816, 14),
        )
    )


def test_version_1_where_the_scheduler_counts(tmp_path: Path) -> None:
    files = {
        "throttle__io_service_bytes_recursive": "Total 0\n",
        "bfq__io_service_bytes_recursive": "8:0 Read 4096\n8:0 Total 4096\nTotal 4096\n",
        "bfq__io_serviced_recursive": "8:0 Read 2\n8:0 Total 2\nTotal 2\n",
    }
    assert [(io.kind, io.served_bytes, io.operations) for io in stats_v1(tmp_path, **files).block_io] == [
        ("Read", 4096, 2),
        ("Total", 4096, 2),
    ]


def test_a_kernel_that_counts_nothing(tmp_path: Path) -> None:
    for name, found in {"1": stats_v1(tmp_path / "1"), "2": _without_io(tmp_path / "2")}.items():
        assert found.block_io == (), name
        shown = document(found)
        assert all(value == [] for value in shown.values()) and len(shown) == 8


def _without_io(root: Path) -> CgroupStats:
    root.mkdir()
    return stats_v2(root, None)


def test_dockers_document(tmp_path: Path) -> None:
    shown = document(stats_v2(tmp_path, "7:0 rbytes=8192 wbytes=0 rios=2 wios=0 dbytes=0 dios=0\n"))
    device = {"major": 7, "minor": 0}
    assert shown["io_service_bytes_recursive"] == [
        {**device, "op": "Read", "value": 8192},
        {**device, "op": "Write", "value": 0},
        {**device, "op": "Discard", "value": 0},
        {**device, "op": "Total", "value": 8192},
    ]
    assert [entry["value"] for entry in shown["io_serviced_recursive"]] == [2, 0, 0, 2]
