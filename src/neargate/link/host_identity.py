"""Who a host is: an Ed25519 key of its own, proved at the beginning of each connection. Pure.

Owns the text that is signed: what it is for, which channel, the server's nonce for this one connection, and the host's
id. So a signature is good once, for one connection, for one host. Must not know where keys are kept.
"""

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_BYTES = 32  # a private key's seed, and a public key
NONCE_BYTES = 32
SIGNATURE_BYTES = 64
LINK = "link"
BULK = "bulk"
EXEC = "exec"


class HostKey:
    """`seed`: KEY_BYTES that nobody else knows."""

    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._private.public_key().public_bytes_raw()

    def sign(self, channel: str, nonce: bytes, host_id: str) -> bytes:
        return self._private.sign(_text(channel, nonce, host_id))


def simulated_key(seed: bytes, host_id: str) -> HostKey:
    """Of one of many simulated hosts that share a seed."""
    return HostKey(hashlib.sha256(b"simulated host\0" + seed + host_id.encode()).digest())


def is_proved(public_key: bytes, signature: bytes, *, channel: str, nonce: bytes, host_id: str) -> bool:
    """False also for what can be no key and no signature."""
    if len(public_key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, _text(channel, nonce, host_id))
    except (InvalidSignature, ValueError):
        return False
    return True


def _text(channel: str, nonce: bytes, host_id: str) -> bytes:
    """Each part is of a fixed length or the last one."""
    purpose = hashlib.sha256(f"neargate host, channel {channel}".encode()).digest()
    return purpose + hashlib.sha256(nonce).digest() + host_id.encode()
