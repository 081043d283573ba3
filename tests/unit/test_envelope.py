"""What is sealed opens with its key and in its place, and nowhere else."""

import base64

import pytest

from neargate.frontend.envelope import (
    Envelope,
    MasterKeysUnreadable,
    SealBroken,
    UnknownMasterKey,
    envelope_of,
    parse_master_keys,
)
from neargate.world import OsWorld

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


def test_sealed_opens_again_and_shows_nothing() -> None:
    envelope = Envelope(NEW, OsWorld())
    sealed = envelope.seal(b"hunter2hunter2", context=b"key/AKIA1")
    assert envelope.open(sealed, context=b"key/AKIA1") == b"hunter2hunter2"
    assert b"hunter2" not in sealed
    assert NEW not in sealed
    assert sealed != envelope.seal(b"hunter2hunter2", context=b"key/AKIA1")


def test_another_place_does_not_open_it() -> None:
    envelope = Envelope(NEW, OsWorld())
    sealed = envelope.seal(b"secret", context=b"key/AKIA1")
    with pytest.raises(SealBroken):
        envelope.open(sealed, context=b"key/AKIA2")


def test_every_altered_byte_is_found() -> None:
    envelope = Envelope(NEW, OsWorld())
    sealed = envelope.seal(b"secret", context=b"c")
    for at in range(len(sealed)):
        altered = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(SealBroken):
            envelope.open(altered, context=b"c")
        with pytest.raises(SealBroken):
            envelope.open(sealed[:at], context=b"c")


def test_rotation_keeps_what_was_sealed_before_and_seals_with_the_newest() -> None:
    world = OsWorld()
    before = Envelope(OLD, world).seal(b"secret", context=b"c")
    both = envelope_of((OLD, NEW), world)
    assert both.open(before, context=b"c") == b"secret"
    after = both.seal(b"secret", context=b"c")
    assert Envelope(NEW, world).open(after, context=b"c") == b"secret"
    with pytest.raises(UnknownMasterKey):
        Envelope(OLD, world).open(after, context=b"c")
    with pytest.raises(UnknownMasterKey):
        Envelope(NEW, world).open(before, context=b"c")


def test_keys_are_lines_of_base64() -> None:
    text = b"# first\n" + base64.b64encode(OLD) + b"\n\n" + base64.b64encode(NEW) + b"\n"
    assert parse_master_keys(text) == (OLD, NEW)


@pytest.mark.parametrize(
    "text", [b"", b"# none\n", b"c2hvcnQ=\n", b"not base64 at all!!\n", base64.b64encode(OLD) * 800]
)
def test_what_is_no_key_is_refused_and_not_quoted(text: bytes) -> None:
    with pytest.raises(MasterKeysUnreadable) as refused:
        parse_master_keys(text)
    assert "c2hvcnQ" not in str(refused.value)
