"""Policies as the evaluator reads them (statements whose tests are compiled, found by action) and as callers have them.

Holds no document and no rule of validity (`document.py`), and decides nothing (`evaluate.py`). Immutable, but for the
memory of which statements concern an action, which is bounded and never changes an answer.
"""

from collections.abc import Callable, Iterator
from enum import Enum

from msgspec import Struct, field

from .conditions import Condition
from .principals import Principals
from .request import Keys

# Actions are few (the operations there are), except in simulations, where the caller names them.
_REMEMBERED_MAX = 1024


class PolicyKind(Enum):
    IDENTITY = "identity"
    RESOURCE = "resource"
    TRUST = "trust"
    KEY = "key"  # of a KMS key: a resource policy that must let in, as a trust policy must
    SESSION = "session"
    BOUNDARY = "boundary"


class Statement(Struct, frozen=True, kw_only=True, eq=False):
    """`action`: of a lower-case name. `resource`: None matches all. `principals`: None in policies of principals."""

    allow: bool
    action: Callable[[str], bool]
    resource: Callable[[str, Keys], bool] | None
    sid: str | None = None
    principals: Principals | None = None
    not_principal: bool = False
    conditions: tuple[Condition, ...] = ()

    def holds(self, resource: str, keys: Keys) -> bool:
        """Whether resource and conditions match; the action and the principal are looked at before."""
        if self.resource is not None and not self.resource(resource, keys):
            return False
        for condition in self.conditions:  # noqa: SIM110  a generator costs as much as the conditions
            if not condition(keys):
                return False
        return True


class Relevant(Struct, frozen=True, kw_only=True):
    """The statements of one action, in the document's order."""

    denies: tuple[Statement, ...]
    allows: tuple[Statement, ...]


class Policy(Struct, frozen=True, kw_only=True, eq=False):
    """`size`: characters without white space, which AWS's quotas count. `context_keys`: what it asks for."""

    kind: PolicyKind
    version: str
    statements: tuple[Statement, ...]
    size: int
    context_keys: tuple[str, ...] = ()
    id: str | None = None
    _by_action: dict[str, Relevant] = field(default_factory=dict)

    def relevant(self, action: str) -> Relevant:
        """`action` in lower case."""
        found = self._by_action.get(action)
        if found is None:
            concerned = [statement for statement in self.statements if statement.action(action)]
            found = Relevant(
                denies=tuple(statement for statement in concerned if not statement.allow),
                allows=tuple(statement for statement in concerned if statement.allow),
            )
            if len(self._by_action) >= _REMEMBERED_MAX:
                self._by_action.clear()
            self._by_action[action] = found
        return found

    def denying(self, action: str, resource: str, keys: Keys) -> Iterator[Statement]:
        return (one for one in self.relevant(action).denies if one.holds(resource, keys))


class Attached(Struct, frozen=True, kw_only=True):
    """A policy as it bears on a principal. `name`: its ARN, or the name of an inline policy."""

    name: str
    policy: Policy


class Grants(Struct, frozen=True, kw_only=True):
    """All that decides what a principal may do, apart from resource policies.

    `session` is None when the session was made without a session policy; an empty tuple allows nothing.
    """

    identity: tuple[Attached, ...] = ()
    boundary: Attached | None = None
    session: tuple[Attached, ...] | None = None
