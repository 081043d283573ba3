"""A region of machines whose operator lets its account have a kernel's privileges: from refusal to log."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from neargate.cli.microvms import GUEST

from .conftest import end_region, start_region
from .region import LiveRegion, wait_for

PLACE = Path(os.environ.get("NEARGATE_GUEST_DIR") or GUEST)
MISSING = [
    what for what, there in ((str(PLACE), PLACE.exists()), ("QEMU", shutil.which("qemu-system-x86_64"))) if not there
]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")
SIZE = {"cpu": "1024", "memory": "2048"}
BOOT_S = 100.0  # emulated, beside other tests
SAYS = (
    "cat /proc/sys/vm/max_map_count; mkdir /data/l /data/u /data/w /data/m; "
    "mount -t overlay -o lowerdir=/data/l,upperdir=/data/u,workdir=/data/w o /data/m && echo mounted; sleep 1000"
)


@pytest.fixture(scope="module")
def machines() -> Iterator[LiveRegion]:
    live = start_region("--sandbox", "microvm", "--allow-emulated", "yes")
    try:
        live.push_images()
        yield live
    finally:
        end_region(live)


def asked(region: LiveRegion) -> dict[str, Any]:
    return {
        "command": ["sh", "-c", SAYS],
        "privileged": True,
        "systemControls": [{"namespace": "vm.max_map_count", "value": "262144"}],
        "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
        "logConfiguration": region.log_config("/test/output"),
    }


def test_an_accounts_tasks_have_what_its_operator_lets_it_have(machines: LiveRegion) -> None:
    size = SIZE | {"volumes": [{"name": "data"}]}
    with pytest.raises(ClientError, match="Fargate requires that the 'privileged' setting be 'false'"):
        machines.register(asked(machines), **size)
    account = machines.command("account", "list").stdout.split("\n")[1].split()[0]
    assert "may have privileges" in machines.command("account", "kernel", account, "yes").stdout
    arn = machines.run(machines.register(asked(machines), **size))
    machines.wait_status(arn, "RUNNING", BOOT_S)
    wait_for("what it found", lambda: machines.output_of(arn) == ["262144", "mounted"])
    machines.stop(arn)
    machines.wait_status(arn, "STOPPED")
    machines.command("account", "kernel", account, "no")
    with pytest.raises(ClientError, match="Fargate requires that the 'privileged' setting be 'false'"):
        machines.register(asked(machines), **size)
