"""What each Secrets Manager operation asks leave for.

Source: Service Authorization Reference, "AWS Secrets Manager". Values are sealed under a KMS key in the caller's name:
KMS is asked, too.
"""

from .kms import using_key
from .rules import REQUEST_TAGS, Actions, Level, Rule, rule

_SECRET = "secret:{name}"  # noqa: S105  the form of an ARN
_KEYS = ("aws:ResourceTag/", "secretsmanager:ResourceTag/", "secretsmanager:SecretId")
_VERSION = ("secretsmanager:VersionId", "secretsmanager:VersionStage")
_DESCRIBED = ("secretsmanager:Description", "secretsmanager:KmsKeyId")
_SEALING = (
    using_key("kms:GenerateDataKey", when="the request has a value, or a new key for the values"),
    using_key("kms:Decrypt", when="the request has a value, or a new key for the values"),
)
_OPENING = using_key("kms:Decrypt", when="the secret is there")


def _on_secret(level: Level, name: str, *more: str) -> Rule:
    return rule(f"secretsmanager:{name}", level, _SECRET, keys=(*_KEYS, *more))


def _rows(level: Level, names: str, *more: str) -> dict[str, tuple[Rule, ...]]:
    return {name: (_on_secret(level, name, *more),) for name in names.split()}


ACTIONS: Actions = {
    "BatchGetSecretValue": (
        rule("secretsmanager:BatchGetSecretValue", Level.READ, "*"),
        rule("secretsmanager:ListSecrets", Level.LIST, "*", when="secrets are chosen by filters"),
        rule(
            "secretsmanager:GetSecretValue",
            Level.READ,
            _SECRET,
            keys=(*_KEYS, *_VERSION),
            when="for each secret; a refusal is among the errors of the answer",
        ),
        _OPENING,
    ),
    "CreateSecret": (
        rule(
            "secretsmanager:CreateSecret",
            Level.WRITE,
            _SECRET,
            keys=("secretsmanager:Name", *_DESCRIBED, *REQUEST_TAGS),
        ),
        rule("secretsmanager:TagResource", Level.TAGGING, _SECRET, keys=REQUEST_TAGS, when="the request has tags"),
        *_SEALING,
    ),
    **_rows(
        Level.WRITE,
        "DeleteSecret",
        "secretsmanager:ForceDeleteWithoutRecovery",
        "secretsmanager:RecoveryWindowInDays",
    ),
    **_rows(Level.READ, "DescribeSecret GetResourcePolicy ListSecretVersionIds"),
    "GetRandomPassword": (rule("secretsmanager:GetRandomPassword", Level.READ, "*"),),
    "GetSecretValue": (_on_secret(Level.READ, "GetSecretValue", *_VERSION), _OPENING),
    "ListSecrets": (rule("secretsmanager:ListSecrets", Level.LIST, "*"),),
    **_rows(Level.PERMISSIONS, "DeleteResourcePolicy"),
    **_rows(Level.PERMISSIONS, "PutResourcePolicy", "secretsmanager:BlockPublicPolicy"),
    "ValidateResourcePolicy": (
        rule("secretsmanager:ValidateResourcePolicy", Level.PERMISSIONS, _SECRET, "*", keys=_KEYS),
    ),
    "PutSecretValue": (_on_secret(Level.WRITE, "PutSecretValue"), *_SEALING),
    "UpdateSecret": (_on_secret(Level.WRITE, "UpdateSecret", *_DESCRIBED), *_SEALING),
    **_rows(Level.WRITE, "UpdateSecretVersionStage", "secretsmanager:VersionStage"),
    **_rows(
        Level.WRITE,
        "CancelRotateSecret RemoveRegionsFromReplication ReplicateSecretToRegions RestoreSecret RotateSecret "
        "StopReplicationToReplica",
    ),
    **_rows(Level.TAGGING, "TagResource UntagResource", *REQUEST_TAGS),
}
