"""The operator's registry credentials: docker's config.json, looked at for every pull."""

import json
from base64 import b64encode
from pathlib import Path

import pytest

from neargate.sandbox.pull.credentials import AuthFile, BadAuthFile, Credentials, RegistryAuth


def document(password: str, registry: str = "registry.example:5000") -> bytes:
    word = b64encode(f"user:{password}".encode()).decode()
    return json.dumps({"auths": {registry: {"auth": word}}}).encode()


def test_a_changed_file_counts_from_the_next_pull(tmp_path: Path) -> None:
    notes: list[str] = []
    file = tmp_path / "registry-auth.json"
    auth = AuthFile(str(file), notes.append)
    assert auth.find("registry.example:5000") is None
    file.write_bytes(document("first"))
    assert auth.find("registry.example:5000") == Credentials(username="user", password="first")
    fresh = tmp_path / "new"
    fresh.write_bytes(document("other"))
    fresh.replace(file)
    assert auth.find("registry.example:5000") == Credentials(username="user", password="other")
    file.unlink()
    assert auth.find("registry.example:5000") is None
    assert not notes


def test_a_broken_file_changes_nothing_and_is_said_once(tmp_path: Path) -> None:
    notes: list[str] = []
    file = tmp_path / "registry-auth.json"
    file.write_bytes(document("first"))
    auth = AuthFile(str(file), notes.append)
    auth.find("registry.example:5000")
    file.write_bytes(b'{"auths": ')
    for _ in range(3):
        assert auth.find("registry.example:5000") == Credentials(username="user", password="first")
    assert len(notes) == 1 and "not JSON" in notes[0]


@pytest.mark.parametrize(
    "text",
    [b"[]", b'{"auths": 1}', b'{"auths": {"a": 1}}', b'{"auths": {"a": {"auth": "!"}}}', b"x" * (1 << 20) + b"x"],
)
def test_what_is_no_config_json_is_refused(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(text)
    with pytest.raises(BadAuthFile):
        RegistryAuth.load(str(file))


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "registry-1.docker.io"])
def test_docker_hub_has_many_names(key: str) -> None:
    assert RegistryAuth.parse(document("p", key)).find("docker.io") == Credentials(username="user", password="p")
