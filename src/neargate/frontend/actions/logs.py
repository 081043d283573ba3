"""What each CloudWatch Logs operation asks leave for.

Source: Service Authorization Reference, "Amazon CloudWatch Logs".
A group's actions are asked on `log-group:NAME:log-stream:`, as AWS's refusals show; policies name `log-group:NAME:*`.
"""

from .rules import REQUEST_TAGS, Actions, Level, rule

_TAGS = ("aws:ResourceTag/",)
_STREAM = "log-group:{group}:log-stream:{stream}"
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
    "DescribeLogGroups": (rule("logs:DescribeLogGroups", Level.LIST, _STREAM),),
    "DescribeLogStreams": (rule("logs:DescribeLogStreams", Level.LIST, _STREAM, keys=_TAGS),),
    "FilterLogEvents": (rule("logs:FilterLogEvents", Level.READ, _STREAM, keys=_TAGS), _UNMASK),
    "GetLogEvents": (rule("logs:GetLogEvents", Level.READ, _STREAM, keys=_TAGS), _UNMASK),
    "PutLogEvents": (rule("logs:PutLogEvents", Level.WRITE, _STREAM, keys=_TAGS),),
}
