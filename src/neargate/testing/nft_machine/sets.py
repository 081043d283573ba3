"""Sets and maps: elements under keys of one or several fields, and the lookup.

Invariant: no two elements overlap, as the kernel has it, so a lookup has one answer at most.
"""

from msgspec import Struct

from .packets import NftError
from .values import TYPES, Field, Value, covers, exact_value, field, is_exact, overlap, single


class Verdict(Struct, frozen=True):
    """`kind`: accept, drop, return, continue, jump, goto; the last two name a chain."""

    kind: str
    chain: str = ""


Data = Verdict | tuple[Value, ...] | None  # None: of an element of a plain set
Key = tuple[Field, ...]


class Declaration(Struct, frozen=True, kw_only=True):
    """`value_types` None: a plain set."""

    key_types: tuple[str, ...]
    value_types: tuple[str, ...] | None = None
    flags: frozenset[str] = frozenset()
    merges: bool = False


class ElementSet:
    """`name` empty: written in a rule; such a set is an interval set wherever one of its keys is wide."""

    def __init__(self, name: str, declaration: Declaration) -> None:
        unknown = {*declaration.key_types, *(declaration.value_types or ())} - TYPES
        if unknown:
            raise NftError(f"{name}: types {unknown} are not known")
        self.name = name
        self.declaration = declaration
        self._exact: dict[tuple[Value, ...], Data] = {}
        self._wide: dict[Key, Data] = {}

    def copy(self) -> "ElementSet":
        other = ElementSet(self.name, self.declaration)
        other._exact, other._wide = dict(self._exact), dict(self._wide)
        return other

    def add(self, key: Key, data: Data) -> None:
        exact = all(is_exact(each) for each in key)
        if not exact and self.name and "interval" not in self.declaration.flags:
            raise NftError(f"{self.name}: {key} is a range, and the set is not of intervals")
        held: dict[Key, Data] = {**self._exact_keys(key), **self._wide}
        for other, other_data in held.items():
            if all(overlap(one, two) for one, two in zip(key, other, strict=True)):
                if (other, other_data) == (key, data) or (self.declaration.merges and data == other_data):
                    return
                raise NftError(f"{self.name}: {key} overlaps with {other}")
        if exact:
            self._exact[tuple(exact_value(each) for each in key)] = data
        else:
            self._wide[key] = data

    def remove(self, key: Key) -> None:
        if all(is_exact(each) for each in key):
            gone = self._exact.pop(tuple(exact_value(each) for each in key), self)
        else:
            gone = self._wide.pop(key, self)
        if gone is self:
            raise NftError(f"{self.name}: there is no element {key}")

    def find(self, values: tuple[Value, ...]) -> tuple[bool, Data]:
        """Whether there is one, and what it maps to."""
        if values in self._exact:
            return True, self._exact[values]
        for key, data in self._wide.items():
            if all(covers(one, value) for one, value in zip(key, values, strict=True)):
                return True, data
        return False, None

    def chains(self) -> set[str]:
        """That verdicts of this map lead to."""
        verdicts = (each for each in (*self._exact.values(), *self._wide.values()) if isinstance(each, Verdict))
        return {each.chain for each in verdicts if each.chain}

    def _exact_keys(self, key: Key) -> dict[Key, Data]:
        """Those that may overlap with a key: of an exact one only itself."""
        if all(is_exact(each) for each in key):
            values = tuple(exact_value(each) for each in key)
            return {key: self._exact[values]} if values in self._exact else {}
        return {tuple(each if isinstance(each, str) else (each, each) for each in k): v for k, v in self._exact.items()}


def key_of(types: tuple[str, ...], words: list[str]) -> Key:
    """From `a . b`, as a list of words."""
    parts = split(words, ".")
    if len(parts) != len(types) or any(len(each) != 1 for each in parts):
        raise NftError(f"{' '.join(words)}: a key of {' . '.join(types)} is wanted")
    return tuple(field(kind, each[0]) for kind, each in zip(types, parts, strict=True))


def data_of(types: tuple[str, ...], words: list[str]) -> Data:
    if types == ("verdict",):
        return verdict_of(words)
    parts = split(words, ".")
    if len(parts) != len(types) or any(len(each) != 1 for each in parts):
        raise NftError(f"{' '.join(words)}: a value of {' . '.join(types)} is wanted")
    return tuple(single(kind, each[0]) for kind, each in zip(types, parts, strict=True))


def verdict_of(words: list[str]) -> Verdict:
    if len(words) == 1 and words[0] in ("accept", "drop", "return", "continue"):
        return Verdict(words[0])
    if len(words) == 2 and words[0] in ("jump", "goto"):
        return Verdict(words[0], words[1])
    raise NftError(f"{' '.join(words)}: no verdict")


def fill(target: ElementSet, words: list[str]) -> None:
    """From the words between the braces."""
    declaration = target.declaration
    for element in split(words, ","):
        if not element:
            continue  # nft allows a comma at the end
        key, *rest = split(element, ":")
        if (declaration.value_types is None) != (not rest) or len(rest) > 1:
            raise NftError(f"{' '.join(element)}: no element of {target.name or 'such a set'}")
        data = data_of(declaration.value_types, rest[0]) if declaration.value_types is not None else None
        target.add(key_of(declaration.key_types, key), data)


def split(words: list[str], separator: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == separator:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts
