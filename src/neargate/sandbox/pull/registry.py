"""One registry as one task's credentials see it: manifests, blobs, and the three ways to be let in.

Owns: anonymous, basic and token authentication and what each status means. Must not know containerd or retries.
Blocking: runs on a lane of the world. Invariant: a manifest that leaves this file has the digest that was asked for.
"""

import json
from collections.abc import Awaitable, Callable, Generator
from urllib.parse import urlencode, urlsplit

from msgspec import Struct

from ...interfaces.sandbox import RegistryEndpoint
from .credentials import Challenge, Credentials, parse_challenges
from .failures import PullFailure
from .manifest import ACCEPT, MANIFEST_MAX_BYTES, BadImage, Blob, media_type_of, sha256_digest
from .reference import Reference, is_digest
from .transport import Answer, Pinned, Transport

_CHUNK_BYTES = 1024 * 1024
_TOKEN_MAX_BYTES = 256 * 1024
_DOCUMENT_TIMEOUT_S = 60.0
_RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})


class Document(Struct, frozen=True, kw_only=True):
    media_type: str
    digest: str
    body: bytes


class RegistrySession:
    """The requests of one pull. `authorization`: the header that opened the door last, perhaps for an earlier pull."""

    def __init__(
        self,
        transport: Transport,
        reference: Reference,
        credentials: Credentials | None,
        *,
        plain_http: bool,
        network: Callable[[], Awaitable[str]] | None = None,
        endpoint: RegistryEndpoint | None = None,
    ) -> None:
        self._transport = transport
        self._reference = reference
        self._credentials = credentials
        self.network = network
        self.netns_path: str | None = None  # of `network`, once that was awaited
        self.endpoint = endpoint
        self.registry = reference.registry
        self.authorization: str | None = None
        scheme = "http" if plain_http else "https"
        self._base = f"{scheme}://{reference.api_host}/v2/{reference.repository}"

    def resolve(self, target: str) -> str:
        """The digest that a tag (or digest) names now, for these credentials."""
        url = f"{self._base}/manifests/{target}"
        answer = self._request("HEAD", url, {"Accept": ACCEPT})
        try:
            if answer.status != 200:
                raise self._refused(answer, "manifests", target)
            answer.read(1)  # a HEAD has no body; reading its end frees the connection for the next request
            digest = answer.headers.get("Docker-Content-Digest", "")
        finally:
            answer.close()
        if is_digest(digest) and (digest == target or not is_digest(target)):
            return digest
        # Some registries do not name the digest on HEAD: then the document itself must be hashed.
        return self.manifest(target).digest

    def manifest(self, target: str) -> Document:
        url = f"{self._base}/manifests/{target}"
        answer = self._request("GET", url, {"Accept": ACCEPT})
        try:
            if answer.status != 200:
                raise self._refused(answer, "manifests", target)
            body = self._document(answer, MANIFEST_MAX_BYTES)
        finally:
            answer.close()
        digest = sha256_digest(body)
        if is_digest(target) and digest != target:
            raise BadImage(f"the registry sent a manifest with digest {digest} for {target}")
        return Document(
            media_type=media_type_of(body, answer.headers.get("Content-Type", "")), digest=digest, body=body
        )

    def blob(self, blob: Blob) -> Generator[bytes, None, None]:
        """The blob in chunks, never more than its stated size. Whoever stores it compares the digest."""
        url = f"{self._base}/blobs/{blob.digest}"
        answer = self._request("GET", url, {"Accept": "application/octet-stream"})
        try:
            if answer.status != 200:
                raise PullFailure(
                    f"httpReadSeeker: failed open: unexpected status code {url}: {answer.status} {answer.reason}",
                    retryable=answer.status in _RETRYABLE,
                )
            length = 0
            while chunk := answer.read(_CHUNK_BYTES):
                length += len(chunk)
                if length > blob.size:
                    raise PullFailure(f"httpReadSeeker: blob {blob.digest} is longer than its descriptor says")
                yield chunk
            if length < blob.size:
                raise PullFailure("httpReadSeeker: failed open: unexpected EOF", retryable=True)
        finally:
            answer.close()

    def check(self) -> None:
        """That the registry answers, and takes the credentials. Raises PullFailure."""
        answer = self._request("GET", f"{self._base.partition('/v2/')[0]}/v2/", {})
        answer.close()
        if answer.status != 200:
            raise self._refused(answer, "base", "/v2/")

    def _document(self, answer: Answer, max_bytes: int) -> bytes:
        """A whole small body, within the same time as a connection may take to say anything at all."""
        answer.pace.expect_body(_DOCUMENT_TIMEOUT_S)
        parts: list[bytes] = []
        length = 0
        while chunk := answer.read(max_bytes + 1 - length):
            parts.append(chunk)
            length += len(chunk)
            if length > max_bytes:
                raise PullFailure(f"the answer of {answer.url} is longer than {max_bytes} bytes")
        return b"".join(parts)

    # ---------------------------------------------------------------- being let in

    def _request(self, method: str, url: str, headers: dict[str, str]) -> Answer:
        answer = self._send(method, url, headers)
        if answer.status != 401:
            return answer
        challenges = parse_challenges(answer.headers.get_all("WWW-Authenticate") or [])
        answer.drain()
        answer.close()
        self.authorization = self._answer_challenges(challenges)
        return self._send(method, url, headers)

    def _send(self, method: str, url: str, headers: dict[str, str]) -> Answer:
        own = dict(headers)
        if self.authorization is not None:
            own["Authorization"] = self.authorization
        return self._transport.request(method, url, own, netns_path=self.netns_path, pinned=self._pinned(url))

    def _pinned(self, url: str) -> Pinned | None:
        """The endpoint is the registry's own: what it names elsewhere is judged like any other address."""
        if self.endpoint is None or urlsplit(url).netloc != self.registry:
            return None
        return self.endpoint.address, self.endpoint.port

    def _answer_challenges(self, challenges: tuple[Challenge, ...]) -> str:
        for challenge in challenges:
            if challenge.scheme == "bearer" and challenge.realm:
                return "Bearer " + self._fetch_token(challenge)
            if challenge.scheme == "basic" and self._credentials is not None:
                return self._credentials.basic
        raise _denied("authorization failed: no basic auth credentials")

    def _fetch_token(self, challenge: Challenge) -> str:
        kind = "anonymous" if self._credentials is None else "oauth"
        try:
            realm = urlsplit(challenge.realm)
        except ValueError:
            raise PullFailure(f"failed to authorize: invalid token realm {challenge.realm[:200]}") from None
        if realm.scheme not in ("http", "https") or (self._base.startswith("https:") and realm.scheme != "https"):
            raise PullFailure(f"failed to authorize: invalid token realm {challenge.realm[:200]}")
        query = {"service": challenge.service} if challenge.service else {}
        query["scope"] = challenge.scope or f"repository:{self._reference.repository}:pull"
        headers = {} if self._credentials is None else {"Authorization": self._credentials.basic}
        url = challenge.realm + ("&" if realm.query else "?") + urlencode(query)
        pinned = self._pinned(challenge.realm)
        answer = self._transport.request("GET", url, headers, netns_path=self.netns_path, pinned=pinned)
        try:
            body = self._document(answer, _TOKEN_MAX_BYTES)
        finally:
            answer.close()
        if answer.status != 200:
            raise PullFailure(
                f"failed to authorize: failed to fetch {kind} token: unexpected status from GET request to "
                f"{challenge.realm}: {answer.status} {answer.reason}",
                retryable=answer.status in _RETRYABLE,
                denied=answer.status in (401, 403),
            )
        return _token_of(body, kind)

    def _refused(self, answer: Answer, kind: str, target: str) -> PullFailure:
        if answer.status == 404:
            return PullFailure(f"{self._reference}: not found", missing=True)
        if answer.status == 401:
            challenges = parse_challenges(answer.headers.get_all("WWW-Authenticate") or [])
            message = next((item.error for item in challenges if item.error), "")
            return _denied(f"server message: {message}: authorization failed" if message else "authorization failed")
        return PullFailure(
            f"unexpected status code [{kind} {target}]: {answer.status} {answer.reason}",
            retryable=answer.status in _RETRYABLE,
            unreachable=answer.status in _RETRYABLE and answer.status != 429,
            denied=answer.status == 403,
        )


def _denied(detail: str) -> PullFailure:
    sentence = f"pull access denied, repository does not exist or may require authorization: {detail}"
    return PullFailure(sentence, denied=True)


def _token_of(body: bytes, kind: str) -> str:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    token = (value.get("token") or value.get("access_token")) if isinstance(value, dict) else None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise PullFailure(f"failed to authorize: failed to fetch {kind} token: the answer holds no token")
    return token
