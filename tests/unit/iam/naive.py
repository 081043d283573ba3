"""A second evaluator of IAM policies, written from the flow chart and tables of AWS's user guide.

Slow and literal on purpose: it reads the JSON of the policies anew for each question, one rule of the guide after the
other. It shares nothing with the first but the types of the request; the tests ask both the same questions.
"""

import base64
import datetime
import fnmatch
import ipaddress
import re
from typing import Any

from neargate.iam.request import Caller, Request

Document = dict[str, Any]
Answer = tuple[str, str]  # ("Allow" | "ExplicitDeny" | "ImplicitDeny", kind of policy that decided, "" when allowed)


def ask(
    request: Request,
    caller: Caller,
    *,
    identity: list[Document],
    boundary: Document | None,
    session: list[Document] | None,
    resource_policy: Document | None,
    trust: bool = False,
) -> Answer:
    where = "role trust policy" if trust else "resource-based policy"
    # Step 1: an explicit deny in any policy that applies.
    for statement in statements(resource_policy):
        meant = statement["Effect"] == "Deny" and denies_principal(statement, caller, boundary is not None)
        if meant and covers(statement, resource_policy, request):
            return "ExplicitDeny", where
    for kind, documents in (
        ("identity-based policy", identity),
        ("permissions boundary", [boundary] if boundary else []),
        ("session policy", session or []),
    ):
        for document in documents:
            for statement in statements(document):
                if statement["Effect"] == "Deny" and covers(statement, document, request):
                    return "ExplicitDeny", kind
    # Step 2: what the resource's policy gives, and to whom exactly.
    given = set()
    for statement in statements(resource_policy):
        if statement["Effect"] == "Allow" and covers(statement, resource_policy, request):
            given |= named_as(statement["Principal"], caller)
    if caller.service or caller.federated:
        return ("Allow", "") if given else ("ImplicitDeny", where)
    owner = request.resource.split(":")[4] if request.resource.startswith("arn:") else ""
    same_account = owner in ("", caller.account)
    if not given and (trust or not same_account):
        return "ImplicitDeny", where
    if same_account and "itself" in given:
        return "Allow", ""
    # Step 3: the identity's policies, unless the resource's policy lets the role in.
    if not (same_account and "role" in given) and not allows(identity, request):
        return "ImplicitDeny", "identity-based policy"
    # Steps 4 and 5: boundary and session policies have to allow, too.
    if boundary is not None and not allows([boundary], request):
        return "ImplicitDeny", "permissions boundary"
    if session is not None and not allows(session, request):
        return "ImplicitDeny", "session policy"
    return "Allow", ""


def allows(documents: list[Document], request: Request) -> bool:
    for document in documents:
        for statement in statements(document):
            if statement["Effect"] == "Allow" and covers(statement, document, request):
                return True
    return False


def statements(document: Document | None) -> list[Document]:
    if document is None:
        return []
    return as_list(document["Statement"])


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def covers(statement: Document, document: Document | None, request: Request) -> bool:
    """Whether action, resource and all conditions of the statement match."""
    assert document is not None
    with_variables = document.get("Version") == "2012-10-17"
    action = request.action.lower()
    if "Action" in statement:
        if not any(like(one.lower(), action) for one in as_list(statement["Action"])):
            return False
    elif any(like(one.lower(), action) for one in as_list(statement["NotAction"])):
        return False
    if "Resource" in statement:
        if not any(same_resource(one, request, with_variables) for one in as_list(statement["Resource"])):
            return False
    elif "NotResource" in statement:
        listed = as_list(statement["NotResource"])
        if any(same_resource(one, request, with_variables) for one in listed):
            return False
        unresolved = with_variables and any(substitute(one, request) is None for one in listed)
        if unresolved and statement["Effect"] == "Allow":
            return False
    for operator, keys in statement.get("Condition", {}).items():
        for key, wanted in keys.items():
            if not fulfilled(operator, key, [text(one) for one in as_list(wanted)], request, with_variables):
                return False
    return True


def text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def same_resource(pattern: str, request: Request, with_variables: bool) -> bool:
    known = substitute(pattern, request) if with_variables else pattern
    return known is not None and like(known, request.resource)


# -- patterns: a literal character is written as itself; a literal * or ? (out of a variable) with a NUL before it


def substitute(pattern: str, request: Request) -> str | None:
    missing = False

    def value_of(match: re.Match[str]) -> str:
        nonlocal missing
        inside = match.group(1)
        if inside in ("*", "?", "$"):
            return "\0" + inside
        named = re.fullmatch(r"([^,]+?)\s*(?:,\s*'([^']*)')?", inside)
        assert named is not None
        values = request.keys.get(named.group(1).lower(), ())
        if len(values) == 1:
            value = values[0]
        elif len(values) == 0 and named.group(2) is not None:
            value = named.group(2)
        else:
            missing = True
            return ""
        return "".join("\0" + char if char in "*?" else char for char in value)

    result = re.sub(r"\$\{([^}]*)\}", value_of, pattern)
    return None if missing else result


def like(pattern: str, value: str) -> bool:
    """The table of all prefixes of one against all prefixes of the other."""
    parts: list[tuple[str, bool]] = []
    position = 0
    while position < len(pattern):
        if pattern[position] == "\0":
            parts.append((pattern[position + 1], False))
            position += 2
        else:
            parts.append((pattern[position], pattern[position] in "*?"))
            position += 1
    row = [True] + [False] * len(value)
    for char, wild in parts:
        following = [wild and char == "*" and row[0]]
        for index, other in enumerate(value):
            if wild and char == "*":
                following.append(row[index + 1] or following[index])
            else:
                following.append(row[index] and ((wild and char == "?") or char == other))
        row = following
    return row[-1]


# -- conditions


def fulfilled(operator: str, key: str, wanted: list[str], request: Request, with_variables: bool) -> bool:
    values = list(request.keys.get(key.lower(), ()))
    if operator == "Null":
        return any((one.lower() == "true") == (values == []) for one in wanted)
    for_any = operator.startswith("ForAnyValue:")
    for_all = operator.startswith("ForAllValues:")
    name = operator.rpartition(":")[2]
    if name.endswith("IfExists"):
        name = name.removesuffix("IfExists")
        if values == [] or (for_all and set(values) == {""}):
            return True
    negative = "Not" in name
    name = name.replace("Not", "")

    def one_of(value: str) -> bool:
        return any(compare(name, one, value, request, with_variables) for one in wanted)

    if for_any:
        return any(one_of(value) != negative for value in values)
    if for_all:
        if values == [] or set(values) == {""}:
            return True
        return all(one_of(value) != negative for value in values)
    if values == []:
        return negative
    matched = any(one_of(value) for value in values)
    return not matched if negative else matched


def compare(name: str, wanted: str, value: str, request: Request, with_variables: bool) -> bool:
    if name.startswith(("String", "Arn")) and with_variables:
        known = substitute(wanted, request)
        if known is None:
            return False
        wanted = known
    if name in ("StringEquals", "StringEqualsIgnoreCase"):
        wanted = wanted.replace("\0", "")
        return wanted == value if name == "StringEquals" else wanted.lower() == value.lower()
    if name == "StringLike":
        return like(wanted, value)
    if name in ("ArnEquals", "ArnLike"):
        mine, theirs = wanted.split(":", 5), value.split(":", 5)
        return len(mine) == len(theirs) == 6 and all(map(like, mine, theirs))
    if name == "Bool":
        return wanted.lower() == value.lower()
    if name == "BinaryEquals":
        return base64.b64decode(wanted) == base64.b64decode(value)
    if name == "IpAddress":
        network, address = ipaddress.ip_network(wanted, strict=False), ipaddress.ip_address(value)
        return network.version == address.version and address in network
    if name.startswith("Numeric"):
        try:
            return order(name.removeprefix("Numeric"), float(value), float(wanted))
        except ValueError:
            return False
    return order(name.removeprefix("Date"), moment(value), moment(wanted))


def order(name: str, value: float, wanted: float) -> bool:
    return {
        "Equals": value == wanted,
        "LessThan": value < wanted,
        "LessThanEquals": value <= wanted,
        "GreaterThan": value > wanted,
        "GreaterThanEquals": value >= wanted,
    }[name]


def moment(value: str) -> float:
    if value.isdigit():
        return float(value)
    return datetime.datetime.fromisoformat(value).timestamp()


# -- principals


def named_as(principal: Any, caller: Caller) -> set[str]:
    """{"itself", "role", "account"}: as what the caller is named."""
    if principal == "*":
        principal = {"AWS": "*"}
    found = set()
    for kind, names in principal.items():
        for name in as_list(names):
            if kind == "Service":
                found |= {"itself"} if caller.service == name else set()
            elif kind == "Federated":
                found |= {"itself"} if caller.federated == name else set()
            elif kind == "AWS" and not caller.service and not caller.federated:
                if name == "*" or name == caller.arn:
                    found.add("itself")
                if caller.role_arn and name == caller.role_arn:
                    found.add("role")
                if name in (caller.account, f"arn:aws:iam::{caller.account}:root"):
                    found.add("account")
    return found


def denies_principal(statement: Document, caller: Caller, bounded: bool) -> bool:
    if "Principal" in statement:
        principal = statement["Principal"]
        everybody = principal == "*" or "*" in as_list(principal.get("AWS", []))
        return everybody or bool(named_as(principal, caller))
    spared = statement["NotPrincipal"]
    if spared == "*" or "*" in as_list(spared.get("AWS", [])):
        return False
    if bounded:
        return True
    found = named_as(spared, caller)
    if caller.service or caller.federated:
        return "itself" not in found
    if caller.role_arn is None:
        return not {"account", "itself"} <= found
    if not {"account", "role"} <= found:
        return True
    of_this_role = fnmatch.filter(as_list(spared.get("AWS", [])), caller.arn.rsplit("/", 1)[0] + "/*")
    return bool(of_this_role) and "itself" not in found
