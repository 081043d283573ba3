"""The resources that a record names: what leave was asked for, and what the answer says was made. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any

RESOURCES_MAX = 100

_TYPES = {
    ("acm", "certificate"): "AWS::CertificateManager::Certificate",
    ("ec2", "dhcp-options"): "AWS::EC2::DHCPOptions",
    ("ec2", "elastic-ip"): "AWS::EC2::EIP",
    ("ec2", "natgateway"): "AWS::EC2::NatGateway",
    ("ec2", "network-acl"): "AWS::EC2::NetworkAcl",
    ("ec2", "prefix-list"): "AWS::EC2::PrefixList",
    ("ec2", "network-interface"): "AWS::EC2::NetworkInterface",
    ("ec2", "security-group"): "AWS::EC2::SecurityGroup",
    ("ec2", "security-group-rule"): "AWS::EC2::SecurityGroupRule",
    ("ec2", "subnet"): "AWS::EC2::Subnet",
    ("ec2", "vpc"): "AWS::EC2::VPC",
    ("ec2", "vpc-endpoint"): "AWS::EC2::VPCEndpoint",
    ("ec2", "vpc-peering-connection"): "AWS::EC2::VPCPeeringConnection",
    ("ecr", "repository"): "AWS::ECR::Repository",
    ("ecs", "capacity-provider"): "AWS::ECS::CapacityProvider",
    ("ecs", "cluster"): "AWS::ECS::Cluster",
    ("ecs", "service"): "AWS::ECS::Service",
    ("ecs", "task"): "AWS::ECS::Task",
    ("ecs", "task-definition"): "AWS::ECS::TaskDefinition",
    ("ecs", "task-set"): "AWS::ECS::TaskSet",
    ("elasticloadbalancing", "listener"): "AWS::ElasticLoadBalancingV2::Listener",
    ("elasticloadbalancing", "listener-rule"): "AWS::ElasticLoadBalancingV2::ListenerRule",
    ("elasticloadbalancing", "loadbalancer"): "AWS::ElasticLoadBalancingV2::LoadBalancer",
    ("elasticloadbalancing", "targetgroup"): "AWS::ElasticLoadBalancingV2::TargetGroup",
    ("iam", "group"): "AWS::IAM::Group",
    ("iam", "instance-profile"): "AWS::IAM::InstanceProfile",
    ("iam", "oidc-provider"): "AWS::IAM::OIDCProvider",
    ("iam", "policy"): "AWS::IAM::Policy",
    ("iam", "role"): "AWS::IAM::Role",
    ("iam", "user"): "AWS::IAM::User",
    ("kms", "alias"): "AWS::KMS::Alias",
    ("kms", "key"): "AWS::KMS::Key",
    ("logs", "log-group"): "AWS::Logs::LogGroup",
    ("secretsmanager", "secret"): "AWS::SecretsManager::Secret",
    ("servicediscovery", "namespace"): "AWS::ServiceDiscovery::Namespace",
    ("servicediscovery", "service"): "AWS::ServiceDiscovery::Service",
    ("ssm", "parameter"): "AWS::SSM::Parameter",
    ("sts", "assumed-role"): "AWS::STS::AssumedRole",
}


def resources(asked: Sequence[str], answer: Any) -> tuple[tuple[str, str], ...]:
    """(type, ARN) pairs, each once. `answer`: as shown in the record, None for calls that change nothing.

    What ends in `/` is a path on which IAM asks for a list: nothing has that ARN.
    """
    found: dict[str, None] = dict.fromkeys(arn for arn in asked if arn.startswith("arn:") and not arn.endswith("/"))
    for arn in _arns(answer):
        if len(found) >= RESOURCES_MAX:
            break
        found[arn] = None
    return tuple((kind(arn), arn) for arn in list(found)[:RESOURCES_MAX])


def kind(arn: str) -> str:
    """CloudFormation's name for the type of a resource."""
    parts = arn.split(":", 5)
    if len(parts) != 6:
        return "AWS::Unknown"
    service, resource = parts[2], parts[5].replace(":", "/").partition("/")[0]
    return _TYPES.get((service, resource)) or f"AWS::{service.upper()}::{resource.title().replace('-', '')}"


def account_of(arn: str) -> str:
    parts = arn.split(":", 5)
    return parts[4] if len(parts) == 6 else ""


def _arns(answer: Any) -> Iterator[str]:
    """Of an answer's own members and of the things in it, not of what these consist of."""
    if not isinstance(answer, dict):
        return
    for name, value in answer.items():
        if isinstance(value, str):
            if value[:4] == "arn:" and name.endswith(("Arn", "arn")):
                yield value
            continue
        for item in value[:RESOURCES_MAX] if isinstance(value, list) else (value,):
            if isinstance(item, dict):
                for inner, text in item.items():
                    if isinstance(text, str) and text[:4] == "arn:" and inner.endswith(("Arn", "arn")):
                        yield text
