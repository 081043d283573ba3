"""PutAccountSetting, PutAccountSettingDefault, ListAccountSettings, DeleteAccountSetting.

Owns whose setting a request means; values and what holds are the registry's. Invariant: nobody but the root user
changes what another principal has set.
"""

from collections.abc import Iterator

from ....model.arn import Arn
from ....model.errors import AccessDenied, InvalidParameter
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...regional.account_settings import KNOWN, Setting, check_value, root_arn
from ...services import Services
from .paging import page_limit, page_start, take

PAGE_MAX = 10


async def put_account_setting(call: Call, services: Services, params: Params) -> Answer:
    name = params["name"]
    authorize(call, "ecs:PutAccountSetting", ["*"], {"ecs:account-setting": name})
    principal = _changed_principal(call, services, params)
    check_value(name, params["value"])
    if KNOWN[name].of_account and principal != root_arn(call.account):
        raise InvalidParameter(f"You must use the root user when you set {name}.")
    return await _put(call, services, principal, params)


async def put_account_setting_default(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ecs:PutAccountSettingDefault", ["*"], {"ecs:account-setting": params["name"]})
    check_value(params["name"], params["value"])
    return await _put(call, services, root_arn(call.account), params)


async def _put(call: Call, services: Services, principal: str, params: Params) -> Answer:
    name, value = params["name"], params["value"]
    await services.account_settings.put(call.account, principal, name, value)
    return {"setting": _shown(Setting(name=name, value=value, principal=principal))}


async def delete_account_setting(call: Call, services: Services, params: Params) -> Answer:
    """Answers what holds for the principal from now on."""
    name = params["name"]
    authorize(call, "ecs:DeleteAccountSetting", ["*"], {"ecs:account-setting": name})
    principal = _changed_principal(call, services, params)
    await services.account_settings.delete(call.account, principal, name)
    value = services.account_settings.effective(call.account, principal, name).value
    return {"setting": _shown(Setting(name=name, value=value, principal=principal))}


async def list_account_settings(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ecs:ListAccountSettings", ["*"])
    principal = _principal(call, services, params.get("principalArn"))
    start = page_start(call, params, str)
    found = _found(call, services, principal, params, "" if start is None else str(start[0]))
    page, token = take(found, page_limit(params, PAGE_MAX), call, lambda setting: (setting.name,))
    return {"settings": [_shown(setting) for setting in page]} | ({"nextToken": token} if token else {})


def _found(call: Call, services: Services, principal: str, params: Params, after: str) -> Iterator[Setting]:
    """By name, from behind `after`."""
    settings = services.account_settings
    look = settings.effective if params.get("effectiveSettings") else settings.own
    for name in sorted(KNOWN):
        setting = look(call.account, principal, name)
        if setting is None or name <= after or params.get("name") not in (None, name):
            continue
        if not params.get("value") or params["value"] == setting.value:
            yield setting


def _changed_principal(call: Call, services: Services, params: Params) -> str:
    """Raises AccessDenied for another's."""
    asked = params.get("principalArn")
    principal = _principal(call, services, asked)
    own = own_principal(call)
    if asked and own not in (root_arn(call.account), principal):
        raise AccessDenied("In order to use principalArn, you must be the root user, or the principal.")
    return principal


def own_principal(call: Call) -> str:
    """Whose settings hold for the caller: the user's, or the role's whose session it is.

    The account's administrator, whom no policy limits, is what the root user is on AWS.
    """
    if call.principal.is_administrator:
        return root_arn(call.account)
    return call.principal.role_arn or call.principal.arn


def _principal(call: Call, services: Services, asked: str | None) -> str:
    if not asked:
        return own_principal(call)
    arn = Arn.parse(asked)
    kind, _, path = ("", "", "") if arn is None else arn.resource.partition("/")
    name = path.rpartition("/")[2]
    known = {root_arn(call.account), own_principal(call)}
    if kind == "user":
        user = services.identity.user(call.account, name)
        known |= set() if user is None else {user.arn}
    elif kind == "role":
        role = services.identity.role(call.account, name)
        known |= set() if role is None else {role.arn}
    if asked not in known:
        raise InvalidParameter("Invalid setting 'principalArn'")
    return asked


def _shown(setting: Setting) -> dict[str, str]:
    kind = "aws_managed" if KNOWN[setting.name].is_managed else "user"
    return {"name": setting.name, "value": setting.value, "principalArn": setting.principal, "type": kind}
