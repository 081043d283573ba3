"""Encrypted sessions: both ends come to one key, what they say is sealed, and what anybody else says opens nothing."""

import base64
import json
import random
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from neargate.wire.exec_client import ExecClient, Finished, Shown
from neargate.wire.exec_client import Send as ClientSend
from neargate.wire.exec_encryption import DataKey, NeedsKey
from neargate.wire.exec_session import Ended, ExecSession, Input, Send
from neargate.wire.session_cipher import NotSealed, SessionCipher

KEY, SEALED = bytes(range(64)), b"sealed by kms"
FAILED = "\n----------ERROR-------\nEncountered error while initiating handshake. "


def both(key: DataKey | None = None, *, key_id: str = "alias/exec") -> tuple[ExecSession, ExecClient]:
    bits = random.Random(1).getrandbits
    given = DataKey(plain=KEY, sealed=SEALED) if key is None else key
    return (
        ExecSession(session_id="s-1", repeat_s=1.0, stalled_s=30.0, epoch_s=1.7e9, random_bits=bits, key_id=key_id),
        ExecClient(version="1.2.0.0", random_bits=bits, key=given if given.plain else None),
    )


class Line:
    """Carries what both say; `wire`: all of it."""

    def __init__(self, server: ExecSession, client: ExecClient, *, opened: bytes = KEY) -> None:
        self.server, self.client, self.opened = server, client, opened
        self.wire = b""
        self.needed: list[NeedsKey] = []
        self.got: list[Any] = []
        self.to_client(list(server.begin(0.0)))

    def to_client(self, actions: list[Any]) -> None:
        for action in actions:
            match action:
                case Send():
                    self.wire += action.data
                    for answer in self.client.received(action.data, 1.0):
                        if isinstance(answer, ClientSend):
                            self.to_server(answer.data)
                        else:
                            self.got.append(answer)
                case NeedsKey():
                    self.needed.append(action)
                    self.to_client(self.server.keyed(self.opened, 0.0))
                case _:
                    self.got.append(action)

    def to_server(self, data: bytes) -> None:
        self.wire += data
        self.to_client(self.server.received(data, 0.0))

    @property
    def ends(self) -> list[str]:
        return [one.reason for one in self.got if isinstance(one, Ended)]


def test_what_is_said_is_sealed_both_ways() -> None:
    line = Line(*both())
    assert line.server.is_open and line.client.is_open
    assert [(one.sealed_key, one.challenge) for one in line.needed] == [(SEALED, None)]
    assert b"This session is encrypted using AWS KMS." in line.wire
    line.to_client(list(line.server.output(b"a secret said", 0.0)))
    line.to_server(line.client.input(b"a secret typed", 1.0).data)
    line.to_client(list(line.server.close(0.0, exit_code=7)))
    assert [one.data for one in line.got if isinstance(one, Shown | Input)] == [b"a secret said", b"a secret typed"]
    assert [one.exit_code for one in line.got if isinstance(one, Finished)] == [7]
    assert b"secret" not in line.wire and KEY[:16] not in line.wire


def test_a_session_without_a_key_is_as_it_was() -> None:
    line = Line(*both(key_id=""))
    line.to_client(list(line.server.output(b"said", 0.0)))
    assert line.needed == [] and b"said" in line.wire and b"KMS" not in line.wire


def test_the_layout_is_the_published_one() -> None:
    """A nonce of 12 bytes, then AES-256 in GCM; the first half of the key is for what the task's side says."""
    tasks = SessionCipher(KEY, is_client=False, random_bits=lambda bits: 2**bits - 1)
    sealed = tasks.seal(b"said"), tasks.seal(b"said")
    assert sealed[0][:12] == b"\xff" * 12 and sealed[1][:12] == bytes(12), "no nonce is used twice"
    for one in sealed:
        assert AESGCM(KEY[:32]).decrypt(one[:12], one[12:], None) == b"said"
    typed = bytes(12) + AESGCM(KEY[32:]).encrypt(bytes(12), b"typed", None)
    assert tasks.open(typed) == b"typed"
    for broken in (b"", typed[:27], typed[:-1] + bytes([typed[-1] ^ 1]), sealed[0]):
        with pytest.raises(NotSealed):
            tasks.open(broken)
    with pytest.raises(NotSealed):
        SessionCipher(KEY[:32], is_client=True, random_bits=lambda bits: 0)


@pytest.mark.parametrize(
    ("key", "opened", "why"),
    [
        (DataKey(plain=b"", sealed=b""), KEY, "KMSEncryption failed on client with status 2 error: "),
        (DataKey(plain=KEY, sealed=b""), KEY, "Fetching data key failed: the client sent none."),
        (DataKey(plain=KEY, sealed=bytes(7000)), KEY, "Fetching data key failed: the client sent none."),
        (DataKey(plain=KEY, sealed=SEALED), KEY[:32], "Fetching data key failed: a data key of 32 bytes."),
    ],
)
def test_no_key_no_session(key: DataKey, opened: bytes, why: str) -> None:
    line = Line(*both(key), opened=opened)
    assert not line.server.is_open and len(line.ends) == 1
    assert line.ends[0].startswith(FAILED + why)


class Stranger:
    """A client of our own making, frame by frame."""

    def __init__(self) -> None:
        self.server, self.client = both()
        self.server.begin(0.0)
        self.sequence = 0

    def say(self, kind: int, payload: bytes) -> list[Any]:
        self.client._next_out = self.sequence
        self.sequence += 1
        return self.server.received(self.client._say(kind, payload, 1.0).data, 0.0)

    def shake_hands(self, **result: Any) -> list[Any]:
        actions = [
            {"ActionType": "SessionType", "ActionStatus": 1, "ActionResult": None, "Error": ""},
            {"ActionType": "KMSEncryption", "ActionStatus": 1, "ActionResult": result or None, "Error": ""},
        ]
        said = {"ClientVersion": "1.2.0.0", "ProcessedClientActions": actions, "Errors": None}
        return self.say(6, json.dumps(said).encode())


def reasons(actions: list[Any]) -> list[str]:
    return [action.reason for action in actions if isinstance(action, Ended)]


def test_a_challenge_must_be_met() -> None:
    for answer in (
        base64.b64encode(bytes(92)).decode(),
        base64.b64encode(SessionCipher(KEY, is_client=True, random_bits=lambda bits: 1).seal(bytes(64))).decode(),
        "",
    ):
        stranger = Stranger()
        (needed,) = [one for one in stranger.shake_hands(KMSCipherTextKey="c2VhbGVk") if isinstance(one, NeedsKey)]
        assert needed.sealed_key == b"sealed"
        stranger.server.keyed(KEY, 0.0)
        said = stranger.say(9, json.dumps({"Challenge": answer}).encode())
        assert reasons(said) == [f"{FAILED}Encryption challenge does not match!"]
        assert not stranger.server.is_open


def test_nothing_is_heard_before_the_challenge_is_met() -> None:
    for kind in (1, 3, 6, 10):
        stranger = Stranger()
        stranger.shake_hands(KMSCipherTextKey="c2VhbGVk")
        stranger.server.keyed(KEY, 0.0)
        assert reasons(stranger.say(kind, b"{}")) == [
            "The client sent what cannot be read: something before the handshake."
        ]
    for kind in (1, 6, 9):
        early = Stranger()
        early.shake_hands(KMSCipherTextKey="c2VhbGVk")
        assert reasons(early.say(kind, b'{"Challenge":""}')) == [
            "The client sent what cannot be read: something before the handshake."
        ], "KMS has not answered yet"


def test_input_that_is_not_sealed_ends_the_session() -> None:
    line = Line(*both())
    line.client._keys.cipher = None
    line.to_server(line.client.input(b"rm -r /", 1.0).data)
    assert not [one for one in line.got if isinstance(one, Input)]
    assert line.ends == ["The client sent what cannot be read: a payload that is not its kind's."]


@pytest.mark.parametrize(
    "result", [{}, {"KMSCipherTextKey": None}, {"KMSCipherTextKey": "%"}, {"KMSCipherTextKey": 7}, {"x": 1}]
)
def test_an_answer_without_a_key_ends_the_session(result: dict[str, Any]) -> None:
    said = Stranger().shake_hands(**result)
    assert len(reasons(said)) == 1 and not [one for one in said if isinstance(one, NeedsKey)]


def test_a_client_that_knows_the_contexts_challenge_has_it_checked() -> None:
    server, _ = both()
    (request,) = server.begin(0.0)
    asked = json.loads(request.data[120:])["RequestedClientActions"][1]
    assert asked["ActionType"] == "KMSEncryption" and asked["ActionParameters"]["KMSKeyId"] == "alias/exec"
    stranger = Stranger()
    stranger.server = server
    said = stranger.shake_hands(KMSCipherTextKey="c2VhbGVk", ChallengeAcknowledgement=True)
    (needed,) = [one for one in said if isinstance(one, NeedsKey)]
    assert needed.challenge == asked["ActionParameters"]["Challenge"]
    assert needed.challenge is not None and len(base64.b64decode(needed.challenge)) == 16


def test_the_client_is_told_no_lies() -> None:
    """What comes to it unsealed after the handshake is not shown."""
    line = Line(*both())
    agreement = line.server._agreement
    assert agreement is not None
    agreement.cipher = None
    with pytest.raises(Exception, match="not its kind's"):
        line.to_client(list(line.server.output(b"forged", 0.0)))
    assert not [one for one in line.got if isinstance(one, Shown)]
