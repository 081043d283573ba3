"""Images and registries made to break the agent: every one of them is refused in a sentence, none raises a fault."""

import json
from typing import Any

import pytest

from neargate.sandbox.pull.credentials import parse_challenges
from neargate.sandbox.pull.failures import PullFailure
from neargate.sandbox.pull.manifest import (
    MANIFEST_MAX_BYTES,
    OCI_MANIFEST,
    BadImage,
    choose_platform,
    media_type_of,
    parse_config,
    parse_manifest,
)
from neargate.sandbox.pull.registry import _token_of
from neargate.sandbox.pull.transport import _redirected

DIGEST = "sha256:" + "0" * 64
PLATFORM = {"os": "linux", "architecture": "amd64"}
# What JSON can say where a string, a number or a list is expected.
NONSENSE: tuple[Any, ...] = (None, True, -1, 1e308, 2**80, "", "\ud800", "a\0b", [], [[]], {}, {"a": []}, ["x", 1])


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
def test_an_index_of_nonsense_is_a_bad_image(value: Any) -> None:
    entry = {"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": 7, "platform": PLATFORM}
    documents = [value, {"manifests": value}, {"manifests": [value]}]
    documents += [{"manifests": [entry | {name: value}]} for name in entry]
    documents += [{"manifests": [entry | {"platform": PLATFORM | {name: value}}]} for name in PLATFORM]
    for document in documents:
        try:
            chosen = choose_platform(_json(document), "amd64")
        except BadImage:
            continue
        assert chosen.digest == DIGEST and chosen.size == 7


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
def test_a_manifest_of_nonsense_is_a_bad_image(value: Any) -> None:
    blob = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": DIGEST, "size": 7}
    whole = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": blob, "layers": [blob]}
    documents = [value] + [whole | {name: value} for name in whole]
    documents += [whole | {"layers": [blob | {name: value}]} for name in blob]
    for document in documents:
        try:
            media_type_of(_json(document), OCI_MANIFEST)
            manifest = parse_manifest(_json(document))
        except BadImage:
            continue
        assert manifest.layers[0].digest == DIGEST


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
@pytest.mark.parametrize(
    "name", ["Entrypoint", "Cmd", "Env", "User", "WorkingDir", "StopSignal", "Volumes", "Labels", "ExposedPorts"]
)
def test_a_config_of_nonsense_is_bounded_text_or_a_bad_image(name: str, value: Any) -> None:
    for member in (value, [value], {"x": value}):
        config = {"rootfs": {"diff_ids": [DIGEST]}, "config": {name: member}}
        try:
            parsed = parse_config(_json(config), "amd64", 1)
        except BadImage:
            continue
        # Everything that is kept can be written into labels, databases and specifications.
        words = [*parsed.entry_point, *parsed.command, *parsed.volumes, parsed.user, parsed.working_directory]
        words += [parsed.stop_signal, *(word for pair in parsed.environment for word in pair)]
        assert all("\0" not in word and word.encode() is not None for word in words)


def test_documents_nested_without_end_are_refused() -> None:
    deep = b"[" * 200_000
    for read in (
        lambda: parse_manifest(deep),
        lambda: choose_platform(deep, "amd64"),
        lambda: parse_config(deep, "", 1),
    ):
        with pytest.raises(BadImage):
            read()
    with pytest.raises(PullFailure):
        _token_of(deep, "anonymous")


@pytest.mark.parametrize(
    "location", ["http://[::1", "http://[x]/", "file:///etc/shadow", "unix:/run/x", "//[", "ftp://a"]
)
def test_a_redirect_to_nowhere_is_refused(location: str) -> None:
    with pytest.raises(PullFailure):
        _redirected("http://registry.example/v2/a/blobs/b", location)


def test_documents_of_very_many_values_are_not_read() -> None:
    """Four mebibytes of them would be a hundred in memory, and many pulls go on at a time."""
    many = b'{"schemaVersion":2,"layers":[' + b"{}," * 1_300_000 + b"{}]}"
    assert len(many) < MANIFEST_MAX_BYTES
    for read in (lambda: parse_manifest(many), lambda: media_type_of(many, ""), lambda: choose_platform(many, "amd64")):
        with pytest.raises(BadImage, match="more than 100000 values"):
            read()


@pytest.mark.timeout(10)  # half a minute before names were bounded, with every thread of the agent standing still
def test_challenges_without_end_are_read_in_no_time() -> None:
    for rest in ("a" * 4089, "a_" * 2040, "a " * 2040, 'a="' * 1363, "a" + " " * 4080 + "="):
        assert len(parse_challenges([f"Bearer {rest}"] * 100)) <= 8
    [challenge] = parse_challenges(['Bearer realm = "https://a/token", service=b,scope="repository:x:pull"'])
    assert (challenge.realm, challenge.service, challenge.scope) == ("https://a/token", "b", "repository:x:pull")


def test_a_redirect_never_leaves_encryption() -> None:
    with pytest.raises(PullFailure):
        _redirected("https://registry.example/v2/", "http://registry.example/v2/")
