"""Policy documents compiled once. Owns a bounded memory of them; what is stored was valid when it was accepted."""

from ...iam import managed
from ...iam.document import PolicyKind, compile_policy
from ...iam.policy import Policy

REMEMBERED_MAX = 20_000


class CompiledPolicies:
    def __init__(self, characters_max: int | None = None) -> None:
        """`characters_max`: of all documents that are remembered; None: their number alone is bounded."""
        self._known: dict[tuple[PolicyKind, str], Policy] = {}
        self._characters_max = characters_max
        self.characters = 0

    def policy(self, document: str, kind: PolicyKind = PolicyKind.IDENTITY) -> Policy:
        """Raises MalformedPolicy for what was never accepted."""
        found = self._known.get((kind, document))
        if found is None:
            found = compile_policy(document, kind=kind)
            self._known[kind, document] = found
            self.characters += len(document)
            self._forget_oldest()
        return found

    def _forget_oldest(self) -> None:
        most = self._characters_max
        while len(self._known) > REMEMBERED_MAX or (most is not None and self.characters > most):
            oldest = next(iter(self._known))
            del self._known[oldest]
            self.characters -= len(oldest[1])

    def of_aws(self, arn: str) -> Policy:
        """Raises KeyError for an ARN that AWS has not."""
        return managed.compiled(arn)
