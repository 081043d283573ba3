"""Certificates of providers whose authority this machine does not know, trusted by the thumbprints that IAM has.

AWS's rule: an authority that is known decides alone; only where none is known a thumbprint may. A thumbprint is the
SHA-1 of a certificate that the provider serves, its highest or its own. Invariant: the certificate found by it is made
the only authority of a second handshake, which checks signature, time and host name as always; what the first one
said is not believed.
"""

import hashlib
import ssl
from _ssl import ENCODING_DER
from collections.abc import Collection, Sequence
from socket import socket

_CHAIN_MAX = 16


class WrongThumbprint(ssl.SSLError):
    """The provider serves no certificate with one of the thumbprints."""


def served_chain(raw: socket, host: str) -> list[bytes]:
    """The certificates (DER) that the other end shows, of whomever they are. The connection is good for no more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(raw, server_hostname=host) as shown:
        # The public method is Python 3.13's; what it calls is there since 3.10.
        chain = shown._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
        return [certificate.public_bytes(ENCODING_DER) for certificate in (chain or ())[:_CHAIN_MAX]]


def trusting(chain: Sequence[bytes], thumbprints: Collection[str]) -> ssl.SSLContext:
    """For the second handshake. `thumbprints`: lower-case hex. Raises WrongThumbprint."""
    anchors = [one for one in chain if hashlib.sha1(one, usedforsecurity=False).hexdigest() in thumbprints]
    if not anchors:
        raise WrongThumbprint("no certificate has a thumbprint that is configured")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an anchor may be no root
    for anchor in anchors:
        context.load_verify_locations(cadata=anchor)
    return context
