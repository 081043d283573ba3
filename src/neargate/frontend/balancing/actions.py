"""Actions of listeners and rules: from a request to what is kept, and back to what AWS shows. Pure.

Owns what an action alone may say; which target groups there are is `associations.py`'s.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .errors import ValidationError
from .listener_errors import InvalidAction, TooManyActions
from .objects import Action, GroupWeight

FORWARD, REDIRECT, FIXED = "forward", "redirect", "fixed-response"
WEIGHT_MAX = 999
STICKY_MAX_S = 604_800
_CONTENT_TYPES = ("text/html", "application/json", "application/javascript", "text/css", "text/plain")
_AS_IT_CAME = {
    "Protocol": "#{protocol}",
    "Port": "#{port}",
    "Host": "#{host}",
    "Path": "/#{path}",
    "Query": "#{query}",
}
_NOT_BUILT = {
    "authenticate-oidc": "Neargate's load balancers authenticate nobody: there are no authenticate-oidc actions",
    "authenticate-cognito": "Neargate's load balancers authenticate nobody: there is no Cognito",
    "jwt-validation": "Neargate's load balancers authenticate nobody: there are no jwt-validation actions",
}
_PLACEHOLDER = re.compile(r"#\{([^}]*)\}")
_MAY_HOLD = {"Host": {"host"}, "Path": {"path", "host", "port"}, "Query": {"query", "path", "host", "port", "protocol"}}
_HOST = re.compile(r"[A-Za-z0-9.*?#{}_-]+")
_VISIBLE = re.compile(r"[\x21-\x7e]*")  # what a Location header can hold


def given_actions(given: Sequence[Mapping[str, Any]]) -> tuple[Action, ...]:
    """Raises ValidationError, InvalidAction, TooManyActions."""
    for one in given:
        if one["Type"] in _NOT_BUILT:
            raise InvalidAction(_NOT_BUILT[one["Type"]])
    if not given:
        raise ValidationError("You must specify an action of type forward, redirect or fixed-response")
    if len(given) > 1:
        raise TooManyActions
    read = _READERS.get(given[0]["Type"])
    if read is None:
        raise ValidationError(f"Action type '{given[0]['Type']}' must be one of '{', '.join(_READERS)}'")
    return (read(given[0]),)


def _forward(given: Mapping[str, Any]) -> Action:
    config: Mapping[str, Any] = given.get("ForwardConfig") or {}
    listed = config.get("TargetGroups") or []
    arn = given.get("TargetGroupArn")
    groups = [_weighed(one) for one in listed] or ([GroupWeight(arn=arn)] if arn else [])
    if not groups:
        raise ValidationError("A target group ARN must be specified")
    if arn and [one.arn for one in groups] != [arn]:
        raise InvalidAction("A TargetGroupArn must be the only target group in ForwardConfig when both are specified")
    if len({one.arn for one in groups}) != len(groups):
        raise InvalidAction("A target group can be specified only once in a forward action")
    sticky: Mapping[str, Any] = config.get("TargetGroupStickinessConfig") or {}
    is_sticky, duration_s = bool(sticky.get("Enabled")), sticky.get("DurationSeconds")
    if (is_sticky and duration_s is None) or (duration_s is not None and not 1 <= duration_s <= STICKY_MAX_S):
        raise ValidationError(f"Target group stickiness duration must be between '1' and '{STICKY_MAX_S}' seconds")
    return Action(kind=FORWARD, order=given.get("Order"), groups=tuple(groups), sticky=is_sticky, sticky_s=duration_s)


def _weighed(given: Mapping[str, Any]) -> GroupWeight:
    weight = given.get("Weight")
    if weight is not None and not 0 <= weight <= WEIGHT_MAX:
        raise ValidationError(f"Target group weight '{weight}' must be between '0' and '{WEIGHT_MAX}'")
    if not given.get("TargetGroupArn"):
        raise ValidationError("A target group ARN must be specified")
    return GroupWeight(arn=given["TargetGroupArn"], weight=1 if weight is None else weight)


def _redirect(given: Mapping[str, Any]) -> Action:
    config: Mapping[str, Any] | None = given.get("RedirectConfig")
    if not config:
        raise ValidationError("A RedirectConfig must be specified with an action of type redirect")
    said = {**_AS_IT_CAME, **{name: config[name] for name in _AS_IT_CAME if config.get(name) is not None}}
    _check_port(said["Port"])
    _check_placeholders(said)
    if not said["Path"].startswith("/"):
        raise ValidationError(
            "The Path parameter must be a valid path, should start with a '/', and may only contain up to one of each "
            "of these placeholders: '#{path}', '#{host}', '#{port}'."
        )
    if said == _AS_IT_CAME:
        raise InvalidAction("The redirect configuration is not valid because it creates a loop.")
    said["StatusCode"] = config["StatusCode"]
    return Action(kind=REDIRECT, order=given.get("Order"), redirect=tuple(said.items()))


def _check_port(port: str) -> None:
    if port != "#{port}" and not (port.isdecimal() and port.isascii() and 1 <= int(port[:6]) <= 65535):
        raise ValidationError("The Port parameter must be a value from 1 to 65535 or '#{port}'.")


def _check_placeholders(said: Mapping[str, str]) -> None:
    for name, known in _MAY_HOLD.items():
        found = _PLACEHOLDER.findall(said[name])
        if not known.issuperset(found) or len(set(found)) != len(found) or not _VISIBLE.fullmatch(said[name]):
            raise ValidationError(f"The {name} parameter has a character or a placeholder that it cannot have.")
    if not _HOST.fullmatch(said["Host"]):
        raise ValidationError("The Host parameter must be a valid host name, and may contain '#{host}'.")


def _fixed(given: Mapping[str, Any]) -> Action:
    config: Mapping[str, Any] | None = given.get("FixedResponseConfig")
    if not config:
        raise ValidationError("A FixedResponseConfig must be specified with an action of type fixed-response")
    content_type = config.get("ContentType")
    if content_type and content_type not in _CONTENT_TYPES:
        listed = ", ".join(f"'{one}'" for one in _CONTENT_TYPES)
        raise InvalidAction(f"The ContentType must be one of:{listed}")
    if "\0" in (config.get("MessageBody") or ""):
        raise ValidationError("The MessageBody has a character that it cannot have")
    said = {name: config[name] for name in ("MessageBody", "StatusCode", "ContentType") if config.get(name)}
    return Action(kind=FIXED, order=given.get("Order"), fixed=tuple(said.items()))


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Action]] = {
    FORWARD: _forward,
    REDIRECT: _redirect,
    FIXED: _fixed,
}


def shown_action(action: Action) -> dict[str, Any]:
    """As AWS shows it: a forward to one group in both forms."""
    found: dict[str, Any] = {"Type": action.kind}
    if action.order is not None:
        found["Order"] = action.order
    if action.kind == REDIRECT:
        return found | {"RedirectConfig": dict(action.redirect)}
    if action.kind == FIXED:
        return found | {"FixedResponseConfig": dict(action.fixed)}
    sticky: dict[str, Any] = {"Enabled": action.sticky}
    if action.sticky_s is not None:
        sticky["DurationSeconds"] = action.sticky_s
    if len(action.groups) == 1:
        found["TargetGroupArn"] = action.groups[0].arn
    groups = [{"TargetGroupArn": one.arn, "Weight": one.weight} for one in action.groups]
    return found | {"ForwardConfig": {"TargetGroups": groups, "TargetGroupStickinessConfig": sticky}}
