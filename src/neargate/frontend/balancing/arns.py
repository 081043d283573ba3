"""ARNs and DNS names of load balancers and what belongs to them. Pure.

A listener's ARN begins as its load balancer's, a rule's as its listener's, so that one tells the other.
"""

import re

from ...model.arn import Arn
from .errors import ListenerNotFound, LoadBalancerNotFound, NotThere, RuleNotFound, TargetGroupNotFound, ValidationError

SERVICE = "elasticloadbalancing"
SHORT = {"application": "app", "network": "net"}
BALANCER, GROUP, LISTENER, RULE = "loadbalancer", "targetgroup", "listener", "listener-rule"
WORDS: dict[str, type[NotThere]] = {
    BALANCER: LoadBalancerNotFound,
    GROUP: TargetGroupNotFound,
    LISTENER: ListenerNotFound,
    RULE: RuleNotFound,
}
_PARTS = {BALANCER: 3, GROUP: 2, LISTENER: 4, RULE: 5}
_ARN = re.compile(
    r"arn:[a-z-]{3,16}:elasticloadbalancing:[a-z0-9-]{0,32}:[0-9]{0,12}:([a-z-]{1,16})/([A-Za-z0-9/*_-]{1,160})"
)


def balancer_arn(region: str, account: str, lb_type: str, label: str, number: str) -> str:
    return _arn(region, account, f"{BALANCER}/{SHORT[lb_type]}/{label}/{number}")


def group_arn(region: str, account: str, label: str, number: str) -> str:
    return _arn(region, account, f"{GROUP}/{label}/{number}")


def listener_arn(balancer: str, number: str) -> str:
    return balancer.replace(f":{BALANCER}/", f":{LISTENER}/", 1) + f"/{number}"


def rule_arn(listener: str, number: str) -> str:
    return listener.replace(f":{LISTENER}/", f":{RULE}/", 1) + f"/{number}"


def balancer_of(listener: str) -> str:
    """The ARN of a listener's load balancer."""
    return listener.rpartition("/")[0].replace(f":{LISTENER}/", f":{BALANCER}/", 1)


def listener_of(rule: str) -> str:
    """The ARN of a rule's listener."""
    return rule.rpartition("/")[0].replace(f":{RULE}/", f":{LISTENER}/", 1)


def checked(arn: str, kind: str) -> str:
    """As it was given. Raises ValidationError for what is no ARN of this kind."""
    if kind_of(arn) != kind:
        raise ValidationError(f"'{arn[:255]}' is not a valid {WORDS[kind].word} ARN")
    return arn


def kind_of(arn: str) -> str | None:
    """None for what is no ARN of ELBv2's."""
    found = _ARN.fullmatch(arn)
    if found is None or found[1] not in _PARTS:
        return None
    parts = found[2].split("/")
    return found[1] if len(parts) == _PARTS[found[1]] and all(parts) else None


def dns_name(region: str, lb_type: str, scheme: str, label: str, number: str) -> str:
    """In AWS's forms: names of network load balancers end in the id of the ARN, those of others in a number."""
    before = "internal-" if scheme == "internal" and lb_type == "application" else ""
    if lb_type == "network":
        return f"{label}-{number}.elb.{region}.amazonaws.com"
    return f"{before}{label}-{int(number, 16) % 10**10}.{region}.elb.amazonaws.com"


def _arn(region: str, account: str, resource: str) -> str:
    return str(Arn(service=SERVICE, region=region, account=account, resource=resource))
