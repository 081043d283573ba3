"""Encrypt, Decrypt, ReEncrypt, the data keys and random bytes. Plaintext is in the answer and nowhere else."""

from collections.abc import Mapping
from typing import Any

import msgspec

from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...keys.errors import DryRun, IncorrectKey, InvalidCiphertext, InvalidKeyUsage, KmsValidation, Unsupported
from ...keys.records import KmsKey
from ...services import Services
from .asking import DRY_RUN, key_for_use, key_of_blob, refuse_grants

_ALGORITHM = "SYMMETRIC_DEFAULT"
_SPECS = {"AES_128": 16, "AES_256": 32}
CONTEXT_MAX_BYTES = 8192


async def encrypt(call: Call, services: Services, params: Params) -> Answer:
    context = _context(params, "EncryptionContext")
    key = await key_for_use(call, services, params["KeyId"], "kms:Encrypt", context=context)
    refuse_grants(params)
    _check_algorithm(params.get("EncryptionAlgorithm"))
    services.keys.check_usable(key)
    _stop_if_dry(params)
    sealed = services.keys.seal(key, params["Plaintext"], context)
    return {"CiphertextBlob": sealed, "KeyId": key.arn, "EncryptionAlgorithm": _ALGORITHM}


async def decrypt(call: Call, services: Services, params: Params) -> Answer:
    context = _context(params, "EncryptionContext")
    key = await _source(call, services, params, "kms:Decrypt", named=params.get("KeyId"), context=context)
    refuse_grants(params)
    _check_algorithm(params.get("EncryptionAlgorithm"))
    plaintext = services.keys.open(key, params["CiphertextBlob"], context)
    _stop_if_dry(params)
    return {"Plaintext": plaintext, "KeyId": key.arn, "EncryptionAlgorithm": _ALGORITHM}


async def re_encrypt(call: Call, services: Services, params: Params) -> Answer:
    """Leave is asked for both keys before either is looked into."""
    before = _context(params, "SourceEncryptionContext")
    after = _context(params, "DestinationEncryptionContext")
    named, target_named = params.get("SourceKeyId"), params["DestinationKeyId"]
    try:
        source = await _source(call, services, params, "kms:ReEncryptFrom", named=named, context=before)
    except (InvalidCiphertext, KmsValidation):
        await key_for_use(call, services, target_named, "kms:ReEncryptTo", context=after)
        raise
    target = await key_for_use(call, services, target_named, "kms:ReEncryptTo", context=after)
    refuse_grants(params)
    _check_algorithm(params.get("SourceEncryptionAlgorithm"))
    _check_algorithm(params.get("DestinationEncryptionAlgorithm"))
    plaintext = services.keys.open(source, params["CiphertextBlob"], before)
    services.keys.check_usable(target)
    _stop_if_dry(params)
    return {
        "CiphertextBlob": services.keys.seal(target, plaintext, after),
        "SourceKeyId": source.arn,
        "KeyId": target.arn,
        "SourceEncryptionAlgorithm": _ALGORITHM,
        "DestinationEncryptionAlgorithm": _ALGORITHM,
    }


async def generate_data_key(call: Call, services: Services, params: Params) -> Answer:
    return await _data_key(call, services, params, "kms:GenerateDataKey", is_shown=True)


async def generate_data_key_without_plaintext(call: Call, services: Services, params: Params) -> Answer:
    return await _data_key(call, services, params, "kms:GenerateDataKeyWithoutPlaintext", is_shown=False)


async def generate_random(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "kms:GenerateRandom", [Resource(arn="*", keys={"kms:CallerAccount": call.account})])
    refuse_grants(params)
    if params.get("CustomKeyStoreId"):
        raise Unsupported("There are no custom key stores here.")
    size = params.get("NumberOfBytes")
    if size is None:
        raise KmsValidation("NumberOfBytes is required.")
    return {"Plaintext": _random(services, size)}


async def _data_key(call: Call, services: Services, params: Params, action: str, *, is_shown: bool) -> Answer:
    context = _context(params, "EncryptionContext")
    key = await key_for_use(call, services, params["KeyId"], action, context=context)
    refuse_grants(params)
    spec, size = params.get("KeySpec"), params.get("NumberOfBytes")
    if (spec is None) == (size is None):
        raise KmsValidation("Please specify either number of bytes or key spec.")
    services.keys.check_usable(key)
    _stop_if_dry(params)
    drawn = _random(services, _SPECS[spec] if spec is not None else int(params["NumberOfBytes"]))
    answer: dict[str, Any] = {"CiphertextBlob": services.keys.seal(key, drawn, context), "KeyId": key.arn}
    return answer | {"Plaintext": drawn} if is_shown else answer


async def _source(
    call: Call, services: Services, params: Params, action: str, *, named: str | None, context: Mapping[str, str]
) -> KmsKey:
    """The key of the request's ciphertext, which must be the named one where one is named."""
    blob: bytes | None = params.get("CiphertextBlob")
    if named is None:
        try:
            return key_of_blob(call, services, blob or b"", action, context)
        except InvalidCiphertext:
            if blob is None:
                raise KmsValidation("CiphertextBlob is required.") from None
            raise
    key = await key_for_use(call, services, named, action, context=context)
    if blob is None:
        raise KmsValidation("CiphertextBlob is required.")
    found = services.keys.key_of(blob)
    if found is None or found.name != key.name:
        raise IncorrectKey
    return key


def _context(params: Params, member: str) -> dict[str, str]:
    context: dict[str, str] = params.get(member) or {}
    if len(msgspec.json.encode(context)) > CONTEXT_MAX_BYTES:
        raise KmsValidation(f"{member} has more than {CONTEXT_MAX_BYTES} bytes.")
    return context


def _check_algorithm(algorithm: str | None) -> None:
    if (algorithm or _ALGORITHM) != _ALGORITHM:
        raise InvalidKeyUsage(f"The encryption algorithm {algorithm} is not compatible with key spec {_ALGORITHM}.")


def _stop_if_dry(params: Params) -> None:
    if params.get("DryRun"):
        raise DryRun(DRY_RUN)


def _random(services: Services, size: int) -> bytes:
    return services.world.random.getrandbits(8 * size).to_bytes(size, "big")
