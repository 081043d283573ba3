"""The words with which the two halves of a region are begun: `--data DIR` and switches.

`up` begins them so each time, and argparse would cost each 0.5 MiB for as long as it runs; who asks for help, or
types something else, gets it.
"""

from collections.abc import Sequence

from msgspec import Struct


class OwnWords(Struct, frozen=True, kw_only=True):
    data: str | None = None
    switches: frozenset[str] = frozenset()


def own_words(prog: str, words: Sequence[str], switches: Sequence[str] = ()) -> OwnWords:
    """`switches`: that there are, with their dashes; help does not tell of them. Ends the process on wrong usage."""
    given = [word for word in words if word not in switches]
    chosen = frozenset(words) - frozenset(given)
    if not given:
        return OwnWords(switches=chosen)
    if len(given) == 2 and given[0] == "--data" and not given[1].startswith("-"):
        return OwnWords(data=given[1], switches=chosen)
    from .arguments import Parser

    parser = Parser(prog=prog)
    parser.add_argument("--data")
    return OwnWords(data=parser.parse_args(given).data, switches=chosen)
