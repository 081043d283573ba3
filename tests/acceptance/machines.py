"""What a region whose tasks are virtual machines needs here, how it is started on any host, and whether all are such.

`NEARGATE_TEST_SANDBOX=microvm` makes every region of this folder one of machines that does not say itself what it is of
(`make test-machines`); bounds are wider then, since emulated machines are slow.
"""

import os
import shutil
from pathlib import Path

from neargate.cli.microvms import GUEST

PLACE = Path(os.environ.get("NEARGATE_GUEST_DIR") or GUEST)
_NEEDED = (
    (f"a guest in {PLACE} (make guest)", PLACE.exists()),
    ("QEMU", shutil.which("qemu-system-x86_64") is not None),
)
MISSING = [what for what, is_there in _NEEDED if not is_there]
WITHOUT = " and ".join(MISSING)
EMULATED = ("--sandbox", "microvm", "--allow-emulated", "yes")

CHOSEN = os.environ.get("NEARGATE_TEST_SANDBOX", "container")
ALL_ARE_MACHINES = CHOSEN == "microvm"
SLOWER = 3.0 if ALL_ARE_MACHINES else 1.0


def options_of_a_region(options: tuple[str, ...]) -> tuple[str, ...]:
    """With what the run's choice of sandboxes adds to them."""
    assert CHOSEN in ("container", "microvm"), f"NEARGATE_TEST_SANDBOX is container or microvm, not {CHOSEN}"
    if not ALL_ARE_MACHINES or "--sandbox" in options:
        return options
    assert not MISSING, f"machines need {WITHOUT}"
    return (*EMULATED, *options)
