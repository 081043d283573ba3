"""`python -m neargate.testing.sim SEED [--faults FILE] [--trace]`

With one of --real, --spot, --network, --services, --balanced, --emptied, --tenants a run of that kind.
Ends with 1 when the seed fails.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

from .corpus import load
from .run import BALANCED, EMPTIED, NETWORK, REAL, REAL_TENANTS, SERVICES, SMALL, SPOT, TENANTS, run_seed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m neargate.testing.sim")
    parser.add_argument("seed")
    parser.add_argument("--faults", type=Path, help="a file of tests/simulation/seeds instead of the seed's own faults")
    parser.add_argument("--real", action="store_true", help="real agents over fakes")
    parser.add_argument("--spot", action="store_true", help="few small hosts, and most launches on Spot")
    parser.add_argument("--network", action="store_true", help="clients change VPCs, addresses and NAT gateways")
    parser.add_argument("--services", action="store_true", help="clients make, roll, scale and delete services")
    parser.add_argument("--balanced", action="store_true", help="the same, behind a load balancer")
    parser.add_argument("--emptied", action="store_true", help="services, while hosts are emptied")
    parser.add_argument("--tenants", action="store_true", help="two accounts, on hosts of containers; with --real too")
    parser.add_argument("--trace", action="store_true", help="a line for each thing that happens")
    given = parser.parse_args()
    faults = None if given.faults is None else load(given.faults).faults
    if given.trace:
        logging.getLogger("neargate").setLevel(logging.INFO)
    setting = SERVICES if given.services else NETWORK if given.network else SPOT if given.spot else SMALL
    real = REAL_TENANTS if given.tenants else REAL
    setting = real if given.real else BALANCED if given.balanced else TENANTS if given.tenants else setting
    setting = EMPTIED if given.emptied else setting
    result = run_seed(given.seed, faults, setting=setting, log=_write if given.trace else None)
    _write(f"seed {result.seed}: {result.error or 'clean'}; digest {result.digest:08x}, {result.steps} steps")
    if not given.trace:
        _write(" ".join(f"{name}={count}" for name, count in sorted(result.coverage.items())))
    sys.stdout.flush()
    os._exit(1 if result.error else 0)  # nothing of the dead may run now


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")


main()
