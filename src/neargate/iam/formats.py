"""How actions and resources are written in policies, and IAM's sentences about those that are not.

The sentences, their order and the oddities (an ARN of three parts is taken when no part of it is empty) are IAM's.
"""

import re

_VENDOR = re.compile(r"[a-zA-Z0-9.-]+", re.ASCII)
_PARTITIONS = {
    "*",
    "aws",
    "aws-cn",
    "aws-us-gov",
    "aws-iso",
    "aws-iso-b",
    "aws-iso-e",
    "aws-iso-f",
    "aws-eusc",
}
_IAM_PATHS = (
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
)


def action_fault(action: str) -> str | None:
    vendor, colon, name = action.partition(":")
    if action == "*":
        return None
    if not colon:
        return "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
    if ":" in name:
        return "Actions/Condition can contain only one colon."
    if vendor != "*" and not _VENDOR.fullmatch(vendor):
        return f"Vendor {vendor} is not valid"
    return None


def resource_fault(resource: str) -> str | None:
    if resource == "*":
        return None
    prefix, *parts = resource.split(":", 5)
    if not parts:
        return f'Resource {resource} must be in ARN format or "*".'
    partition = parts[0]
    if partition not in _PARTITIONS:
        told = ":".join([*parts, *["*"] * (5 - len(parts))])
        return f'Partition "{partition}" is not valid for resource "arn:{told}".'
    if prefix != "arn":
        return f'Resource {resource} must be in ARN format or "*".'
    if len(parts) < 2 or "*" in parts[1] or "?" in parts[1]:
        return "Resource vendor must be fully qualified and cannot contain regexes."
    service, region, path = parts[1], parts[2] if len(parts) > 2 else "", parts[4] if len(parts) > 4 else ""
    if service == "iam":
        return _iam_fault(resource, region, path)
    if service == "s3" and region and len(parts) > 3 and not path.startswith("accesspoint/"):
        return f"Resource {resource} can not contain region information."
    return None


def legacy_fault(resource: str) -> bool:
    """Whether the older parser refuses what `resource_fault` lets pass."""
    if resource == "*":
        return False
    parts = resource.split(":")
    return (len(parts) < 6 and "::" in resource) or not parts[2]


def _iam_fault(resource: str, region: str, path: str) -> str | None:
    if region:
        return f"IAM resource {resource} cannot contain region information."
    # A wildcard may stand for what a path begins with.
    literal = re.split(r"[*?$]", path, maxsplit=1)[0]
    if literal == path:
        known = path.startswith(_IAM_PATHS) or path == "root"
    else:
        known = any(start.startswith(literal) or literal.startswith(start) for start in _IAM_PATHS)
    if known:
        return None
    return f'IAM resource path must either be "*" or start with {", ".join(_IAM_PATHS)}.'
