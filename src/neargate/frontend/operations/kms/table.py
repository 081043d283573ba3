"""The KMS operations there are. An operation that is not in this list answers that it is unknown."""

from ...services import Operation
from .aliases import create_alias, delete_alias, list_aliases, update_alias
from .cryptography import (
    decrypt,
    encrypt,
    generate_data_key,
    generate_data_key_without_plaintext,
    generate_random,
    re_encrypt,
)
from .key_policies import get_key_policy, list_key_policies, put_key_policy
from .keys import (
    cancel_key_deletion,
    create_key,
    describe_key,
    disable_key,
    disable_key_rotation,
    enable_key,
    enable_key_rotation,
    get_key_rotation_status,
    list_keys,
    schedule_key_deletion,
    update_key_description,
)
from .tags import list_resource_tags, tag_resource, untag_resource

OPERATIONS: dict[str, Operation] = {
    "CancelKeyDeletion": cancel_key_deletion,
    "CreateAlias": create_alias,
    "CreateKey": create_key,
    "Decrypt": decrypt,
    "DeleteAlias": delete_alias,
    "DescribeKey": describe_key,
    "DisableKey": disable_key,
    "DisableKeyRotation": disable_key_rotation,
    "EnableKey": enable_key,
    "EnableKeyRotation": enable_key_rotation,
    "Encrypt": encrypt,
    "GenerateDataKey": generate_data_key,
    "GenerateDataKeyWithoutPlaintext": generate_data_key_without_plaintext,
    "GenerateRandom": generate_random,
    "GetKeyPolicy": get_key_policy,
    "GetKeyRotationStatus": get_key_rotation_status,
    "ListAliases": list_aliases,
    "ListKeyPolicies": list_key_policies,
    "ListKeys": list_keys,
    "ListResourceTags": list_resource_tags,
    "PutKeyPolicy": put_key_policy,
    "ReEncrypt": re_encrypt,
    "ScheduleKeyDeletion": schedule_key_deletion,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "UpdateAlias": update_alias,
    "UpdateKeyDescription": update_key_description,
}
