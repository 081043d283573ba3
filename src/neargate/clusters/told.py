"""What a host told of a task that only its operator is shown: where the start's time went, memory when it ran out.

Owns its form in the column `stages`: times by name, as former releases have them, or both parts by their names. Pure.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ..model.launch import MemoryAtKill, TaskReport


class Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`memory`: by the container's name."""

    stages_ms: dict[str, float]
    memory: dict[str, MemoryAtKill]


def told(report: TaskReport, before: bytes | None) -> bytes | None:
    """What is kept now. A report that says nothing takes nothing away."""
    known = _read(before)
    memory = {one.name: one.memory_at_kill for one in report.containers if one.memory_at_kill is not None}
    stages, memory = report.stages_ms or known.stages_ms, memory or known.memory
    if not memory:
        return msgspec.json.encode(stages) if stages else None
    return msgspec.json.encode(Told(stages_ms=stages, memory=memory))


def what_was_told(kept: bytes | None) -> Mapping[str, Any]:
    """`stages_ms`, and `memory` of containers whose processes were killed for want of it. JSON-ready."""
    known = _read(kept)
    return {"stages_ms": known.stages_ms, "memory": msgspec.to_builtins(known.memory)}


def _read(kept: bytes | None) -> Told:
    if kept is None:
        return Told(stages_ms={}, memory={})
    try:
        return msgspec.json.decode(kept, type=Told)
    except msgspec.ValidationError:
        return Told(stages_ms=msgspec.json.decode(kept, type=dict[str, float]), memory={})
