"""Who calls. `enforce`: the signature proves it. `open`: any key is the administrator, for CI on loopback only.

In open mode a web page must not reach the endpoint through the user's browser: requests with an Origin, or for a host
name that is not this machine's own, are refused before anything else.
"""

import re
from collections.abc import Mapping
from enum import Enum

from ...model.network import REGION_ENDPOINT_ADDRESS
from ...wire.sigv4 import Problem, SignatureRefused, SignedRequest, Verifier
from ..call import Principal
from ..errors import Fault, RequestRefused
from .credentials import administrator
from .principals import NOBODY, KeyRing

# The last is the endpoint as tasks name it: no browser of this machine gets there, it is in the tasks' networks only.
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", REGION_ENDPOINT_ADDRESS})
UNSIGNED = frozenset({("sts", "AssumeRoleWithWebIdentity")})  # proved by what they bring; a signature is not looked at
_KEY = re.compile(r"Credential=([^\s,/]{1,128})/")
_PRESIGNED_KEY = re.compile(rb"(?:^|&)X-Amz-Credential=([A-Za-z0-9_-]{1,128})(?:/|%2[Ff])")


class AuthMode(Enum):
    ENFORCE = "enforce"
    OPEN = "open"


class Authenticator:
    def __init__(
        self,
        *,
        mode: AuthMode,
        keys: KeyRing,
        verifier: Verifier,
        known_hosts: frozenset[str] = frozenset(),
    ) -> None:
        """`known_hosts`: names of the endpoint that open mode allows besides localhost (lower case, no port)."""
        self._mode = mode
        self._keys = keys
        self._verifier = verifier
        self._hosts = LOCAL_HOSTS | known_hosts

    def guard_browser(self, headers: Mapping[bytes, bytes]) -> None:
        """Raises RequestRefused (403) in open mode."""
        if self._mode is not AuthMode.OPEN:
            return
        why = web_page_refusal(headers, headers.get(b"host", b"").decode("latin-1"), self._hosts)
        if why is not None:
            raise RequestRefused(Fault(code="AccessDeniedException", status=403, message=why))

    def authenticate(self, request: SignedRequest, service: str, now: float, operation: str = "") -> Principal:
        """Raises SignatureRefused."""
        if (service, operation) in UNSIGNED:
            return NOBODY
        if self._mode is AuthMode.OPEN:
            return self._anybody(request)
        presented: str | None = None

        def secret_of(access_key_id: str, token: str | None) -> str | None:
            nonlocal presented
            presented = token
            return self._keys.secret_of(access_key_id, token, now)

        key_id = self._verifier.verify(request, service, now, secret_of)
        principal = self._keys.principal(key_id, presented, now)
        if service == "iam" and principal.session is not None and not principal.session.is_role:
            # AWS's rule for sessions without MFA that GetSessionToken or GetFederationToken began.
            raise SignatureRefused(Problem.UNKNOWN_KEY, "The security token included in the request is invalid")
        self._keys.note_use(principal, service)
        return principal

    def _anybody(self, request: SignedRequest) -> Principal:
        for name, value in request.headers:
            if name == b"authorization":
                found = _KEY.search(value[:1024].decode("latin-1"))
                return administrator(self._keys.account, found[1] if found else "")
        presigned = _PRESIGNED_KEY.search(request.query)
        if presigned is not None:
            return administrator(self._keys.account, presigned[1].decode())
        raise SignatureRefused(Problem.MISSING, "Missing Authentication Token")


def web_page_refusal(headers: Mapping[bytes, bytes], host: str, own: frozenset[str]) -> str | None:
    """Why a request may be a web page's; None when it cannot. `host`: as the request names it. `own`: names of ours."""
    if b"origin" in headers:
        return "Requests from web pages are refused while the endpoint runs with --auth open."
    if re.sub(r":\d+$", "", host.lower()) not in own:
        return "The Host header names another machine; the endpoint runs with --auth open."
    return None
