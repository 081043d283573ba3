"""Parameters below /aws/reference/secretsmanager: secrets of Secrets Manager, read through Parameter Store.

The caller needs leave as for GetSecretValue, besides that for the parameter. Nothing of the secret is kept here.
"""

from typing import Any

import msgspec

from ....model.errors import AccessDenied, AwsError
from ...call import Call
from ...parameters.errors import InvalidRequest, ParameterNotFound
from ...parameters.names import Reference
from ...parameters.records import SECURE_STRING
from ...secrets.errors import SecretNotFound
from ...services import Services
from ..secretsmanager.values import get_secret_value

PREFIX = "/aws/reference/secretsmanager/"
_VERSION_ID_CHARACTERS = 32  # at least; labels that AWS's own names are made of are shorter


async def referenced_secret(call: Call, services: Services, named: Reference, *, decrypted: bool) -> dict[str, Any]:
    """Raises ParameterNotFound, AccessDenied, and InvalidRequest with what else Secrets Manager refuses."""
    if not decrypted:
        raise InvalidRequest("WithDecryption flag must be True for retrieving a Secret Manager secret.")
    wanted = {"SecretId": named.name.removeprefix(PREFIX)}
    if named.selector:
        is_id = len(named.selector) >= _VERSION_ID_CHARACTERS
        wanted["VersionId" if is_id else "VersionStage"] = named.selector
    try:
        found = await get_secret_value(call, services, wanted)
    except AccessDenied:
        raise
    except AwsError as refused:
        raise _handed_on(named, refused) from None
    assert isinstance(found, dict)
    if "SecretString" not in found:
        raise InvalidRequest("A secret whose value is binary cannot be read through Parameter Store.")
    return {
        "Name": named.name,
        "Type": SECURE_STRING,
        "Value": found["SecretString"],
        "Version": 0,
        **({"Selector": f":{named.selector}"} if named.selector else {}),
        "SourceResult": msgspec.json.encode(found).decode(),
        "LastModifiedDate": found["CreatedDate"],
        "ARN": found["ARN"],
        "DataType": "text",
    }


def _handed_on(named: Reference, refused: AwsError) -> AwsError:
    before = "An error occurred ({}) when referencing Secrets Manager: {}"
    if isinstance(refused, SecretNotFound):
        return ParameterNotFound(before.format("ParameterNotFound", f"Secret {named.name} not found."))
    return InvalidRequest(before.format(refused.code, refused.message))
