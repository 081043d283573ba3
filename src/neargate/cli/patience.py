"""How long commands wait for processes of a region that never come up or never answer, and the agent for registries
that cannot be connected to. For tests: a part of it.

`NEARGATE_PATIENCE`, a number up to 1, is that part; without it, as in production, all of it. What happens when the
patience is over is the same.
"""

import os

VARIABLE = "NEARGATE_PATIENCE"


def of(seconds: float) -> float:
    return seconds * min(float(os.environ.get(VARIABLE, "1")), 1.0)
