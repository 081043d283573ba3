"""Cloud Map as boto3 sees it, in AWS's words: namespaces, services, instances, discovery, operations, and who may."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from neargate.testing.front_door import ACCOUNT, MODELS, REGION, ROOT, Keys
from neargate.testing.signing import signed
from neargate.wire import cbor
from neargate.wire.sigv4 import SignedRequest

from .door_clients import Door, allow, boto, refused, sender

MAP = f"arn:aws:servicediscovery:{REGION}:{ACCOUNT}"
AL = f"User: arn:aws:iam::{ACCOUNT}:user/al"
A = {"DnsRecords": [{"Type": "A", "TTL": 60}]}
SRV = {"DnsRecords": [{"Type": "SRV", "TTL": 10}]}
NOTHING = "ns-0000000000000000"


@pytest.fixture
def door() -> Iterator[Door]:
    with asyncio.Runner() as runner:
        yield Door(runner)


def client(door: Door, keys: Keys = ROOT) -> Any:
    """Without the prefix `data-`, which SDKs put before the host's name of DiscoverInstances."""
    send = sender(door.run, door.door.region.frontend, peer="192.0.2.7", check=MODELS.service("servicediscovery"))
    return boto("servicediscovery", keys, send, parameter_validation=False, inject_host_prefix=False)


@pytest.fixture
def sd(door: Door) -> Any:
    return client(door)


@pytest.fixture
def vpc(door: Door) -> str:
    return door.door.region.services.network.vpcs(ACCOUNT)[0].vpc_id


def ended(sd: Any, answer: dict[str, Any]) -> dict[str, Any]:
    """The operation that an answer names."""
    found: dict[str, Any] = sd.get_operation(OperationId=answer["OperationId"])["Operation"]
    assert found["Id"] == answer["OperationId"] and found["OwnerAccount"] == ACCOUNT
    return found


def done(sd: Any, answer: dict[str, Any], target: str) -> str:
    found = ended(sd, answer)
    assert found["Status"] == "SUCCESS", found
    return str(found["Targets"][target])


def private(sd: Any, vpc: str, name: str = "internal", **more: Any) -> str:
    return done(sd, sd.create_private_dns_namespace(Name=name, Vpc=vpc, **more), "NAMESPACE")


def http(sd: Any, name: str = "apps", **more: Any) -> str:
    return done(sd, sd.create_http_namespace(Name=name, **more), "NAMESPACE")


def service(sd: Any, namespace: str, name: str = "web", **more: Any) -> str:
    return str(sd.create_service(Name=name, NamespaceId=namespace, **more)["Service"]["Id"])


def register(sd: Any, service_id: str, instance_id: str = "i-1", **attributes: str) -> str:
    given = attributes or {"AWS_INSTANCE_IPV4": "10.0.0.1"}
    answer = sd.register_instance(ServiceId=service_id, InstanceId=instance_id, Attributes=given)
    return done(sd, answer, "INSTANCE")


def ids(found: dict[str, Any]) -> list[str]:
    return sorted(one["InstanceId"] for one in found["Instances"])


def test_from_a_namespace_to_an_instance_and_back(sd: Any, vpc: str) -> None:
    namespace = private(sd, vpc, Description="d", Tags=[{"Key": "team", "Value": "x"}], CreatorRequestId="r1")
    found = sd.get_namespace(Id=namespace)["Namespace"]
    assert found["Arn"] == f"{MAP}:namespace/{namespace}" and found["Properties"]["DnsProperties"]["SOA"] == {"TTL": 15}
    assert {key: found[key] for key in ("Name", "Type", "Description", "ServiceCount", "CreatorRequestId")} == {
        "Name": "internal",
        "Type": "DNS_PRIVATE",
        "Description": "d",
        "ServiceCount": 0,
        "CreatorRequestId": "r1",
    }
    made = sd.create_service(Name="web", NamespaceId=found["Arn"], DnsConfig=A, CreatorRequestId="r2")["Service"]
    assert made["Arn"] == f"{MAP}:service/{made['Id']}" and made["Type"] == "DNS_HTTP"
    assert made["DnsConfig"] == {"NamespaceId": namespace, "RoutingPolicy": "MULTIVALUE", **A}
    attributes = {"AWS_INSTANCE_IPV4": "10.0.0.1", "color": "red"}
    operation = ended(sd, sd.register_instance(ServiceId=made["Id"], InstanceId="i-1", Attributes=attributes))
    assert (operation["Type"], operation["Status"]) == ("REGISTER_INSTANCE", "SUCCESS")
    assert operation["Targets"] == {"INSTANCE": "i-1", "SERVICE": made["Id"]}
    assert sd.get_service(Id=made["Arn"])["Service"] == made | {"InstanceCount": 1}
    discovered = sd.discover_instances(NamespaceName="internal", ServiceName="web")
    assert discovered["Instances"] == [
        {
            "InstanceId": "i-1",
            "NamespaceName": "internal",
            "ServiceName": "web",
            "HealthStatus": "UNKNOWN",
            "Attributes": attributes,
        }
    ]
    revision = sd.discover_instances_revision(NamespaceName="internal", ServiceName="web")["InstancesRevision"]
    assert revision == discovered["InstancesRevision"] == 1
    assert sd.get_instance(ServiceId=made["Id"], InstanceId="i-1")["Instance"]["Attributes"] == attributes
    assert [one["Id"] for one in sd.list_instances(ServiceId=made["Id"])["Instances"]] == ["i-1"]

    in_use = "Namespace has associated services; delete the services before deleting the namespace"
    assert refused(sd.delete_namespace, Id=namespace) == ("ResourceInUse", in_use)
    in_use = "Service contains registered instances; delete the instances before deleting the service"
    assert refused(sd.delete_service, Id=made["Id"]) == ("ResourceInUse", in_use)
    done(sd, sd.deregister_instance(ServiceId=made["Id"], InstanceId="i-1"), "INSTANCE")
    sd.delete_service(Id=made["Id"])
    done(sd, sd.delete_namespace(Id=namespace), "NAMESPACE")
    assert sd.list_namespaces()["Namespaces"] == [] and sd.list_services()["Services"] == []
    kinds = [
        one["Type"] for one in (ended(sd, {"OperationId": one["Id"]}) for one in sd.list_operations()["Operations"])
    ]
    assert kinds == ["DELETE_NAMESPACE", "DEREGISTER_INSTANCE", "REGISTER_INSTANCE", "CREATE_NAMESPACE"]


def test_what_is_not_there(sd: Any) -> None:
    namespace = http(sd)
    here = service(sd, namespace)
    assert refused(sd.get_namespace, Id=NOTHING) == ("NamespaceNotFound", "Namespace not found")
    assert refused(sd.delete_namespace, Id=f"{MAP}:namespace/{NOTHING}")[0] == "NamespaceNotFound"
    assert refused(sd.update_http_namespace, Id=NOTHING, Namespace={"Description": "d"})[0] == "NamespaceNotFound"
    assert refused(sd.create_service, Name="x", NamespaceId=NOTHING)[0] == "NamespaceNotFound"
    assert refused(sd.get_service, Id="srv-x") == ("ServiceNotFound", "Service not found")
    assert refused(sd.list_instances, ServiceId="srv-x")[0] == "ServiceNotFound"
    assert refused(sd.register_instance, ServiceId="srv-x", InstanceId="i", Attributes={})[0] == "ServiceNotFound"
    assert refused(sd.get_instance, ServiceId=here, InstanceId="i") == ("InstanceNotFound", "Instance not found")
    assert refused(sd.deregister_instance, ServiceId=here, InstanceId="i")[0] == "InstanceNotFound"
    assert refused(sd.get_instances_health_status, ServiceId=here, Instances=["i"])[0] == "InstanceNotFound"
    for operation in ("x", "x-zz", "-", "a-b-c"):
        assert refused(sd.get_operation, OperationId=operation)[0] == "OperationNotFound"
    assert refused(sd.discover_instances, NamespaceName="x", ServiceName="web")[0] == "NamespaceNotFound"
    assert refused(sd.discover_instances, NamespaceName="apps", ServiceName="x")[0] == "ServiceNotFound"
    for arn in (f"arn:aws:servicediscovery:eu-west-1:{ACCOUNT}:namespace/{NOTHING}", f"{MAP}:service/srv-1", "arn:x"):
        assert refused(sd.get_namespace, Id=arn)[0] == "InvalidInput"
    theirs = f"arn:aws:servicediscovery:{REGION}:210987654321:namespace/{namespace}"
    assert refused(sd.get_namespace, Id=theirs)[0] == "AccessDeniedException"  # nothing is shared between accounts
    assert refused(sd.get_namespace)[0] == "InvalidInput"


def test_names_that_are_taken(sd: Any, vpc: str) -> None:
    namespace = http(sd, CreatorRequestId="r")
    taken = refused(sd.create_http_namespace, Name="apps", CreatorRequestId="q")
    assert taken[0] == "NamespaceAlreadyExists"
    first = sd.create_http_namespace(Name="apps", CreatorRequestId="r")
    assert ended(sd, first)["Targets"]["NAMESPACE"] == namespace
    assert refused(sd.create_http_namespace, Name="other", CreatorRequestId="r")[0] == "DuplicateRequest"
    made = service(sd, namespace, CreatorRequestId="s")
    assert service(sd, namespace, CreatorRequestId="s") == made
    assert refused(sd.create_service, Name="web", NamespaceId=namespace)[0] == "ServiceAlreadyExists"
    private(sd, vpc)
    again = ended(sd, sd.create_private_dns_namespace(Name="internal", Vpc=vpc))
    assert (again["Status"], again["ErrorCode"]) == ("FAIL", "CANNOT_CREATE_HOSTED_ZONE")
    assert f"The VPC that you chose, {vpc} in region {REGION}, is already associated" in again["ErrorMessage"]
    nowhere = ended(sd, sd.create_private_dns_namespace(Name="other", Vpc="vpc-0123456789abcdef0"))
    assert (nowhere["Status"], nowhere["ErrorCode"]) == ("FAIL", "CANNOT_CREATE_HOSTED_ZONE")
    assert refused(sd.get_namespace, Id=nowhere["Targets"]["NAMESPACE"])[0] == "NamespaceNotFound"


def test_errors_carry_their_members(sd: Any) -> None:
    namespace = http(sd, CreatorRequestId="r")
    with pytest.raises(sd.exceptions.NamespaceAlreadyExists) as caught:
        sd.create_http_namespace(Name="apps")
    assert (caught.value.response["NamespaceId"], caught.value.response["CreatorRequestId"]) == (namespace, "r")
    made = service(sd, namespace)
    with pytest.raises(sd.exceptions.ServiceAlreadyExists) as there:
        sd.create_service(Name="web", NamespaceId=namespace)
    assert (there.value.response["ServiceId"], there.value.response["ServiceArn"]) == (made, f"{MAP}:service/{made}")
    with pytest.raises(sd.exceptions.DuplicateRequest) as twice:
        sd.create_http_namespace(Name="other", CreatorRequestId="r")
    assert ended(sd, {"OperationId": twice.value.response["DuplicateOperationId"]})["Type"] == "CREATE_NAMESPACE"


def test_what_needs_route_53_is_refused(sd: Any, vpc: str) -> None:
    assert refused(sd.create_public_dns_namespace, Name="example.com")[0] == "InvalidInput"
    assert refused(sd.update_public_dns_namespace, Id=NOTHING, Namespace={})[0] == "NamespaceNotFound"
    checked = {"HealthCheckConfig": {"Type": "HTTP"}}
    for namespace in (private(sd, vpc), http(sd)):
        assert refused(sd.create_service, Name="x", NamespaceId=namespace, **checked)[0] == "InvalidInput"
        both = checked | {"HealthCheckCustomConfig": {}}
        assert "but not both" in refused(sd.create_service, Name="x", NamespaceId=namespace, **both)[1]


def test_an_http_service_has_no_dns(sd: Any, vpc: str) -> None:
    words = "When you specify an HTTP service, you can't include a DnsConfig element."
    assert refused(sd.create_service, Name="x", NamespaceId=http(sd), DnsConfig=A) == ("InvalidInput", words)
    namespace = private(sd, vpc)
    assert refused(sd.create_service, Name="x", NamespaceId=namespace, DnsConfig=A, Type="HTTP")[1] == words
    made = sd.create_service(Name="x", NamespaceId=namespace, Type="HTTP")["Service"]
    assert (made["Type"], made["DnsConfig"]) == ("HTTP", {})
    assert sd.get_namespace(Id=http(sd, "other"))["Namespace"]["Properties"]["DnsProperties"] == {"SOA": {}}
    assert refused(sd.create_service, Name="y")[0] == "InvalidInput"
    older = {**A, "NamespaceId": namespace}
    assert sd.create_service(Name="y", DnsConfig=older)["Service"]["NamespaceId"] == namespace
    assert refused(sd.create_service, Name="z", NamespaceId=NOTHING, DnsConfig=older)[0] == "InvalidInput"


def test_instances_are_discovered_by_health_and_attributes(door: Door, sd: Any) -> None:
    made = service(sd, http(sd), HealthCheckCustomConfig={"FailureThreshold": 3})
    assert sd.get_service(Id=made)["Service"]["HealthCheckCustomConfig"] == {"FailureThreshold": 1}
    for number, zone, status in ((1, "a", "HEALTHY"), (2, "a", "UNHEALTHY"), (3, "b", "HEALTHY")):
        register(sd, made, f"i-{number}", zone=zone, AWS_INIT_HEALTH_STATUS=status)

    def found(**more: Any) -> list[str]:
        return ids(sd.discover_instances(NamespaceName="apps", ServiceName="web", **more))

    assert found() == found(HealthStatus="HEALTHY") == found(HealthStatus="HEALTHY_OR_ELSE_ALL") == ["i-1", "i-3"]
    assert found(HealthStatus="UNHEALTHY") == ["i-2"]
    assert found(HealthStatus="ALL") == ["i-1", "i-2", "i-3"]
    assert found(QueryParameters={"zone": "a"}) == ["i-1"]
    assert found(QueryParameters={"zone": "c"}) == []
    assert found(OptionalParameters={"zone": "b"}) == ["i-3"]
    assert found(OptionalParameters={"zone": "c"}) == ["i-1", "i-3"]
    assert found(QueryParameters={"zone": "a"}, HealthStatus="ALL", OptionalParameters={"zone": "b"}) == ["i-1", "i-2"]
    assert len(found(HealthStatus="ALL", MaxResults=2)) == 2
    status = sd.get_instances_health_status(ServiceId=made)["Status"]
    assert status == {"i-1": "HEALTHY", "i-2": "UNHEALTHY", "i-3": "HEALTHY"}
    sd.update_instance_custom_health_status(ServiceId=made, InstanceId="i-1", Status="UNHEALTHY")
    sd.update_instance_custom_health_status(ServiceId=made, InstanceId="i-3", Status="UNHEALTHY")
    assert found() == ["i-1", "i-3"]  # AWS waits for 30 seconds
    cloud_map = door.door.region.services.cloud_map
    door.door.world.moved_s = 31.0
    door.run(cloud_map._settle())
    assert found() == [] and found(HealthStatus="HEALTHY_OR_ELSE_ALL") == ["i-1", "i-2", "i-3"]
    only = sd.get_instances_health_status(ServiceId=made, Instances=["i-1"])["Status"]
    assert only == {"i-1": "UNHEALTHY"}


def test_health_of_what_nobody_checks(sd: Any) -> None:
    made = service(sd, http(sd))
    register(sd, made, x="y")
    told = refused(sd.update_instance_custom_health_status, ServiceId=made, InstanceId="i-1", Status="HEALTHY")
    assert told[0] == "CustomHealthNotFound"
    assert sd.get_instances_health_status(ServiceId=made)["Status"] == {"i-1": "UNKNOWN"}
    assert ids(sd.discover_instances(NamespaceName="apps", ServiceName="web", HealthStatus="UNHEALTHY")) == ["i-1"]


def test_services_and_namespaces_are_updated(sd: Any, vpc: str) -> None:
    namespace, other = private(sd, vpc), http(sd)
    change = {"Properties": {"DnsProperties": {"SOA": {"TTL": 90}}}, "Description": "new"}
    answer = sd.update_private_dns_namespace(Id=namespace, Namespace=change, UpdaterRequestId="r")
    assert ended(sd, answer)["Type"] == "UPDATE_NAMESPACE"
    found = sd.get_namespace(Id=namespace)["Namespace"]
    assert (found["Description"], found["Properties"]["DnsProperties"]["SOA"]["TTL"]) == ("new", 90)
    sd.update_http_namespace(Id=other, Namespace={"Description": "new"})
    assert sd.get_namespace(Id=other)["Namespace"]["Description"] == "new"
    assert refused(sd.update_http_namespace, Id=namespace, Namespace={"Description": "x"})[0] == "InvalidInput"
    made = service(sd, namespace, DnsConfig=A)
    shorter = {"DnsConfig": {"DnsRecords": [{"Type": "A", "TTL": 5}]}, "Description": "new"}
    assert ended(sd, sd.update_service(Id=made, Service=shorter))["Type"] == "UPDATE_SERVICE"
    seen = sd.get_service(Id=made)["Service"]
    assert (seen["Description"], seen["DnsConfig"]["DnsRecords"]) == ("new", [{"Type": "A", "TTL": 5}])
    assert refused(sd.update_service, Id=made, Service={"DnsConfig": SRV})[0] == "InvalidInput"
    assert refused(sd.update_service, Id=service(sd, other), Service={"Description": "x"})[0] == "InvalidInput"


def test_attributes_of_services(sd: Any) -> None:
    made = service(sd, http(sd))
    sd.update_service_attributes(ServiceId=made, Attributes={"port": "80", "color": "red"})
    sd.update_service_attributes(ServiceId=f"{MAP}:service/{made}", Attributes={"port": "81"})
    sd.delete_service_attributes(ServiceId=made, Attributes=["color", "none"])
    found = sd.get_service_attributes(ServiceId=made)["ServiceAttributes"]
    assert found == {"ServiceArn": f"{MAP}:service/{made}", "ResourceOwner": ACCOUNT, "Attributes": {"port": "81"}}
    many = {f"k{number}": "v" for number in range(30)}
    told = refused(sd.update_service_attributes, ServiceId=made, Attributes=many)
    assert told[0] == "ServiceAttributesLimitExceededException"


def test_lists_have_pages_and_filters(sd: Any, vpc: str) -> None:
    spaces = [http(sd, f"apps-{number}") for number in range(3)] + [private(sd, vpc)]
    pages = list(sd.get_paginator("list_namespaces").paginate(PaginationConfig={"PageSize": 3}))
    assert [len(page["Namespaces"]) for page in pages] == [3, 1]
    assert sorted(one["Id"] for page in pages for one in page["Namespaces"]) == sorted(spaces)

    def names(*filters: dict[str, Any]) -> list[str]:
        return sorted(one["Name"] for one in sd.list_namespaces(Filters=list(filters))["Namespaces"])

    assert names({"Name": "TYPE", "Values": ["DNS_PRIVATE"]}) == ["internal"]
    assert names({"Name": "NAME", "Values": ["apps-1"], "Condition": "EQ"}) == ["apps-1"]
    assert names({"Name": "HTTP_NAME", "Values": ["app"], "Condition": "BEGINS_WITH"}) == ["apps-0", "apps-1", "apps-2"]
    both = {"Name": "TYPE", "Values": ["HTTP"]}, {"Name": "NAME", "Values": ["internal"]}
    assert names(*both) == []
    assert names({"Name": "RESOURCE_OWNER", "Values": ["OTHER_ACCOUNTS"]}) == []
    assert len(names({"Name": "RESOURCE_OWNER", "Values": ["SELF"]})) == 4
    for wrong in (
        {"Name": "TYPE", "Values": ["HTTP", "DNS_PRIVATE"]},
        {"Name": "TYPE", "Values": ["HTTP"], "Condition": "BETWEEN"},
        {"Name": "RESOURCE_OWNER", "Values": ["SEL"], "Condition": "BEGINS_WITH"},
        {"Name": "RESOURCE_OWNER", "Values": ["ME"]},
        {"Name": "TYPE", "Values": []},
    ):
        assert refused(sd.list_namespaces, Filters=[wrong])[0] == "InvalidInput"
    assert refused(sd.list_namespaces, NextToken="x")[0] == "InvalidInput"
    mine = [service(sd, spaces[0], f"s{number}") for number in range(2)]
    service(sd, spaces[1])
    for named in (spaces[0], f"{MAP}:namespace/{spaces[0]}"):
        found = sd.list_services(Filters=[{"Name": "NAMESPACE_ID", "Values": [named]}])["Services"]
        assert sorted(one["Id"] for one in found) == sorted(mine)
    assert sd.get_namespace(Id=spaces[0])["Namespace"]["ServiceCount"] == 2
    for number in range(3):
        register(sd, mine[0], f"i-{number}", x="y")
    pages = list(sd.get_paginator("list_instances").paginate(ServiceId=mine[0], PaginationConfig={"PageSize": 2}))
    assert [[one["Id"] for one in page["Instances"]] for page in pages] == [["i-0", "i-1"], ["i-2"]]


def test_operations_are_listed_by_what_they_did(sd: Any, vpc: str) -> None:
    namespace = http(sd)
    made = service(sd, namespace)
    register(sd, made, x="y")
    failed = sd.create_private_dns_namespace(Name="a", Vpc="vpc-0123456789abcdef0")["OperationId"]

    def found(name: str, *values: str, condition: str | None = None) -> list[str]:
        one: dict[str, Any] = {"Name": name, "Values": list(values)}
        listed = sd.list_operations(Filters=[one | ({"Condition": condition} if condition else {})])["Operations"]
        return [ended(sd, {"OperationId": operation["Id"]})["Type"] for operation in listed]

    assert found("NAMESPACE_ID", namespace) == ["CREATE_NAMESPACE"]
    assert found("SERVICE_ID", made) == ["REGISTER_INSTANCE"]
    assert found("TYPE", "REGISTER_INSTANCE", "UPDATE_SERVICE", condition="IN") == ["REGISTER_INSTANCE"]
    assert found("STATUS", "FAIL") == ["CREATE_NAMESPACE"]
    assert len(found("STATUS", "SUCCESS")) == len(found("STATUS", "SUCCEED")) == 2
    assert len(found("UPDATE_DATE", "0", "4102444800", condition="BETWEEN")) == 3
    assert found("UPDATE_DATE", "0", "1", condition="BETWEEN") == []
    for values, condition in ((["1", "0"], "BETWEEN"), (["0"], "BETWEEN"), (["x", "y"], "BETWEEN"), (["0", "1"], "EQ")):
        wrong = {"Name": "UPDATE_DATE", "Values": values, "Condition": condition}
        assert refused(sd.list_operations, Filters=[wrong])[0] == "InvalidInput"
    pages = list(sd.get_paginator("list_operations").paginate(PaginationConfig={"PageSize": 2}))
    assert next(one["Id"] for page in pages for one in page["Operations"]) == failed


def test_tags(sd: Any) -> None:
    namespace = f"{MAP}:namespace/{http(sd, Tags=[{'Key': 'team', 'Value': 'x'}])}"
    sd.tag_resource(ResourceARN=namespace, Tags=[{"Key": "stage", "Value": "live"}, {"Key": "team", "Value": "y"}])
    sd.untag_resource(ResourceARN=namespace, TagKeys=["stage"])
    assert sd.list_tags_for_resource(ResourceARN=namespace)["Tags"] == [{"Key": "team", "Value": "y"}]
    assert refused(sd.list_tags_for_resource, ResourceARN=f"{MAP}:service/srv-x")[0] == "ResourceNotFoundException"
    assert refused(sd.list_tags_for_resource, ResourceARN="x")[0] == "InvalidInput"
    elsewhere = namespace.replace(REGION, "eu-west-1")
    assert refused(sd.list_tags_for_resource, ResourceARN=elsewhere)[0] == "ResourceNotFoundException"
    reserved = [{"Key": "aws:x", "Value": ""}]
    assert refused(sd.tag_resource, ResourceARN=namespace, Tags=reserved)[0] == "InvalidInput"
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    assert refused(sd.tag_resource, ResourceARN=namespace, Tags=many)[0] == "TooManyTagsException"


def test_who_may(door: Door, sd: Any) -> None:
    namespace = http(sd, Tags=[{"Key": "team", "Value": "x"}])
    made = service(sd, namespace)
    register(sd, made, x="y")
    space, of_web = f"{MAP}:namespace/{namespace}", f"{MAP}:service/{made}"
    al = client(
        door,
        door.user(
            "al",
            allow("servicediscovery:GetNamespace", StringEquals={"aws:ResourceTag/team": "x"}),
            allow("servicediscovery:CreateService", StringEquals={"servicediscovery:NamespaceArn": space}),
            allow("servicediscovery:RegisterInstance", StringEquals={"servicediscovery:ServiceArn": of_web}),
            allow("servicediscovery:DiscoverInstances", StringEquals={"servicediscovery:ServiceName": "web"}),
            allow("servicediscovery:GetOperation", "servicediscovery:CreateHttpNamespace"),
        ),
    )
    other = http(sd, "other")
    assert al.get_namespace(Id=namespace)["Namespace"]["Id"] == namespace
    assert service(al, namespace, "more")
    register(al, made, "i-2", x="y")
    assert ids(al.discover_instances(NamespaceName="apps", ServiceName="web")) == ["i-1", "i-2"]
    why = "because no identity-based policy allows the servicediscovery:GetNamespace action"
    arn = f"{MAP}:namespace/{other}"
    words = f"{AL} is not authorized to perform: servicediscovery:GetNamespace on resource: {arn} {why}"
    assert refused(al.get_namespace, Id=other) == ("AccessDeniedException", words)
    missing = refused(al.get_namespace, Id=NOTHING)
    assert missing == ("AccessDeniedException", words.replace(other, NOTHING))
    for call, params in (
        (al.create_service, {"Name": "x", "NamespaceId": other}),
        (al.register_instance, {"ServiceId": "srv-x", "InstanceId": "i", "Attributes": {}}),
        (al.discover_instances, {"NamespaceName": "apps", "ServiceName": "more"}),
        (al.create_http_namespace, {"Name": "tagged", "Tags": [{"Key": "a", "Value": "b"}]}),
        (al.list_namespaces, {}),
    ):
        assert refused(call, **params)[0] == "AccessDeniedException"
    assert sorted(one["Name"] for one in sd.list_namespaces()["Namespaces"]) == ["apps", "other"]


def test_who_may_by_arns(door: Door, sd: Any) -> None:
    namespace = http(sd)
    made, other = service(sd, namespace), service(sd, namespace, "more")
    space, of_web = f"{MAP}:namespace/{namespace}", f"{MAP}:service/{made}"
    bo = client(
        door,
        door.user(
            "bo",
            allow("servicediscovery:DiscoverInstances", resource=[space, of_web]),
            allow("servicediscovery:CreateService", resource=space),
            allow("servicediscovery:RegisterInstance", "servicediscovery:GetOperation", resource=[space, of_web]),
        ),
    )
    register(bo, made, x="y")
    assert ids(bo.discover_instances(NamespaceName="apps", ServiceName="web")) == ["i-1"]
    for name in ("more", "nothing"):  # whether it is there, nobody learns by being refused
        code, words = refused(bo.discover_instances, NamespaceName="apps", ServiceName=name)
        assert code == "AccessDeniedException" and f"on resource: {name} because" in words and other not in words
    assert refused(bo.create_service, Name="x", NamespaceId=namespace)[0] == "AccessDeniedException"
    operation = sd.update_service_attributes(ServiceId=other, Attributes={"a": "b"})
    assert "OperationId" not in operation
    theirs = sd.register_instance(ServiceId=other, InstanceId="i", Attributes={"a": "b"})["OperationId"]
    assert refused(bo.get_operation, OperationId=theirs)[0] == "AccessDeniedException"
    assert refused(bo.get_operation, OperationId="x-1")[0] == "AccessDeniedException"


def test_quotas_are_the_operators_to_set(door: Door, sd: Any) -> None:
    quotas = door.door.region.quotas
    http(sd)
    door.run(quotas.set_value(ACCOUNT, "AWSCloudMap/L-0FE3F50E", 1))
    assert refused(sd.create_http_namespace, Name="more")[0] == "ResourceLimitExceeded"
    door.run(quotas.set_value(ACCOUNT, "AWSCloudMap/L-0FE3F50E", 2))
    http(sd, "more")


def test_names_that_a_vpc_gets(door: Door, sd: Any, vpc: str) -> None:
    made = service(sd, private(sd, vpc), DnsConfig=SRV)
    register(sd, made, AWS_INSTANCE_IPV4="10.0.0.1", AWS_INSTANCE_PORT="80")
    (zone,) = door.door.region.services.cloud_map.zones_of(vpc)
    assert {(one.name, one.type): one.values for one in zone.records} == {
        ("web.internal", "SRV"): ("1 1 80 i-1.web.internal",),
        ("i-1.web.internal", "A"): ("10.0.0.1",),
    }


def test_it_is_spoken_to_in_cbor_too(door: Door) -> None:
    """As the newest SDKs do: the operation is in the path, times and numbers have types."""

    def call(operation: str, params: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        path, body = f"/service/Route53AutoNaming_v20170314/operation/{operation}".encode(), cbor.encode(params)
        headers = [
            (b"host", b"127.0.0.1:4566"),
            (b"smithy-protocol", b"rpc-v2-cbor"),
            (b"content-type", b"application/cbor"),
        ]
        request = SignedRequest(method="POST", path=path, query=b"", headers=headers, body=body)
        now = door.door.world.now()
        headers = signed(request, key=ROOT.key, secret=ROOT.secret, region=REGION, service="servicediscovery", now=now)
        answer = door.run(door.door.region.frontend.handle("POST", path, b"", headers, body))
        return answer.status, cbor.decode(answer.body)

    status, made = call("CreateHttpNamespace", {"Name": "apps"})
    assert status == 200
    status, found = call("GetOperation", {"OperationId": made["OperationId"]})
    assert status == 200 and found["Operation"]["Status"] == "SUCCESS" and "NAMESPACE" in found["Operation"]["Targets"]
    status, missing = call("GetNamespace", {"Id": NOTHING})
    assert status == 404 and missing["__type"].endswith("NamespaceNotFound")
    assert missing["message"] == "Namespace not found"
