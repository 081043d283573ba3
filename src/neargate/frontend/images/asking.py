"""What is told to policies of a repository: its ARN, its tags and its own policy, also where another account asks.

Asked before it is told whether there is such a repository: what is not allowed learns nothing.
"""

from collections.abc import Mapping

from ...iam.document import PolicyKind
from ...iam.policy import Policy
from ...model.arn import Arn
from ..authorize import Resource, Values, authorize
from ..call import Call
from ..identity.compiled import CompiledPolicies
from .book import RepositoryBook
from .registry import ImageRegistry


def repository_arn(region: str, account: str, name: str) -> str:
    return str(Arn(service="ecr", region=region, account=account, resource=f"repository/{name}"))


def ask_for(
    call: Call,
    registry: ImageRegistry,
    policies: CompiledPolicies,
    action: str,
    account: str,
    name: str,
    context: Mapping[str, Values] | None = None,
) -> None:
    """`action` without `ecr:`. Raises AccessDenied."""
    book = registry.find(account, name)
    resource = Resource(
        arn=repository_arn(call.region, account, name),
        tags={} if book is None else dict(book.repository.tags),
    )
    authorize(call, f"ecr:{action}", [resource], context, resource_policy=_policy(policies, book))


def _policy(policies: CompiledPolicies, book: RepositoryBook | None) -> Policy | None:
    if book is None or book.repository.policy is None:
        return None
    return policies.policy(book.repository.policy, PolicyKind.RESOURCE)
