"""What conformance tests of load balancers begin with: a region, a VPC with two zones, load balancers, groups."""

from typing import Any

from neargate.testing.front_door import ROOT, Keys

from .door_clients import Door, boto, sender

GET = [{"Field": "path-pattern", "Values": ["/x"]}]
FIXED: dict[str, Any] = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}


class Balancing:
    """boto3 before one region. What is made lies in the account's default VPC."""

    def __init__(self, door: Door, keys: Keys = ROOT) -> None:
        self.door = door
        send = sender(door.run, door.door.region.frontend, peer="192.0.2.7")
        self.elb = boto("elbv2", keys, send, parameter_validation=False)
        self.ec2 = boto("ec2", ROOT, send, parameter_validation=False)
        self.acm = door.client("acm", keys)
        subnets = self.ec2.describe_subnets()["Subnets"]
        self.vpc = str(subnets[0]["VpcId"])
        self.subnets = [str(one["SubnetId"]) for one in subnets]

    def balancer(self, name: str = "web", **more: Any) -> str:
        found = self.elb.create_load_balancer(Name=name, Subnets=self.subnets, **more)["LoadBalancers"][0]
        return str(found["LoadBalancerArn"])

    def network(self, name: str = "net") -> str:
        return self.balancer(name, Type="network")

    def group(self, name: str = "one", protocol: str = "HTTP", **more: Any) -> str:
        given = {"VpcId": self.vpc, "TargetType": "ip", "Port": 80, **more}
        found = self.elb.create_target_group(Name=name, Protocol=protocol, **given)["TargetGroups"][0]
        return str(found["TargetGroupArn"])

    def certificate(self, name: str = "app.example.com") -> str:
        made = self.acm.request_certificate(DomainName=name, KeyAlgorithm="EC_prime256v1")
        return str(made["CertificateArn"])

    def listen(self, balancer: str, action: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        given = {"Protocol": "HTTP", "Port": 80, **more}
        made = self.elb.create_listener(LoadBalancerArn=balancer, DefaultActions=[action or FIXED], **given)
        (found,) = made["Listeners"]
        return dict(found)

    def rule(self, listener: str, priority: int = 10, **more: Any) -> dict[str, Any]:
        given = {"Conditions": GET, "Actions": [FIXED], **more}
        (found,) = self.elb.create_rule(ListenerArn=listener, Priority=priority, **given)["Rules"]
        return dict(found)


def forward(*groups: str, **weights: int) -> dict[str, Any]:
    """To one group in the old form, to several in the new one."""
    if len(groups) == 1:
        return {"Type": "forward", "TargetGroupArn": groups[0]}
    listed = [{"TargetGroupArn": arn, **weights} for arn in groups]
    return {"Type": "forward", "ForwardConfig": {"TargetGroups": listed}}
