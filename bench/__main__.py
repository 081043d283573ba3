"""`python -m bench [NAME ...]`: run the benchmarks, print the table, write bench/results.json.

`microvm` is all those whose names begin so.
"""

import importlib
import os
import signal
import sys
import time
import traceback

from . import figures

NAMES = (
    *("startup", "launch", "pull", "memory", "logs", "network", "balancer", "services"),
    *("microvm_ladder", "microvm_cold", "microvm_memory", "microvm_disks", "microvm_modes"),
    *("run_task_rate", "iam_decision", "codec", "answers", "record_cost"),
)


def main(names: list[str]) -> int:
    """Exit status 1 when a benchmark could not be run; a missed goal is a result, not an error."""
    known = {name: [name] for name in NAMES} | {"microvm": [name for name in NAMES if name.startswith("microvm_")]}
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("the benchmarks start real containers: run as root", file=sys.stderr)
        return 2
    # Ended from outside it still takes down what it started.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    failed = []
    for name in [one for asked in names for one in known[asked]] or NAMES:
        begun = time.monotonic()
        print(f"== {name}: {figures.cores()} processors, load average {os.getloadavg()[0]:.1f}", flush=True)
        try:
            found = importlib.import_module(f".{name}", __package__).measure()
        except Exception:  # the others still run; the exit status tells
            traceback.print_exc()
            failed.append(name)
            continue
        figures.save(found)
        for figure in found:
            figures.show(figure)
        print(f"   ({time.monotonic() - begun:.0f} s)", flush=True)
    if failed:
        print(f"could not be measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
