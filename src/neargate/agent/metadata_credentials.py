"""The answer of 169.254.170.2/v2/credentials/ID as the ECS agent gives it. Pure.

A task is known by its source address and must name its own id besides: who makes its program fetch some URL does not
know that.
"""

import hmac
import re
from datetime import UTC, datetime
from typing import Any

from ..link.messages import CredentialsIssued

PATH = re.compile(r"^/v2/credentials(?:/([^/?]*))?/?\Z")
_PREFIX = "CredentialsV2Request: "


def relative_uri(credentials_id: str) -> str:
    return f"/v2/credentials/{credentials_id}"


def is_own(credentials_id: str, asked: str) -> bool:
    return credentials_id != "" and hmac.compare_digest(credentials_id.encode(), asked.encode())


def credentials_document(held: CredentialsIssued) -> dict[str, Any]:
    expiration = datetime.fromtimestamp(held.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "RoleArn": held.role_arn,
        "AccessKeyId": held.access_key_id,
        "SecretAccessKey": held.secret_access_key,
        "Token": held.token,
        "Expiration": expiration,
    }


def no_id() -> tuple[int, dict[str, Any]]:
    return _error(400, "NoIdInRequest", "No Credential ID in the request")


def unknown_id() -> tuple[int, dict[str, Any]]:
    return _error(400, "InvalidIdInRequest", "Credentials not found")


def not_there_yet() -> tuple[int, dict[str, Any]]:
    return _error(503, "CredentialsUninitialized", "Credentials uninitialized for ID")


def _error(status: int, code: str, text: str) -> tuple[int, dict[str, Any]]:
    return status, {"code": code, "message": _PREFIX + text, "HTTPErrorCode": status}
