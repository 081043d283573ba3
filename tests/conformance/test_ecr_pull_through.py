"""Images of other registries through the door: fetched once, kept, looked at again after a day; hostile registries."""

import base64
import http.client
import random
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.frontend.images.book import RepositoryBook
from neargate.frontend.images.registry import Change
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.testing.front_door import ACCOUNT, REGION

from .ecr_rig import CONFIG, Region, live_region, manifest_of, needs_registry, password, refused, sha256
from .scripted_upstream import Handler, Upstream, reply, upstream

pytestmark = needs_registry
LAYER = b"an upstream layer " * 20_000
MIB = 1024 * 1024
LARGE = random.Random(1).randbytes(6 * MIB)
BOUND_S = 60.0
DAY_S = 86_400.0
PULL = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
SECRET = {"Name": "ecr-pullthroughcache/upstream", "SecretString": '{"username":"u","accessToken":"t"}'}


@pytest.fixture(scope="module")
def far() -> Iterator[Upstream]:
    with upstream() as found:
        yield found


@pytest.fixture(scope="module")
def region(far: Upstream) -> Iterator[Region]:
    with live_region(upstreams=(far.address,)) as found:
        found.ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="far", upstreamRegistryUrl=far.address)
        yield found


@pytest.fixture(autouse=True)
def ordinary(far: Upstream) -> None:
    far.odd.clear()
    far.asked.clear()
    far.login = None


def settled(region: Region, name: str, digest: str) -> Any:
    """Its record, when the import is over."""
    for _ in range(int(BOUND_S / 0.05)):
        book = region.live.region.services.images.registry.find(ACCOUNT, name)  # type: ignore[union-attr]
        if book is not None and book.find(digest) is not None:
            return book.find(digest)
        region.thread.do(region.live.door.world.sleep(0.05))
    raise AssertionError(f"{name} has no {digest}")


def later(region: Region, name: str, seconds: float) -> None:
    """As if what is known of the repository's tags were so much older."""

    def older(book: RepositoryBook) -> Change[None]:
        put = (
            replace(image, checked=tuple((tag, at - seconds) for tag, at in image.checked)) for image in book.images()
        )
        return Change(result=None, put=tuple(put))

    images = region.live.region.services.images
    assert images is not None
    region.thread.do(images.registry.change(ACCOUNT, name, older))


def test_an_image_is_fetched_once_and_kept(region: Region, far: Upstream) -> None:
    digest = far.image("library/one", "1", LAYER)
    found = region.ask("GET", "far/library/one/manifests/1")
    assert (found.status, found.body) == (200, manifest_of(LAYER))
    assert found.headers["docker-content-digest"] == digest
    assert region.ask("GET", f"far/library/one/blobs/{sha256(LAYER)}").body == LAYER
    assert region.ask("GET", f"far/library/one/blobs/{sha256(CONFIG)}").body == CONFIG
    settled(region, "far/library/one", digest)
    far.asked.clear()
    for reference in ("1", digest):
        assert region.ask("GET", f"far/library/one/manifests/{reference}").body == manifest_of(LAYER)
        assert region.ask("HEAD", f"far/library/one/manifests/{reference}").status == 200
    assert far.asked == []
    listed = region.ecr.describe_images(repositoryName="far/library/one")["imageDetails"]
    assert [(one["imageDigest"], one["imageTags"]) for one in listed] == [(digest, ["1"])]


def test_many_at_once_fetch_once(region: Region, far: Upstream) -> None:
    far.image("crowd", "1", LAYER, b"second")
    said: list[int] = []

    def pull() -> None:
        said.append(region.ask("GET", "far/crowd/manifests/1").status)
        said.append(region.ask("GET", f"far/crowd/blobs/{sha256(LAYER)}").status)

    threads = [threading.Thread(target=pull) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND_S)
    assert said == [200] * 16
    settled(region, "far/crowd", sha256(manifest_of(LAYER, b"second")))
    assert far.times("GET", "/manifests/") == 1
    assert far.times("GET", sha256(LAYER)) == 1


def test_a_list_of_platforms_comes_whole(region: Region, far: Upstream) -> None:
    children = [far.image("multi", name, LAYER, name.encode()) for name in ("amd64", "arm64")]
    digest = far.index("multi", "latest", *children)
    assert region.ask("GET", "far/multi/manifests/latest").headers["docker-content-digest"] == digest
    assert region.ask("GET", f"far/multi/manifests/{children[1]}").body == manifest_of(LAYER, b"arm64")
    assert region.ask("GET", f"far/multi/blobs/{sha256(b'arm64')}").body == b"arm64"
    assert settled(region, "far/multi", digest).tags == ("latest",)
    for child in children:
        assert settled(region, "far/multi", child).tags == ()
    assert far.times("GET", sha256(LAYER)) == 1


def test_a_tag_is_looked_at_again_after_a_day(region: Region, far: Upstream) -> None:
    before = far.image("moving", "1", b"before")
    assert region.ask("GET", "far/moving/manifests/1").status == 200
    settled(region, "far/moving", before)
    after = far.image("moving", "1", b"after")
    later(region, "far/moving", DAY_S - 100)
    assert region.ask("GET", "far/moving/manifests/1").headers["docker-content-digest"] == before
    later(region, "far/moving", 200)
    assert region.ask("GET", "far/moving/manifests/1").headers["docker-content-digest"] == after
    assert settled(region, "far/moving", after).tags == ("1",)
    # The same again costs a question a day, and nothing is fetched.
    later(region, "far/moving", DAY_S + 100)
    far.asked.clear()
    for _ in range(3):
        assert region.ask("GET", "far/moving/manifests/1").headers["docker-content-digest"] == after
    assert far.asked == [("HEAD", "/v2/moving/manifests/1")]


def test_what_is_here_is_served_while_the_registry_is_away(region: Region, far: Upstream) -> None:
    digest = far.image("stale", "1", LAYER)
    assert region.ask("GET", "far/stale/manifests/1").status == 200
    settled(region, "far/stale", digest)
    later(region, "far/stale", DAY_S + 100)
    far.odd["/stale/"] = lambda handler: reply(handler, 503)
    for _ in range(3):
        assert region.ask("GET", "far/stale/manifests/1").headers["docker-content-digest"] == digest
    assert far.times("HEAD", "/stale/") == 1
    missing = region.ask("GET", "far/stale/manifests/2")
    assert (missing.status, missing.error[0]) == (503, "UNAVAILABLE")


def test_a_tag_that_was_pushed_here_stays(region: Region, far: Upstream) -> None:
    far.image("own", "1", LAYER)
    region.ecr.create_repository(repositoryName="far/own")
    assert region.image("far/own", "1", b"ours").status == 201
    later(region, "far/own", DAY_S + 100)
    assert region.ask("GET", "far/own/manifests/1").body == manifest_of(b"ours")
    assert far.asked == []


def test_what_the_registry_has_not_makes_no_repository(region: Region, far: Upstream) -> None:
    missing = region.ask("GET", "far/nothing/manifests/1")
    assert (missing.status, missing.error) == (404, ("MANIFEST_UNKNOWN", "Requested image not found"))
    assert refused(region.ecr.describe_repositories, repositoryNames=["far/nothing"])[0] == (
        "RepositoryNotFoundException"
    )
    assert region.ask("GET", "near/nothing/manifests/1").error[0] == "NAME_UNKNOWN"


def test_who_may_not_import_is_refused_and_nothing_is_asked(region: Region, far: Upstream) -> None:
    digest = far.image("guarded", "1", LAYER)
    tokens = {
        "reader": password(region.user("reader", *PULL)),
        "importer": password(region.user("importer", *PULL, "ecr:BatchImportUpstreamImage")),
        "maker": password(region.user("maker", *PULL, "ecr:BatchImportUpstreamImage", "ecr:CreateRepository")),
    }
    for who, action in (("reader", "ecr:CreateRepository"), ("importer", "ecr:CreateRepository")):
        said = region.ask("GET", "far/guarded/manifests/1", tokens[who])
        assert (said.status, said.error[0]) == (403, "DENIED")
        assert action in said.error[1]
    assert far.asked == []
    assert region.ask("GET", "far/guarded/manifests/1", tokens["maker"]).status == 200
    settled(region, "far/guarded", digest)
    second = far.image("guarded", "2", b"two")
    assert "ecr:BatchImportUpstreamImage" in region.ask("GET", "far/guarded/manifests/2", tokens["reader"]).error[1]
    assert region.ask("GET", "far/guarded/manifests/2", tokens["importer"]).status == 200
    settled(region, "far/guarded", second)
    # Later looks need leave, too; without it what is here is served.
    later(region, "far/guarded", DAY_S + 100)
    far.asked.clear()
    late = password(region.client(region.thread.do(region.live.door.user("late", *_documents()))))
    assert region.ask("GET", "far/guarded/manifests/1", late).headers["docker-content-digest"] == digest
    assert far.asked == []


def _documents() -> list[dict[str, Any]]:
    actions = [*PULL, "ecr:GetAuthorizationToken"]
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    return [{"Version": "2012-10-17", "Statement": [statement]}]


# -- hostile registries


def _cut(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(LAYER)))
    handler.end_headers()
    handler.wfile.write(LAYER[:1000])
    handler.wfile.flush()
    handler.connection.close()
    handler.close_connection = True


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("cut", _cut),
        ("other", lambda handler: reply(handler, 200, b"x" * len(LAYER))),
        ("longer", lambda handler: reply(handler, 200, LAYER + b"more")),
        ("shorter", lambda handler: reply(handler, 200, LAYER[:-1])),
        ("gone", lambda handler: reply(handler, 404)),
        ("round", lambda handler: reply(handler, 307, Location=handler.path)),
        ("inward", lambda handler: reply(handler, 307, Location="http://169.254.169.254/latest")),
        ("loopback", lambda handler: reply(handler, 307, Location="http://127.0.0.1:1/x")),
        ("file", lambda handler: reply(handler, 307, Location="file:///etc/passwd")),
    ],
)
def test_a_layer_that_is_not_what_was_promised(region: Region, far: Upstream, name: str, answer: Any) -> None:
    digest = far.image(f"bad/{name}", "1", LAYER)
    far.odd[f"/v2/bad/{name}/blobs/{sha256(LAYER)}"] = answer
    assert region.ask("GET", f"far/bad/{name}/manifests/1").status == 200
    said = region.ask("GET", f"far/bad/{name}/blobs/{sha256(LAYER)}")
    assert (said.status, said.error[0]) in ((503, "UNAVAILABLE"), (404, "BLOB_UNKNOWN"))
    assert "passwd" not in said.error[1] or name == "file"
    # Nothing of it is a record; and the next pull has it whole.
    assert region.ecr.list_images(repositoryName=f"far/bad/{name}")["imageIds"] == []
    far.odd.clear()
    assert region.ask("GET", f"far/bad/{name}/manifests/1").status == 200
    assert region.ask("GET", f"far/bad/{name}/blobs/{sha256(LAYER)}").body == LAYER
    settled(region, f"far/bad/{name}", digest)


def _body(content: bytes, *, until: int = 0, go_on: threading.Event | None = None) -> Any:
    """An answer that stops at a byte until it may go on."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:until])
        handler.wfile.flush()
        if go_on is not None:
            go_on.wait(BOUND_S)
        handler.wfile.write(content[until:])

    return answer


@contextmanager
def blob(region: Region, repository: str, digest: str) -> Iterator[http.client.HTTPResponse]:
    """The answer to a layer's GET, to be read by whoever asked."""
    with closing(http.client.HTTPConnection("127.0.0.1", region.port, timeout=BOUND_S)) as connection:
        given = base64.b64encode(f"AWS:{region.token}".encode()).decode()
        headers = {"host": f"{ACCOUNT}.dkr.ecr.{REGION}.localhost", "authorization": f"Basic {given}"}
        connection.request("GET", f"/v2/{repository}/blobs/{digest}", headers=headers)
        yield connection.getresponse()


def test_a_layer_is_read_while_it_comes(region: Region, far: Upstream) -> None:
    digest, go_on = far.image("large", "1", LARGE), threading.Event()
    far.odd[f"/v2/large/blobs/{sha256(LARGE)}"] = _body(LARGE, until=4 * MIB, go_on=go_on)
    try:
        assert region.ask("GET", "far/large/manifests/1").status == 200
        with blob(region, "far/large", sha256(LARGE)) as first:
            assert (first.status, first.headers["content-length"]) == (200, str(len(LARGE)))
            begun = first.read(2 * MIB)
            go_on.set()
            assert begun + first.read() == LARGE
    finally:
        go_on.set()
    settled(region, "far/large", digest)
    assert far.times("GET", sha256(LARGE)) == 1


@pytest.mark.parametrize("content", [LARGE[:-1] + b"x", LARGE[:-1], LARGE + b"x"])
def test_a_wrong_layer_is_never_given_whole(region: Region, far: Upstream, content: bytes) -> None:
    name = f"wrong/{sha256(content)[7:15]}"
    far.image(name, "1", LARGE)
    far.odd[f"/v2/{name}/blobs/{sha256(LARGE)}"] = _body(content)
    assert region.ask("GET", f"far/{name}/manifests/1").status == 200
    with blob(region, f"far/{name}", sha256(LARGE)) as found:
        if found.status == 200:
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                found.read()
        else:
            assert found.status in (404, 503)
    assert region.ecr.list_images(repositoryName=f"far/{name}")["imageIds"] == []


def test_who_reads_slowly_holds_nobody(far: Upstream) -> None:
    knobs = replace(DEFAULT_KNOBS, image_read_along_bytes=MIB, image_read_along_stall_s=0.2)
    content = LARGE * 8
    digest = far.image("slow", "1", content)
    with live_region(knobs, upstreams=(far.address,)) as region:
        region.ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="far", upstreamRegistryUrl=far.address)
        assert region.ask("GET", "far/slow/manifests/1").status == 200
        with blob(region, "far/slow", sha256(content)):
            settled(region, "far/slow", digest)
        assert region.ask("GET", f"far/slow/blobs/{sha256(content)}").body == content


@pytest.mark.parametrize(
    "content",
    [
        b"no json",
        b"[]",
        b'{"schemaVersion":1}',
        b"{" * 100_000,
        b'{"schemaVersion":2,"mediaType":"text/html"}',
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":['
        + b",".join(b'{"digest":"sha256:%064d","size":1}' % n for n in range(200))
        + b"]}",
        manifest_of().replace(b'"size": 37', b'"size": 99999999999999'),
        b" " * (5 * 1024 * 1024),
    ],
)
def test_a_manifest_that_is_none(region: Region, far: Upstream, content: bytes) -> None:
    far.manifest("nonsense", "1", "application/vnd.oci.image.manifest.v1+json", content)
    said = region.ask("GET", "far/nonsense/manifests/1")
    assert (said.status, said.error[0]) == (503, "UNAVAILABLE"), said.body
    assert region.live.region.services.images.registry.find(ACCOUNT, "far/nonsense") is None or (  # type: ignore[union-attr]
        region.ecr.list_images(repositoryName="far/nonsense")["imageIds"] == []
    )


def test_a_manifest_with_another_digest(region: Region, far: Upstream) -> None:
    far.odd["/v2/forged/"] = lambda handler: reply(handler, 200, manifest_of(b"forged"))
    said = region.ask("GET", f"far/forged/manifests/{sha256(manifest_of(LAYER))}")
    assert (said.status, said.error[0]) == (503, "UNAVAILABLE")


def test_a_token_realm_of_this_machine_is_not_asked(region: Region, far: Upstream) -> None:
    with upstream() as other:
        realm = f'Bearer realm="http://{other.address}/token",service="s"'
        far.odd["/v2/realm/"] = lambda handler: reply(handler, 401, WWW_Authenticate=realm)
        assert region.ask("GET", "far/realm/manifests/1").status == 503
        assert other.asked == []


# -- credentials


def test_credentials_are_a_secret_of_the_account(region: Region, far: Upstream) -> None:
    secrets = region.client(region.root, "secretsmanager")
    arn = secrets.create_secret(**SECRET)["ARN"]
    region.ecr.create_pull_through_cache_rule(
        ecrRepositoryPrefix="closed", upstreamRegistryUrl=far.address, credentialArn=arn
    )
    digest = far.image("private", "1", LAYER)
    far.login = "Basic dTp0"
    assert region.ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix="closed")["isValid"] is True
    assert region.ask("GET", "closed/private/manifests/1").status == 200
    settled(region, "closed/private", digest)
    refusal = region.ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix="far")
    assert refusal["isValid"] is False
    assert "authorization failed" in refusal["failure"]
    denied = region.ask("GET", "far/private/manifests/1")
    assert (denied.status, denied.error[0]) == (403, "DENIED")
    assert denied.error[1].startswith("The authentication to the upstream registry failed.")
    secrets.put_secret_value(SecretId=arn, SecretString="no json")
    assert region.ask("GET", "closed/private/manifests/2").status == 403
    secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    assert region.ask("GET", "closed/private/manifests/2").error[1].startswith("The ARN of the secret")
    assert region.ask("GET", "closed/private/manifests/1").status == 200


# -- rules


def test_rules_as_the_api_knows_them(region: Region) -> None:
    ecr = region.ecr
    made = ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="quay/", upstreamRegistryUrl="quay.io")
    assert (made["ecrRepositoryPrefix"], made["upstreamRegistry"], made["registryId"]) == ("quay", "quay", ACCOUNT)
    assert refused(ecr.create_pull_through_cache_rule, ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")[
        0
    ] == ("PullThroughCacheRuleAlreadyExistsException")
    ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="ROOT", upstreamRegistryUrl="public.ecr.aws")
    found = ecr.describe_pull_through_cache_rules(ecrRepositoryPrefixes=["quay"])["pullThroughCacheRules"]
    assert [one["upstreamRegistryUrl"] for one in found] == ["quay.io"]
    pages = ecr.get_paginator("describe_pull_through_cache_rules").paginate(PaginationConfig={"PageSize": 1})
    listed = [one["ecrRepositoryPrefix"] for page in pages for one in page["pullThroughCacheRules"]]
    assert listed == sorted(listed)
    assert {"ROOT", "far", "quay"} <= set(listed)
    for prefix in ("quay", "ROOT"):
        assert ecr.delete_pull_through_cache_rule(ecrRepositoryPrefix=prefix)["ecrRepositoryPrefix"] == prefix
        for call in (
            ecr.delete_pull_through_cache_rule,
            ecr.update_pull_through_cache_rule,
            ecr.validate_pull_through_cache_rule,
        ):
            assert refused(call, ecrRepositoryPrefix=prefix)[0] == "PullThroughCacheRuleNotFoundException"


def test_rules_that_are_refused(region: Region) -> None:
    def said(**params: Any) -> tuple[str, str]:
        return refused(region.ecr.create_pull_through_cache_rule, **{"ecrRepositoryPrefix": "one", **params})

    for host in ("harbor.example.com", "127.0.0.1:1", "https://quay.io", "quay.io/x", ""):
        code, message = said(upstreamRegistryUrl=host)
        assert code == "UnsupportedUpstreamRegistryException"
        assert (
            message
            == f"The upstream registry URL {host} is invalid. Specify a valid upstream registry URL and try again"
        )
    assert said(upstreamRegistryUrl="quay.io", upstreamRegistry="k8s")[0] == "UnsupportedUpstreamRegistryException"
    assert said(upstreamRegistryUrl="registry-1.docker.io")[0] == "ValidationException"
    assert said(upstreamRegistryUrl="quay.io", customRoleArn="arn:aws:iam::1:role/x")[0] == "ValidationException"
    assert said(upstreamRegistryUrl="quay.io", registryId="210987654321")[0] == "InvalidParameterException"
    base = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:"
    hub = {"upstreamRegistryUrl": "registry-1.docker.io"}
    assert said(**hub, credentialArn=f"{base}ecr-pullthroughcache/none-abcdef")[0] == "SecretNotFoundException"
    foreign = base.replace(ACCOUNT, "210987654321")
    assert said(**hub, credentialArn=f"{foreign}ecr-pullthroughcache/a-abcdef")[0] == "UnableToAccessSecretException"
    assert said(**hub, credentialArn=f"{base}other/none-abcdef")[0] == "InvalidParameterException"
    assert said(upstreamRegistryUrl="quay.io", ecrRepositoryPrefix="Upper")[0] == "InvalidParameterException"
