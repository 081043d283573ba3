"""What a request to the registry's door is about: host, path and query to account, repository and thing. Pure.

The account is in the host's name, as on AWS (`ACCOUNT.dkr.ecr.REGION.DOMAIN`); under any other name of the endpoint it
is the first part of the repository's. Invariant: a part that does not have its grammar is no path of ours.
"""

import re
from urllib.parse import unquote_to_bytes

from msgspec import Struct

_ACCOUNT_HOST = re.compile(r"([0-9]{12})\.dkr\.ecr\.([a-z0-9-]{1,32})\.[a-z0-9.-]{1,200}(?::[0-9]{1,5})?", re.ASCII)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
UPLOAD = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_PATH_MAX = 1024
NAME_MAX = 256
_KINDS = (
    ("tags", re.compile(r"(.+)/tags/(list)", re.ASCII)),
    ("manifests", re.compile(r"(.+)/manifests/([^/]+)", re.ASCII)),
    ("upload", re.compile(r"(.+)/blobs/uploads/([^/]*)", re.ASCII)),
    ("blobs", re.compile(r"(.+)/blobs/([^/]+)", re.ASCII)),
)


class Place(Struct, frozen=True, kw_only=True):
    """`kind`: base, catalog, tags, manifests, blobs, upload. `prefix`: the client's path up to the repository's name.

    `reference`: a tag or digest, an upload's id, empty for one that begins.
    """

    kind: str
    account: str = ""
    name: str = ""
    reference: str = ""
    prefix: str = "/v2/"

    @property
    def base(self) -> str:
        """The client's path of the repository, without a slash at its end."""
        return f"{self.prefix}{self.name}"


def account_of_host(host: bytes, region: str) -> str | None:
    """The account that a Host header names in this region."""
    found = _ACCOUNT_HOST.fullmatch(host[:300].decode("latin-1").lower())
    return found[1] if found is not None and found[2] == region else None


def place_of(path: bytes, account: str | None) -> Place | None:
    """`path`: as it came. `account`: the host's, None where the path must name one. None: nothing is there."""
    if len(path) > _PATH_MAX or not path.startswith(b"/v2"):
        return None
    text = unquote_to_bytes(path).decode("latin-1")
    if text in ("/v2", "/v2/"):
        return Place(kind="base", account=account or "")
    if text == "/v2/_catalog":
        return Place(kind="catalog", account=account or "")
    rest, prefix = text.removeprefix("/v2/"), "/v2/"
    if account is None:
        account, slash, rest = rest.partition("/")
        if re.fullmatch(r"[0-9]{12}", account, re.ASCII) is None or not slash:
            return None
        prefix = f"/v2/{account}/"
    for kind, pattern in _KINDS:
        found = pattern.fullmatch(rest)
        if found is not None:
            return _checked(Place(kind=kind, account=account, name=found[1], reference=found[2], prefix=prefix))
    return None


def _checked(place: Place) -> Place | None:
    grammars = {"blobs": (DIGEST,), "manifests": (TAG, DIGEST), "upload": (UPLOAD,), "tags": (re.compile("list"),)}
    starts = place.kind == "upload" and not place.reference
    fits = starts or any(one.fullmatch(place.reference) for one in grammars[place.kind])
    return place if fits and len(place.name) <= NAME_MAX and NAME.fullmatch(place.name) else None
