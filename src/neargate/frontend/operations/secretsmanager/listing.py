"""ListSecrets: filters, order, pages."""

from typing import Any

from ...authorize import authorize
from ...call import Answer, Call, Params
from ...next_token import page
from ...secrets.errors import InvalidNextToken
from ...secrets.records import Secret
from ...services import Services
from .filters import matching
from .shapes import described, stages_by_version

PAGE_DEFAULT = 100


async def list_secrets(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "secretsmanager:ListSecrets", ["*"])
    by, descending = params.get("SortBy") or "created-date", params.get("SortOrder") == "desc"

    def place(secret: Secret) -> tuple[float, str]:
        return _moment(services, secret, by), secret.name

    found = matching(services.secrets.secrets(call.account), params.get("Filters") or [])
    if not params.get("IncludePlannedDeletion"):
        found = [secret for secret in found if secret.deletion is None]
    found.sort(key=place, reverse=descending)
    chosen, more = page(
        call,
        params,
        found,
        place,
        default=PAGE_DEFAULT,
        refused=InvalidNextToken,
        descending=descending,
        kind=tuple[float, str],
    )
    return {"SecretList": [_entry(services, secret) for secret in chosen], **more}


def _moment(services: Services, secret: Secret, by: str) -> float:
    if by == "name":
        return 0.0
    if by == "last-changed-date":
        return secret.changed
    if by == "last-accessed-date":
        return services.secrets.accessed(secret) or 0.0
    return secret.created


def _entry(services: Services, secret: Secret) -> dict[str, Any]:
    found = described(services, secret)
    stages = stages_by_version(secret)
    return found | {"SecretVersionsToStages": stages} if stages else found
