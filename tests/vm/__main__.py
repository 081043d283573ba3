"""`make test-vm`: tests of the agent's half in a virtual machine: cgroup version 2, and mounts as systemd makes them.

  python -m tests.vm [--accelerator kvm|tcg] [--log FILE] [PYTEST'S WORDS]

Without words: SUITE below. The exit status is pytest's; FILE gets the machine's console, for when it says nothing. All
that the machine is made of comes from this one (contents.py) and from `make guest`; what tests change is lost with it.
"""

# ruff: noqa: T201  a command that prints

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from . import contents, machine

ROOT = Path(__file__).resolve().parents[2]
GUEST = Path(os.environ.get("NEARGATE_GUEST_DIR") or "/var/cache/neargate/guest")
SUITE = tuple(
    f"tests/{name}.py"
    for name in (
        "suites/test_hostnet_linux",
        "suites/test_sandbox_containerd",
        "integration/test_cgroup_version_2",
        "integration/test_cgroups",
        "integration/test_disks",
        "integration/test_sandbox_containers",
        "integration/test_shared_processes",
        "integration/test_terminals",
        "integration/test_sandbox_crashes",
        "integration/test_warm_shims",
        "integration/test_disk_guard",
        "integration/test_agent_real",
    )
)
# An emulated processor takes its time.
ALWAYS = ("--timeout=900", "-p", "no:cacheprovider", "--color=no")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description="tests in a machine with cgroup version 2")
    parser.add_argument("--accelerator", choices=("kvm", "tcg"), default="kvm" if has_kvm() else "tcg")
    parser.add_argument("--log", type=Path, help="where the machine's console goes")
    options, words = parser.parse_known_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="neargate-vm-", dir="/var/tmp") as scratch:  # not in memory, as /tmp may be
        disk = contents.disk(Path(scratch), ROOT, (*ALWAYS, *(words or ("-q", *SUITE))))
        print(f"a machine of {contents.size_mib(disk)} MiB, {options.accelerator}", flush=True)
        code = machine.run(Path(scratch), disk, GUEST, ROOT, options.accelerator, options.log)
    print(f"pytest's status in the machine: {code}, after {time.monotonic() - began:.0f} s in all")
    return code


def has_kvm() -> bool:
    """A /dev/kvm without the processor's own virtualisation makes machines and boots none of them."""
    processor = Path("/proc/cpuinfo").read_text()
    is_able = re.search(r"^flags\s.*\b(vmx|svm)\b", processor, re.MULTILINE) is not None
    return is_able and os.access("/dev/kvm", os.R_OK | os.W_OK)


if __name__ == "__main__":
    sys.exit(main())
