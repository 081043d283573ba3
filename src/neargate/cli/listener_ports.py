"""`--listener-ports`: at which of the machine's loopback ports load balancers' listeners are. Pure.

At the API's own port they are by name in any case. Owns the option's grammar. Must not know sockets.
"""

import re
from collections.abc import Collection

from .problems import Problem

ALL, NONE = "all", "none"
_RANGE = re.compile(r"([0-9]{1,5})-([0-9]{1,5})")


def parse(text: str) -> Collection[int]:
    """The ports that listeners may have. Raises Problem."""
    if text == ALL:
        return range(1, 65536)
    if text == NONE:
        return ()
    found = _RANGE.fullmatch(text)
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 0 < first <= last < 65536:
        raise Problem(
            f"--listener-ports {text[:100]!r}: choose all or none, or write FIRST-LAST, for example 8000-8999"
        )
    return range(first, last + 1)
