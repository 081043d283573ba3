"""Names and identifiers as AWS forms them. Randomness is handed in (`world.random.getrandbits`)."""

import re
from collections.abc import Callable

Bits = Callable[[int], int]

_UUID_FREE = ~(0xF << 76 | 0x3 << 62)
_UUID_VERSION_4 = 0x4 << 76 | 0x2 << 62

REGION_PATTERN = re.compile(r"\A[a-z]{2}(-[a-z]+)+-[0-9]\Z")
ACCOUNT_PATTERN = re.compile(r"\A[0-9]{12}\Z")


def task_id(bits: Bits) -> str:
    """32 hex digits, as in a task's ARN."""
    return f"{bits(128):032x}"


def ec2_id(prefix: str, bits: Bits) -> str:
    """`eni-0123456789abcdef0`: prefix and 17 hex digits, the first one 0 as EC2 gives them."""
    return f"{prefix}-0{bits(64):016x}"


def uuid4(bits: Bits) -> str:
    """A version 4 UUID from the given stream (request ids, attachment ids, container ARNs)."""
    value = bits(128) & _UUID_FREE | _UUID_VERSION_4
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def capacity_id(now: float, bits: Bits) -> str:
    """32 hex digits that begin with the time (epoch milliseconds), so that a database's index grows at its end."""
    return f"{int(now * 1000) & (1 << 48) - 1:012x}{bits(80):020x}"
