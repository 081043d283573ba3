"""The STS operations that Neargate has."""

from ...services import Operation
from .assume_role import assume_role
from .identity import (
    decode_authorization_message,
    get_access_key_info,
    get_caller_identity,
    get_federation_token,
    get_session_token,
)

OPERATIONS: dict[str, Operation] = {
    "AssumeRole": assume_role,
    "DecodeAuthorizationMessage": decode_authorization_message,
    "GetAccessKeyInfo": get_access_key_info,
    "GetCallerIdentity": get_caller_identity,
    "GetFederationToken": get_federation_token,
    "GetSessionToken": get_session_token,
}
