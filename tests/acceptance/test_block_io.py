"""What a container reads about its own disk in the metadata's statistics is what the kernel counted."""

import json
import subprocess
from pathlib import Path

from .region import LiveRegion

WRITTEN = 10_000_000  # the first number of eight digits
# Writes until the statistics say so much of it, then shows them. Bounded by the test's own wait.
SCRIPT = """
while true; do
    dd if=/dev/zero of=/written bs=1M count=4 conv=fsync 2>/dev/null
    wget -q -O /stats $ECS_CONTAINER_METADATA_URI_V4/stats
    grep -Eq '"op": ?"Write", ?"value": ?[0-9]{8}' /stats && cat /stats && exit 0
    sleep 0.1
done
"""
CGROUPS = Path("/sys/fs/cgroup")


def device_of(region: LiveRegion, task_id: str) -> str:
    """MAJOR:MINOR of the loop device that is the task's disk."""
    listing = subprocess.run(
        ["losetup", "--list", "--noheadings", "--output", "MAJ:MIN,BACK-FILE"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    [line] = [line for line in listing.splitlines() if str(region.paths.disks) in line and task_id in line]
    return line.split()[0]


def test_bytes_and_operations_of_the_tasks_disk(region: LiveRegion) -> None:
    definition = region.register(
        {"command": ["sh", "-c", SCRIPT], "logConfiguration": region.log_config("/test/output")}
    )
    arn = region.run(definition)
    region.wait_status(arn, "RUNNING")
    task_id = arn.rpartition("/")[2]
    device = device_of(region, task_id)
    blkio = CGROUPS / "blkio" / f"neargate-{region.paths.instance}" / task_id
    if blkio.is_dir():
        # Version 1 counts, since Linux 6.10, only where there is a limit: one that nobody ever reaches.
        (blkio / "blkio.throttle.write_bps_device").write_text(f"{device} {1 << 40}")
    region.wait_status(arn, "STOPPED")
    shown = json.loads("".join(region.output_of(arn)))["blkio_stats"]
    served, operations = (
        {(f"{entry['major']}:{entry['minor']}", entry["op"]): entry["value"] for entry in shown[name]}
        for name in ("io_service_bytes_recursive", "io_serviced_recursive")
    )
    assert served[device, "Write"] >= WRITTEN and operations[device, "Write"] >= 1
    assert served[device, "Total"] >= served[device, "Write"]
