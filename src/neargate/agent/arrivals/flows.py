"""What a server says of flow logs, judged before anything is counted for them. A part of `arrivals/network.py`.

Invariant: what passes are ids and words that AWS has for fields; one unknown to this release is logged as not known.
"""

import re
from collections.abc import Sequence

from ...model.flow_logs import ACCEPT, ALL, REJECT, PlannedFlowLog
from .judging import LIST_MAX, check_between, check_count, check_id, need

_FIELD = re.compile(r"[a-z][a-z0-9-]{0,63}")
_FIELDS_MAX = 64
_DAY_S = 86_400


def check_flow_logs(logs: Sequence[PlannedFlowLog]) -> None:
    check_count("flow_logs", logs, LIST_MAX)
    for log in logs:
        for name in ("flow_log_id", "account", "resource_id"):
            check_id(name, getattr(log, name))
        need(log.traffic in (ACCEPT, REJECT, ALL), "a flow log has a kind of traffic that is none")
        check_count("fields", log.fields, _FIELDS_MAX)
        need(bool(log.fields), "a flow log has no fields")
        need(all(_FIELD.fullmatch(name) for name in log.fields), "a flow log has a field that is none")
        check_between("interval_s", log.interval_s, 1, _DAY_S)
