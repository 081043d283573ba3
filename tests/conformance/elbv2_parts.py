"""What the tests of ELBv2 over the wire share: a VPC with an internet gateway and a subnet in each zone. No tests."""

from typing import Any

from .ec2_region import ZONES, Region

PLACES = [name for name, _ in ZONES]
NO_ID = "0" * 16


class Parts:
    """A VPC of its own. `one`, `two`: its subnets; `group`: a security group of it."""

    def __init__(self, region: Region, cidr: str = "10.1", *, gateway: bool = True) -> None:
        self.region, self.elb, self.ec2 = region, region.elbv2, region.ec2
        self.vpc = self.ec2.create_vpc(CidrBlock=f"{cidr}.0.0/16")["Vpc"]["VpcId"]
        self.one, self.two = (self.subnet(f"{cidr}.{n}.0/24", zone) for n, zone in enumerate(PLACES))
        self.group = self.security_group("web")
        if gateway:
            made = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
            self.ec2.attach_internet_gateway(InternetGatewayId=made, VpcId=self.vpc)

    def subnet(self, cidr: str, zone: str) -> str:
        made = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr, AvailabilityZone=zone)
        return str(made["Subnet"]["SubnetId"])

    def security_group(self, name: str) -> str:
        return str(self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)["GroupId"])

    def balancer(self, name: str = "web", **more: Any) -> dict[str, Any]:
        given: dict[str, Any] = {"Name": name, "Subnets": [self.one, self.two], "SecurityGroups": [self.group]}
        [made] = self.elb.create_load_balancer(**given | more)["LoadBalancers"]
        found: dict[str, Any] = made
        return found

    def network_balancer(self, name: str = "net", **more: Any) -> dict[str, Any]:
        given: dict[str, Any] = {"Name": name, "Type": "network", "Subnets": [self.one]}
        [made] = self.elb.create_load_balancer(**given | more)["LoadBalancers"]
        found: dict[str, Any] = made
        return found

    def target_group(self, name: str = "tg", **more: Any) -> dict[str, Any]:
        given = {"Name": name, "Protocol": "HTTP", "Port": 80, "VpcId": self.vpc, "TargetType": "ip"}
        [made] = self.elb.create_target_group(**given | more)["TargetGroups"]
        found: dict[str, Any] = made
        return found


def told(attributes: list[dict[str, str]]) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in attributes}
