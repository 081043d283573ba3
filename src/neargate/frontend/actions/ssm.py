"""What each operation of Parameter Store asks leave for, and what of KMS it needs for SecureStrings.

Source: Service Authorization Reference, "AWS Systems Manager"; "How AWS Systems Manager Parameter Store uses AWS KMS".
A parameter is asked for by its ARN without a selector; GetParametersByPath on the path, whose parameters are not asked
for one by one; DescribeParameters on `*` of the region and account, as AWS's refusals show.
"""

from .kms import using_key
from .rules import REQUEST_TAGS, Actions, Level, Rule, rule

_TAGS = ("aws:ResourceTag/", "ssm:ResourceTag/")
_PARAMETER = "parameter{name}"
_ANY = "arn:{partition}:ssm:{region}:{account}:*"
# Only parameters are here; tags of other resources are asked for before they are refused.
_TAGGED = (
    _PARAMETER,
    *(
        f"{kind}/{{id}}"
        for kind in (
            *("document", "managed-instance", "maintenancewindow", "patchbaseline", "opsitem", "opsmetadata"),
            *("automation-execution", "association", "cloudconnector"),
        )
    ),
)
_ADDING = (*_TAGS, *REQUEST_TAGS)
_DECRYPT = using_key("kms:Decrypt", when="a SecureString is decrypted")

_SECRET = rule(
    "secretsmanager:GetSecretValue",
    Level.READ,
    "secret:{name}",
    keys=(
        *("aws:ResourceTag/", "secretsmanager:ResourceTag/", "secretsmanager:SecretId"),
        *("secretsmanager:VersionId", "secretsmanager:VersionStage"),
    ),
    when="the name is a reference to a secret",
)


def _one(name: str, level: Level, *more: Rule, keys: tuple[str, ...] = ()) -> tuple[Rule, ...]:
    return (rule(f"ssm:{name}", level, _PARAMETER, keys=(*_TAGS, *keys)), *more)


ACTIONS: Actions = {
    "AddTagsToResource": (rule("ssm:AddTagsToResource", Level.TAGGING, *_TAGGED, keys=_ADDING),),
    "ResumeSession": (rule("ssm:ResumeSession", Level.WRITE, "session/{session}", keys=_TAGS),),
    "DeleteParameter": _one("DeleteParameter", Level.WRITE),
    "DeleteParameters": _one("DeleteParameters", Level.WRITE),
    "DescribeParameters": (rule("ssm:DescribeParameters", Level.LIST, _ANY),),
    "GetParameter": _one("GetParameter", Level.READ, _DECRYPT, _SECRET),
    "GetParameterHistory": _one("GetParameterHistory", Level.READ, _DECRYPT),
    "GetParameters": _one("GetParameters", Level.READ, _DECRYPT, _SECRET),
    "GetParametersByPath": _one("GetParametersByPath", Level.READ, _DECRYPT, keys=("ssm:Recursive",)),
    "LabelParameterVersion": _one("LabelParameterVersion", Level.WRITE),
    "ListTagsForResource": (rule("ssm:ListTagsForResource", Level.READ, *_TAGGED, keys=_TAGS),),
    "PutParameter": _one(
        "PutParameter",
        Level.WRITE,
        rule("ssm:AddTagsToResource", Level.TAGGING, _PARAMETER, keys=_ADDING, when="the request has tags"),
        using_key("kms:Encrypt", when="a SecureString of the standard tier"),
        using_key("kms:GenerateDataKey", when="a SecureString of the advanced tier"),
        keys=("ssm:Overwrite", *REQUEST_TAGS),
    ),
    "RemoveTagsFromResource": (
        rule("ssm:RemoveTagsFromResource", Level.TAGGING, *_TAGGED, keys=(*_TAGS, "aws:TagKeys")),
    ),
    "UnlabelParameterVersion": _one("UnlabelParameterVersion", Level.WRITE),
}
