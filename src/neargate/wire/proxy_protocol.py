"""What is said of a connection before its first byte, by who hands it on: version 2 of the PROXY protocol. Pure.

With the VPC endpoint that it came through, in the form that AWS's load balancers say it in (PP2_TYPE_AWS,
PP2_SUBTYPE_AWS_VPCE_ID). Invariant: `read` takes nothing for a header that `header` could not have made.
"""

import re
import struct
from ipaddress import AddressValueError, IPv4Address

from msgspec import Struct

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
HEADER_MAX_BYTES = 128
_PROXY, _TCP4 = 0x21, 0x11
_START = struct.Struct(">12sBBH")
_ADDRESSES = struct.Struct(">4s4sHH")
_TLV = struct.Struct(">BHB")
_TYPE_AWS, _SUBTYPE_ENDPOINT = 0xEA, 0x01
_ENDPOINT = re.compile(rb"vpce-[0-9a-f]{8,17}")


class Malformed(ValueError):
    """This is no header of ours."""


class HandedOn(Struct, frozen=True, kw_only=True):
    """`source`, `to`: (address, port) of the connection as it was opened. `endpoint_id`: empty where it had none."""

    source: tuple[str, int]
    to: tuple[str, int]
    endpoint_id: str = ""


def header(said: HandedOn) -> bytes:
    """Raises Malformed for what is no IPv4 connection."""
    try:
        addresses = [IPv4Address(address).packed for address, _ in (said.source, said.to)]
    except AddressValueError as error:
        raise Malformed(str(error)) from None
    body = _ADDRESSES.pack(*addresses, said.source[1], said.to[1])
    if said.endpoint_id:
        value = said.endpoint_id.encode("ascii")
        body += _TLV.pack(_TYPE_AWS, len(value) + 1, _SUBTYPE_ENDPOINT) + value
    return _START.pack(SIGNATURE, _PROXY, _TCP4, len(body)) + body


def is_begun(data: bytes) -> bool:
    """Whether it may become a header when more has come."""
    return data.startswith(SIGNATURE[: len(data)])


def read(data: bytes) -> tuple[HandedOn, bytes] | None:
    """The header, and what comes after it. None: not all of it is there. Raises Malformed."""
    if not is_begun(data):
        raise Malformed("no signature")
    if len(data) < _START.size:
        return None
    _, command, family, length = _START.unpack_from(data)
    if (command, family) != (_PROXY, _TCP4) or not _ADDRESSES.size <= length <= HEADER_MAX_BYTES - _START.size:
        raise Malformed("another kind of connection")
    if len(data) < _START.size + length:
        return None
    body, rest = data[_START.size : _START.size + length], data[_START.size + length :]
    source, to, source_port, port = _ADDRESSES.unpack_from(body)
    return (
        HandedOn(
            source=(str(IPv4Address(source)), source_port),
            to=(str(IPv4Address(to)), port),
            endpoint_id=_endpoint(body[_ADDRESSES.size :]),
        ),
        rest,
    )


def _endpoint(given: bytes) -> str:
    if not given:
        return ""
    if len(given) < _TLV.size:
        raise Malformed("a field is cut off")
    kind, length, subtype = _TLV.unpack_from(given)
    value = given[_TLV.size :]
    if (kind, subtype) != (_TYPE_AWS, _SUBTYPE_ENDPOINT) or length != len(value) + 1:
        raise Malformed("a field that is not known")
    if _ENDPOINT.fullmatch(value) is None:
        raise Malformed("no endpoint")
    return value.decode("ascii")
