"""OCI images built from nothing but Python, and pushed to a registry: for the sample and for tests.

Owns: layers, configs, manifests and indexes with reproducible digests, and a small uploader. Invariant: the same input
gives the same digest on every machine (fixed times, owners, order and compression).
"""

import gzip
import hashlib
import http.client
import io
import json
import subprocess
import tarfile
from base64 import b64encode
from collections.abc import Iterable

from msgspec import Struct, field

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_UPLOAD_TIMEOUT_S = 30.0


class Entry(Struct, frozen=True, kw_only=True):
    """One name in a layer: a file with content, a symlink with target, or (neither) a directory."""

    path: str
    content: bytes | None = None
    target: str | None = None
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


class Layer(Struct, frozen=True, kw_only=True):
    blob: bytes
    media_type: str
    diff_id: str


class BuiltImage(Struct, frozen=True, kw_only=True):
    """A manifest or index with every blob it needs, by digest. `parts` are manifests an index points to."""

    manifest: bytes
    media_type: str
    blobs: dict[str, bytes] = field(default_factory=dict)
    parts: tuple["BuiltImage", ...] = ()

    @property
    def digest(self) -> str:
        return sha256(self.manifest)


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def build_layer(entries: Iterable[Entry], *, compress: bool = True) -> Layer:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.path)
            info.mode, info.uid, info.gid, info.mtime = entry.mode, entry.uid, entry.gid, 0
            if entry.target is not None:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.target, 0o777
                tar.addfile(info)
            elif entry.content is not None:
                info.size = len(entry.content)
                tar.addfile(info, io.BytesIO(entry.content))
            else:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
    data = raw.getvalue()
    if not compress:
        return Layer(blob=data, media_type=LAYER_TAR, diff_id=sha256(data))
    return Layer(blob=gzip.compress(data, 6, mtime=0), media_type=LAYER_GZIP, diff_id=sha256(data))


def build_image(
    layers: Iterable[Layer],
    *,
    architecture: str = "amd64",
    config: dict[str, object] | None = None,
    docker: bool = False,
) -> BuiltImage:
    """`config`: Env, Entrypoint, Cmd, User, WorkingDir, StopSignal, Volumes as in the OCI image config."""
    stack = tuple(layers)
    document = _json(
        {
            "architecture": architecture,
            "os": "linux",
            "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in stack]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "neargate"} for _ in stack],
        }
    )
    media_type = DOCKER_MANIFEST if docker else MANIFEST
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": _descriptor(DOCKER_CONFIG if docker else CONFIG, document),
            "layers": [_descriptor(DOCKER_LAYER if docker else layer.media_type, layer.blob) for layer in stack],
        }
    )
    blobs = {sha256(document): document} | {sha256(layer.blob): layer.blob for layer in stack}
    return BuiltImage(manifest=manifest, media_type=media_type, blobs=blobs)


def build_index(images: Iterable[tuple[str, BuiltImage]], *, attestation: bool = True) -> BuiltImage:
    """`images`: architecture and image. With attestation as BuildKit writes it: an entry for platform unknown."""
    entries: list[dict[str, object]] = []
    parts: list[BuiltImage] = []
    for architecture, image in images:
        entry = _descriptor(image.media_type, image.manifest)
        entries.append(entry | {"platform": {"architecture": architecture, "os": "linux"}})
        parts.append(image)
        if attestation:
            statement = _attestation()
            annotations = {
                "vnd.docker.reference.digest": image.digest,
                "vnd.docker.reference.type": "attestation-manifest",
            }
            unknown = {"architecture": "unknown", "os": "unknown"}
            # First in the list on purpose: whoever takes the first entry takes the wrong one.
            entry = _descriptor(MANIFEST, statement.manifest)
            entries.insert(0, entry | {"platform": unknown, "annotations": annotations})
            parts.append(statement)
    document = _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    return BuiltImage(manifest=document, media_type=INDEX, parts=tuple(parts))


def _attestation() -> BuiltImage:
    statement = b'{"_type":"https://in-toto.io/Statement/v0.1"}'
    config = _json({"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": {"type": "layers"}})
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, config),
            "layers": [_descriptor("application/vnd.in-toto+json", statement)],
        }
    )
    return BuiltImage(
        manifest=manifest, media_type=MANIFEST, blobs={sha256(config): config, sha256(statement): statement}
    )


# -------------------------------------------------------------------- what the sample and tests run


def busybox_entries(busybox_path: str = "/bin/busybox") -> list[Entry]:
    """busybox-static with a symlink for each applet, and the few files a program expects of a system."""
    with open(busybox_path, "rb") as file:
        program = file.read()
    listing = subprocess.run([busybox_path, "--list-full"], capture_output=True, text=True, check=True, timeout=10)
    applets = sorted({line.strip() for line in listing.stdout.splitlines()} - {"", "bin/busybox"})
    directories = sorted(
        {"bin", "sbin", "usr", "usr/bin", "usr/sbin", "etc", "tmp", "root", "var", "proc", "sys", "dev"}
        | {applet.rpartition("/")[0] for applet in applets if "/" in applet}
    )
    entries = [Entry(path=path, mode=0o1777 if path == "tmp" else 0o755) for path in directories]
    entries.append(Entry(path="bin/busybox", content=program))
    # Absolute targets: an image must not be able to lead anybody out of its root by them.
    entries.extend(Entry(path=applet, target="/bin/busybox") for applet in applets)
    passwd = b"root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000:web:/home/web:/bin/sh\n"
    group = b"root:x:0:\nweb:x:1000:\nextra:x:1001:web\n"
    for name, content in (
        ("passwd", passwd),
        ("group", group),
        ("hosts", b""),
        ("hostname", b""),
        ("resolv.conf", b""),
    ):
        entries.append(Entry(path=f"etc/{name}", content=content, mode=0o644))
    return entries


def busybox_layer(busybox_path: str = "/bin/busybox") -> Layer:
    return build_layer(busybox_entries(busybox_path))


def sample_image(busybox_path: str = "/bin/busybox") -> BuiltImage:
    """The web server that `make run` starts: one page on port 80, and a log line for each step and each second."""
    page = b"<!doctype html><title>Neargate</title><h1>Hello from a Neargate task</h1>\n"
    script = (
        b"#!/bin/sh\n"
        b'echo "starting the web server on port ${PORT:-80}"\n'
        b"httpd -f -v -p ${PORT:-80} -h /www 2>&1 &\n"
        b"server=$!\n"
        b'trap "echo stopping; kill $server; exit 0" TERM INT\n'
        b'echo "ready: serving /www"\n'
        b"wait $server\n"
    )
    files = [
        Entry(path="www"),
        Entry(path="www/index.html", content=page, mode=0o644),
        Entry(path="bin/start-web", content=script),
    ]
    layers = [busybox_layer(busybox_path), build_layer(files)]
    return build_image(
        layers,
        config={
            "Entrypoint": ["/bin/start-web"],
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "ExposedPorts": {"80/tcp": {}},
        },
    )


# -------------------------------------------------------------------- as an archive


def save(path: str, name: str, image: BuiltImage) -> None:
    """An OCI layout in a tar, as `skopeo copy ... oci-archive:` writes it. `name`: REPOSITORY:TAG."""
    stored = {digest: blob for one in (image, *image.parts) for digest, blob in one.blobs.items()}
    stored |= {one.digest: one.manifest for one in (image, *image.parts)}
    entry = _descriptor(image.media_type, image.manifest)
    entry |= {"annotations": {"org.opencontainers.image.ref.name": name}}
    files = {f"blobs/{digest.replace(':', '/')}": blob for digest, blob in stored.items()}
    files |= {"oci-layout": _json({"imageLayoutVersion": "1.0.0"})}
    files |= {"index.json": _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})}
    with tarfile.open(path, "w") as tar:
        for member, content in files.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


# -------------------------------------------------------------------- pushing


def push(registry: str, repository: str, tag: str, image: BuiltImage, *, username: str = "", password: str = "") -> str:
    """Upload over plain HTTP to `registry` (host:port); returns the digest. Blobs that are there are not sent again."""
    headers = {}
    if username:
        headers["Authorization"] = "Basic " + b64encode(f"{username}:{password}".encode()).decode()
    connection = http.client.HTTPConnection(registry, timeout=_UPLOAD_TIMEOUT_S)
    try:
        for part in image.parts:
            _push_one(connection, headers, repository, part.digest, part)
        _push_one(connection, headers, repository, tag, image)
    finally:
        connection.close()
    return image.digest


def _push_one(
    connection: http.client.HTTPConnection, headers: dict[str, str], repository: str, target: str, image: BuiltImage
) -> None:
    for digest, blob in image.blobs.items():
        status, _ = _send(connection, "HEAD", f"/v2/{repository}/blobs/{digest}", headers)
        if status == 200:
            continue
        status, answer = _send(connection, "POST", f"/v2/{repository}/blobs/uploads/", headers)
        _expect(status, 202, f"starting the upload of {digest}")
        location = answer["location"]
        path = location[location.index("/v2/") :]
        path += ("&" if "?" in path else "?") + f"digest={digest}"
        own = headers | {"Content-Type": "application/octet-stream"}
        status, _ = _send(connection, "PUT", path, own, blob)
        _expect(status, 201, f"uploading {digest}")
    own = headers | {"Content-Type": image.media_type}
    status, _ = _send(connection, "PUT", f"/v2/{repository}/manifests/{target}", own, image.manifest)
    _expect(status, 201, f"uploading manifest {target}")


def _send(
    connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str], body: bytes | None = None
) -> tuple[int, dict[str, str]]:
    own = headers if body is not None or method == "HEAD" else headers | {"Content-Length": "0"}
    connection.request(method, path, body=body, headers=own)
    answer = connection.getresponse()
    answer.read()
    return answer.status, {name.lower(): value for name, value in answer.headers.items()}


def _expect(status: int, wanted: int, doing: str) -> None:
    if status != wanted:
        raise RuntimeError(f"the registry answered {status} to {doing}")


def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
