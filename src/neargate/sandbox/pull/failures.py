"""What can go wrong between us and a registry, in the words AWS passes on (they are containerd's and Go's).

Owns: the failure types and the composition of `CannotPullContainerError` sentences. Pure.
"""

import socket
import ssl

from ...interfaces.sandbox import SandboxError
from ...model.lifecycle import REASON_MAX_CHARS


class PullFailure(Exception):
    """One step failed. `retryable` says whether the same request may succeed a moment later."""

    def __init__(
        self,
        text: str,
        *,
        retryable: bool = False,
        unreachable: bool = False,
        missing: bool = False,
        denied: bool = False,
    ) -> None:
        super().__init__(text)
        self.text = text
        self.missing = missing  # the registry says that there is no such thing
        self.denied = denied  # the registry wants other credentials, or none will do
        self.retryable = retryable
        # The registry could not be asked at all, so it has neither granted nor refused anything.
        self.unreachable = unreachable


def manifest_failed(reference: str, attempts: int, failure: PullFailure) -> SandboxError:
    return _refusal(
        f"CannotPullContainerError: pull image manifest has been retried {attempts} time(s): "
        f"failed to resolve ref {reference}: {failure.text}"
    )


def wrong_platform(sentence: str) -> SandboxError:
    return _refusal(f"CannotPullContainerError: pull image manifest has been retried 1 time(s): {sentence}")


def copy_failed(attempts: int, failure: PullFailure) -> SandboxError:
    return _refusal(
        f"CannotPullContainerError: ref pull has been retried {attempts} time(s): failed to copy: {failure.text}"
    )


def unpack_failed(sentence: str) -> SandboxError:
    return _refusal(f"CannotPullContainerError: failed to unpack image on snapshotter overlayfs: {sentence}")


def bad_image(reference: str, sentence: str) -> SandboxError:
    return _refusal(f"CannotPullContainerError: failed to resolve ref {reference}: {sentence}")


def _refusal(text: str) -> SandboxError:
    """Registries wrote parts of it: no longer than a task's reason may be, and nothing that a terminal would obey."""
    kept = "".join(character if character.isprintable() else "?" for character in text[:REASON_MAX_CHARS])
    return SandboxError(kept)


def transport_failure(method: str, url: str, host: str, error: Exception) -> PullFailure:
    """An exception of the socket layer in the words of Go's HTTP client."""
    # A certificate that is not believed, or no TLS at all, is the same a moment later.
    retryable = not isinstance(error, ssl.SSLCertVerificationError) and not _speaks_plain_http(error)
    sentence = f'failed to do request: {method.capitalize()} "{url}": {cause_of(host, error)}'
    return PullFailure(sentence, retryable=retryable, unreachable=True)


# OpenSSL's numbers (X509_V_ERR_*): what OpenSSL tells apart here is one thing to Go.
_UNKNOWN_AUTHORITY = frozenset({2, 7, 18, 19, 20, 21})
_OUT_OF_TIME = frozenset({9, 10})
_OTHER_NAME = frozenset({62, 64})


def _speaks_plain_http(error: Exception) -> bool:
    return isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST")


def _distrust(name: str, error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _UNKNOWN_AUTHORITY:
        return "certificate signed by unknown authority"
    if error.verify_code in _OUT_OF_TIME:
        return "certificate has expired or is not yet valid"
    if error.verify_code in _OTHER_NAME:
        return f"certificate is valid for other names, not {name}"
    return str(error.verify_message)


def cause_of(host: str, error: Exception) -> str:
    """An exception of the socket layer in the words of Go's, `host` with its port."""
    name = host.rsplit(":", 1)[0]
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {_distrust(name, error)}"
    if _speaks_plain_http(error):
        return "http: server gave HTTP response to HTTPS client"
    if isinstance(error, ssl.SSLError):
        return f"tls: {error.reason or 'handshake failure'}"
    if isinstance(error, socket.gaierror):
        if error.errno in (socket.EAI_AGAIN, socket.EAI_FAIL):
            return f"dial tcp: lookup {name}: Temporary failure in name resolution"
        return f"dial tcp: lookup {name}: no such host"
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {host}: connect: connection refused"
    if isinstance(error, TimeoutError):
        return f"dial tcp {host}: i/o timeout"
    if isinstance(error, ConnectionResetError):
        return f"read tcp {host}: read: connection reset by peer"
    if isinstance(error, OSError) and error.strerror:
        return f"dial tcp {host}: connect: {error.strerror.lower()}"
    return "EOF"
