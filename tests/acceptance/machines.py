"""What a region whose tasks are virtual machines needs here, and how it is started on any host."""

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
