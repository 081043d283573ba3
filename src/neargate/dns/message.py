"""DNS messages as a resolver meets them: what a query asks, what an answer is made of (RFC 1035, 2181, 6891).

Who asks is hostile, and so may be who answers. Invariants: nothing but `Malformed` is raised, whatever the bytes are;
time grows with a message's length only. Of a query no pointer is followed at all, and in an answer each one leads
to an earlier place than the one before. Names are kept in wire form (`\\x03foo\\x00`), and looked up in lower case.
"""

import struct
from collections.abc import Sequence

from msgspec import Struct

HEADER = struct.Struct(">HHHHHH")  # id, flags, and how many questions, answers, authorities, others
_FIXED = struct.Struct(">HHIH")  # of a record, behind its owner: type, class, time to live, length
_PAIR = struct.Struct(">HH")

RESPONSE, OPERATION, TRUNCATED, RECURSION_DESIRED, RECURSION_AVAILABLE = 0x8000, 0x7800, 0x0200, 0x0100, 0x0080
AUTHENTIC, CHECKING_DISABLED, OUTCOME = 0x0020, 0x0010, 0x000F
NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NO_SUCH_NAME, NOT_IMPLEMENTED, REFUSED, BAD_VERSION = 0, 1, 2, 3, 4, 5, 16
A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, OPT, IXFR, ANY = 1, 2, 5, 6, 12, 15, 16, 28, 33, 41, 251, 255
META_TYPES = frozenset({0, OPT, *range(128, 255)})  # of one message or one transfer: nothing has records of these
INTERNET = 1
_NAMES_ONLY = frozenset({NS, CNAME, PTR, 3, 4, 7, 8, 9})  # data is one name, which may be shortened (RFC 3597)

NAME_MAX_BYTES = 255
LABEL_MAX_BYTES = 63
PLAIN_MAX_BYTES = 512  # of an answer by UDP to who does not speak EDNS
OFFERED_BYTES = 1232  # and the most to who does: no network on the way has to cut it
QUERY_MAX_BYTES = 4096
STREAM_MAX_BYTES = 65_535
_SIGNED_ANSWERS = 0x8000  # EDNS: "DNSSEC answer OK"
_OTHERS_MAX = 4  # records that a query may carry beside its question; clients send one or two
_ANSWERS_MAX = 256  # records that are read of a foreign answer
_CHAIN_MAX = 128  # pointers of one name: it has no more labels


class Malformed(Exception):
    """No DNS message, or none of the form it says it has."""


class NoQuery(Malformed):
    """Nothing that is ever answered: two servers would else talk for ever."""


class Refusal(Malformed):
    """A query that is answered by `outcome`."""

    def __init__(self, outcome: int, what: str) -> None:
        super().__init__(what)
        self.outcome = outcome


class Edns(Struct, frozen=True):
    answer_max: int
    signed: bool  # wants signatures (DO)


class Query(Struct, frozen=True):
    """One question of the class IN. `name` is in lower case, `question` as it was sent."""

    number: int
    flags: int
    name: bytes
    type: int
    question: bytes
    edns: Edns | None = None

    def room(self, *, stream: bool) -> int:
        """Bytes that the answer may take."""
        if stream:
            return STREAM_MAX_BYTES
        return PLAIN_MAX_BYTES if self.edns is None else min(max(self.edns.answer_max, PLAIN_MAX_BYTES), OFFERED_BYTES)


class Record(Struct, frozen=True):
    """Of the class IN. `owner` and the names in `data` in wire form, whole."""

    owner: bytes
    type: int
    ttl_s: int
    data: bytes


def name(text: str) -> bytes:
    """`Foo.example.` in wire form and lower case. Raises Malformed."""
    if not text.isascii():
        raise Malformed("a name of the wire is ASCII")
    labels = [label.encode() for label in text.lower().removesuffix(".").split(".")] if text not in ("", ".") else []
    if any(not 0 < len(label) <= LABEL_MAX_BYTES for label in labels):
        raise Malformed(f"a label of {text[:NAME_MAX_BYTES]!r} is empty or too long")
    wire = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    if len(wire) > NAME_MAX_BYTES:
        raise Malformed("the name is too long")
    return wire


def labels_of(wire: bytes) -> list[bytes]:
    """Of a whole name in wire form."""
    at, found = 0, []
    while wire[at]:
        found.append(wire[at + 1 : at + 1 + wire[at]])
        at += 1 + wire[at]
    return found


def parse_query(data: bytes) -> Query:
    """Raises NoQuery, Refusal."""
    if len(data) < HEADER.size:
        raise NoQuery("shorter than a header")
    number, flags, questions, answers, authorities, others = HEADER.unpack_from(data)
    if flags & RESPONSE:
        raise NoQuery("an answer")
    if flags & OPERATION:
        raise Refusal(NOT_IMPLEMENTED, "no lookup")
    try:
        end = _end_of_question(data)
        if (questions, answers) != (1, 0) or others > _OTHERS_MAX:
            raise Malformed("not one question alone")
        kind, network = _PAIR.unpack_from(data, end - _PAIR.size)
        if network != INTERNET or kind in META_TYPES:
            raise Refusal(FORMAT_ERROR if kind == OPT else REFUSED, "no lookup of the Internet's names")
        if authorities:
            raise Malformed("a query with an authority")
        edns = _edns(data, end, others)
    except Refusal:
        raise
    except Malformed as error:
        raise Refusal(FORMAT_ERROR, str(error)) from error
    question = data[HEADER.size : end]
    return Query(number, flags, question[: -_PAIR.size].lower(), kind, question, edns)


def refusal(data: bytes, outcome: int) -> bytes:
    """The answer to a query that cannot be read, or is not served: a header, and the question where it is known."""
    number, flags, questions, *_ = HEADER.unpack_from(data)
    kept = RESPONSE | flags & (OPERATION | RECURSION_DESIRED) | RECURSION_AVAILABLE | outcome & OUTCOME
    question = b""
    if outcome in (REFUSED, BAD_VERSION) and questions == 1:
        question = data[HEADER.size : _end_of_question(data)]
    # An outcome of more than four bits has the rest of it in the options.
    options = _options(outcome >> 4, Edns(OFFERED_BYTES, signed=False)) if outcome > OUTCOME else b""
    return HEADER.pack(number, kept, 1 if question else 0, 0, 0, 1 if options else 0) + question + options


def build(
    query: Query,
    *,
    outcome: int = NO_ERROR,
    answers: Sequence[Record] = (),
    authorities: Sequence[Record] = (),
    room: int = STREAM_MAX_BYTES,
    flags: int = 0,
) -> bytes:
    """The answer. One that needs more than `room` says so and holds no records: its client asks by TCP."""
    kept = RESPONSE | RECURSION_AVAILABLE | query.flags & (RECURSION_DESIRED | CHECKING_DISABLED) | flags | outcome
    options = b"" if query.edns is None else _options(0, query.edns)
    body = b"".join([_written(query, record) for record in answers] + [_written(query, r) for r in authorities])
    counts = [1, len(answers), len(authorities), 1 if options else 0]
    if HEADER.size + len(query.question) + len(body) + len(options) > room:
        kept, body, counts = kept | TRUNCATED, b"", [1, 0, 0, counts[3]]
    return HEADER.pack(query.number, kept, *counts) + query.question + body + options


def relayed(query: Query, answer: bytes, *, stream: bool) -> bytes:
    """Somebody else's answer under the client's own number; without its records where they do not fit."""
    if len(answer) > query.room(stream=stream):
        (flags,) = struct.unpack_from(">H", answer, 2)
        return build(query, outcome=flags & OUTCOME, flags=TRUNCATED | flags & AUTHENTIC)
    end = HEADER.size + len(query.question)
    question = query.question if len(answer) >= end else b""  # in the letters that its client chose
    return query.number.to_bytes(2, "big") + answer[2 : HEADER.size] + question + answer[end:]


def question_to_forward(query: Query, number: int, question: bytes) -> bytes:
    """What another server is sent: nothing of what the client added, apart from its wish for signatures."""
    flags = query.flags & (RECURSION_DESIRED | CHECKING_DISABLED | AUTHENTIC)
    if query.edns is None:
        return HEADER.pack(number, flags, 1, 0, 0, 0) + question
    edns = Edns(query.room(stream=False), query.edns.signed)
    return HEADER.pack(number, flags, 1, 0, 0, 1) + question + _options(0, edns)


def answers_question(answer: bytes, number: int, question: bytes) -> bool:
    """Whether these bytes claim to answer it: the number and all of the question (letters in either case)."""
    if len(answer) < HEADER.size:
        return False
    told, flags, questions, *_ = HEADER.unpack_from(answer)
    if told != number or flags & (RESPONSE | OPERATION) != RESPONSE:
        return False
    if questions == 0 and flags & OUTCOME in (FORMAT_ERROR, NOT_IMPLEMENTED):
        return len(answer) == HEADER.size  # a server that does not know this form of question
    end = HEADER.size + len(question)
    shown = answer[HEADER.size : end]
    names = slice(0, -_PAIR.size)
    return questions == 1 and shown[names].lower() == question[names].lower() and shown[-4:] == question[-4:]


def outcome_of(answer: bytes) -> int:
    return answer[3] & OUTCOME


def is_cut(answer: bytes) -> bool:
    return bool(answer[2] & TRUNCATED >> 8)


def read_answers(message: bytes) -> list[Record]:
    """The records of a foreign answer's first part, all names written out. Raises Malformed."""
    if len(message) < HEADER.size:
        raise Malformed("shorter than a header")
    _, _, questions, count, *_ = HEADER.unpack_from(message)
    if questions != 1 or count > _ANSWERS_MAX:
        raise Malformed("not one question, or more answers than anybody needs")
    at, found = _end_of_question(message), []
    for _ in range(count):
        owner, at = _whole_name(message, at)
        kind, network, ttl_s, start, end = _fixed(message, at)
        at = end
        if network == INTERNET:
            # RFC 2181: a time to live with its first bit set is none.
            ttl_s = ttl_s if ttl_s < 1 << 31 else 0
            found.append(Record(owner, kind, ttl_s, _whole_data(message, kind, start, end)))
    return found


# -- of parts


def _end_of_question(data: bytes) -> int:
    """Behind the first question, whose name is whole: nothing is before it that it could point to."""
    at, size = HEADER.size, len(data)
    while at < size and 0 < data[at] <= LABEL_MAX_BYTES:
        at += 1 + data[at]
    end = at + 1 + _PAIR.size
    if end > size or data[at] != 0 or at + 1 - HEADER.size > NAME_MAX_BYTES:
        raise Malformed("no question")
    return end


def _edns(data: bytes, at: int, count: int) -> Edns | None:
    """Of a query's other records only the options mean anything here."""
    found: Edns | None = None
    for _ in range(count):
        owner, at = at, _skipped(data, at)
        kind, room, rest, start, end = _fixed(data, at)
        at = end
        if kind != OPT:
            continue
        if found is not None or data[owner] != 0:
            raise Malformed("options twice, or of a name")
        if rest >> 16 & 0xFF:
            raise Refusal(BAD_VERSION, "options of a later form")
        _check_options(data, start, end)
        found = Edns(room, signed=bool(rest & _SIGNED_ANSWERS))
    return found


def _check_options(data: bytes, at: int, end: int) -> None:
    while at < end:
        if at + _PAIR.size > end:
            raise Malformed("half an option")
        at += _PAIR.size + int.from_bytes(data[at + 2 : at + 4], "big")
    if at != end:
        raise Malformed("an option that is longer than all")


def _fixed(data: bytes, at: int) -> tuple[int, int, int, int, int]:
    """(type, class, time to live, begin of the data, its end) of the record whose owner ends at `at`."""
    if at + _FIXED.size > len(data):
        raise Malformed("half a record")
    kind, network, ttl_s, length = _FIXED.unpack_from(data, at)
    start = at + _FIXED.size
    if start + length > len(data):
        raise Malformed("a record that is longer than its message")
    return kind, network, ttl_s, start, start + length


def _skipped(data: bytes, at: int) -> int:
    """Behind a name, wherever it may point."""
    begin, size = at, len(data)
    while at < size:
        length = data[at]
        if length == 0:
            return at + 1
        if length >= 0xC0:
            if at + 2 > size:
                break
            return at + 2
        if length > LABEL_MAX_BYTES or at - begin > NAME_MAX_BYTES:
            break
        at += 1 + length
    raise Malformed("no name")


def _whole_name(data: bytes, at: int) -> tuple[bytes, int]:
    """(the name with its pointers followed, the place behind it)."""
    end = _skipped(data, at)
    parts: list[bytes] = []
    length, earliest = 1, at
    for _ in range(_CHAIN_MAX):
        while at < len(data) and 0 < data[at] <= LABEL_MAX_BYTES:
            parts.append(data[at : at + 1 + data[at]])
            at += 1 + data[at]
            length += len(parts[-1])
            if length > NAME_MAX_BYTES:
                raise Malformed("the name is too long")
        if at >= len(data):
            break
        if data[at] == 0:
            return b"".join(parts) + b"\0", end
        if data[at] < 0xC0 or at + 2 > len(data):
            break
        at = int.from_bytes(data[at : at + 2], "big") & 0x3FFF
        if not HEADER.size <= at < earliest:
            break
        earliest = at
    raise Malformed("no name")


def _whole_data(data: bytes, kind: int, start: int, end: int) -> bytes:
    """A record's data with its names written out, for the types whose names may be shortened."""
    if kind in _NAMES_ONLY or kind == SOA:
        before, names = b"", 2 if kind == SOA else 1
    elif kind in (MX, SRV):
        fixed = 2 if kind == MX else 6
        before, names = data[start : start + fixed], 1
    else:
        return data[start:end]
    at, parts = start + len(before), [before]
    for _ in range(names):
        if at >= end:
            raise Malformed("a record without its name")
        part, at = _whole_name(data, at)
        parts.append(part)
    rest = data[at:end]
    if at > end or len(rest) != (20 if kind == SOA else 0):
        raise Malformed("a record whose length is wrong")
    return b"".join(parts) + rest


def _options(outcome_rest: int, edns: Edns) -> bytes:
    rest = outcome_rest << 24 | (_SIGNED_ANSWERS if edns.signed else 0)
    return b"\0" + _FIXED.pack(OPT, OFFERED_BYTES, rest, 0)


def _written(query: Query, record: Record) -> bytes:
    """The owner as a pointer into the question where that ends with the same bytes."""
    at = len(query.name) - len(record.owner)
    is_end = query.name.endswith(record.owner)
    owner = (0xC000 | HEADER.size + at).to_bytes(2, "big") if is_end else record.owner
    return owner + _FIXED.pack(record.type, INTERNET, record.ttl_s, len(record.data)) + record.data
