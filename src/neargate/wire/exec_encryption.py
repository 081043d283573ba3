"""How both ends of a session come to one key: the client has KMS make it, the task's side has KMS open it. Pure.

Owns the steps of it and AWS's sentences for what fails. Must not know frames or KMS. Invariant: nothing is sealed or
opened before the client has shown, by a challenge, that it has the key that was opened.
"""

import base64
import hmac
from collections.abc import Callable, Sequence

import msgspec

from ..model.concealed import Concealed
from .exec_payloads import (
    FAILED,
    SUCCEEDED,
    EncryptionChallenge,
    KeyRequest,
    KeyResponse,
    ProcessedAction,
    RequestedAction,
)
from .session_cipher import CHALLENGE_BYTES, NotSealed, SessionCipher

KMS_ENCRYPTION = "KMSEncryption"
ENCRYPTED = "This session is encrypted using AWS KMS."
_RANDOM_BYTES = 16
_SEALED_KEY_MAX_BYTES = 6144  # KMS takes no longer ones
_ERROR_MAX_CHARS = 1024


class HandshakeFailed(Exception):
    """The message is for the client's user."""

    def __init__(self, why: str) -> None:
        super().__init__(f"\n----------ERROR-------\nEncountered error while initiating handshake. {why}")


class NeedsKey(Concealed, frozen=True, kw_only=True):
    """What KMS is to open. `challenge`: stands in the key's context, for clients that know it."""

    sealed_key: bytes
    challenge: str | None


class DataKey(Concealed, frozen=True, kw_only=True):
    """As GenerateDataKey answers."""

    plain: bytes
    sealed: bytes


class KeyAgreement:
    """The task's side. `random_bits`: as Random.getrandbits."""

    def __init__(self, key_id: str, random_bits: Callable[[int], int]) -> None:
        self._key_id = key_id
        self._random_bits = random_bits
        self._context_challenge = base64.b64encode(self._random(_RANDOM_BYTES)).decode()
        self._challenge = self._random(CHALLENGE_BYTES)
        self.cipher: SessionCipher | None = None

    def requested(self) -> RequestedAction:
        wanted = KeyRequest(KMSKeyId=self._key_id, Challenge=self._context_challenge)
        return RequestedAction(ActionType=KMS_ENCRYPTION, ActionParameters=msgspec.Raw(msgspec.json.encode(wanted)))

    def given(self, processed: Sequence[ProcessedAction]) -> NeedsKey:
        """Of the client's answers the one for the key. Raises HandshakeFailed, msgspec.DecodeError."""
        action = next((one for one in processed if one.ActionType == KMS_ENCRYPTION), None)
        if action is None:
            raise HandshakeFailed(f"{KMS_ENCRYPTION} was not done by the client.")
        if action.ActionStatus != SUCCEEDED:
            error = "".join(letter if letter.isprintable() else " " for letter in action.Error[:_ERROR_MAX_CHARS])
            raise HandshakeFailed(f"{KMS_ENCRYPTION} failed on client with status {action.ActionStatus} error: {error}")
        response = msgspec.json.decode(action.ActionResult, type=KeyResponse)
        if not 0 < len(response.KMSCipherTextKey) <= _SEALED_KEY_MAX_BYTES:
            raise HandshakeFailed("Fetching data key failed: the client sent none.")
        challenge = self._context_challenge if response.ChallengeAcknowledgement else None
        return NeedsKey(sealed_key=response.KMSCipherTextKey, challenge=challenge)

    def challenge(self, data_key: bytes) -> bytes:
        """The payload that asks the client to show that it has the key too. Raises HandshakeFailed."""
        try:
            self.cipher = SessionCipher(data_key, is_client=False, random_bits=self._random_bits)
        except NotSealed as error:
            raise HandshakeFailed(f"Fetching data key failed: {error}.") from None
        return msgspec.json.encode(EncryptionChallenge(Challenge=self.cipher.seal(self._challenge)))

    def check(self, payload: bytes) -> None:
        """The client's answer. Raises HandshakeFailed, msgspec.DecodeError."""
        answer = msgspec.json.decode(payload, type=EncryptionChallenge)
        assert self.cipher is not None, "it was asked for"
        try:
            said = self.cipher.open(answer.Challenge)
        except NotSealed:
            said = b""
        if not hmac.compare_digest(said, self._challenge):
            raise HandshakeFailed("Encryption challenge does not match!")

    def _random(self, size: int) -> bytes:
        return self._random_bits(8 * size).to_bytes(size, "big")


class KeyHolder:
    """The client's side. `key`: None when it has none."""

    def __init__(self, key: DataKey | None, random_bits: Callable[[int], int]) -> None:
        self._key = key
        self._random_bits = random_bits
        self.cipher: SessionCipher | None = None

    def processed(self) -> ProcessedAction:
        if self._key is None:
            return ProcessedAction(
                ActionType=KMS_ENCRYPTION, ActionStatus=FAILED, Error="this client was given no data key"
            )
        self.cipher = SessionCipher(self._key.plain, is_client=True, random_bits=self._random_bits)
        result = msgspec.json.encode(KeyResponse(KMSCipherTextKey=self._key.sealed))
        return ProcessedAction(ActionType=KMS_ENCRYPTION, ActionStatus=SUCCEEDED, ActionResult=msgspec.Raw(result))

    def answered(self, payload: bytes) -> bytes:
        """A challenge, sealed again by our own key. Raises NotSealed, msgspec.DecodeError."""
        if self.cipher is None:
            raise NotSealed("a challenge before there was a key")
        plain = self.cipher.open(msgspec.json.decode(payload, type=EncryptionChallenge).Challenge)
        return msgspec.json.encode(EncryptionChallenge(Challenge=self.cipher.seal(plain)))
