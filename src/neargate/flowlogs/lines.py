"""Lines of flow logs: the fields AWS has, since which version, and what stands where nothing is known.

Owns the text. Invariant: a line has exactly as many words as its format has fields, whatever the values are.
"""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

UNKNOWN = "-"
# All fields of AWS with the version that brought them.
VERSIONS: dict[str, int] = {
    **dict.fromkeys(("version", "account-id", "interface-id", "srcaddr", "dstaddr", "srcport", "dstport"), 2),
    **dict.fromkeys(("protocol", "packets", "bytes", "start", "end", "action", "log-status"), 2),
    **dict.fromkeys(("vpc-id", "subnet-id", "instance-id", "tcp-flags", "type", "pkt-srcaddr", "pkt-dstaddr"), 3),
    **dict.fromkeys(("region", "az-id", "sublocation-type", "sublocation-id"), 4),
    **dict.fromkeys(("pkt-src-aws-service", "pkt-dst-aws-service", "flow-direction", "traffic-path"), 5),
    **dict.fromkeys(("ecs-cluster-arn", "ecs-cluster-name", "ecs-container-instance-arn"), 7),
    **dict.fromkeys(("ecs-container-instance-id", "ecs-container-id", "ecs-second-container-id"), 7),
    **dict.fromkeys(("ecs-service-name", "ecs-task-definition-arn", "ecs-task-arn", "ecs-task-id"), 7),
    "reject-reason": 8,
    "resource-id": 9,
    "encryption-status": 10,
}
OK, NODATA, SKIPDATA = "OK", "NODATA", "SKIPDATA"


def version_of(fields: Sequence[str]) -> int:
    """The highest version among them, at least 2."""
    return max((VERSIONS.get(name, 2) for name in fields), default=2)


def line(fields: Sequence[str], values: Mapping[str, str]) -> str:
    """`values`: of those fields that are known."""
    return " ".join([values.get(name) or UNKNOWN for name in fields])


def word(text: str) -> str:
    """A value from outside as one word; what would be several, or none, is not known."""
    return text if text.isprintable() and text.isascii() and text and " " not in text else UNKNOWN


def address(packed: bytes) -> str:
    return str(ip_address(packed))
