"""A registry for other machines whose bytes are on another: TLS by the region's authority, an S3 server, real tools.

Names are looked up in a file that only the test's own mount namespace sees.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

from neargate.testing import oci_image
from neargate.testing.registry import free_port

from .conftest import end_region, start_region
from .region import LiveRegion, wait_for

DOMAIN, BUCKET, SECRET = "images.example.net", "layers", "keep-this-to-yourself"
ROLE = "arn:aws:iam::123456789012:role/ecsTaskExecutionRole"
BLOBS = "docker/registry/v2/blobs/"
Tool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    """Of an S3 server on loopback, as boto3 has it; its client knows the address."""
    pytest.importorskip("moto", reason="needs moto's S3 server")
    port = free_port()
    argv = [sys.executable, "-W", "ignore", "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    keys = {"aws_access_key_id": "AKIDOFTHEBUCKET", "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    s3 = boto3.resource("s3", endpoint_url=f"http://127.0.0.1:{port}", **keys)

    def made() -> bool:
        try:
            s3.create_bucket(Bucket=BUCKET)
        except (BotoConnectionError, ClientError):
            return False
        return True

    try:
        wait_for("the S3 server", made)
        yield s3.Bucket(BUCKET)
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="module")
def elsewhere(bucket: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRegion]:
    file = tmp_path_factory.mktemp("storage") / "storage.yml"
    file.write_text(
        "storage:\n  s3:\n    region: us-east-1\n"
        f"    regionendpoint: {bucket.meta.client.meta.endpoint_url}\n"
        f"    bucket: {BUCKET}\n    accesskey: AKIDOFTHEBUCKET\n    secretkey: {SECRET}\n"
    )
    file.chmod(0o600)
    port = free_port()
    live = start_region(
        *("--registry-domain", f"{DOMAIN}:{port}", "--registry-listen", f"127.0.0.1:{port}"),
        *("--image-storage", str(file)),
    )
    try:
        live.ecs.create_cluster(clusterName="default")
        live.task_role("ecsTaskExecutionRole")
        yield live
    finally:
        end_region(live)


@pytest.fixture(scope="module")
def uri(elsewhere: LiveRegion) -> str:
    made = elsewhere.client("ecr").create_repository(repositoryName="team/app")
    return str(made["repository"]["repositoryUri"])


@pytest.fixture(scope="module")
def skopeo(elsewhere: LiveRegion, uri: str, tmp_path_factory: pytest.TempPathFactory) -> Tool:
    """It trusts the region's authority, and finds the registry's name at this machine."""
    if shutil.which("skopeo") is None:
        pytest.skip("needs skopeo")
    directory = tmp_path_factory.mktemp("skopeo")
    trust = directory / "trust"
    trust.mkdir()
    (trust / "ca.crt").write_text(elsewhere.command("ca").stdout)
    hosts = directory / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {uri.partition(':')[0]}\n")
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    clean["REGISTRY_AUTH_FILE"] = str(directory / "auth.json")

    def run(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        script = 'mount --bind "$0" /etc/hosts && exec skopeo "$@"'
        argv = ["unshare", "--mount", "--", "sh", "-c", script, str(hosts), *words]
        argv = [word.replace("TRUST", str(trust)) for word in argv]
        done = subprocess.run(argv, input=given, capture_output=True, text=True, timeout=120, check=False, env=clean)
        assert done.returncode == 0, done.stderr
        return done

    return run


def keys_of(bucket: Any) -> list[str]:
    return [found.key.lstrip("/") for found in bucket.objects.all()]


def test_nobody_is_shown_the_storages_key(elsewhere: LiveRegion) -> None:
    said = elsewhere.command("doctor", check=False)
    assert "images are kept at s3:layers" in said.stdout and SECRET not in said.stdout + said.stderr
    readable = subprocess.run(
        ["grep", "-rlsF", SECRET, str(elsewhere.paths.data), str(elsewhere.paths.run)],
        capture_output=True,
        text=True,
        check=False,
    )
    holders = [Path(line) for line in readable.stdout.splitlines()]
    assert elsewhere.paths.image_storage in holders
    assert {path.name for path in holders} <= {"image-storage.json", "images.yml"}
    assert not [path for path in holders if path.stat().st_mode & 0o007]


def test_an_image_goes_the_whole_way(
    elsewhere: LiveRegion, uri: str, skopeo: Tool, bucket: Any, tmp_path: Path
) -> None:
    """Pushed by its URI verbatim, kept elsewhere, run under the same name, collected when nothing names it."""
    config: dict[str, object] = {"Cmd": ["sh"], "Env": ["PATH=/bin:/usr/bin"]}
    built = oci_image.build_image([oci_image.busybox_layer()], config=config)
    archive = tmp_path / "image.tar"
    oci_image.save(str(archive), "app:1", built)
    word = elsewhere.command("aws", "ecr", "get-login-password").stdout
    host = uri.partition("/")[0]
    skopeo("login", "--cert-dir", "TRUST", "--username", "AWS", "--password-stdin", host, given=word)
    skopeo("copy", "--quiet", "--dest-cert-dir", "TRUST", f"oci-archive:{archive}", f"docker://{uri}:1")
    assert {f"{BLOBS}sha256/{digest[7:9]}/{digest[7:]}/data" for digest in (built.digest, *built.blobs)} <= set(
        keys_of(bucket)
    )
    assert not list(elsewhere.paths.images.iterdir())
    image = {"image": f"{uri}:1", "command": ["echo", "from elsewhere"]}
    task = elsewhere.run_to_end(image, executionRoleArn=ROLE)
    assert elsewhere.output_of(task["taskArn"]) == ["from elsewhere"], task
    assert task["containers"][0]["imageDigest"] == built.digest
    local = f"123456789012.dkr.ecr.us-east-1.localhost:{elsewhere.port}/team/app:1"
    assert elsewhere.output({**image, "image": local}, executionRoleArn=ROLE) == ["from elsewhere"]
    elsewhere.client("ecr").delete_repository(repositoryName="team/app", force=True)
    wait_for("its manifest's end", lambda: not [key for key in keys_of(bucket) if "/revisions/" in key])
    elsewhere.command("down")
    said = elsewhere.command("image", "collect").stdout
    assert "removed from s3:layers" in said
    assert not [key for key in keys_of(bucket) if key.startswith(BLOBS)]
