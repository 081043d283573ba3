"""Lists of what nobody here can have: MFA devices, certificates, SSH keys, SAML providers.

Tools look through them before they delete a user or write an inventory. They are empty because nothing makes any:
the operations that would are unknown.
"""

from typing import Any

from ...call import Answer, Call, Params
from ...identity.records import User
from ...identity.rules import required
from ...services import Operation, Services
from .asking import ask_for_account, ask_for_user, book_of, user_meant


def none_of_user(member: str) -> Operation:
    """`member`: the answer's list."""

    async def list_them(call: Call, services: Services, params: Params) -> Answer:
        book, name = book_of(call, services), user_meant(call, params)
        ask_for_user(call, book, name)
        if name is not None:
            required(book, User, name)
        return _empty(member)

    return list_them


def none_of_account(member: str, *, in_pages: bool = True) -> Operation:
    async def list_them(call: Call, services: Services, params: Params) -> Answer:
        del services, params
        ask_for_account(call)
        return _empty(member) if in_pages else {member: []}

    return list_them


def _empty(member: str) -> dict[str, Any]:
    return {member: [], "IsTruncated": False}
