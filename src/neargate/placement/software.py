"""How new a host is: the order of what an agent says of its own release and of what is below the tasks.

Pure. A part that is not said, or has no number, is the oldest. The agent's release counts first, then the host's
kernel, the guest image and the VMM: only where all before are equal does the next decide.
"""

import re

from ..model.capacity import HostPlatform

Software = tuple[tuple[int, ...], ...]  # a higher one is newer

_NUMBERS = re.compile(r"[0-9]{1,9}(?:[._+-][0-9]{1,9})*")


def software_of(agent: str, platform: HostPlatform | None) -> Software:
    """`platform` None: an agent that says nothing of it, which is older than each that does."""
    if platform is None:
        return (software_order(agent),)
    return (software_order(agent), *map(_numbers, (platform.kernel, platform.guest_image, platform.vmm)))


def software_order(release: str) -> tuple[int, ...]:
    """`1.10.2` sorts above `1.9`; what is not a number counts as 0 (an unknown release is the oldest)."""
    numbers = (part.split("-")[0].split("+")[0] for part in release.split("."))
    return tuple(int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0 for number in numbers)


def _numbers(release: str) -> tuple[int, ...]:
    """The first that are there: a distribution counts its builds after a hyphen (`6.1.0-21-amd64` is 6, 1, 0, 21)."""
    found = _NUMBERS.search(release)
    return tuple(int(number) for number in re.split("[._+-]", found[0])) if found else ()
