"""What answers show of namespaces, services, instances and operations, and the tags of requests. Pure."""

from typing import Any

from ...call import Params
from ...cloudmap.errors import InvalidInput
from ...cloudmap.records import Instance, Namespace, Outcome, Pairs, Service

TAGS_MAX = 50
FAILURE_THRESHOLD = 1  # AWS's, whatever is asked for


def given_tags(params: Params) -> Pairs:
    """Raises InvalidInput."""
    given: list[dict[str, str]] = params.get("Tags") or []
    tags = {tag["Key"]: tag["Value"] for tag in given}
    if len(tags) != len(given):
        raise InvalidInput("A tag's key occurs twice.")
    if any(key.lower().startswith("aws:") for key in tags):
        raise InvalidInput("Tag keys that begin with aws: are reserved.")
    return tuple(tags.items())


def named_tags(tags: Pairs) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags]


def namespace_summary(namespace: Namespace, service_count: int) -> dict[str, Any]:
    dns: dict[str, Any] = {"SOA": {}}  # AWS's own answer where there is no zone, although its model wants more
    if namespace.hosted_zone is not None:
        dns = {"HostedZoneId": namespace.hosted_zone, "SOA": {"TTL": namespace.soa_ttl_s}}
    return _known(
        Id=namespace.name,
        Arn=namespace.arn,
        ResourceOwner=namespace.account,
        Name=namespace.called,
        Type=namespace.type,
        Description=namespace.description,
        ServiceCount=service_count,
        Properties={"DnsProperties": dns, "HttpProperties": {"HttpName": namespace.http_name}},
        CreateDate=namespace.created,
    )


def whole_namespace(namespace: Namespace, service_count: int) -> dict[str, Any]:
    return namespace_summary(namespace, service_count) | _known(CreatorRequestId=namespace.request or None)


def service_summary(service: Service) -> dict[str, Any]:
    return _known(
        Id=service.name,
        Arn=service.arn,
        ResourceOwner=service.account,
        Name=service.called,
        Type=service.type,
        Description=service.description,
        InstanceCount=service.instances,
        DnsConfig=_dns(service),
        HealthCheckCustomConfig={"FailureThreshold": FAILURE_THRESHOLD} if service.has_custom_health else None,
        CreateDate=service.created,
        CreatedByAccount=service.account,
    )


def whole_service(service: Service) -> dict[str, Any]:
    more = _known(NamespaceId=service.namespace, CreatorRequestId=service.request or None)
    return service_summary(service) | more


def _dns(service: Service) -> dict[str, Any]:
    if service.dns is None:
        return {}  # AWS's own answer
    return {
        "NamespaceId": service.namespace,
        "RoutingPolicy": service.dns.policy,
        "DnsRecords": [{"Type": kind, "TTL": ttl_s} for kind, ttl_s in service.dns.records],
    }


def instance_summary(instance: Instance) -> dict[str, Any]:
    return {"Id": instance.id, "Attributes": dict(instance.attributes), "CreatedByAccount": instance.account}


def whole_instance(instance: Instance) -> dict[str, Any]:
    return instance_summary(instance) | _known(CreatorRequestId=instance.request or None)


def health(service: Service, instance: Instance) -> str:
    """AWS does not know how those are that nobody checks."""
    if not service.has_custom_health:
        return "UNKNOWN"
    return "HEALTHY" if instance.is_healthy else "UNHEALTHY"


def whole_operation(outcome: Outcome) -> dict[str, Any]:
    return _known(
        Id=outcome.id,
        OwnerAccount=outcome.account,
        Type=outcome.type,
        Status=outcome.status,
        ErrorMessage=outcome.error_message,
        ErrorCode=outcome.error_code,
        CreateDate=outcome.at,
        UpdateDate=outcome.at,
        Targets=dict(outcome.targets),
    )


def _known(**members: Any) -> dict[str, Any]:
    """Members without a value are left out."""
    return {name: value for name, value in members.items() if value is not None}
