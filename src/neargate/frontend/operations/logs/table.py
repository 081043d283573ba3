"""The CloudWatch Logs operations there are. An operation that is not in this list answers that it is unknown."""

from ...services import Operation
from .log_events import filter_log_events, get_log_events, put_log_events
from .log_groups import create_log_group, delete_log_group, describe_log_groups
from .log_streams import create_log_stream, delete_log_stream, describe_log_streams

OPERATIONS: dict[str, Operation] = {
    "CreateLogGroup": create_log_group,
    "CreateLogStream": create_log_stream,
    "DeleteLogGroup": delete_log_group,
    "DeleteLogStream": delete_log_stream,
    "DescribeLogGroups": describe_log_groups,
    "DescribeLogStreams": describe_log_streams,
    "FilterLogEvents": filter_log_events,
    "GetLogEvents": get_log_events,
    "PutLogEvents": put_log_events,
}
