"""The ECR operations there are. An operation that is not in this list answers that it is unknown."""

from ...services import Operation
from .authorization import get_authorization_token
from .repositories import (
    create_repository,
    delete_repository,
    describe_repositories,
    put_image_scanning_configuration,
    put_image_tag_mutability,
)
from .tags import list_tags_for_resource, tag_resource, untag_resource

OPERATIONS: dict[str, Operation] = {
    "CreateRepository": create_repository,
    "DeleteRepository": delete_repository,
    "DescribeRepositories": describe_repositories,
    "GetAuthorizationToken": get_authorization_token,
    "ListTagsForResource": list_tags_for_resource,
    "PutImageScanningConfiguration": put_image_scanning_configuration,
    "PutImageTagMutability": put_image_tag_mutability,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
}
