"""The registry's door before a real keeper of bytes: who gets in, what goes through whole, what hostile bytes meet."""

import base64
import gzip
import http.client
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from msgspec.structs import replace

from neargate.frontend.callers.authenticate import AuthMode
from neargate.frontend.images.service import Images
from neargate.frontend.images.space import REPOSITORIES
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.testing.front_door import ACCOUNT, OTHER, REGION, ROOT, Keys
from neargate.testing.oci_image import Entry, build_image, build_layer, save

from .ecr_rig import (
    CONFIG,
    OCI_MANIFEST,
    Region,
    live_region,
    manifest_of,
    needs_registry,
    password,
    sha256,
)

pytestmark = needs_registry
PUSH = (
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
    "ecr:BatchCheckLayerAvailability",
)
PULL = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
ARN = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository"
LAYER = b"a layer " * 40_000
UPLOADS = 20  # of an account


def images_of(region: Region) -> Images:
    found = region.live.region.services.images
    assert found is not None
    return found


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(3000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to be within half a minute")


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    with live_region(replace(DEFAULT_KNOBS, image_layer_max_bytes=4 * 1024 * 1024, image_uploads_max=UPLOADS)) as found:
        for name in ("web", "base/one", "closed"):
            found.ecr.create_repository(repositoryName=name)
        assert found.image("web", "first", LAYER).status == 201
        yield found


def test_who_has_no_token_is_asked_for_one(region: Region) -> None:
    for token, status in (("", 401), ("rubbish", 400), ("A" * 30_000, 400), ("A" * 40_000, 401)):
        for path in ("/v2/", "web/manifests/first", "nowhere/blobs/uploads/", "_catalog"):
            assert region.ask("GET", path, token).status == status, (token[:9], path)
    challenge = region.ask("GET", "/v2/", "").headers["www-authenticate"]
    host = f"{ACCOUNT}.dkr.ecr.{REGION}.localhost:{region.port}"
    assert challenge == f'Basic realm="http://{host}/",service="ecr.amazonaws.com"'
    assert region.ask("GET", "/v2/").status == 200


def test_another_user_name_is_no_user(region: Region) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", region.port, timeout=30)
    pair = base64.b64encode(f"root:{region.token}".encode()).decode()
    connection.request("GET", "/v2/", headers={"authorization": f"Basic {pair}"})
    assert connection.getresponse().status == 401
    connection.close()


def test_what_was_pushed_is_pulled_whole_and_in_parts(region: Region) -> None:
    manifest = region.ask("GET", "web/manifests/first")
    assert (manifest.status, manifest.body) == (200, manifest_of(LAYER))
    assert manifest.headers["docker-content-digest"] == sha256(manifest.body)
    assert manifest.headers["content-type"] == OCI_MANIFEST
    head = region.ask("HEAD", f"web/manifests/{sha256(manifest.body)}")
    assert (head.status, head.headers["content-length"], head.body) == (200, str(len(manifest.body)), b"")
    blob = region.ask("GET", f"web/blobs/{sha256(LAYER)}")
    assert (blob.status, blob.body) == (200, LAYER)
    part = region.ask("GET", f"web/blobs/{sha256(LAYER)}", range="bytes=8-15")
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"a layer ", f"bytes 8-15/{len(LAYER)}")
    assert region.ask("HEAD", f"web/blobs/{sha256(LAYER)}").headers["content-length"] == str(len(LAYER))


def test_megabytes_go_through_in_pieces(region: Region) -> None:
    content = bytes(range(256)) * 12_000
    assert region.layer("web", content).status == 201
    assert region.ask("GET", f"web/blobs/{sha256(content)}").body == content


def test_the_account_may_be_in_the_path_instead_of_the_host(region: Region) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", region.port, timeout=30)
    pair = base64.b64encode(f"AWS:{region.token}".encode()).decode()
    connection.request("GET", f"/v2/{ACCOUNT}/web/tags/list", headers={"authorization": f"Basic {pair}"})
    assert json.loads(connection.getresponse().read()) == {"name": "web", "tags": ["first"]}
    connection.request("POST", f"/v2/{ACCOUNT}/web/blobs/uploads/", headers={"authorization": f"Basic {pair}"})
    assert (connection.getresponse().headers["location"] or "").startswith(f"/v2/{ACCOUNT}/web/blobs/uploads/")
    connection.close()


def test_a_repository_that_is_not_there_takes_no_push(region: Region) -> None:
    said = region.ask("POST", "nope/blobs/uploads/")
    assert (said.status, *said.error) == (
        404,
        "NAME_UNKNOWN",
        f"The repository with name 'nope' does not exist in the registry with id '{ACCOUNT}'",
    )
    assert region.manifest("nope", "1", manifest_of(LAYER)).status == 404


def test_pulling_and_pushing_are_allowed_apart(region: Region) -> None:
    region.ecr.create_repository(repositoryName="apart")
    reader = password(region.user("reader", *PULL, resource=f"{ARN}/web"))
    writer = password(region.user("writer", *PUSH, resource=f"{ARN}/apart"))
    nobody = password(region.user("nobody"))
    assert region.ask("GET", "web/manifests/first", reader).status == 200
    assert region.ask("GET", f"web/blobs/{sha256(LAYER)}", reader).body == LAYER
    for token, method, path, action, name in (
        (reader, "POST", "web/blobs/uploads/", "InitiateLayerUpload", "web"),
        (reader, "GET", "apart/manifests/first", "BatchGetImage", "apart"),
        (reader, "GET", "not-there/manifests/first", "BatchGetImage", "not-there"),
        (reader, "GET", "web/tags/list", "ListImages", "web"),
        (reader, "DELETE", "web/manifests/first", "BatchDeleteImage", "web"),
        (reader, "HEAD", f"web/blobs/{sha256(LAYER)}", "BatchCheckLayerAvailability", "web"),
        (writer, "GET", f"apart/blobs/{sha256(LAYER)}", "GetDownloadUrlForLayer", "apart"),
        (writer, "PUT", "web/manifests/first", "PutImage", "web"),
        (nobody, "GET", "web/manifests/first", "BatchGetImage", "web"),
    ):
        said = region.ask(method, path, token)
        assert said.status == 403, (method, path)
        if method != "HEAD":
            assert said.error[0] == "DENIED"
            assert f"is not authorized to perform: ecr:{action} on resource: {ARN}/{name} because" in said.error[1]
    assert region.image("apart", "mine", LAYER, writer).status == 201


def test_a_token_ends_with_its_key(region: Region) -> None:
    user = region.user("leaver", "ecr:*")
    token = password(user)
    assert region.ask("GET", "web/tags/list", token).status == 200
    iam = region.client(ROOT, "iam")
    key = iam.list_access_keys(UserName="leaver")["AccessKeyMetadata"][0]["AccessKeyId"]
    iam.update_access_key(UserName="leaver", AccessKeyId=key, Status="Inactive")
    assert region.ask("GET", "web/tags/list", token).error[0] == "DENIED"
    iam.update_access_key(UserName="leaver", AccessKeyId=key, Status="Active")
    assert region.ask("GET", "web/tags/list", token).status == 200
    world = region.live.door.world
    world.moved_s = 12 * 3600 + 1
    try:
        expired = region.ask("GET", "web/tags/list", token)
    finally:
        world.moved_s = 0.0
    assert (expired.status, expired.error[1]) == (
        403,
        "Your authorization token has expired. Reauthenticate and try again.",
    )


def test_another_account_needs_both_sides(region: Region) -> None:
    region.other_account()
    guest = password(region.user("guest", *PULL, *PUSH, account=OTHER))
    assert region.ask("GET", "web/manifests/first", guest).error[0] == "DENIED"
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"}, "Action": list(PULL)}
    region.ecr.set_repository_policy(
        repositoryName="web", policyText=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    assert region.ask("GET", "web/manifests/first", guest).status == 200
    assert region.ask("POST", "web/blobs/uploads/", guest).error[0] == "DENIED"
    poor = password(region.user("poor", account=OTHER))
    assert region.ask("GET", "web/manifests/first", poor).error[0] == "DENIED"
    region.ecr.delete_repository_policy(repositoryName="web")
    assert region.ask("GET", "web/manifests/first", guest).error[0] == "DENIED"


def test_a_layer_is_mounted_only_from_where_it_may_be_read(region: Region) -> None:
    region.ecr.create_repository(repositoryName="mounted")
    query = f"mount={sha256(LAYER)}&from="
    blind = password(region.user("blind", *PUSH))
    assert region.ask("POST", f"mounted/blobs/uploads/?{query}web", blind).status == 202
    assert region.ask("POST", f"mounted/blobs/uploads/?{query}nope").status == 202
    assert region.ask("POST", f"mounted/blobs/uploads/?{query}{ACCOUNT}/web").status == 202
    assert region.ask("HEAD", f"mounted/blobs/{sha256(LAYER)}").status == 404
    made = region.ask("POST", f"mounted/blobs/uploads/?{query}web")
    assert (made.status, made.headers["location"]) == (201, f"/v2/mounted/blobs/{sha256(LAYER)}")
    assert region.ask("HEAD", f"mounted/blobs/{sha256(LAYER)}").status == 200


def test_a_layer_of_another_repository_is_not_there(region: Region) -> None:
    assert region.ask("GET", f"closed/blobs/{sha256(LAYER)}").error[0] == "BLOB_UNKNOWN"
    missing = region.manifest("closed", "1", manifest_of(LAYER))
    assert missing.error[0] == "MANIFEST_BLOB_UNKNOWN"
    assert "required for pushing image into repository with name 'closed'" in missing.error[1]


def test_an_upload_belongs_to_its_repository(region: Region) -> None:
    place = region.ask("POST", "web/blobs/uploads/").headers["location"]
    stolen = region.ask("PATCH", place.replace("/web/", "/closed/"), None, b"x")
    assert stolen.status in (400, 404) and "mutable" not in stolen.body.decode()
    assert region.ask("PATCH", place.partition("?")[0], None, b"x").status == 404, "without its state"
    assert region.ask("PATCH", place, None, b"x").status == 202


def test_immutable_tags_stay(region: Region) -> None:
    region.ecr.create_repository(repositoryName="fixed", imageTagMutability="IMMUTABLE")
    assert region.image("fixed", "1", b"one").status == 201
    assert region.image("fixed", "1", b"one").status == 201, "the same again overwrites nothing"
    said = region.image("fixed", "1", b"two")
    assert (said.status, *said.error) == (
        400,
        "TAG_INVALID",
        "The image tag '1' already exists in the 'fixed' repository and cannot be overwritten because the tag is "
        "immutable.",
    )
    assert region.ask("GET", "fixed/manifests/1").body == manifest_of(b"one")


def test_a_moved_tag_leaves_the_old_image_under_its_digest(region: Region) -> None:
    region.ecr.create_repository(repositoryName="moving")
    for content in (b"one", b"two"):
        assert region.image("moving", "latest", content).status == 201
    assert region.ask("GET", "moving/manifests/latest").body == manifest_of(b"two")
    assert region.ask("GET", f"moving/manifests/{sha256(manifest_of(b'one'))}").body == manifest_of(b"one")
    assert region.ask("DELETE", "moving/manifests/latest").status == 202
    assert region.ask("GET", "moving/manifests/latest").error[0] == "MANIFEST_UNKNOWN"


def test_a_repository_made_again_is_empty(region: Region) -> None:
    region.ecr.create_repository(repositoryName="again")
    region.image("again", "1", b"old")
    region.ecr.delete_repository(repositoryName="again", force=True)
    region.ecr.create_repository(repositoryName="again")
    assert region.ask("GET", "again/manifests/1").status == 404
    assert region.ask("GET", f"again/blobs/{sha256(b'old')}").status == 404


def test_no_path_leads_elsewhere(region: Region) -> None:
    for path in (
        "/v2/_catalog",
        "/v2/web/../closed/tags/list",
        "/v2/web%2f..%2fclosed/manifests/1",
        "/v2/WEB/manifests/1",
        "/v2/web/manifests/../tags/list",
        f"/v2/web/blobs/sha512:{'0' * 128}",
        "/v2/web/blobs/uploads/..",
        "/v2/web/blobs/uploads/not-a-uuid",
        "/v2/web/manifests/" + "a" * 129,
        "/v2/" + "a" * 257 + "/tags/list",
        "/v2/web/manifests/a%00b",
        "/v2//manifests/1",
        "/v2/web/referrers/" + sha256(LAYER),
        f"/v2/{ACCOUNT}/web/manifests/first",
    ):
        assert region.ask("GET", path).status in (400, 404, 405), path
    assert region.ask("POST", "web/manifests/first").status == 405
    assert region.ask("POST", "web/blobs/uploads/?" + "a=b&" * 100).status == 400
    assert region.ask("GET", "web/manifests/first", account="999999999999").status == 403


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps({"schemaVersion": 1}).encode(),
        json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": {}}).encode(),
        json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [{"digest": "../x", "size": 1}]}).encode(),
        json.dumps({"schemaVersion": 2, "mediaType": "text/plain", "layers": []}).encode(),
        manifest_of(LAYER).replace(b'"size": 320000', b'"size": -1'),
        manifest_of(LAYER).replace(b'"size": 320000', b'"size": 1e999'),
    ],
)
def test_hostile_manifests_are_refused(region: Region, content: bytes) -> None:
    assert region.manifest("web", "hostile", content).error[0] == "MANIFEST_INVALID"
    assert region.ask("GET", "web/manifests/hostile").status == 404


def test_bodies_have_bounds(region: Region) -> None:
    assert region.manifest("web", "large", b" " * (4 * 1024 * 1024 + 1)).status == 413
    place = region.ask("POST", "web/blobs/uploads/").headers["location"]
    chunks = (b"x" * 65_536 for _ in range(200))
    try:
        assert region.ask("PATCH", place, None, chunks).status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # hung up on while it still sent: it was not taken either
    other = region.ask("POST", "web/blobs/uploads/").headers["location"]
    wrong = region.ask("PUT", f"{other}&digest={sha256(b'y')}", None, b"x")
    assert wrong.error[0] == "DIGEST_INVALID"
    assert region.ask("HEAD", f"web/blobs/{sha256(b'x')}").status == 404


@pytest.mark.parametrize("length", [("content-length", "19"), ("transfer-encoding", "chunked")])
def test_half_a_layer_is_never_a_whole_one(region: Region, length: tuple[str, str]) -> None:
    """The caller goes away in the middle; when the door has noticed, what had come is no layer."""
    place = region.ask("POST", "web/blobs/uploads/").headers["location"]
    pair = base64.b64encode(f"AWS:{region.token}".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", region.port, timeout=30)
    half = b"half of it"
    connection.putrequest("PUT", f"{place}&digest={sha256(half)}", skip_host=True)
    for name, value in (
        ("host", f"{ACCOUNT}.dkr.ecr.{REGION}.localhost:{region.port}"),
        ("authorization", f"Basic {pair}"),
        length,
    ):
        connection.putheader(name, value)
    connection.endheaders(b"%x\r\n%b\r\n" % (len(half), half) if length[0] == "transfer-encoding" else half)
    uploads = images_of(region).unfinished
    wait_until(lambda: any(part.requests and part.received == len(half) for part in uploads.parts(ACCOUNT)))
    connection.close()
    wait_until(lambda: not any(part.requests for part in uploads.parts(ACCOUNT)))
    assert region.ask("HEAD", f"web/blobs/{sha256(half)}").status == 404


def test_layers_left_lying_make_place_for_others(region: Region) -> None:
    """A layer has its bound over all requests of its upload, and an account so many uploads."""
    first = region.ask("POST", "base/one/blobs/uploads/").headers["location"]
    sent = region.ask("PATCH", first, None, b"x" * 3 * 1024 * 1024)
    assert sent.status == 202
    more = region.ask("PATCH", sent.headers["location"], None, b"x" * 2 * 1024 * 1024)
    assert more.error[0] == "SIZE_INVALID"
    for _ in range(UPLOADS):
        assert region.ask("POST", "web/blobs/uploads/").status == 202
    begun = region.ecr.initiate_layer_upload(repositoryName="web")["uploadId"]
    assert len(images_of(region).unfinished.parts(ACCOUNT)) == UPLOADS
    storage = Path(images_of(region).storage, REPOSITORIES, ACCOUNT)
    assert len(list(storage.glob("*/_uploads/*"))) <= UPLOADS, "the bytes of the others are gone"
    assert region.ask("GET", sent.headers["location"]).status == 404
    part = {"uploadId": begun, "partFirstByte": 0, "partLastByte": 2, "layerPartBlob": b"abc"}
    assert region.ecr.upload_layer_part(repositoryName="web", **part)["lastByteReceived"] == 2
    for _ in range(UPLOADS):
        assert region.ask("POST", "web/blobs/uploads/").status == 202
    lost = part | {"partFirstByte": 3, "partLastByte": 5}
    with pytest.raises(ClientError, match="UploadNotFoundException"):
        region.ecr.upload_layer_part(repositoryName="web", **lost)
    assert region.layer("web", b"another one").status == 201


def test_the_keeper_away_is_said_and_nothing_is_recorded(region: Region) -> None:
    region.ecr.create_repository(repositoryName="away")
    for blob in (LAYER, CONFIG):
        region.layer("away", blob)
    region.live.keeper.stop()
    try:
        assert region.manifest("away", "1", manifest_of(LAYER)).error[0] == "UNAVAILABLE"
        assert region.ask("GET", f"web/blobs/{sha256(LAYER)}").status == 503
        assert region.ask("HEAD", "web/manifests/first").status == 200, "what is in the records"
        assert region.ecr.list_images(repositoryName="away")["imageIds"] == []
    finally:
        region.live.keeper.restart()
    assert region.manifest("away", "1", manifest_of(LAYER)).status == 201


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo")
def test_skopeo_pushes_inspects_and_pulls(region: Region, tmp_path: Path) -> None:
    """By the address, since not every machine resolves *.localhost; the door takes both."""
    region.ecr.create_repository(repositoryName="skopeo/app")
    registry = f"127.0.0.1:{region.port}"
    auth = ("--authfile", str(tmp_path / "auth.json"))
    layer = gzip.compress(LAYER, mtime=0)
    manifest = manifest_of(layer).replace(b"layer.v1.tar", b"layer.v1.tar+gzip")
    blobs = tmp_path / "image" / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for content in (layer, CONFIG, manifest):
        (blobs / sha256(content)[7:]).write_bytes(content)
    (tmp_path / "image" / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entry = {"mediaType": OCI_MANIFEST, "digest": sha256(manifest), "size": len(manifest)}
    (tmp_path / "image" / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))

    def skopeo(*words: str, given: str = "") -> str:
        done = subprocess.run(["skopeo", *words], input=given, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    skopeo("login", *auth, "--tls-verify=false", "-u", "AWS", "--password-stdin", registry, given=region.token)
    image = f"docker://{registry}/{ACCOUNT}/skopeo/app:1"
    skopeo("copy", *auth, "--dest-tls-verify=false", f"oci:{tmp_path}/image", image)
    assert json.loads(skopeo("inspect", *auth, "--tls-verify=false", image))["Layers"] == [sha256(layer)]
    skopeo("copy", *auth, "--src-tls-verify=false", image, f"dir:{tmp_path}/pulled")
    assert (tmp_path / "pulled" / sha256(layer)[7:]).read_bytes() == layer
    assert "1" in json.loads(skopeo("list-tags", *auth, "--tls-verify=false", image[:-2]))["Tags"]


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo")
def test_in_open_mode_skopeo_pushes_without_login(tmp_path: Path) -> None:
    archive = str(tmp_path / "made.tar")
    save(archive, "made:1", build_image([build_layer([Entry(path="hello", content=b"hello")])]))
    with live_region(auth=AuthMode.OPEN) as region:
        region.ecr.create_repository(repositoryName="ci/app")
        image = f"docker://127.0.0.1:{region.port}/{ACCOUNT}/ci/app:1"
        environment = {**os.environ, "REGISTRY_AUTH_FILE": f"{tmp_path}/none.json"}
        command = ["skopeo", "copy", "--dest-tls-verify=false", f"oci-archive:{archive}", image]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert region.ecr.list_images(repositoryName="ci/app")["imageIds"][0]["imageTag"] == "1"


@pytest.mark.skipif(shutil.which("podman") is None, reason="needs podman")
def test_podman_pushes_and_pulls(region: Region, tmp_path: Path) -> None:
    region.ecr.create_repository(repositoryName="podman/app")
    image = f"127.0.0.1:{region.port}/{ACCOUNT}/podman/app:1"
    run = tempfile.mkdtemp(prefix="ngp")  # podman wants it short
    own = ("--root", f"{tmp_path}/root", "--runroot", run, "--storage-driver", "vfs")
    archive = tmp_path / "root.tar"
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("hello")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"hello"))

    def podman(*words: str, given: str = "") -> None:
        environment = {**os.environ, "REGISTRY_AUTH_FILE": f"{tmp_path}/auth.json"}
        command = ["podman", *own, "--cgroup-manager", "cgroupfs", "--events-backend", "none", *words]
        done = subprocess.run(command, input=given, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    login = ("login", "--tls-verify=false", "-u", "AWS", "--password-stdin", f"127.0.0.1:{region.port}")
    podman(*login, given=region.token)
    podman("import", str(archive), "localhost/made:1")
    podman("push", "--tls-verify=false", "localhost/made:1", image)
    podman("rmi", "-f", "localhost/made:1")
    podman("pull", "--tls-verify=false", image)
    shutil.rmtree(run)
    assert region.ecr.list_images(repositoryName="podman/app")["imageIds"][0]["imageTag"] == "1"


def test_in_open_mode_nobody_logs_in_but_no_web_page_gets_in() -> None:
    with live_region(auth=AuthMode.OPEN) as region:
        region.ecr.create_repository(repositoryName="web")
        dummy = password(region.client(Keys(key="test", secret="test")))
        for shown in (dummy, "", "whatever a dummy login has kept"):
            assert region.image("web", "1", LAYER, shown).status == 201
            assert region.ask("GET", "web/manifests/1", shown).status == 200
            assert region.ask("GET", "web/manifests/1", shown, origin="http://evil.example").status == 403
            assert region.ask("POST", "web/blobs/uploads/", shown, origin="http://evil.example").status == 403
        assert region.ask("GET", "/v2/", "").status == 200, "what tools ask first, to see whether they have to log in"
        assert region.ask("GET", "web/manifests/1", "", account="210987654321").status == 403, "no other account's"
        connection = http.client.HTTPConnection("127.0.0.1", region.port, timeout=30)
        pair = base64.b64encode(f"AWS:{dummy}".encode()).decode()
        own = f"{ACCOUNT}.dkr.ecr.{REGION}"
        for host, path, status in (
            ("evil.example", f"{ACCOUNT}/web", 403),
            (f"{own}.evil.example", "web", 403),
            (f"{own}.localhost.evil.example:{region.port}", "web", 403),
            (f"{own}.localhost:{region.port}", "web", 200),
            (f"localhost:{region.port}", f"{ACCOUNT}/web", 200),
            ("127.0.0.1", f"{ACCOUNT}/web", 200),
        ):
            given = {"host": host, "authorization": f"Basic {pair}"}
            connection.request("GET", f"/v2/{path}/manifests/1", headers=given)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status, host
        connection.close()
