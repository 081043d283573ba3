"""`make soak`: seeds of the simulator without end. Ctrl-C ends it.

One line for each hundred seeds. A failing seed is shrunk to the fewest faults that still fail in the same way, written
to a file for `tests/simulation/seeds/`, and the command that replays it is printed.
"""

import random
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from neargate.testing.sim.batch import Work, in_children
from neargate.testing.sim.corpus import FailedSeed, save
from neargate.testing.sim.run import REAL, SMALL, SPOT, TENANTS, SeedResult, Setting, run_seed
from neargate.testing.sim.shrink import shrink
from neargate.wire.shapes import SERVICES, Models

EVERY = 100
REAL_SHARE = 0.3
SPOT_SHARE = 0.5  # up to it
TENANTS_SHARE = 0.6  # up to it


def main() -> None:
    models = Models()
    for name in SERVICES:
        models.service(name)
    first = random.SystemRandom().randrange(10**9)
    failed = steps = 0
    begun = time.monotonic()
    for done, result in enumerate(in_children(works(first, models)), start=1):
        steps += result.steps
        if result.error is not None:
            failed += 1
            say(explain(result, models))
        if done % EVERY == 0:
            rate = done / (time.monotonic() - begun)
            say(f"{done} seeds, {failed} failed, {rate:.1f} seeds/s, {steps} steps")


def works(first: int, models: Models) -> Iterator[Work]:
    number = first
    while True:
        yield partial(run_seed, named(number), setting=setting(named(number)), models=models)
        number += 1


def named(number: int) -> str:
    """The setting is in the name."""
    drawn = random.Random(number).random()
    shares = ((REAL_SHARE, "real-"), (SPOT_SHARE, "spot-"), (TENANTS_SHARE, "tenants-"))
    return next((f"{name}{number}" for share, name in shares if drawn < share), str(number))


def setting(seed: str) -> Setting:
    return {"real": REAL, "spot": SPOT, "tenants": TENANTS}.get(seed.partition("-")[0], SMALL)


def explain(result: SeedResult, models: Models) -> str:
    """What failed, with how few faults, and how to see it again."""
    seed = result.seed
    if not seed:
        return f"{result.error}"
    again = partial(run_seed, seed, setting=setting(seed), models=models)
    faults = shrink(result.faults, result.kind, again)
    path = Path(f"failed-{seed}.json")
    kinds = {name: setting(seed) is one for name, one in (("real", REAL), ("spot", SPOT), ("tenants", TENANTS))}
    save(path, FailedSeed(seed=seed, found=result.error or "", faults=faults, **kinds))
    flag = next((f" --{name}" for name, is_it in kinds.items() if is_it), "")
    command = f"python -m neargate.testing.sim {seed}{flag} --faults {path} --trace"
    return f"FAILED {result.error}\n    {len(result.faults)} faults, {len(faults)} left\n    {command}"


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        say("ended")
