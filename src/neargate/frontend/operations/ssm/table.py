"""The Systems Manager operations there are: Parameter Store's, and what clients of ECS's sessions ask."""

from ...services import Operation
from .changing import delete_parameter, delete_parameters, label_parameter_version, unlabel_parameter_version
from .describing import describe_parameters
from .getting import get_parameter, get_parameter_history, get_parameters, get_parameters_by_path
from .putting import put_parameter
from .sessions import resume_session
from .tags import add_tags_to_resource, list_tags_for_resource, remove_tags_from_resource

OPERATIONS: dict[str, Operation] = {
    "AddTagsToResource": add_tags_to_resource,
    "DeleteParameter": delete_parameter,
    "DeleteParameters": delete_parameters,
    "DescribeParameters": describe_parameters,
    "GetParameter": get_parameter,
    "GetParameterHistory": get_parameter_history,
    "GetParameters": get_parameters,
    "GetParametersByPath": get_parameters_by_path,
    "LabelParameterVersion": label_parameter_version,
    "ListTagsForResource": list_tags_for_resource,
    "PutParameter": put_parameter,
    "RemoveTagsFromResource": remove_tags_from_resource,
    "ResumeSession": resume_session,
    "UnlabelParameterVersion": unlabel_parameter_version,
}
