"""The CloudWatch Logs operations there are. An operation that is not in this list answers that it is unknown."""

from ...services import Operation
from .filters import (
    delete_metric_filter,
    delete_subscription_filter,
    describe_metric_filters,
    describe_subscription_filters,
    put_metric_filter,
    put_subscription_filter,
    test_metric_filter,
)
from .live_tail import start_live_tail
from .log_events import filter_log_events, get_log_events, put_log_events
from .log_groups import create_log_group, delete_log_group, describe_log_groups
from .log_streams import create_log_stream, delete_log_stream, describe_log_streams
from .retention import delete_retention_policy, put_retention_policy
from .tags import (
    list_tags_for_resource,
    list_tags_log_group,
    tag_log_group,
    tag_resource,
    untag_log_group,
    untag_resource,
)

OPERATIONS: dict[str, Operation] = {
    "CreateLogGroup": create_log_group,
    "CreateLogStream": create_log_stream,
    "DeleteLogGroup": delete_log_group,
    "DeleteLogStream": delete_log_stream,
    "DeleteMetricFilter": delete_metric_filter,
    "DeleteRetentionPolicy": delete_retention_policy,
    "DeleteSubscriptionFilter": delete_subscription_filter,
    "DescribeLogGroups": describe_log_groups,
    "DescribeLogStreams": describe_log_streams,
    "DescribeMetricFilters": describe_metric_filters,
    "DescribeSubscriptionFilters": describe_subscription_filters,
    "FilterLogEvents": filter_log_events,
    "GetLogEvents": get_log_events,
    "ListTagsForResource": list_tags_for_resource,
    "ListTagsLogGroup": list_tags_log_group,
    "PutLogEvents": put_log_events,
    "PutMetricFilter": put_metric_filter,
    "PutRetentionPolicy": put_retention_policy,
    "PutSubscriptionFilter": put_subscription_filter,
    "StartLiveTail": start_live_tail,
    "TagLogGroup": tag_log_group,
    "TagResource": tag_resource,
    "TestMetricFilter": test_metric_filter,
    "UntagLogGroup": untag_log_group,
    "UntagResource": untag_resource,
}
