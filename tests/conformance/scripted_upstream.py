"""A registry on loopback that others cache: what it has, what it is asked, and how it misbehaves as a test says."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .ecr_rig import OCI_MANIFEST, manifest_of, sha256

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
Handler = http.server.BaseHTTPRequestHandler


class Upstream:
    """`asked`: method and path of each request. `odd`: for paths that contain the key, what happens instead.

    `login`: the Authorization header without which nothing is given.
    """

    def __init__(self) -> None:
        self.address = ""
        self.asked: list[tuple[str, str]] = []
        self.odd: dict[str, Callable[[Handler], None]] = {}
        self.login: str | None = None
        self._held: dict[str, tuple[str, bytes]] = {}

    def image(
        self, repository: str, tag: str, *layers: bytes, config: bytes = b'{"architecture":"amd64","os":"linux"}'
    ) -> str:
        """The digest of its manifest."""
        content = manifest_of(*layers)
        for blob in (config, *layers):
            self._held[f"/v2/{repository}/blobs/{sha256(blob)}"] = ("application/octet-stream", blob)
        return self.manifest(repository, tag, OCI_MANIFEST, content)

    def manifest(self, repository: str, tag: str, media_type: str, content: bytes) -> str:
        for name in (tag, sha256(content)):
            self._held[f"/v2/{repository}/manifests/{name}"] = (media_type, content)
        return sha256(content)

    def index(self, repository: str, tag: str, *children: str) -> str:
        entries = [{"mediaType": OCI_MANIFEST, "digest": child, "size": 500} for child in children]
        content = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
        return self.manifest(repository, tag, OCI_INDEX, content)

    def serve(self, handler: Handler) -> None:
        self.asked.append((handler.command, handler.path))
        for part, answer in self.odd.items():
            if part in handler.path:
                answer(handler)
                return
        if self.login is not None and handler.headers.get("Authorization") != self.login:
            reply(handler, 401, WWW_Authenticate='Basic realm="upstream"')
            return
        if handler.path == "/v2/":
            reply(handler, 200, b"{}")
            return
        if handler.path not in self._held:
            reply(handler, 404, b"{}")
            return
        media_type, content = self._held[handler.path]
        digest = sha256(content)
        reply(handler, 200, content, Content_Type=media_type, Docker_Content_Digest=digest)

    def times(self, method: str, part: str) -> int:
        return sum(1 for one, path in self.asked if one == method and part in path)


def reply(handler: Handler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command == "GET":
        handler.wfile.write(body)


@contextmanager
def upstream() -> Iterator[Upstream]:
    found = Upstream()

    class Served(Handler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # noqa: N802 - the library's name
            found.serve(self)

        do_HEAD = do_GET  # noqa: N815 - the library's name

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Served)
    server.daemon_threads = True
    found.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
