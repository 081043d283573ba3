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
    authorize(
        call,
        f"ecr:{action}",
        [resource],
        context,
        resource_policy=_policy(policies, registry.settings(account).policy, book),
    )


def _policy(policies: CompiledPolicies, of_registry: str | None, book: RepositoryBook | None) -> Policy | None:
    """The repository's and the registry's own: resource policies of one thing add up, as if they were one."""
    documents = [text for text in (of_registry, book.repository.policy if book is not None else None) if text]
    found = [policies.policy(text, PolicyKind.RESOURCE) for text in documents]
    if len(found) < 2:
        return found[0] if found else None
    return Policy(
        kind=PolicyKind.RESOURCE,
        version=found[0].version,
        statements=tuple(statement for one in found for statement in one.statements),
        size=sum(one.size for one in found),
        context_keys=tuple(key for one in found for key in one.context_keys),
    )
