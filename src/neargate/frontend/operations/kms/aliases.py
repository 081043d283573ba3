"""CreateAlias, UpdateAlias, DeleteAlias, ListAliases. Each asks for the alias and for every key that it is of."""

from functools import partial
from typing import Any

from msgspec.structs import replace

from ....model.knobs import DEFAULT_KNOBS
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...keys.errors import AlreadyExists, InvalidState, KmsValidation, LimitExceeded, NotAuthorized, NotFound
from ...keys.records import AWS_SERVICES, KeyAlias, KeyState, KmsKey, alias_arn
from ...regional.shelves import Change, Shelf
from ...services import Services
from .asking import ask_for_alias, key_to_manage
from .paging import page

PER_KEY_MAX = 50
PAGE_DEFAULT = 50
_PREFIX, _RESERVED = "alias/", "alias/aws/"


async def create_alias(call: Call, services: Services, params: Params) -> Answer:
    name = _named(params)
    ask_for_alias(call, services, name)
    key = _target(call, services, params)
    _check_name(name)
    await services.keys.change(call.account, partial(_created, name=name, key=key, now=round(call.now, 3)))
    return {}


async def update_alias(call: Call, services: Services, params: Params) -> Answer:
    name = _named(params)
    ask_for_alias(call, services, name)
    _ask_for_current(call, services, name)
    key = _target(call, services, params)
    _check_name(name)
    await services.keys.change(call.account, partial(_moved, name=name, key=key, now=round(call.now, 3)))
    return {}


async def delete_alias(call: Call, services: Services, params: Params) -> Answer:
    name = _named(params)
    ask_for_alias(call, services, name)
    _ask_for_current(call, services, name)
    _check_name(name)

    def deleted(shelf: Shelf) -> Change[None]:
        return Change(result=None, drop=(_alias(shelf, name, services.region),))

    await services.keys.change(call.account, deleted)
    return {}


async def list_aliases(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "kms:ListAliases", ["*"])
    named = params.get("KeyId")
    key = None if named is None else services.keys.find(call.account, named)
    if key is not None and key.account != call.account:
        # In the words for a key that is not there: whether another account has it is not for strangers to learn.
        is_alias = str(named).rpartition(":")[2].startswith(_PREFIX)
        raise NotFound(f"Alias {named} is not found." if is_alias else f"Key '{named}' does not exist")
    shelf = services.keys.shelf(call.account)
    if key is None:
        shown = [_entry(alias) for alias in shelf.all(KeyAlias)]
    else:
        named_so = (shelf.find(KeyAlias, name) for name in services.keys.aliases(key))
        shown = [_entry(alias) for alias in named_so if alias is not None]
    if key is None:
        shown += _unused(services, call.account, {entry["AliasName"] for entry in shown})
        shown.sort(key=lambda entry: str(entry["AliasName"]))
    chosen, more = page(call, params, shown, lambda entry: str(entry["AliasName"]), default=PAGE_DEFAULT)
    return {"Aliases": chosen, **more}


def _entry(alias: KeyAlias) -> dict[str, Any]:
    return {
        "AliasName": alias.name,
        "AliasArn": alias.arn,
        "TargetKeyId": alias.key,
        "CreationDate": alias.created,
        "LastUpdatedDate": alias.updated,
    }


def _unused(services: Services, account: str, there: set[Any]) -> list[dict[str, Any]]:
    """AWS's own aliases whose keys nobody has needed yet: listed without a key, as on AWS."""
    names = [f"{_RESERVED}{service}" for service in AWS_SERVICES]
    return [
        {"AliasName": name, "AliasArn": alias_arn(services.region, account, name)}
        for name in names
        if name not in there
    ]


def _target(call: Call, services: Services, params: Params) -> KmsKey:
    named: str = params["TargetKeyId"]
    if named.rpartition(":")[2].startswith(_PREFIX):
        raise KmsValidation("Aliases must refer to keys. Not aliases")
    return key_to_manage(call, services, named)


def _ask_for_current(call: Call, services: Services, name: str) -> None:
    alias = services.keys.shelf(call.account).find(KeyAlias, name)
    if alias is not None and services.keys.by_id(alias.key) is not None:
        key_to_manage(call, services, alias.key)


def _named(params: Params) -> str:
    name: str = params["AliasName"]
    if not name.startswith(_PREFIX) or len(name) == len(_PREFIX):
        raise KmsValidation("Invalid identifier")
    return name


def _check_name(name: str) -> None:
    if name.startswith(_RESERVED):
        raise NotAuthorized(f"Aliases that begin with {_RESERVED} are AWS's own.")


def _alias(shelf: Shelf, name: str, region: str) -> KeyAlias:
    alias = shelf.find(KeyAlias, name)
    if alias is None:
        raise NotFound(f"Alias {alias_arn(region, shelf.account, name)} is not found.")
    return alias


def _check_target(shelf: Shelf, name: str, key: KmsKey) -> None:
    found = shelf.find(KmsKey, key.name)
    if found is None:
        raise NotFound(f"Key '{key.arn}' does not exist")
    if found.state is KeyState.PENDING_DELETION:
        raise InvalidState(f"{key.arn} is pending deletion.")
    if sum(alias.key == key.name and alias.name != name for alias in shelf.all(KeyAlias)) >= PER_KEY_MAX:
        raise LimitExceeded(f"A key has at most {PER_KEY_MAX} aliases.")


def _created(shelf: Shelf, *, name: str, key: KmsKey, now: float) -> Change[None]:
    if shelf.find(KeyAlias, name) is not None:
        arn = alias_arn(key.region, shelf.account, name)
        raise AlreadyExists(f"An alias with the name {arn} already exists")
    if shelf.count(KeyAlias) >= DEFAULT_KNOBS.kms_aliases_max:
        raise LimitExceeded(f"You have reached the maximum of {DEFAULT_KNOBS.kms_aliases_max} aliases in this account.")
    _check_target(shelf, name, key)
    alias = KeyAlias(account=shelf.account, name=name, region=key.region, key=key.name, created=now, updated=now)
    return Change(result=None, put=(alias,))


def _moved(shelf: Shelf, *, name: str, key: KmsKey, now: float) -> Change[None]:
    alias = _alias(shelf, name, key.region)
    _check_target(shelf, name, key)
    return Change(result=None, put=(replace(alias, key=key.name, updated=now),))
