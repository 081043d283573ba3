"""Policy documents compiled once. Owns a bounded memory of them; what is stored was valid when it was accepted."""

from ...iam import managed
from ...iam.document import PolicyKind, compile_policy
from ...iam.policy import Policy

REMEMBERED_MAX = 20_000


class CompiledPolicies:
    def __init__(self) -> None:
        self._known: dict[tuple[PolicyKind, str], Policy] = {}

    def policy(self, document: str, kind: PolicyKind = PolicyKind.IDENTITY) -> Policy:
        """Raises MalformedPolicy for what was never accepted."""
        found = self._known.get((kind, document))
        if found is None:
            found = compile_policy(document, kind=kind)
            if len(self._known) >= REMEMBERED_MAX:
                self._known.pop(next(iter(self._known)))
            self._known[kind, document] = found
        return found

    def of_aws(self, arn: str) -> Policy:
        """Raises KeyError for an ARN that AWS has not."""
        return managed.compiled(arn)
