"""Every operation that this endpoint has, by service. Literal: what is not here is answered as unknown."""

from collections.abc import Mapping

from ..services import Operation
from .sts import table as sts

OPERATIONS: Mapping[str, Mapping[str, Operation]] = {
    "sts": sts.OPERATIONS,
}
