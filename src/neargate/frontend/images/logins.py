"""The credentials of another registry: a secret of the account, as a cache rule names it.

Read for a rule, not for whoever pulls: as on AWS a caller needs no leave for the secret, and never sees it.
"""

import re

import msgspec

from ...interfaces.upstream import Login
from ...model.concealed import Concealed
from ..secrets.errors import DecryptionFailed
from ..secrets.records import CURRENT
from ..secrets.registry import SecretRegistry
from .errors import UnableToAccessSecret, UnableToDecryptSecretValue, UpstreamSecretNotFound

PREFIX = "ecr-pullthroughcache/"
_PLAIN = re.compile(r"[\x21-\x7e]{1,8192}", re.ASCII)


class _Written(Concealed, frozen=True, kw_only=True):
    """What ECR wants the secret to be."""

    username: str
    accessToken: str  # noqa: N815 - ECR's name


def login_of(secrets: SecretRegistry | None, account: str, arn: str) -> Login:
    """Raises UpstreamSecretNotFound, UnableToAccessSecret, UnableToDecryptSecretValue."""
    if secrets is None:
        raise UnableToAccessSecret
    owner, name = secrets.meant(account, arn)
    if owner != account or not name.startswith(PREFIX):
        raise UnableToAccessSecret
    secret = secrets.find(account, arn)
    version = None if secret is None or secret.deletion is not None else secret.staged(CURRENT)
    if secret is None or version is None:
        raise UpstreamSecretNotFound
    try:
        written = msgspec.json.decode(secrets.opened(secret, version).secret, type=_Written)
    except DecryptionFailed:
        raise UnableToDecryptSecretValue from None
    except (msgspec.MsgspecError, UnicodeError):
        raise UnableToAccessSecret from None
    if not _PLAIN.fullmatch(written.username) or not _PLAIN.fullmatch(written.accessToken):
        raise UnableToAccessSecret
    return Login(username=written.username, password=written.accessToken)
