"""What each ECR operation asks leave for, and so does the registry's door for what container tools do.

Source: Service Authorization Reference, "Amazon Elastic Container Registry". Nearly every action is called as its
operation is and bears on one repository.
"""

from .rules import REQUEST_TAGS, Actions, Level, Rule, rule

_REPOSITORY = "repository/{name}"
_TAGS = ("aws:ResourceTag/", "ecr:ResourceTag/")


def _rows(level: Level, names: str, *forms: str, keys: tuple[str, ...] = ()) -> dict[str, tuple[Rule, ...]]:
    return {name: (rule(f"ecr:{name}", level, *forms, keys=keys),) for name in names.split()}


ACTIONS: Actions = {
    "CreateRepository": (
        rule("ecr:CreateRepository", Level.WRITE, _REPOSITORY, keys=REQUEST_TAGS),
        rule("ecr:TagResource", Level.TAGGING, _REPOSITORY, keys=REQUEST_TAGS, when="the request has tags"),
    ),
    "DescribeRepositories": (rule("ecr:DescribeRepositories", Level.READ, _REPOSITORY, keys=_TAGS),),
    "BatchGetImage": (
        rule("ecr:BatchGetImage", Level.READ, _REPOSITORY, keys=_TAGS),
        rule("ecr:BatchImportUpstreamImage", Level.WRITE, _REPOSITORY, keys=_TAGS, when="a rule caches the image"),
        rule("ecr:CreateRepository", Level.WRITE, _REPOSITORY, keys=REQUEST_TAGS, when="a rule makes the repository"),
    ),
    "InitiateLayerUpload": (
        rule("ecr:InitiateLayerUpload", Level.WRITE, _REPOSITORY, keys=_TAGS),
        rule("ecr:GetDownloadUrlForLayer", Level.READ, _REPOSITORY, keys=_TAGS, when="a layer is mounted from there"),
    ),
    **_rows(
        Level.READ,
        "BatchCheckLayerAvailability DescribeImageScanFindings DescribeImages GetDownloadUrlForLayer "
        "GetLifecyclePolicy GetLifecyclePolicyPreview GetRepositoryPolicy "
        "ListTagsForResource DescribeImageReplicationStatus",
        _REPOSITORY,
        keys=_TAGS,
    ),
    **_rows(Level.LIST, "ListImages", _REPOSITORY, keys=_TAGS),
    **_rows(
        Level.WRITE,
        "BatchDeleteImage CompleteLayerUpload DeleteLifecyclePolicy DeleteRepository PutImage "
        "PutImageScanningConfiguration PutImageTagMutability PutLifecyclePolicy StartImageScan "
        "StartLifecyclePolicyPreview UploadLayerPart",
        _REPOSITORY,
        keys=_TAGS,
    ),
    **_rows(Level.PERMISSIONS, "DeleteRepositoryPolicy SetRepositoryPolicy", _REPOSITORY, keys=_TAGS),
    **_rows(Level.TAGGING, "TagResource", _REPOSITORY, keys=(*_TAGS, *REQUEST_TAGS)),
    **_rows(Level.TAGGING, "UntagResource", _REPOSITORY, keys=(*_TAGS, "aws:TagKeys")),
    **_rows(Level.READ, "BatchGetRepositoryScanningConfiguration", _REPOSITORY, keys=_TAGS),
    **_rows(
        Level.READ,
        "DescribePullThroughCacheRules DescribeRegistry GetAccountSetting GetAuthorizationToken GetRegistryPolicy "
        "GetRegistryScanningConfiguration ValidatePullThroughCacheRule",
        "*",
    ),
    **_rows(
        Level.WRITE,
        "CreatePullThroughCacheRule DeletePullThroughCacheRule PutAccountSetting PutRegistryScanningConfiguration "
        "PutReplicationConfiguration UpdatePullThroughCacheRule",
        "*",
    ),
    **_rows(Level.PERMISSIONS, "DeleteRegistryPolicy PutRegistryPolicy", "*"),
}
