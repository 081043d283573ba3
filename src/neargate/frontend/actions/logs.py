"""What each CloudWatch Logs operation asks leave for.

Source: Service Authorization Reference, "Amazon CloudWatch Logs".
A group's actions are asked on `log-group:NAME:log-stream:`, as AWS's refusals show; policies name `log-group:NAME:*`.
"""

from .rules import REQUEST_TAGS, Actions, Level, rule

_TAGS = ("aws:ResourceTag/",)
_STREAM = "log-group:{group}:log-stream:{stream}"
_GROUP = "log-group:{group}"
_ALL_TAGS = (*_TAGS, *REQUEST_TAGS)
_UNMASK = rule("logs:Unmask", Level.READ, _STREAM, keys=_TAGS, when="unmask is true")
_NEW_TAGS = "the request has tags; one of the two is enough"

ACTIONS: Actions = {
    "CreateLogGroup": (
        rule("logs:CreateLogGroup", Level.WRITE, _STREAM, keys=REQUEST_TAGS),
        rule("logs:TagResource", Level.TAGGING, _STREAM, keys=REQUEST_TAGS, when=_NEW_TAGS),
        rule("logs:TagLogGroup", Level.TAGGING, _STREAM, keys=REQUEST_TAGS, when=_NEW_TAGS),
    ),
    "CreateLogStream": (rule("logs:CreateLogStream", Level.WRITE, _STREAM, keys=_TAGS),),
    "DeleteLogGroup": (rule("logs:DeleteLogGroup", Level.WRITE, _STREAM, keys=_TAGS),),
    "DeleteLogStream": (rule("logs:DeleteLogStream", Level.WRITE, _STREAM, keys=_TAGS),),
    "DeleteMetricFilter": (rule("logs:DeleteMetricFilter", Level.WRITE, _STREAM, keys=_TAGS),),
    "DeleteRetentionPolicy": (rule("logs:DeleteRetentionPolicy", Level.WRITE, _STREAM, keys=_TAGS),),
    "DeleteSubscriptionFilter": (rule("logs:DeleteSubscriptionFilter", Level.WRITE, _STREAM, keys=_TAGS),),
    "DescribeLogGroups": (rule("logs:DescribeLogGroups", Level.LIST, _STREAM),),
    "DescribeLogStreams": (rule("logs:DescribeLogStreams", Level.LIST, _STREAM, keys=_TAGS),),
    "DescribeMetricFilters": (rule("logs:DescribeMetricFilters", Level.LIST, _STREAM),),
    "DescribeSubscriptionFilters": (rule("logs:DescribeSubscriptionFilters", Level.LIST, _STREAM, keys=_TAGS),),
    "FilterLogEvents": (rule("logs:FilterLogEvents", Level.READ, _STREAM, keys=_TAGS), _UNMASK),
    "GetLogEvents": (rule("logs:GetLogEvents", Level.READ, _STREAM, keys=_TAGS), _UNMASK),
    "ListTagsForResource": (rule("logs:ListTagsForResource", Level.LIST, _GROUP, keys=_TAGS),),
    "ListTagsLogGroup": (rule("logs:ListTagsLogGroup", Level.LIST, _STREAM, keys=_TAGS),),
    "PutLogEvents": (rule("logs:PutLogEvents", Level.WRITE, _STREAM, keys=_TAGS),),
    "PutMetricFilter": (rule("logs:PutMetricFilter", Level.WRITE, _STREAM, keys=_TAGS),),
    "PutRetentionPolicy": (rule("logs:PutRetentionPolicy", Level.WRITE, _STREAM, keys=_TAGS),),
    "PutSubscriptionFilter": (rule("logs:PutSubscriptionFilter", Level.WRITE, _STREAM, keys=_TAGS),),
    "StartLiveTail": (rule("logs:StartLiveTail", Level.READ, _STREAM, keys=_TAGS),),
    "TagLogGroup": (rule("logs:TagLogGroup", Level.TAGGING, _STREAM, keys=_ALL_TAGS),),
    "TagResource": (rule("logs:TagResource", Level.TAGGING, _GROUP, keys=_ALL_TAGS),),
    "TestMetricFilter": (rule("logs:TestMetricFilter", Level.READ, "*"),),
    "UntagLogGroup": (rule("logs:UntagLogGroup", Level.TAGGING, _STREAM, keys=(*_TAGS, "aws:TagKeys")),),
    "UntagResource": (rule("logs:UntagResource", Level.TAGGING, _GROUP, keys=(*_TAGS, "aws:TagKeys")),),
}
