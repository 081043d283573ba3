"""The bytes of an encrypted session: AES-256 in GCM, a key for each direction, both halves of one data key. Pure.

Owns the layout of what is sealed: a nonce, then the text with its tag. Must not know KMS or messages. Invariant: no
nonce is used twice under a key; what was sealed by another key, or changed since, does not open.
"""

from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

DATA_KEY_BYTES = 64
SEAL_BYTES = 28  # more than the plain text
CHALLENGE_BYTES = 64
_NONCE_BYTES = 12
_HALF = DATA_KEY_BYTES // 2


class NotSealed(Exception):
    """By the other end of this session."""


class SessionCipher:
    """`random_bits`: as Random.getrandbits. The first half of the data key is for what the task's side says."""

    def __init__(self, data_key: bytes, *, is_client: bool, random_bits: Callable[[int], int]) -> None:
        """Raises NotSealed for a key of another size."""
        if len(data_key) != DATA_KEY_BYTES:
            raise NotSealed(f"a data key of {len(data_key)} bytes")
        tasks, clients = AESGCM(data_key[:_HALF]), AESGCM(data_key[_HALF:])
        self._ours, self._theirs = (clients, tasks) if is_client else (tasks, clients)
        self._next_nonce = random_bits(8 * _NONCE_BYTES)

    def seal(self, plain: bytes) -> bytes:
        nonce = self._next_nonce.to_bytes(_NONCE_BYTES, "little")
        self._next_nonce = (self._next_nonce + 1) % (1 << 8 * _NONCE_BYTES)
        return nonce + self._ours.encrypt(nonce, plain, None)

    def open(self, sealed: bytes) -> bytes:
        """Raises NotSealed."""
        if len(sealed) < SEAL_BYTES:
            raise NotSealed(f"{len(sealed)} bytes are no sealed text")
        try:
            return self._theirs.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        except InvalidTag:
            raise NotSealed("a text that another key sealed") from None
