"""What Encrypt answers and Decrypt takes: the key's id, what the message's own key is derived from, and AES-256-GCM.

Pure but for the randomness handed in. Invariants: the blob says which key opens it and nothing else; id, salt and
encryption context are authenticated; each message has a key of its own, so that no count of messages wears a key out.
"""

import uuid
from collections.abc import Callable, Mapping

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .errors import InvalidCiphertext

MATERIAL_BYTES = 32
_MAGIC = b"\x01NK1"
_ID_BYTES, _SALT_BYTES, _NONCE_BYTES, _TAG_BYTES = 16, 16, 12, 16
_HEAD_BYTES = len(_MAGIC) + _ID_BYTES + _SALT_BYTES + _NONCE_BYTES

Context = Mapping[str, str]


def seal(
    material: bytes, key_id: str, plaintext: bytes, context: Context, *, random_bits: Callable[[int], int]
) -> bytes:
    """Longer than the plaintext by 64 bytes. `material`: MATERIAL_BYTES of it."""
    drawn = random_bits(8 * (_SALT_BYTES + _NONCE_BYTES)).to_bytes(_SALT_BYTES + _NONCE_BYTES, "big")
    head = _MAGIC + uuid.UUID(key_id).bytes + drawn
    return head + _cipher(material, head).encrypt(head[-_NONCE_BYTES:], plaintext, head + _canonical(context))


def key_id_of(blob: bytes) -> str:
    """Which key a blob says it is of. Raises InvalidCiphertext for what was never sealed here."""
    if not blob.startswith(_MAGIC) or len(blob) < _HEAD_BYTES + _TAG_BYTES:
        raise InvalidCiphertext
    return str(uuid.UUID(bytes=blob[len(_MAGIC) : len(_MAGIC) + _ID_BYTES]))


def unseal(material: bytes, blob: bytes, context: Context) -> bytes:
    """Raises InvalidCiphertext: altered, of another key, or with another encryption context."""
    key_id_of(blob)
    head = blob[:_HEAD_BYTES]
    try:
        return _cipher(material, head).decrypt(head[-_NONCE_BYTES:], blob[_HEAD_BYTES:], head + _canonical(context))
    except InvalidTag:
        raise InvalidCiphertext from None


def _cipher(material: bytes, head: bytes) -> AESGCM:
    salt = head[len(_MAGIC) + _ID_BYTES : -_NONCE_BYTES]
    return AESGCM(HKDF(algorithm=SHA256(), length=MATERIAL_BYTES, salt=salt, info=b"neargate kms").derive(material))


def _canonical(context: Context) -> bytes:
    """The same for the same pairs, in whatever order they came; no two sets of pairs have the same."""
    return msgspec.json.encode(sorted(context.items()))
