"""How many requests were answered since the process began: by service, operation, and the first digit of the status.

Must not know who called. Invariant: there are as many counts as there are operations here, whatever callers send: what
is none of them is counted as `other`.
"""

from collections.abc import Container, Mapping

OTHER = "other"
Key = tuple[str, str, int]  # service, operation, status // 100


class RequestCounts:
    def __init__(self, operations: Mapping[str, Container[str]]) -> None:
        self._operations = operations
        self.by_key: dict[Key, int] = {}

    def add(self, service: str, operation: str, status: int) -> None:
        known = self._operations.get(service)
        if known is None:
            service = operation = OTHER
        elif operation not in known:
            operation = OTHER
        key = (service, operation, status // 100)
        self.by_key[key] = self.by_key.get(key, 0) + 1
