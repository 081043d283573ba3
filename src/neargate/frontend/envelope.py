"""Secrets at rest: sealed with a master key that lies outside the databases.

Owns the sealed form: `N1`, the id of the master key, a nonce, AES-256-GCM. Several master keys may be known, so that
they can be rotated: the newest seals, all open. Must not know what is sealed; `context` binds a sealed text to its
place (table, row, region), so that it opens nowhere else. Invariant: a master key itself never encrypts, only keys
derived from it do, and it is never shown.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..world import World

KEY_BYTES = 32
MASTER_KEYS_MAX = 64
MASTER_KEYS_MAX_BYTES = 16_384
_MAGIC = b"N1"
_ID_BYTES = 8
_NONCE_BYTES = 12
_HEAD_BYTES = len(_MAGIC) + _ID_BYTES + _NONCE_BYTES
_TAG_BYTES = 16


class SealBroken(Exception):
    """Not sealed by a key known here, not for this context, or altered. The message never quotes what was sealed."""


class UnknownMasterKey(SealBroken):
    """Sealed with a master key that is not among those known: it was lost, or dropped too soon."""


class MasterKeysUnreadable(Exception):
    """No keys, or not in the form that they should have. The message quotes none."""


class Envelope:
    """Seals with `master_key`, opens with it and with those in `older`. All are KEY_BYTES long."""

    def __init__(self, master_key: bytes, world: World, *, older: Sequence[bytes] = ()) -> None:
        if any(len(key) != KEY_BYTES for key in (master_key, *older)):
            raise MasterKeysUnreadable(f"a master key must have {KEY_BYTES} bytes")
        self._world = world
        self._ciphers = {_key_id(key): _cipher(key) for key in (*older, master_key)}
        self._newest = _key_id(master_key)

    def seal(self, plaintext: bytes, *, context: bytes) -> bytes:
        """Longer than the plaintext by 38 bytes."""
        # Drawn at random: 2^32 texts under one key before a repetition is worth a thought. Rotate long before that.
        nonce = self._world.random.getrandbits(8 * _NONCE_BYTES).to_bytes(_NONCE_BYTES, "big")
        head = _MAGIC + self._newest + nonce
        return head + self._ciphers[self._newest].encrypt(nonce, plaintext, head + context)

    def open(self, sealed: bytes, *, context: bytes) -> bytes:
        """Raises UnknownMasterKey, SealBroken."""
        head, body = sealed[:_HEAD_BYTES], sealed[_HEAD_BYTES:]
        if not head.startswith(_MAGIC) or len(body) < _TAG_BYTES:
            raise SealBroken("not a sealed text")
        key_id = head[len(_MAGIC) : len(_MAGIC) + _ID_BYTES]
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise UnknownMasterKey(f"sealed with the master key {key_id.hex()}, which is not known here")
        try:
            return cipher.decrypt(head[-_NONCE_BYTES:], body, head + context)
        except InvalidTag:
            raise SealBroken("altered, or sealed for something else") from None


def parse_master_keys(text: bytes) -> tuple[bytes, ...]:
    """One key a line in base64, the newest last; empty lines and `#` do not count. Raises MasterKeysUnreadable."""
    if len(text) > MASTER_KEYS_MAX_BYTES:
        raise MasterKeysUnreadable(f"more than {MASTER_KEYS_MAX_BYTES} bytes of master keys")
    keys = []
    for line in text.splitlines():
        written = line.strip()
        if not written or written.startswith(b"#"):
            continue
        try:
            key = base64.b64decode(written, validate=True)
        except binascii.Error:
            key = b""
        if len(key) != KEY_BYTES:
            raise MasterKeysUnreadable(f"each line must be {KEY_BYTES} bytes in base64 (openssl rand -base64 32)")
        keys.append(key)
    if not 0 < len(keys) <= MASTER_KEYS_MAX:
        raise MasterKeysUnreadable(f"{len(keys)} master keys; there must be 1 to {MASTER_KEYS_MAX}")
    return tuple(keys)


def envelope_of(keys: Sequence[bytes], world: World) -> Envelope:
    """From `parse_master_keys`: the last one seals."""
    return Envelope(keys[-1], world, older=keys[:-1])


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"neargate master key\0" + key).digest()[:_ID_BYTES]


def _cipher(key: bytes) -> AESGCM:
    return AESGCM(HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"neargate envelope").derive(key))
