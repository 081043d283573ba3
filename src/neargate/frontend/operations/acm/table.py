"""The ACM operations there are. An operation that is not in this list answers that it is unknown."""

from ...services import Operation

OPERATIONS: dict[str, Operation] = {}
