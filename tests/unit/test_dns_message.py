"""DNS messages: what hostile bytes become, and that the C library reads what we write as we mean it."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neargate.dns.message import (
    AAAA,
    CNAME,
    MX,
    SOA,
    SRV,
    TXT,
    A,
    Malformed,
    NoQuery,
    Record,
    Refusal,
    answers_question,
    build,
    is_cut,
    labels_of,
    name,
    outcome_of,
    parse_query,
    question_to_forward,
    read_answers,
    refusal,
    relayed,
)
from neargate.testing import libresolv

HEADER = struct.Struct(">HHHHHH")
QUESTION = b"\x07eXample\x03com\x00\x00\x01\x00\x01"
OPTIONS = b"\x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x00"
OTHER = b"\x00\x63\x00\x01" + bytes(6)  # the rest of a record without data, of some type
FORMAT_ERROR, NOT_IMPLEMENTED, REFUSED, BAD_VERSION = 1, 4, 5, 16


def query(
    question: bytes = QUESTION, rest: bytes = b"", *, flags: int = 0x0100, counts: tuple[int, ...] = (1, 0, 0, 0)
) -> bytes:
    return HEADER.pack(0xBEEF, flags, *counts) + question + rest


def with_options(options: bytes = OPTIONS, count: int = 1) -> bytes:
    return query(rest=options, counts=(1, 0, 0, count))


LABELS = st.binary(min_size=1, max_size=63).map(lambda label: label.lower())


def _fitting(labels: list[bytes]) -> bytes:
    wire = b""
    for label in labels:
        if len(wire) + 1 + len(label) + 1 <= 255:
            wire += bytes([len(label)]) + label
    return wire + b"\x00"


NAMES = st.lists(LABELS, max_size=8).map(_fitting)


def test_a_query_as_the_c_library_asks_it() -> None:
    asked = parse_query(libresolv.query("WWW.Example.com", AAAA))
    assert (asked.name, asked.type, asked.edns) == (b"\x03www\x07example\x03com\x00", AAAA, None)
    assert asked.question == b"\x03WWW\x07Example\x03com\x00\x00\x1c\x00\x01"
    assert labels_of(asked.name) == [b"www", b"example", b"com"]


def test_options_say_how_much_fits_and_whether_signatures_are_wanted() -> None:
    edns = parse_query(with_options()).edns
    assert edns is not None and (edns.answer_max, edns.signed) == (4096, True)
    assert parse_query(query()).room(stream=False) == 512
    assert parse_query(with_options()).room(stream=False) == 1232, "not more than passes everywhere"
    little = b"\x00\x00\x29\x00\x10\x00\x00\x00\x00\x00\x00"
    assert parse_query(with_options(little)).room(stream=False) == 512, "less than 512 means 512 (RFC 6891)"
    other = b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x00\x00\x02\x01a"
    beside = parse_query(with_options(other + OPTIONS, 2)).edns
    assert beside == edns, "a pointer in another record is not followed, and disturbs nothing"


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        (query(b""), FORMAT_ERROR),
        (query(QUESTION[:-1]), FORMAT_ERROR),
        (query(b"\xc0\x0c\x00\x01\x00\x01"), FORMAT_ERROR),  # a name that points to itself
        (query(b"\x07example\xc0\x0c\x00\x01\x00\x01"), FORMAT_ERROR),
        (query(b"\x40" + b"a" * 64 + b"\x00\x00\x01\x00\x01"), FORMAT_ERROR),  # a label of 64
        (query(b"\x3fshort"), FORMAT_ERROR),
        (query((b"\x3f" + b"a" * 63) * 4 + b"\x00\x00\x01\x00\x01"), FORMAT_ERROR),  # a name of 257
        (query(counts=(0, 0, 0, 0)), FORMAT_ERROR),
        (query(counts=(2, 0, 0, 0)), FORMAT_ERROR),
        (query(QUESTION * 2, counts=(2, 0, 0, 0)), FORMAT_ERROR),
        (query(counts=(65535, 65535, 65535, 65535)), FORMAT_ERROR),
        (query(counts=(1, 1, 0, 0)), FORMAT_ERROR),
        (query(counts=(1, 0, 1, 0)), FORMAT_ERROR),
        (query(counts=(1, 0, 0, 1)), FORMAT_ERROR),  # an option is counted, and is not there
        (query(counts=(1, 0, 0, 65535)), FORMAT_ERROR),
        (with_options(OPTIONS * 2, 2), FORMAT_ERROR),
        (with_options(b"\x01a" + OPTIONS), FORMAT_ERROR),  # options of a name
        (with_options(OPTIONS[:-2] + b"\x00\x05" + b"\x00\x08\x00\x20\x00"), FORMAT_ERROR),  # one longer than all
        (with_options(OPTIONS[:-2] + b"\x00\x03" + b"\x00\x08\x00"), FORMAT_ERROR),
        (with_options(OPTIONS[:-1] + b"\x20"), FORMAT_ERROR),
        (with_options(b"\x41" + b"a" * 65 + b"\x00" + OTHER + OPTIONS, 2), FORMAT_ERROR),  # a label of 65
        (with_options((b"\x3f" + b"a" * 63) * 5 + b"\x00" + OTHER + OPTIONS, 2), FORMAT_ERROR),
        (with_options(b"\x80\x00" + OTHER + OPTIONS, 2), FORMAT_ERROR),
        (with_options(b"\x00\x00\x29\x10\x00\x00\x01\x80\x00\x00\x00"), BAD_VERSION),
        (query(b"\x07version\x04bind\x00\x00\x10\x00\x03"), REFUSED),  # the class CH
        (query(QUESTION[:-4] + b"\x00\xfc\x00\x01"), REFUSED),  # AXFR
        (query(QUESTION[:-4] + b"\x00\xfb\x00\x01", counts=(1, 0, 1, 0)), REFUSED),  # IXFR
        (query(QUESTION[:-4] + b"\x00\x29\x00\x01"), FORMAT_ERROR),
        (query(flags=0x2800), NOT_IMPLEMENTED),  # an update
    ],
)
def test_what_is_no_lookup_is_refused(data: bytes, outcome: int) -> None:
    with pytest.raises(Refusal) as refused:
        parse_query(data)
    assert refused.value.outcome == outcome
    seen = libresolv.read(refusal(data, outcome))
    assert (seen.number, seen.outcome, seen.flags & 0x8000) == (0xBEEF, outcome & 0xF, 0x8000)
    if outcome == BAD_VERSION:
        assert refusal(data, outcome)[-6:] == b"\x01\x00\x00\x00\x00\x00", "the rest of 16, and the form that is known"


@pytest.mark.parametrize("silent", [b"", b"\xbe\xef" * 5, query(flags=0x8180)])
def test_what_asks_nothing_is_not_answered(silent: bytes) -> None:
    with pytest.raises(NoQuery):
        parse_query(silent)


@settings(deadline=None)
@given(
    st.one_of(st.binary(max_size=600), st.binary(max_size=80).map(lambda rest: query(rest=rest, counts=(1, 0, 0, 4))))
)
def test_no_bytes_raise_anything_else_and_refusals_are_messages(data: bytes) -> None:
    try:
        asked = parse_query(data)
    except Refusal as refused:
        answer = refusal(data, refused.outcome)
    except NoQuery:
        return
    else:
        answer = build(asked)
        assert len(asked.name) <= 255
    assert len(answer) <= 512
    libresolv.read(answer)


@settings(deadline=None)
@given(st.binary(max_size=400), st.binary(max_size=64), st.tuples(*[st.integers(0, 65535)] * 2))
def test_foreign_answers_of_any_bytes_are_read_or_malformed(rest: bytes, name_: bytes, counts: tuple[int, int]) -> None:
    for data in (rest, HEADER.pack(1, 0x8180, 1, counts[0] % 8, counts[1], 0) + name_ + QUESTION + rest):
        try:
            records = read_answers(data)
        except Malformed:
            continue
        for record in records:
            assert len(record.owner) <= 255 and record.owner.endswith(b"\x00")


def test_pointers_that_go_round_or_forwards_are_malformed() -> None:
    record = b"\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x01"
    start = 12 + len(QUESTION)
    for owner in (
        (0xC000 | start).to_bytes(2, "big"),  # to itself
        (0xC000 | start + 2).to_bytes(2, "big"),  # forwards
        b"\x01a" + (0xC000 | start).to_bytes(2, "big"),  # to its own beginning
        b"\xc0\x00",  # into the header
        b"\xff\xff",
        b"\x80\x01",
    ):
        with pytest.raises(Malformed):
            read_answers(query(QUESTION, owner + record, flags=0x8180, counts=(1, 1, 0, 0)))
    assert read_answers(query(QUESTION, b"\xc0\x0c" + record, flags=0x8180, counts=(1, 1, 0, 0))) == [
        Record(b"\x07eXample\x03com\x00", A, 60, b"\x0a\x00\x00\x01")
    ]


def test_the_longest_chain_of_pointers_ends() -> None:
    """Each of many names leads through all before it: that is refused by length, long before it takes time."""
    rest, at = b"", 12 + len(QUESTION)
    fixed = b"\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x00"
    target, count = 12, 0
    while at < 0x3FFF and count < 250:
        rest += b"\x01a" + (0xC000 | target).to_bytes(2, "big") + fixed
        target, at, count = at, at + 14, count + 1
    with pytest.raises(Malformed):
        read_answers(query(QUESTION, rest, flags=0x8180, counts=(1, count, 0, 0)))


def test_a_name_that_grows_too_long_by_its_pointers_is_malformed() -> None:
    asked = (b"\x3f" + b"a" * 63) * 3 + b"\x00\x00\x01\x00\x01"
    for front in (61, 62, 63):
        owner = bytes([front]) + b"b" * front + b"\xc0\x0c"
        data = query(asked, owner + OTHER, flags=0x8180, counts=(1, 1, 0, 0))
        if front + 1 + 193 <= 255:
            assert len(read_answers(data)[0].owner) == front + 1 + 193
        else:
            with pytest.raises(Malformed):
                read_answers(data)


def test_shortened_names_in_foreign_answers_are_written_out() -> None:
    """RFC 1035's own way of shortening, in an owner and in data."""
    at_com = (0xC000 | 12 + 8).to_bytes(2, "big")
    alias = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x05" + b"\x00\x06" + b"\x03www" + at_com
    mail = b"\xc0\x0c\x00\x0f\x00\x01\x00\x00\x00\x05" + b"\x00\x04" + b"\x00\x0a\xc0\x0c"
    numbers = struct.pack(">IIIII", 1, 2, 3, 4, 5)
    start = b"\xc0\x0c\x00\x06\x00\x01\xff\xff\xff\xff" + b"\x00\x18" + b"\xc0\x0c\xc0\x0c" + numbers
    read = read_answers(query(QUESTION, alias + mail + start, flags=0x8180, counts=(1, 3, 0, 0)))
    whole = QUESTION[:-4]
    assert [(record.type, record.ttl_s, record.data) for record in read] == [
        (CNAME, 5, b"\x03www\x03com\x00"),
        (MX, 5, b"\x00\x0a" + whole),
        (SOA, 0, whole + whole + numbers),
    ]
    for wrong in (
        alias[:-8] + b"\x00\x05" + b"\x03www" + at_com,
        alias[:-8] + b"\x00\x07" + b"\x03www" + at_com + b"x",
    ):
        with pytest.raises(Malformed):
            read_answers(query(QUESTION, wrong, flags=0x8180, counts=(1, 1, 0, 0)))


def test_the_c_library_reads_every_type_as_it_was_meant() -> None:
    asked = parse_query(libresolv.query("db.prod.example.com", SRV))
    zone = name("prod.example.com")
    answers = [
        Record(asked.name, CNAME, 60, name("x.prod.example.com")),
        Record(name("x.prod.example.com"), SRV, 60, b"\x00\x01\x00\x02\x1f\x90" + name("t.example.com")),
        Record(asked.name, A, 5, bytes([10, 0, 0, 1])),
        Record(asked.name, AAAA, 5, bytes(15) + b"\x01"),
        Record(zone, TXT, 5, b"\x02hi\x03you"),
        Record(name("d.example.com"), 12, 5, name("y.org")),
    ]
    authority = Record(
        zone, SOA, 60, name("ns.example.com") + name("h.example.com") + struct.pack(">IIIII", 1, 2, 3, 4, 5)
    )
    seen = libresolv.read(build(asked, answers=answers, authorities=[authority]))
    assert seen.records["question"] == ["db.prod.example.com. 33"]
    assert seen.records["answer"] == [
        "db.prod.example.com. 1M IN CNAME x.prod.example.com.",
        "x.prod.example.com. 1M IN SRV 1 2 8080 t.example.com.",
        "db.prod.example.com. 5S IN A 10.0.0.1",
        "db.prod.example.com. 5S IN AAAA ::1",
        'prod.example.com. 5S IN TXT "hi" "you"',
        "d.example.com. 5S IN PTR y.org.",
    ]
    assert seen.records["authority"][0].startswith("prod.example.com. 1M IN SOA ns.example.com. h.example.com. (")


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, st.binary(max_size=40)), max_size=6), NAMES)
def test_what_is_written_reads_back(records: list[tuple[bytes, bytes]], asked_name: bytes) -> None:
    asked = parse_query(query(asked_name + b"\x00\x01\x00\x01"))
    written = [Record(owner, 99, 7, data) for owner, data in records]
    message = build(asked, answers=written)
    # What is shortened by a pointer takes the question's letters, which are lower case here.
    assert read_answers(message) == written
    assert len(libresolv.read(message).records["answer"]) == len(written)


def test_an_answer_that_does_not_fit_says_so_and_is_asked_for_by_tcp() -> None:
    asked = parse_query(query())
    many = [Record(asked.name, A, 60, bytes([10, 0, at, 1])) for at in range(60)]
    short = build(asked, answers=many, room=asked.room(stream=False))
    assert is_cut(short) and len(short) <= 512 and libresolv.read(short).records["answer"] == []
    assert len(libresolv.read(build(asked, answers=many)).records["answer"]) == 60
    fits = build(asked, answers=many[:30], room=512)
    assert not is_cut(fits) and len(libresolv.read(fits).records["answer"]) == 30


def test_only_the_question_reaches_another_server() -> None:
    cookie = b"\x00\x0a\x00\x08secretly"
    options = OPTIONS[:-2] + len(cookie).to_bytes(2, "big") + cookie
    asked = parse_query(query(rest=options + b"trailing", flags=0x0130 | 0x0240, counts=(1, 0, 0, 1)))
    sent = question_to_forward(asked, 0x1234, asked.question)
    assert sent == HEADER.pack(0x1234, 0x0130, 1, 0, 0, 1) + QUESTION + b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00"
    plain = question_to_forward(parse_query(query()), 0x1234, QUESTION)
    assert plain == HEADER.pack(0x1234, 0x0100, 1, 0, 0, 0) + QUESTION


def test_what_is_taken_for_an_answer() -> None:
    good = query(QUESTION, flags=0x8180)
    assert answers_question(good, 0xBEEF, QUESTION)
    assert answers_question(query(QUESTION.lower(), flags=0x8180), 0xBEEF, QUESTION)
    other = b"\x07eXamplf\x03com\x00\x00\x01\x00\x01"
    for bad in (
        b"",
        good[:11],
        good[:-1],
        query(QUESTION, flags=0x0100),
        query(QUESTION, flags=0xA980),
        query(other, flags=0x8180),
        query(QUESTION[:-4] + b"\x00\x1c\x00\x01", flags=0x8180),
        query(QUESTION, flags=0x8180, counts=(2, 0, 0, 0)),
        query(b"", flags=0x8180, counts=(0, 0, 0, 0)),
    ):
        assert not answers_question(bad, 0xBEEF, QUESTION)
    assert not answers_question(good, 0xBEEE, QUESTION)
    assert answers_question(query(b"", flags=0x8181, counts=(0, 0, 0, 0)), 0xBEEF, QUESTION), "an old server's refusal"


def test_a_relayed_answer_is_the_servers_under_the_clients_number_and_letters() -> None:
    asked = parse_query(query())
    record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x01"
    foreign = HEADER.pack(0x1234, 0x8180, 1, 1, 0, 0) + QUESTION.lower() + record
    assert relayed(asked, foreign, stream=False) == HEADER.pack(0xBEEF, 0x8180, 1, 1, 0, 0) + QUESTION + record
    big = HEADER.pack(0x1234, 0x8183, 1, 40, 0, 0) + QUESTION + record * 40
    cut = relayed(asked, big, stream=False)
    assert is_cut(cut) and outcome_of(cut) == 3 and libresolv.read(cut).records["answer"] == []
    assert relayed(asked, big, stream=True)[2:] == big[2:]
    header = HEADER.pack(0x1234, 0x8181, 0, 0, 0, 0)
    assert relayed(asked, header, stream=False) == HEADER.pack(0xBEEF, 0x8181, 0, 0, 0, 0)


@pytest.mark.parametrize("text", ["a..b", ".a", "a" * 64, ".".join(["a" * 60] * 5), "bücher.de"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(Malformed):
        name(text)


def test_names() -> None:
    assert name("") == name(".") == b"\x00"
    assert name("A.b.") == name("a.b") == b"\x01a\x01b\x00"
