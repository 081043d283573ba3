"""The STS operations that Neargate has."""

from ...services import Operation
from .identity import get_caller_identity

OPERATIONS: dict[str, Operation] = {
    "GetCallerIdentity": get_caller_identity,
}
