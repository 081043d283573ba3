"""Data that hold a secret: their text shows none of it. Owns that text; must not know what is secret, or why.

Texts of objects end up in logs and failed assertions. Invariant (tests/style holds it): a class with a field
that is named as a secret is one of these.
"""

from msgspec import Struct


class Concealed(Struct, frozen=True):
    """`kw_only=True` is said again in the class that is made of it."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"
