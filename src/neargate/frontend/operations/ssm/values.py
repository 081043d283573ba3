"""Values of parameters: sealed when they come, opened when somebody may read them.

SecureStrings are under a KMS key of the caller's choice, for which the caller needs leave as for KMS itself; all others
are under the region's own. The encryption context of a SecureString is its parameter's ARN.
"""

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ....model.errors import AccessDenied, AwsError
from ...call import Call
from ...keys.errors import InvalidArn, InvalidCiphertext, InvalidState, KeyDisabled, NotFound
from ...keys.leave import ask_for_key, key_to_seal
from ...parameters.changes import DEFAULT_KEY, Wanted
from ...parameters.errors import InvalidKeyId
from ...parameters.names import PUBLIC
from ...parameters.records import (
    ADVANCED,
    SECURE_STRING,
    Parameter,
    ParameterValue,
    StoredVersion,
    Version,
    parameter_arn,
)
from ...services import Services


async def sealed(call: Call, services: Services, wanted: Wanted, version: Version) -> bytes:
    """Raises InvalidKeyId, AccessDenied."""
    if version.type != SECURE_STRING:
        return services.parameters.seal(call.account, wanted.name, wanted.value)
    named = None if version.key_id == DEFAULT_KEY else version.key_id
    action = "kms:GenerateDataKey" if version.tier == ADVANCED else "kms:Encrypt"
    context = _context(call, wanted.name)
    with _kms(call):
        key = await key_to_seal(call, services.keys, call.account, named, "ssm", [action], context)
        return services.keys.seal(key, wanted.value.encode(), context)


async def read(
    call: Call, services: Services, parameter: Parameter, first: int, last: int, *, decrypted: bool
) -> list[ParameterValue]:
    """The versions from `first` to `last`; none of a parameter that was deleted meanwhile."""
    if parameter.name.startswith(PUBLIC):
        return [ParameterValue(version=parameter.current, value=services.parameters.public.value(parameter))]
    stored = await services.parameters.versions(parameter, first, last)
    return _opened(call, services, parameter, stored, decrypted=decrypted)


def _opened(
    call: Call, services: Services, parameter: Parameter, stored: Sequence[StoredVersion], *, decrypted: bool
) -> list[ParameterValue]:
    return [
        ParameterValue(version=one.version, value=_value(call, services, parameter, one, decrypted=decrypted))
        for one in stored
    ]


def _value(call: Call, services: Services, parameter: Parameter, one: StoredVersion, *, decrypted: bool) -> str:
    if one.version.type != SECURE_STRING:
        return services.parameters.open(call.account, parameter.name, one.sealed)
    if not decrypted:
        return base64.b64encode(one.sealed).decode()
    context = _context(call, parameter.name)
    with _kms(call):
        key = services.keys.opening_key(one.sealed)
        ask_for_key(call, services.keys, key, "kms:Decrypt", context, via="ssm")
        return services.keys.open(key, one.sealed, context).decode()


def _context(call: Call, name: str) -> dict[str, str]:
    return {"PARAMETER_ARN": parameter_arn(call.region, call.account, name)}


@contextmanager
def _kms(call: Call) -> Iterator[None]:
    """What KMS refuses, as Systems Manager hands it on."""
    try:
        yield
    except (NotFound, InvalidArn, KeyDisabled, InvalidState, InvalidCiphertext) as refused:
        raise InvalidKeyId(_handed_on(call, refused)) from None
    except AccessDenied as refused:
        raise AccessDenied(_handed_on(call, refused)) from None


def _handed_on(call: Call, refused: AwsError) -> str:
    return (
        f"{refused.message} (Service: AWSKMS; Status Code: 400; Error Code: {refused.code}; "
        f"Request ID: {call.request_id}; Proxy: null)"
    )
