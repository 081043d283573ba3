"""The key of the first account's administrator, from the operator's file. All other keys: principals.py."""

import base64
import hashlib
from pathlib import Path

import msgspec

from ...model.arn import Arn
from ...model.concealed import Concealed
from ...model.ids import ACCOUNT_PATTERN
from ..call import Principal


class CredentialsUnreadable(Exception):
    """The file is missing or not what it should be; the message names it."""


class AccessKey(Concealed, frozen=True, kw_only=True):
    """A key pair and whom it proves."""

    access_key_id: str
    secret_access_key: str
    principal: Principal


class Credentials:
    """Lookup by access key id."""

    def __init__(self, *, account: str, access_key_id: str, secret_access_key: str) -> None:
        self.account = account
        self.administrator = principal = administrator(account, access_key_id)
        self._keys = {
            access_key_id: AccessKey(
                access_key_id=access_key_id, secret_access_key=secret_access_key, principal=principal
            )
        }

    @staticmethod
    def load(path: Path) -> "Credentials":
        """From `{"account", "access_key_id", "secret_access_key"}`. Raises CredentialsUnreadable."""
        try:
            document = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
            account, key, secret = (document[name] for name in ("account", "access_key_id", "secret_access_key"))
        except (OSError, UnicodeError, msgspec.MsgspecError, KeyError) as error:
            why = f"{type(error).__name__}: {error}"  # a UnicodeError's repr would show the key
            raise CredentialsUnreadable(f"{path}: cannot read the administrator's key: {why}") from error
        if not ACCOUNT_PATTERN.match(account) or not key or not secret:
            raise CredentialsUnreadable(f"{path}: account must be 12 digits, the keys not empty")
        return Credentials(account=account, access_key_id=key, secret_access_key=secret)

    def secret_of(self, access_key_id: str, token: str | None, now: float) -> str | None:
        """None: no such key. It has no sessions."""
        del now
        key = self._keys.get(access_key_id) if token is None else None
        return None if key is None else key.secret_access_key

    def note_use(self, principal: Principal, service: str) -> None:
        """Nobody asks when the administrator's key of the file was last used."""

    def principal(self, access_key_id: str, token: str | None, now: float) -> Principal:
        """Of a key that is there."""
        del token, now
        return self._keys[access_key_id].principal


def administrator(account: str, access_key_id: str) -> Principal:
    """The account's administrator, whichever key was used. The user id has IAM's form and follows from the account."""
    digest = base64.b32encode(hashlib.sha256(f"administrator/{account}".encode()).digest()).decode()
    return Principal(
        account=account,
        arn=str(Arn(service="iam", region="", account=account, resource="user/administrator")),
        user_id=f"AIDA{digest[:17]}",
        access_key_id=access_key_id,
        is_administrator=True,
        grants=None,
    )
