"""What a query is answered: at once from the names of a VPC, or who is to be asked for what.

Invariant: an answer never needs more bytes than its client said it takes.
"""

from collections.abc import Sequence

from msgspec import Struct

from .message import (
    CNAME,
    NO_ERROR,
    NO_SUCH_NAME,
    SERVER_FAILURE,
    Malformed,
    NoQuery,
    Query,
    Record,
    Refusal,
    build,
    is_cut,
    outcome_of,
    parse_query,
    question_to_forward,
    read_answers,
    refusal,
    relayed,
)
from .names import Names, find


class Forward(Struct, frozen=True):
    """Somebody else's name. `before`: aliases of this VPC that lead to it, and `onward` where they lead."""

    query: Query
    before: tuple[Record, ...] = ()
    onward: bytes | None = None

    @property
    def asked(self) -> bytes:
        """Name, type and class that an answer must repeat."""
        whole = self.query.question
        return whole if self.onward is None else self.onward + whole[-4:]

    def question(self, number: int) -> bytes:
        """For the server that is asked, under a number of its own."""
        return question_to_forward(self.query, number, self.asked)

    def answered(self, answer: bytes, *, stream: bool) -> bytes:
        """The client's answer, made of one that was accepted."""
        if self.onward is None:
            return relayed(self.query, answer, stream=stream)
        room = self.query.room(stream=stream)
        if is_cut(answer):
            return build(self.query, room=0)
        try:
            after = read_answers(answer)
        except Malformed:
            return self.failed()
        return build(self.query, outcome=outcome_of(answer), answers=[*self.before, *after], room=room)

    def failed(self) -> bytes:
        """Nobody answered."""
        return build(self.query, outcome=SERVER_FAILURE)


def answer(data: bytes, names: Names, *, stream: bool = False, turn: int = 0) -> bytes | Forward | None:
    """None for what is no query. `turn`: any number; it says which of several records comes first."""
    try:
        query = parse_query(data)
    except NoQuery:
        return None
    except Refusal as refused:
        return refusal(data, refused.outcome)
    found = find(names, query.name, query.type, turn)
    if found is None:
        return Forward(query)
    if found.onward is not None:
        return Forward(query, found.records, found.onward)
    return build(
        query,
        outcome=NO_ERROR if found.exists else NO_SUCH_NAME,
        answers=_turned(found.records, turn),
        authorities=() if found.authority is None else (found.authority,),
        room=query.room(stream=stream),
    )


def _turned(records: Sequence[Record], turn: int) -> Sequence[Record]:
    """Clients take the first: each gets another one. Aliases stay before what they lead to."""
    aliases = [record for record in records if record.type == CNAME]
    rest = [record for record in records if record.type != CNAME]
    if len(rest) < 2:
        return records
    at = turn % len(rest)
    return [*aliases, *rest[at:], *rest[:at]]
