"""What the front end notes of a request while it serves it, and to whom it hands that over once the answer is made.

Pure data and the seam; how a record is written of it is `recorder.py`'s.
"""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct, field

from ...interfaces.trail import Place, TrailEntry, TrailPage, TrailQuery
from ..call import Answer, Params, Principal
from ..errors import Fault
from ..network.endpoints.entrances import Via


class SeenCall(Struct, kw_only=True):
    """What the front end knows of one request when it has answered it. `service`: the model's name, "" unknown.

    `operation`: only names that a model has. `fault`: None when the call succeeded. Sizes are bytes on the wire.
    """

    request_id: str
    source_ip: str = ""
    via: Via | None = None  # the VPC endpoint that it came through
    secure: bool = False  # the caller spoke TLS
    user_agent: str = ""
    host: str = ""  # the header's
    authorization: bytes = b""
    service: str = ""
    operation: str = ""
    principal: Principal | None = None
    params: Params | None = None
    params_size: int = 0
    asked: list[str] = field(default_factory=list)  # ARNs that leave was asked for
    web_identity: dict[str, str] = field(default_factory=dict)  # as in Call
    answer: Answer | None = None
    answer_size: int = 0
    fault: Fault | None = None


class Recorder(Protocol):
    def record(self, seen: SeenCall) -> None:
        """Returns at once and never raises. `seen` is not changed by its giver any more."""


class NoRecord:
    """For tests of other things."""

    def record(self, seen: SeenCall) -> None:
        del seen


class NoTrail:
    """For tests of other things: keeps nothing, so that there is nothing to find."""

    def submit(self, account: str, size: int, make: Callable[[], TrailEntry]) -> None:
        del account, size, make

    def count_lost(self, account: str, reason: str) -> None:
        del account, reason

    async def lookup(self, wanted: TrailQuery, after: Place | None) -> TrailPage:
        del wanted, after
        return TrailPage(entries=(), more=None)

    async def flush(self) -> None:
        """There is nothing to write."""
