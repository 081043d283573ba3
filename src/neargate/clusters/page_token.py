"""Page tokens: opaque to the caller, checked before they are believed.

A token says where to go on and for which question; used with other parameters, or changed by the caller, it is refused.
It gives no right to anything (the next page is authorised again), so a checksum is enough and no key is needed.
"""

import base64
import zlib

import msgspec

from ..model.errors import InvalidParameter

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(tuple[int | str, int])
_TOKEN_MAX = 512


def encode_token(position: int | str, *question: object) -> str:
    """`question`: the parameters that must be the same for the next page."""
    return base64.urlsafe_b64encode(_encode((position, _checksum(position, question)))).decode("ascii")


def decode_token(token: str, *question: object) -> int | str:
    """Raises InvalidParameter for a token that was not given for this question."""
    try:
        raw = base64.b64decode(token[:_TOKEN_MAX].encode("ascii"), altchars=b"-_", validate=True)
        position, checksum = _decoder.decode(raw)
    except ValueError:  # base64's errors are, and msgspec's and Unicode's
        raise InvalidParameter("Invalid token") from None
    if checksum != _checksum(position, question):
        raise InvalidParameter("Invalid token")
    return position


def _checksum(position: int | str, question: tuple[object, ...]) -> int:
    return zlib.crc32(repr((position, question)).encode())
