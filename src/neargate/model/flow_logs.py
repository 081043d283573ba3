"""A VPC's flow logs, as hosts and the control plane tell each other of them.

Owns what a host is asked to log and what it sends. Must not know who may read it. Fields and texts are those of AWS's
"Flow log records" page.
"""

from msgspec import Struct

ACCEPT = "ACCEPT"
REJECT = "REJECT"
ALL = "ALL"

# The default format of AWS, version 2.
DEFAULT_FIELDS = (
    "version",
    "account-id",
    "interface-id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "action",
    "log-status",
)


class PlannedFlowLog(Struct, frozen=True, kw_only=True):
    """`resource_id`: the vpc-, subnet- or eni- whose interfaces are logged. `traffic`: ACCEPT, REJECT or ALL.

    `fields`: names without `${}`, in the order of a line. `interval_s`: 60 or 600, the longest time a record covers.
    """

    flow_log_id: str
    account: str
    resource_id: str
    traffic: str
    fields: tuple[str, ...]
    interval_s: int


class FlowLogBatch(Struct, frozen=True, kw_only=True):
    """Lines of one interface for one flow log. `events`: (when it happened, milliseconds, the line), oldest first.

    `number` counts the batches of an interface and a log on a host: what came twice is stored once.
    """

    flow_log_id: str
    eni_id: str
    number: int
    events: tuple[tuple[int, str], ...]
