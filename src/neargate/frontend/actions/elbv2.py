"""What each ELBv2 operation asks leave for. Source: Service Authorization Reference, "AWS Elastic Load Balancing V2".

What is made is asked for under the ARN that it will have, its id left open (`.../NAME/*`); tags that are given with it
are asked for there, too. What only describes is asked for on `*`.
"""

from .rules import REQUEST_TAGS, Actions, Level, Rule, rule

_SERVICE = "elasticloadbalancing"
_BALANCERS = ("loadbalancer/app/{name}/{id}", "loadbalancer/net/{name}/{id}", "loadbalancer/gwy/{name}/{id}")
_LISTENERS = ("listener/app/{name}/{lb}/{id}", "listener/net/{name}/{lb}/{id}", "listener/gwy/{name}/{lb}/{id}")
_RULES = ("listener-rule/app/{name}/{lb}/{listener}/{id}", "listener-rule/net/{name}/{lb}/{listener}/{id}")
_GROUP = "targetgroup/{name}/{id}"
_LOG_GROUP, _LOGGED = "log-group:{group}:log-stream:{stream}", "the request names a log group for access logs"
_TAGS = ("aws:ResourceTag/", f"{_SERVICE}:ResourceTag/")
_GIVEN = (*REQUEST_TAGS, f"{_SERVICE}:CreateAction")
_LISTENER_KEYS = (f"{_SERVICE}:ListenerProtocol", f"{_SERVICE}:SecurityPolicy")
_SUBNET, _SECURITY_GROUP, _SCHEME = f"{_SERVICE}:Subnet", f"{_SERVICE}:SecurityGroup", f"{_SERVICE}:Scheme"


def _rows(level: Level, names: str, *forms: str, keys: tuple[str, ...] = _TAGS) -> dict[str, tuple[Rule, ...]]:
    return {name: (rule(f"{_SERVICE}:{name}", level, *forms, keys=keys),) for name in names.split()}


def _creating(
    name: str, asked: tuple[str, ...], made: tuple[str, ...], *keys: str, tags: tuple[str, ...] = ()
) -> dict[str, tuple[Rule, ...]]:
    return {
        name: (
            rule(f"{_SERVICE}:{name}", Level.WRITE, *asked, keys=(*keys, *tags, *REQUEST_TAGS)),
            rule(f"{_SERVICE}:AddTags", Level.TAGGING, *made, keys=_GIVEN, when="the request has tags"),
        )
    }


ACTIONS: Actions = {
    **_creating("CreateListener", _BALANCERS, _LISTENERS, *_LISTENER_KEYS, tags=_TAGS),
    **_creating("CreateLoadBalancer", _BALANCERS, _BALANCERS, _SCHEME, _SECURITY_GROUP, _SUBNET),
    **_creating("CreateRule", _LISTENERS, _RULES, tags=_TAGS),
    **_creating("CreateTargetGroup", (_GROUP,), (_GROUP,)),
    **_rows(Level.WRITE, "DeleteListener ModifyListenerAttributes", *_LISTENERS),
    **_rows(Level.WRITE, "AddListenerCertificates RemoveListenerCertificates", *_LISTENERS),
    **_rows(Level.WRITE, "ModifyListener", *_LISTENERS, keys=(*_TAGS, *_LISTENER_KEYS)),
    **_rows(Level.WRITE, "DeleteLoadBalancer SetIpAddressType", *_BALANCERS),
    "ModifyLoadBalancerAttributes": (
        *_rows(Level.WRITE, "ModifyLoadBalancerAttributes", *_BALANCERS)["ModifyLoadBalancerAttributes"],
        rule("logs:CreateLogStream", Level.WRITE, _LOG_GROUP, keys=_TAGS[:1], when=_LOGGED),
        rule("logs:PutLogEvents", Level.WRITE, _LOG_GROUP, keys=_TAGS[:1], when=_LOGGED),
    ),
    **_rows(Level.WRITE, "SetSecurityGroups", *_BALANCERS, keys=(*_TAGS, _SECURITY_GROUP)),
    **_rows(Level.WRITE, "SetSubnets", *_BALANCERS, keys=(*_TAGS, _SUBNET)),
    **_rows(Level.WRITE, "DeleteRule ModifyRule SetRulePriorities", *_RULES),
    **_rows(
        Level.WRITE,
        "DeleteTargetGroup DeregisterTargets ModifyTargetGroup ModifyTargetGroupAttributes RegisterTargets",
        _GROUP,
    ),
    **_rows(
        Level.READ,
        """
        DescribeAccountLimits DescribeListenerAttributes DescribeListenerCertificates DescribeListeners
        DescribeLoadBalancerAttributes DescribeLoadBalancers DescribeRules DescribeSSLPolicies DescribeTags
        DescribeTargetGroupAttributes DescribeTargetGroups DescribeTargetHealth
        """,
        "*",
        keys=(),
    ),
    **_rows(Level.TAGGING, "AddTags", *_BALANCERS, *_LISTENERS, *_RULES, _GROUP, keys=(*_TAGS, *_GIVEN)),
    **_rows(Level.TAGGING, "RemoveTags", *_BALANCERS, *_LISTENERS, *_RULES, _GROUP, keys=(*_TAGS, "aws:TagKeys")),
}
