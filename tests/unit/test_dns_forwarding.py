"""Lookups that others answer: what is taken for an answer, when the next is asked, and what one asker may have."""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neargate.agent.guests import Guests
from neargate.dns.answering import Forward, answer
from neargate.dns.forwarding import FORGED_MAX, Client, Close, Effect, Forwarder, Patience, Reply, Send
from neargate.dns.message import CNAME, A, is_cut, name, outcome_of
from neargate.dns.names import vpc_names, zone
from neargate.dns.servers import servers_of
from neargate.testing import libresolv

NAMES = vpc_names("ec2.internal", ["10.0.0.0/16"])
PATIENCE = Patience(1.5, 3)
ONE, TWO, THREE = "192.0.2.1", "192.0.2.2", "192.0.2.3"
SERVER_FAILURE, NO_SUCH_NAME, REFUSED = 2, 3, 5
ADDRESS = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x09"


class Room:
    """Everybody is let in; who is still in is counted."""

    def __init__(self) -> None:
        self.inside: list[str] = []

    def admit(self, source: str) -> bool:
        self.inside.append(source)
        return True

    def leave(self, source: str) -> None:
        self.inside.remove(source)


class Rig:
    def __init__(self, *servers: str, room: Room | Guests | None = None) -> None:
        self.servers = servers or (ONE, TWO)
        self.room = room or Room()
        self.forwarder = Forwarder(PATIENCE, self.room, random.Random(5).getrandbits)
        self.now = 0.0
        self.open: dict[int, Send] = {}
        self.replies: list[tuple[Client, bytes]] = []

    def take(self, effects: list[Effect]) -> list[Send]:
        sent = []
        for effect in effects:
            match effect:
                case Send():
                    assert effect.slot not in self.open
                    self.open[effect.slot] = effect
                    sent.append(effect)
                case Close():
                    del self.open[effect.slot]
                case Reply():
                    self.replies.append((effect.client, effect.data))
        return sent

    def ask(
        self, what: str = "example.com", *, source: str = "10.0.0.5", port: int = 4000, number: int = 7
    ) -> list[Send]:
        query = number.to_bytes(2, "big") + libresolv.query(what, A)[2:]
        forward = answer(query, NAMES)
        assert isinstance(forward, Forward)
        return self.take(self.forwarder.ask(Client(source, (source, port)), forward, self.servers, self.now))

    def hear(self, sent: Send, data: bytes) -> list[Send]:
        return self.take(self.forwarder.heard(sent.slot, data, self.now))

    def wait(self, seconds: float) -> list[Send]:
        self.now += seconds
        return self.take(self.forwarder.due(self.now))

    def outcomes(self) -> list[int]:
        return [outcome_of(data) for _, data in self.replies]

    def is_idle(self) -> bool:
        inside = self.room.inside if isinstance(self.room, Room) else []
        return not self.open and not inside and self.forwarder.under_way == 0 and self.forwarder.next_due is None


def told(sent: Send, *, outcome: int = 0, record: bytes = ADDRESS, cut: bool = False) -> bytes:
    """A server's answer to what it was sent."""
    (number,) = struct.unpack_from(">H", sent.data)
    question = sent.data[12:]
    flags = 0x8180 | outcome | (0x0200 if cut else 0)
    return struct.pack(">HHHHHH", number, flags, 1, 1 if record else 0, 0, 0) + question + record


def test_an_answer_goes_to_who_asked_under_its_own_number() -> None:
    rig = Rig()
    (sent,) = rig.ask(number=0x0707)
    assert sent.server == ONE and rig.forwarder.next_due == 1.5
    rig.hear(sent, told(sent))
    ((client, data),) = rig.replies
    assert client.where == ("10.0.0.5", 4000)
    seen = libresolv.read(data)
    assert (seen.number, seen.records["answer"]) == (0x0707, ["example.com. 1M IN A 192.0.2.9"])
    assert rig.is_idle()


def test_numbers_are_drawn_and_every_try_has_a_socket_of_its_own() -> None:
    rig = Rig()
    sent = [rig.ask(number=7, port=port)[0] for port in range(200)]
    assert len({each.data[:2] for each in sent}) > 190 and len({each.slot for each in sent}) == 200


def test_loss_is_met_by_asking_the_next_and_ends() -> None:
    rig = Rig(ONE, TWO)
    (first,) = rig.ask()
    assert rig.wait(1.4) == []
    (second,) = rig.wait(0.1)
    (third,) = rig.wait(1.5)
    assert set(rig.open) == {second.slot, third.slot}, "what one lookup holds is bounded"
    assert [each.server for each in (first, second, third)] == [ONE, TWO, ONE]
    assert len({each.data[:2] for each in (first, second, third)}) == 3
    assert rig.wait(1.5) == [] and rig.outcomes() == [SERVER_FAILURE] and rig.is_idle()


def test_a_late_answer_of_the_first_is_taken_while_the_second_is_asked() -> None:
    rig = Rig(ONE, TWO)
    (first,) = rig.ask()
    (second,) = rig.wait(1.5)
    rig.hear(first, told(first))
    assert rig.outcomes() == [0] and rig.is_idle()
    assert rig.hear(second, told(second)) == [] and len(rig.replies) == 1


def test_answers_in_another_order_reach_their_own_askers() -> None:
    rig = Rig()
    sent = [rig.ask(f"n{n}.example.com", port=n, number=n)[0] for n in range(20)]
    for each in random.Random(1).sample(sent, len(sent)):
        rig.hear(each, told(each))
    for client, data in rig.replies:
        assert isinstance(client.where, tuple)
        port = client.where[1]
        seen = libresolv.read(data)
        assert seen.number == port and seen.records["question"] == [f"n{port}.example.com. 1"]
    assert len(rig.replies) == 20 and rig.is_idle()


def test_a_server_that_fails_is_passed_over_and_its_answer_kept_for_the_end() -> None:
    rig = Rig(ONE, TWO)
    (first,) = rig.ask()
    (second,) = rig.hear(first, told(first, outcome=REFUSED, record=b""))
    assert second.server == TWO
    rig.hear(second, told(second))
    assert rig.outcomes() == [0] and rig.is_idle()
    (third,) = rig.ask()
    assert third.server == TWO, "who helped last is asked first"
    (fourth,) = rig.hear(third, told(third, outcome=SERVER_FAILURE, record=b""))
    assert fourth.server == ONE
    rig.hear(fourth, told(fourth, outcome=REFUSED, record=b""))
    assert rig.outcomes() == [0, REFUSED] and rig.is_idle()


def test_a_server_that_fell_silent_is_not_asked_first_again() -> None:
    rig = Rig(ONE, TWO)
    (first,) = rig.ask(number=1)
    rig.hear(first, told(first))
    rig.ask(number=2)
    (second,) = rig.wait(1.5)
    rig.hear(second, told(second))
    assert [rig.ask(number=3)[0].server, second.server] == [TWO, TWO]


def test_a_helpful_server_that_falls_silent_loses_its_place_at_once() -> None:
    rig = Rig(ONE, TWO)
    (first,) = rig.ask(number=1)
    (second,) = rig.hear(first, told(first, outcome=REFUSED, record=b""))
    rig.hear(second, told(second))
    assert rig.ask(number=2)[0].server == TWO
    (other,) = rig.wait(1.5)
    assert (other.server, rig.ask(number=3)[0].server) == (ONE, ONE)


def test_a_late_refusal_hastens_nothing() -> None:
    rig = Rig(ONE, TWO)
    (first,) = rig.ask()
    (second,) = rig.wait(1.5)
    assert rig.hear(first, told(first, outcome=SERVER_FAILURE, record=b"")) == [] and rig.replies == []
    rig.hear(second, told(second))
    assert rig.outcomes() == [0] and rig.is_idle()


def test_no_such_name_and_a_cut_answer_are_answers() -> None:
    rig = Rig()
    (sent,) = rig.ask(number=1)
    rig.hear(sent, told(sent, outcome=NO_SUCH_NAME, record=b""))
    (sent,) = rig.ask(number=2)
    rig.hear(sent, told(sent, record=b"", cut=True))
    assert rig.outcomes() == [NO_SUCH_NAME, 0] and is_cut(rig.replies[1][1]) and rig.is_idle()


def test_nobody_there_is_known_at_once() -> None:
    rig = Rig(ONE, TWO)
    (first,) = rig.ask()
    (second,) = rig.take(rig.forwarder.unreachable(first.slot, rig.now))
    assert rig.take(rig.forwarder.unreachable(second.slot, rig.now)) == []
    assert rig.outcomes() == [SERVER_FAILURE] and rig.is_idle()
    none = Rig()
    none.servers = ()
    assert none.ask() == [] and none.outcomes() == [SERVER_FAILURE] and none.is_idle()


def test_forged_answers_are_not_taken_and_many_of_them_send_the_client_to_tcp() -> None:
    rig = Rig()
    (sent,) = rig.ask()
    good = told(sent)
    wrong_number = bytes([good[0] ^ 1]) + good[1:]
    other_name = good.replace(b"\x07example", b"\x07examplf")
    other_type = good[: len(sent.data) - 4] + b"\x00\x1c" + good[len(sent.data) - 2 :]
    for forged in (wrong_number, other_name, other_type, sent.data, b"", good[:20]):
        assert rig.hear(sent, forged) == [] and rig.replies == []
    assert rig.take(rig.forwarder.heard(sent.slot + 1, good, rig.now)) == [], "right, and from another socket"
    for _ in range(FORGED_MAX - 6):
        rig.hear(sent, wrong_number)
    assert len(rig.replies) == 1 and is_cut(rig.replies[0][1]) and rig.is_idle()
    assert rig.hear(sent, good) == [] and len(rig.replies) == 1


def test_who_asks_again_out_of_impatience_is_answered_once() -> None:
    rig = Rig()
    (sent,) = rig.ask()
    assert rig.ask() == [] and rig.ask() == []
    assert len(rig.ask(port=4001)) == 1, "another socket of the same task"
    rig.hear(sent, told(sent))
    assert len(rig.replies) == 1
    assert len(rig.ask()) == 1, "and after that, once more"


def test_a_flood_of_one_leaves_room_for_others_and_ends() -> None:
    rig = Rig(room=Guests(each_max=32, all_max=64))
    flood = [sent for number in range(5000) for sent in rig.ask(number=number % 65536, source="10.0.0.66")]
    assert len(flood) == 32
    more = [sent for n in range(100) for sent in rig.ask(number=n, source="10.0.0.67")]
    few = [sent for n in range(8) for sent in rig.ask(number=n, source=f"10.0.1.{n}")]
    assert len(more) == 16, "the last quarter is for who has few"
    assert len(few) == 8
    for _ in range(PATIENCE.tries_max):
        rig.wait(1.5)
    assert rig.is_idle() and set(rig.outcomes()) == {SERVER_FAILURE} and len(rig.replies) == 56
    assert len(rig.ask(source="10.0.0.66")) == 1


@settings(deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=8), st.sampled_from(["example.com", "out.prod.local"]))
def test_whatever_a_server_answers_its_client_gets_a_message(rest: bytes, counts: bytes, what: str) -> None:
    """Of bytes that pass for an answer: made whole, or passed on as they are."""
    alias = zone("prod.local", [("out.prod.local", CNAME, name("db.example.org"))])
    rig = Rig()
    forward = answer(libresolv.query(what, A), vpc_names("ec2.internal", [], zones=[alias]))
    assert isinstance(forward, Forward)
    (sent,) = rig.take(rig.forwarder.ask(Client("10.0.0.5", 1), forward, (ONE,), 0.0))
    rig.hear(sent, sent.data[:2] + b"\x81\x80\x00\x01" + counts[:6].ljust(6, b"\x00") + sent.data[12:] + rest)
    if not rig.replies:
        rig.hear(sent, told(sent))
    ((_, data),) = rig.replies
    assert 12 <= len(data) <= 512 and data[4:6] == b"\x00\x01" and rig.is_idle()


EVENTS = st.lists(
    st.tuples(st.sampled_from(["ask", "hear", "fail", "forge", "gone", "wait"]), st.integers(0, 50)), max_size=120
)


@settings(deadline=None)
@given(EVENTS, st.integers(0, 3))
def test_every_lookup_ends_once_and_holds_nothing_after(events: list[tuple[str, int]], servers: int) -> None:
    """Loss, reordering, refusals, forgery and repetition in any order."""
    rig = Rig()
    rig.servers = (ONE, TWO, THREE)[:servers]
    asked = set()
    sent: list[Send] = []
    for step, (event, at) in enumerate(events):
        which = sent[at % len(sent)] if sent else None
        if event == "ask":
            asked.add((at, step))
            sent += rig.ask(port=step, number=at)
        elif event == "wait":
            sent += rig.wait(at / 20)
        elif which is not None and event == "hear":
            sent += rig.hear(which, told(which))
        elif which is not None and event == "fail":
            sent += rig.hear(which, told(which, outcome=SERVER_FAILURE, record=b""))
        elif which is not None and event == "forge":
            sent += rig.hear(which, bytes(2) + told(which)[2:])
        elif which is not None:
            sent += rig.take(rig.forwarder.unreachable(which.slot, rig.now))
    for _ in range(PATIENCE.tries_max):
        rig.wait(1.5)
    assert rig.is_idle()
    answered = [(int.from_bytes(data[:2], "big"), client.where) for client, data in rig.replies]
    assert sorted(answered) == sorted((number, ("10.0.0.5", port)) for number, port in asked)


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("nameserver 192.0.2.1\nnameserver 192.0.2.2", (ONE, TWO)),
        ("# a\n; b\nsearch x\n nameserver\t192.0.2.1 \noptions edns0", (ONE,)),
        ("nameserver 2001:db8::1\nnameserver fe80::1%eth0\n", ("2001:db8::1", "fe80::1%eth0")),
        ("nameserver ns.example\nnameserver\nnameserver 1.2.3\nnameserverx 1.2.3.4\n", ("127.0.0.1",)),
        ("", ("127.0.0.1",)),
        ("nameserver 192.0.2.1\n" * 9, (ONE,)),
        ("\n".join(f"nameserver 192.0.2.{n}" for n in range(1, 9)), (ONE, TWO, THREE)),
        ("nameserver 169.254.170.11\nnameserver 192.0.2.1", (ONE,)),
        ("nameserver 169.254.170.11", ()),
    ],
)
def test_whom_the_host_asks(text: str, servers: tuple[str, ...]) -> None:
    assert servers_of(text, never=["169.254.170.11"]) == servers
