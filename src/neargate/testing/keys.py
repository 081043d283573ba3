"""Keys of tests that have many accounts and no identities."""

from ..frontend.call import Principal
from ..frontend.callers.credentials import administrator


class OneKeyEach:
    """Implements KeyRing: each account's administrator has the key `AKIA<account>`; all have one secret."""

    def __init__(self, account: str, secret: str) -> None:
        self.account = account
        self._secret = secret

    def secret_of(self, access_key_id: str, token: str | None, now: float) -> str | None:
        del access_key_id, token, now
        return self._secret

    def principal(self, access_key_id: str, token: str | None, now: float) -> Principal:
        del token, now
        return administrator(access_key_id.removeprefix("AKIA"), access_key_id)

    def note_use(self, principal: Principal, service: str) -> None:
        del principal, service
