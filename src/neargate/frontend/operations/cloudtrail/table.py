"""The CloudTrail operations there are: reading the record. Trails that copy it elsewhere are not built: unknown."""

from ...services import Operation
from .lookup_events import lookup_events

OPERATIONS: dict[str, Operation] = {"LookupEvents": lookup_events}
