"""The Secrets Manager operations there are. An operation that is not in this list answers that it is unknown."""

from ...services import Operation
from .listing import list_secrets
from .passwords import get_random_password
from .policies import delete_resource_policy, get_resource_policy, put_resource_policy, validate_resource_policy
from .refused import refuse_replication, refuse_rotation
from .secrets import create_secret, delete_secret, describe_secret, restore_secret, update_secret
from .tags import tag_resource, untag_resource
from .values import (
    batch_get_secret_value,
    get_secret_value,
    list_secret_version_ids,
    put_secret_value,
    update_secret_version_stage,
)

OPERATIONS: dict[str, Operation] = {
    "BatchGetSecretValue": batch_get_secret_value,
    "CancelRotateSecret": refuse_rotation,
    "CreateSecret": create_secret,
    "DeleteResourcePolicy": delete_resource_policy,
    "DeleteSecret": delete_secret,
    "DescribeSecret": describe_secret,
    "GetRandomPassword": get_random_password,
    "GetResourcePolicy": get_resource_policy,
    "GetSecretValue": get_secret_value,
    "ListSecretVersionIds": list_secret_version_ids,
    "ListSecrets": list_secrets,
    "PutResourcePolicy": put_resource_policy,
    "PutSecretValue": put_secret_value,
    "RemoveRegionsFromReplication": refuse_replication,
    "ReplicateSecretToRegions": refuse_replication,
    "RestoreSecret": restore_secret,
    "RotateSecret": refuse_rotation,
    "StopReplicationToReplica": refuse_replication,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "UpdateSecret": update_secret,
    "UpdateSecretVersionStage": update_secret_version_stage,
    "ValidateResourcePolicy": validate_resource_policy,
}
