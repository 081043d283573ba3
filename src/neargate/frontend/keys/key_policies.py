"""Key policies: the default one, those of AWS's own keys, and what a given one must be. Pure.

A key policy decides like a role's trust: nobody uses a key that its policy does not let in, not even the account's
administrator; where it names the account, the account's IAM policies decide.
"""

from typing import Any

import msgspec

DEFAULT_NAME = "default"
POLICY_MAX_BYTES = 32_768

_USES = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant", "kms:DescribeKey"]
_READS = ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"]
_TITLES = {"ssm": "SSM", "secretsmanager": "AWS Secrets Manager"}


def default_policy(account: str) -> str:
    """Of a key that is made without a policy: all is left to the account's IAM policies."""
    return _text(
        "key-default-1",
        {
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
            "Action": "kms:*",
            "Resource": "*",
        },
    )


def service_policy(service: str, region: str, account: str) -> str:
    """Of an account's default key for a service: everybody in the account uses it, but through that service only."""
    title = _TITLES[service]
    return _text(
        f"auto-{service}-1",
        {
            "Sid": f"Allow access through {title} for all principals in the account that are authorized to use {title}",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": _USES,
            "Resource": "*",
            "Condition": {
                "StringEquals": {"kms:CallerAccount": account, "kms:ViaService": via_service(service, region)}
            },
        },
        {
            "Sid": "Allow direct access to key metadata to the account",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
            "Action": _READS,
            "Resource": "*",
        },
    )


def via_service(service: str, region: str) -> str:
    """The value of kms:ViaService."""
    return f"{service}.{region}.amazonaws.com"


def _text(name: str, *statements: dict[str, Any]) -> str:
    document = {"Version": "2012-10-17", "Id": name, "Statement": list(statements)}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
