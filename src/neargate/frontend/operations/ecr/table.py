"""The ECR operations there are. An operation that is not in this list answers that it is unknown."""

from ...services import Operation
from .authorization import get_authorization_token
from .cache_rules import (
    create_pull_through_cache_rule,
    delete_pull_through_cache_rule,
    describe_pull_through_cache_rules,
    update_pull_through_cache_rule,
    validate_pull_through_cache_rule,
)
from .images import (
    batch_delete_image,
    batch_get_image,
    describe_image_replication_status,
    describe_image_scan_findings,
    describe_images,
    list_images,
    put_image,
    start_image_scan,
)
from .layers import (
    batch_check_layer_availability,
    complete_layer_upload,
    get_download_url_for_layer,
    initiate_layer_upload,
    upload_layer_part,
)
from .lifecycles import (
    delete_lifecycle_policy,
    get_lifecycle_policy,
    get_lifecycle_policy_preview,
    put_lifecycle_policy,
    start_lifecycle_policy_preview,
)
from .policies import (
    delete_registry_policy,
    delete_repository_policy,
    get_registry_policy,
    get_repository_policy,
    put_registry_policy,
    set_repository_policy,
)
from .registries import (
    batch_get_repository_scanning_configuration,
    describe_registry,
    get_account_setting,
    get_registry_scanning_configuration,
    put_account_setting,
    put_registry_scanning_configuration,
    put_replication_configuration,
)
from .repositories import (
    create_repository,
    delete_repository,
    describe_repositories,
    put_image_scanning_configuration,
    put_image_tag_mutability,
)
from .tags import (
    list_tags_for_resource,
    tag_resource,
    untag_resource,
)

OPERATIONS: dict[str, Operation] = {
    "BatchCheckLayerAvailability": batch_check_layer_availability,
    "BatchDeleteImage": batch_delete_image,
    "BatchGetImage": batch_get_image,
    "BatchGetRepositoryScanningConfiguration": batch_get_repository_scanning_configuration,
    "CompleteLayerUpload": complete_layer_upload,
    "CreatePullThroughCacheRule": create_pull_through_cache_rule,
    "CreateRepository": create_repository,
    "DeleteLifecyclePolicy": delete_lifecycle_policy,
    "DeletePullThroughCacheRule": delete_pull_through_cache_rule,
    "DeleteRegistryPolicy": delete_registry_policy,
    "DeleteRepository": delete_repository,
    "DeleteRepositoryPolicy": delete_repository_policy,
    "DescribeImageReplicationStatus": describe_image_replication_status,
    "DescribeImageScanFindings": describe_image_scan_findings,
    "DescribeImages": describe_images,
    "DescribePullThroughCacheRules": describe_pull_through_cache_rules,
    "DescribeRegistry": describe_registry,
    "DescribeRepositories": describe_repositories,
    "GetAccountSetting": get_account_setting,
    "GetAuthorizationToken": get_authorization_token,
    "GetDownloadUrlForLayer": get_download_url_for_layer,
    "GetLifecyclePolicy": get_lifecycle_policy,
    "GetLifecyclePolicyPreview": get_lifecycle_policy_preview,
    "GetRegistryPolicy": get_registry_policy,
    "GetRegistryScanningConfiguration": get_registry_scanning_configuration,
    "GetRepositoryPolicy": get_repository_policy,
    "InitiateLayerUpload": initiate_layer_upload,
    "ListImages": list_images,
    "ListTagsForResource": list_tags_for_resource,
    "PutAccountSetting": put_account_setting,
    "PutImage": put_image,
    "PutImageScanningConfiguration": put_image_scanning_configuration,
    "PutImageTagMutability": put_image_tag_mutability,
    "PutLifecyclePolicy": put_lifecycle_policy,
    "PutRegistryPolicy": put_registry_policy,
    "PutRegistryScanningConfiguration": put_registry_scanning_configuration,
    "PutReplicationConfiguration": put_replication_configuration,
    "SetRepositoryPolicy": set_repository_policy,
    "StartImageScan": start_image_scan,
    "StartLifecyclePolicyPreview": start_lifecycle_policy_preview,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "UpdatePullThroughCacheRule": update_pull_through_cache_rule,
    "UploadLayerPart": upload_layer_part,
    "ValidatePullThroughCacheRule": validate_pull_through_cache_rule,
}
