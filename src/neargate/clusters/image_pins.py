"""Which digests the images of a revision have, where its definition asks that it keep them.

Owns the pins and when one is learned: from the first host that pulled the image for a task of the revision. Must not
know registries. Invariant: a pin is durable in the same write as the report that taught it, and never changes; it goes
when nobody can run the revision any more.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from heapq import nsmallest
from typing import Any

from ..interfaces.store import Statement, Store
from ..model.launch import TaskReport

_WANT = "INSERT INTO image_pins (definition, container) VALUES (?, ?) ON CONFLICT (definition, container) DO NOTHING"
_LEARN = "UPDATE image_pins SET digest = ? WHERE definition = ? AND container = ? AND digest IS NULL"
_FORGET = "DELETE FROM image_pins WHERE definition = ?"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class ImagePins:
    """In memory, as the database has them. `definition` is a revision's ARN."""

    def __init__(self) -> None:
        self._pins: dict[str, dict[str, str | None]] = {}
        self._open = 0  # pins that no host has told yet
        self._looked_at = ""  # the last definition that was looked at

    async def load(self, store: Store) -> None:
        for definition, container, digest in await store.read("SELECT definition, container, digest FROM image_pins"):
            self._pins.setdefault(str(definition), {})[str(container)] = None if digest is None else str(digest)
            self._open += digest is None

    def wanted(self, definition: Mapping[str, Any]) -> list[Statement]:
        """What makes the revision's wish durable; with it `want` is called."""
        return [Statement(_WANT, (definition["taskDefinitionArn"], name)) for name in _asking(definition)]

    def want(self, definition: Mapping[str, Any]) -> None:
        for name in _asking(definition):
            pins = self._pins.setdefault(definition["taskDefinitionArn"], {})
            if name not in pins:
                pins[name] = None
                self._open += 1

    def of(self, definition: str) -> Mapping[str, str]:
        """Container -> digest, as far as it is known."""
        pins = self._pins.get(definition)
        return {name: digest for name, digest in pins.items() if digest is not None} if pins else {}

    def lessons(self, definition: str, report: TaskReport) -> list[tuple[str, str, str]]:
        """What a report teaches: (definition, container, digest)."""
        pins = self._pins.get(definition)
        if not pins:
            return []
        told = ((item.name, item.image_digest) for item in report.containers)
        return [
            (definition, name, digest)
            for name, digest in told
            if digest and _DIGEST.fullmatch(digest) and pins.get(name, "") is None
        ]

    @property
    def is_waiting(self) -> bool:
        """Whether any report could teach anything."""
        return self._open > 0

    def statements(self, lessons: Sequence[tuple[str, str, str]]) -> list[Statement]:
        return [Statement(_LEARN, (digest, definition, name)) for definition, name, digest in lessons]

    def learned(self, lessons: Iterable[tuple[str, str, str]]) -> None:
        """They are durable; of two at once the first one counts, here as there."""
        for definition, name, digest in lessons:
            pins = self._pins.get(definition, {})  # it may have been forgotten meanwhile
            if name in pins and pins[name] is None:
                pins[name] = digest
                self._open -= 1

    def next_definitions(self, most: int) -> list[str]:
        """Some that have pins: others each time, all of them in turn."""
        if len(self._pins) <= most:
            return list(self._pins)
        found = nsmallest(most, (arn for arn in self._pins if arn > self._looked_at))
        self._looked_at = found[-1] if len(found) == most else ""
        return found

    def forgetting(self, definitions: Sequence[str]) -> list[Statement]:
        return [Statement(_FORGET, (definition,)) for definition in definitions]

    def forget(self, definitions: Iterable[str]) -> None:
        """It is durable."""
        for definition in definitions:
            self._open -= sum(1 for digest in self._pins.pop(definition, {}).values() if digest is None)


def _asking(definition: Mapping[str, Any]) -> list[str]:
    """Said in so many words: unsaid it is AWS's default, which is about services and changes nothing for a task."""
    containers = definition["containerDefinitions"]
    return [
        item["name"] for item in containers if item.get("versionConsistency") == "enabled" and "@" not in item["image"]
    ]
