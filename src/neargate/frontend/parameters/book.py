"""One account's parameters in memory, without their values. Decisions read it and change nothing.

Changed by the registry alone, after the write.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from .records import Parameter, rooted


def size_of(parameter: Parameter) -> int:
    """In bytes, of its record: about what memory holds of it."""
    return len(msgspec.json.encode(parameter))


class ParameterBook:
    """`generation` 0: the account never had a parameter. `size`: in bytes, of all records."""

    def __init__(self, account: str, generation: int = 0, parameters: Iterable[Parameter] = ()) -> None:
        self.account = account
        self.generation = generation
        self._by_key = {one.key: one for one in parameters}
        self._order = sorted(self._by_key)
        self._tiers = Counter(one.current.tier for one in self._by_key.values())
        self.size = sum(size_of(one) for one in self._by_key.values())

    def find(self, name: str) -> Parameter | None:
        return self._by_key.get(rooted(name))

    def count(self, tier: str) -> int:
        return self._tiers[tier]

    def size_with(self, put: Iterable[Parameter], drop: Iterable[Parameter] = ()) -> int:
        """Bytes of all records here, were these changes made."""
        size = self.size - sum(size_of(one) for one in drop)
        for one in put:
            previous = self._by_key.get(one.key)
            size += size_of(one) - (0 if previous is None else size_of(previous))
        return size

    def after(self, place: str) -> Iterator[Parameter]:
        """In order of their keys, those that come behind `place`."""
        start = bisect_left(self._order, place)
        for key in self._order[start:]:
            if key != place:
                yield self._by_key[key]

    def below(self, path: str, place: str = "") -> Iterator[Parameter]:
        """Those behind `place` whose keys begin with `path` and a slash."""
        prefix = f"{path}/"
        for one in self.after(max(place, prefix)):
            if not one.key.startswith(prefix):
                return
            yield one

    def apply(self, put: Iterable[Parameter], drop: Iterable[Parameter]) -> None:
        put, drop = tuple(put), tuple(drop)
        self.size = self.size_with(put, drop)
        for one in drop:
            self._tiers[self._by_key.pop(one.key).current.tier] -= 1
            del self._order[bisect_left(self._order, one.key)]
        for one in put:
            previous = self._by_key.get(one.key)
            if previous is None:
                insort(self._order, one.key)
            else:
                self._tiers[previous.current.tier] -= 1
            self._by_key[one.key] = one
            self._tiers[one.current.tier] += 1
        self.generation += 1
