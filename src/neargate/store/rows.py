"""Many rows in one statement. Running a statement hands the interpreter's lock over several times, whatever it does;
a row more costs next to nothing.

Pure text. Invariant: few different texts come out, since each is prepared once and kept: a text for each size up to
what usually comes together, and one for large parts.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain

from ..interfaces.store import Statement, Value

_SIZES = (64, *range(16, 0, -1))


def many(sql: str, rows: Sequence[tuple[Value, ...]], name: str) -> list[Statement]:
    """`sql` holds `{rows}` behind VALUES; every row must take effect. All rows have the same width."""
    return [
        Statement(_text(sql, len(part), len(part[0])), tuple(chain.from_iterable(part)), len(part), name)
        for part in _parts(rows)
    ]


def _parts(rows: Sequence[tuple[Value, ...]]) -> Iterator[Sequence[tuple[Value, ...]]]:
    begin = 0
    for size in _SIZES:
        while len(rows) - begin >= size:
            yield rows[begin : begin + size]
            begin += size


@lru_cache(maxsize=256)
def _text(sql: str, count: int, width: int) -> str:
    row = f"({', '.join('?' * width)})"
    return sql.replace("{rows}", ", ".join([row] * count))
