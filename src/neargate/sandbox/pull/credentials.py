"""Registry credentials from an operator's file in the form of docker's config.json, and the `WWW-Authenticate` grammar.

Owns: which user and password belong to a registry. Credential helpers named in the file are never run: a file must not
make a root process execute programs. Pure apart from reading that one file.
"""

import base64
import binascii
import hashlib
import json
import os
import re
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from ...model.concealed import Concealed

_FILE_MAX_BYTES = 1024 * 1024
_CHALLENGE_MAX_CHARS = 4096
_CHALLENGES_MAX = 8
# A name begins where no name is and is short: looking for one costs no more than the text is long.
_PARAMETER = re.compile(r'(?<![A-Za-z_])([A-Za-z_]{1,32})\s{0,8}=\s{0,8}(?:"([^"]*)"|([^\s",]+))')
# Docker Hub is stored under its old address.
_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io")


class Credentials(Concealed, frozen=True, kw_only=True):
    username: str
    password: str

    @property
    def basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    @property
    def fingerprint(self) -> str:
        """Tells credentials apart in caches without keeping them there."""
        return hashlib.sha256(f"{self.username}:{self.password}".encode()).hexdigest()


class BadAuthFile(Exception):
    """The operator's file is not docker's config.json. The message names file and fault."""


class RegistryAuth(Struct, frozen=True, kw_only=True):
    """`entries`: registry host (with port) -> credentials."""

    entries: tuple[tuple[str, Credentials], ...] = ()

    @classmethod
    def load(cls, path: str) -> "RegistryAuth":
        with open(path, "rb") as file:
            document = file.read(_FILE_MAX_BYTES + 1)
        if len(document) > _FILE_MAX_BYTES:
            raise BadAuthFile(f"{path}: longer than {_FILE_MAX_BYTES} bytes")
        return cls.parse(document, path)

    @classmethod
    def parse(cls, document: bytes, path: str = "config.json") -> "RegistryAuth":
        try:
            value = json.loads(document)
        except ValueError:
            raise BadAuthFile(f"{path}: not JSON") from None
        auths = value.get("auths", {}) if isinstance(value, dict) else None
        if not isinstance(auths, dict):
            raise BadAuthFile(f'{path}: "auths" is not an object')
        entries = [(_host(key), _entry(path, key, item)) for key, item in auths.items()]
        return cls(entries=tuple((host, found) for host, found in entries if found is not None))

    def find(self, registry: str) -> Credentials | None:
        names = {_host(key) for key in _HUB_KEYS} if registry == "docker.io" else {registry}
        for host, credentials in self.entries:
            if host in names:
                return credentials
        return None


class CredentialSource(Protocol):
    """Where a pull finds its credentials: RegistryAuth, or the file that may change meanwhile."""

    def find(self, registry: str) -> Credentials | None: ...


class AuthFile:
    """The operator's file, looked at for every pull, so that new credentials need no restart. It may be missing.

    A file that cannot be read changes nothing (an editor may be in the middle of it); each such version is noted once.
    """

    def __init__(self, path: str, note: Callable[[str], None]) -> None:
        self._path = path
        self._note = note
        self._seen: tuple[int, int, int] | None = None
        self._auth = RegistryAuth()

    def find(self, registry: str) -> Credentials | None:
        version = self._version()
        if version != self._seen:
            self._seen = version
            self._auth = RegistryAuth() if version is None else self._load()
        return self._auth.find(registry)

    def _version(self) -> tuple[int, int, int] | None:
        """What a change changes. One stat of a local file: less than handing it to a thread."""
        try:
            facts = os.stat(self._path)
        except OSError:
            return None
        return facts.st_ino, facts.st_size, facts.st_mtime_ns

    def _load(self) -> RegistryAuth:
        try:
            return RegistryAuth.load(self._path)
        except (BadAuthFile, OSError) as error:
            self._note(f"registry credentials stay as they were: {error}")
            return self._auth


def _host(key: str) -> str:
    return re.sub(r"^https?://", "", key).split("/", 1)[0]


def _entry(path: str, key: str, item: object) -> Credentials | None:
    if not isinstance(item, dict):
        raise BadAuthFile(f"{path}: the entry of {key} is not an object")
    username, password = item.get("username"), item.get("password")
    if isinstance(username, str) and isinstance(password, str) and username:
        return Credentials(username=username, password=password)
    auth = item.get("auth")
    if not auth:
        return None  # docker writes an empty entry when a credential helper holds the secret
    try:
        username, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, TypeError, ValueError):
        raise BadAuthFile(f'{path}: "auth" of {key} is not base64 of user:password') from None
    if not colon:
        raise BadAuthFile(f'{path}: "auth" of {key} is not base64 of user:password')
    return Credentials(username=username, password=password.rstrip("\0"))


class Challenge(Struct, frozen=True, kw_only=True):
    """One scheme of WWW-Authenticate with its parameters, names in lower case."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""
    error: str = ""


def parse_challenges(headers: list[str]) -> tuple[Challenge, ...]:
    """Unknown schemes are kept (and then not answered); nonsense yields nothing, and more than a few are not read."""
    found: list[Challenge] = []
    for header in headers[:_CHALLENGES_MAX]:
        scheme, _, rest = header[:_CHALLENGE_MAX_CHARS].strip().partition(" ")
        parameters = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
        known = {name: parameters.get(name, "") for name in ("realm", "service", "scope", "error")}
        if scheme:
            found.append(Challenge(scheme=scheme.lower(), **known))
    return tuple(found)
