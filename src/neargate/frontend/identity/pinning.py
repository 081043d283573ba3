"""Principals that a policy names by ARN are kept by unique id, as on AWS: who is made anew does not inherit.

Pure but for the look-up handed in. Shown again, an id is the ARN of who has it now; an id that nobody has stays an id.
Only accounts of this region are known: all others, like principals that do not exist, are invalid.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from ...iam.document import MalformedPolicy
from .book import AccountBook
from .records import Role, User
from .rules import ADMINISTRATOR

Books = Callable[[str], AccountBook | None]  # by account
Principal = Callable[[str], User | Role | None]  # by unique id, in any account

_PRINCIPAL = re.compile(r"arn:aws:iam::([0-9]{12}):(?:root|(user|role)(/(?:[^*?]*/)?)([^/*?]+))", re.ASCII)
_SESSION = re.compile(r"arn:aws:sts::([0-9]{12}):(assumed-role|federated-user)/.+", re.ASCII)
_ACCOUNT = re.compile(r"[0-9]{12}", re.ASCII)
_UNIQUE_ID = re.compile(r"A(?:IDA|ROA)[A-Z0-9]{8,124}", re.ASCII)


def pin(document: str, books: Books, principal: Principal) -> str:
    """The document with unique ids. Raises MalformedPolicy. What is no policy at all is left to the compiler."""

    def pinned(name: str) -> str:
        found = _pinned(name, books, principal)
        if found is None:
            raise MalformedPolicy(f'Invalid principal in policy: "AWS":"{name}"')
        return found

    return _mapped(document, pinned)


def shown(document: str, principal: Principal) -> str:
    """The document with the ARNs of now."""

    if "AIDA" not in document and "AROA" not in document:
        return document  # most: lists show every role's

    def arn(name: str) -> str:
        found = principal(name) if _UNIQUE_ID.fullmatch(name) else None
        return name if found is None else found.arn

    return _mapped(document, arn)


def _pinned(name: str, books: Books, by_uid: Principal) -> str | None:
    if name == "*":
        return name
    if _ACCOUNT.fullmatch(name):
        return f"arn:aws:iam::{name}:root" if books(name) is not None else None
    if _UNIQUE_ID.fullmatch(name):
        return name if by_uid(name) is not None else None  # of somebody who is gone: IAM refuses it, too
    session = _SESSION.fullmatch(name)
    if session is not None:
        return name if books(session[1]) is not None else None
    principal = _PRINCIPAL.fullmatch(name)
    book = None if principal is None else books(principal[1])
    if principal is None or book is None:
        return None
    if principal[2] is None:
        return name
    if principal[2] == "user" and principal[4] == ADMINISTRATOR:
        return name  # no user ever takes this name
    named = principal[4]
    found = book.find(User, named) if principal[2] == "user" else book.find(Role, named)
    return found.uid if found is not None and found.arn == name else None


def _mapped(document: str, change: Callable[[str], str]) -> str:
    """Each AWS principal of each statement changed; the document as it was when none is."""
    try:
        parsed = json.loads(document)
    except (ValueError, RecursionError):
        return document
    statements = parsed.get("Statement") if isinstance(parsed, dict) else None
    changed = False
    for statement in statements if isinstance(statements, list) else [statements]:
        for member in ("Principal", "NotPrincipal"):
            named = statement.get(member) if isinstance(statement, dict) else None
            names = named.get("AWS") if isinstance(named, dict) else None
            mapped = _map_names(names, change)
            if mapped != names and isinstance(named, dict):
                named["AWS"] = mapped
                changed = True
    return json.dumps(parsed, separators=(",", ":"), ensure_ascii=False) if changed else document


def _map_names(names: Any, change: Callable[[str], str]) -> Any:
    if isinstance(names, str):
        return change(names)
    if isinstance(names, list):
        return [change(name) if isinstance(name, str) else name for name in names]
    return names
