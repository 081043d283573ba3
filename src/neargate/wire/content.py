"""Request bodies that a client compressed. Pure; what comes out is bounded whatever went in."""

import zlib
from typing import ClassVar

from ..model.errors import AwsError

ENCODINGS = frozenset({b"gzip", b"x-gzip"})
_GZIP = 16 + zlib.MAX_WBITS


class InflatedTooLarge(Exception):
    """More comes out than the bound allows."""


class MalformedBody(AwsError):
    code: ClassVar[str] = "SerializationException"


def inflated(body: bytes, size_max: int) -> bytes:
    """Raises InflatedTooLarge, MalformedBody."""
    inflater = zlib.decompressobj(_GZIP)
    try:
        data = inflater.decompress(body, size_max + 1)
    except zlib.error:
        raise MalformedBody("The request body is not valid gzip") from None
    if len(data) > size_max:
        raise InflatedTooLarge
    if not inflater.eof or inflater.unused_data:
        raise MalformedBody("The request body is not valid gzip")
    return data
