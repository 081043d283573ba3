"""What the operator's socket answers about accounts: makes one with all that AWS gives a new one, lists them, new keys.

An account is made in steps that may each be cut short: the identity, the default VPC, the key. The next start of the
region, or the same command again, completes them. A secret is told once, and is nowhere in the clear afterwards.
"""

from typing import Any

from ...frontend.identity import unique_ids
from ...frontend.identity.book import AccountBook
from ...frontend.identity.records import AccessKey, AccountRecord, User
from ...frontend.identity.registry import Change
from ...model.ids import ACCOUNT_PATTERN
from ...region import Region
from ..admin import Handler

Answer = dict[str, Any]
NAME_MAX = 50  # AWS's


class Refused(Exception):
    """The operator asked for what cannot be; the message says what to write instead."""


def handlers(region: Region) -> dict[str, Handler]:
    desk = AccountDesk(region)
    return {
        "account-create": desk.create,
        "account-list": desk.listed,
        "account-keys": desk.keys,
        "account-kernel": desk.kernel,
    }


class AccountDesk:
    def __init__(self, region: Region) -> None:
        self._services = region.services
        self._identity = region.services.identity
        self._kernels = region.kernels

    async def create(self, request: Answer) -> Answer:
        """`id` empty: a number of its own. The same `id` and `name` again complete what was cut short."""
        name, number = str(request.get("name", "")).strip(), str(request.get("id") or "")
        if not 0 < len(name) <= NAME_MAX or not name.isprintable():
            raise Refused(f"an account's name has 1 to {NAME_MAX} printable characters")
        if number and not ACCOUNT_PATTERN.match(number):
            raise Refused(f"--id {number!r} is not an account id; write 12 digits")
        known = self._identity.account(number) if number else None
        if known is not None and (known.name != name or self._administrator_keys(number)):
            raise Refused(f"account {number} is there ({known.name}); a new key: neargate account keys {number}")
        number = number or self._free_number()
        await self._identity.ensure_account(number, name)
        await self._services.network.ensure_defaults(number)
        return await self._new_key(number, replace=False)

    async def listed(self, _: Answer) -> Answer:
        return {"accounts": [self._shown(account) for account in self._identity.accounts()]}

    async def keys(self, request: Answer) -> Answer:
        """A new key of the account's administrator. `replace`: all that were made before end with it."""
        number = self._known(request)
        await self._services.network.ensure_defaults(number)
        return await self._new_key(number, replace=bool(request.get("replace")))

    async def kernel(self, request: Answer) -> Answer:
        """`allow`: its tasks may have what only a kernel of their own gives; what runs goes on in any case."""
        number = self._known(request)
        await (self._kernels.give if request.get("allow") else self._kernels.take_back)(number)
        return {"id": number}

    async def _new_key(self, number: str, *, replace: bool) -> Answer:
        world = self._services.world
        key_id = unique_ids.unique_id(unique_ids.KEY, world.random.getrandbits)
        secret = unique_ids.secret_access_key(world.random.getrandbits)
        made = AccessKey(
            account=number,
            name=key_id,
            uid=key_id,
            created=int(world.now()),
            user=None,
            is_active=True,
            sealed=self._identity.seal_secret(number, key_id, secret),
        )

        def decide(book: AccountBook) -> Change[None]:
            before = tuple(book.keys_of(None))
            if len(before) >= book.limit("AccessKeysPerUser") and not replace:
                raise Refused(
                    f"the administrator of account {number} has {len(before)} keys; --replace ends them and makes one"
                )
            return Change(result=None, put=(made,), drop=before if replace else ())

        await self._identity.change(number, decide)
        account = self._identity.account(number)
        assert account is not None, "an account does not go away"
        return self._shown(account) | {"access_key_id": key_id, "secret_access_key": secret}

    def _known(self, request: Answer) -> str:
        number = str(request.get("id", ""))
        if self._identity.account(number) is None:
            raise Refused(f"there is no account {number!r}; those that are: neargate account list")
        return number

    def _administrator_keys(self, number: str) -> list[AccessKey]:
        return self._identity.book(number).keys_of(None)

    def _free_number(self) -> str:
        while True:
            number = f"{self._services.world.random.randrange(10**11, 10**12)}"
            if self._identity.account(number) is None:
                return number

    def _shown(self, account: AccountRecord) -> Answer:
        return {
            "id": account.number,
            "name": account.name,
            "users": self._identity.book(account.number).count(User),
            "kernel": self._kernels.has(account.number),
            "keys": [key.name for key in self._administrator_keys(account.number)],
        }
