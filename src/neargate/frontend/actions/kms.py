"""What each KMS operation asks leave for. Source: Service Authorization Reference, "AWS Key Management Service".

`using_key` is for the services that seal for their callers: they ask for KMS's actions in their callers' name.
"""

from .rules import REQUEST_TAGS, Actions, Level, Rule, rule

_KEY, _ALIAS = "key/{key}", "alias/{alias}"
_OF_KEY = (
    *("aws:ResourceTag/", "kms:CallerAccount", "kms:ViaService", "kms:ResourceAliases", "kms:RequestAlias"),
    "kms:ScheduleKeyDeletionPendingWindowInDays",
    "kms:BypassPolicyLockoutSafetyCheck",
)
_CONTEXT = ("kms:EncryptionContext:", "kms:EncryptionContextKeys")
_NEW = (
    *("kms:CallerAccount", "kms:KeySpec", "kms:KeyUsage", "kms:KeyOrigin", "kms:MultiRegion"),
    "kms:BypassPolicyLockoutSafetyCheck",
)


def using_key(action: str, when: str = "") -> Rule:
    """A cryptographic action of KMS, as a row of another service's operation."""
    return rule(action, Level.WRITE, _KEY, _ALIAS, keys=(*_OF_KEY, *_CONTEXT), when=when)


def _rows(level: Level, names: str, *forms: str, keys: tuple[str, ...] = _OF_KEY) -> dict[str, tuple[Rule, ...]]:
    return {name: (rule(f"kms:{name}", level, *forms, keys=keys),) for name in names.split()}


ACTIONS: Actions = {
    "CreateKey": (
        rule("kms:CreateKey", Level.WRITE, "*", keys=(*_NEW, *REQUEST_TAGS)),
        rule("kms:TagResource", Level.TAGGING, "*", keys=(*_NEW, *REQUEST_TAGS), when="the request has tags"),
    ),
    **_rows(Level.READ, "DescribeKey GetKeyPolicy GetKeyRotationStatus", _KEY, _ALIAS),
    **_rows(Level.LIST, "ListKeyPolicies ListResourceTags", _KEY, _ALIAS),
    **_rows(Level.LIST, "ListKeys ListAliases", "*", keys=()),
    **_rows(
        Level.WRITE,
        "EnableKey DisableKey EnableKeyRotation DisableKeyRotation UpdateKeyDescription ScheduleKeyDeletion "
        "CancelKeyDeletion",
        _KEY,
        _ALIAS,
    ),
    **_rows(Level.WRITE, "CreateAlias UpdateAlias DeleteAlias", _KEY, _ALIAS),
    **_rows(Level.PERMISSIONS, "PutKeyPolicy", _KEY, _ALIAS),
    **_rows(Level.TAGGING, "TagResource UntagResource", _KEY, _ALIAS, keys=(*_OF_KEY, *REQUEST_TAGS)),
    **_rows(
        Level.WRITE,
        "Encrypt Decrypt GenerateDataKey GenerateDataKeyWithoutPlaintext",
        _KEY,
        _ALIAS,
        keys=(*_OF_KEY, *_CONTEXT),
    ),
    "GenerateRandom": (rule("kms:GenerateRandom", Level.WRITE, "*", keys=("kms:CallerAccount",)),),
    "ReEncrypt": (using_key("kms:ReEncryptFrom"), using_key("kms:ReEncryptTo")),
}
