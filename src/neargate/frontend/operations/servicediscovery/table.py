"""The Cloud Map operations there are. An operation that is not in this list answers that it is unknown."""

from ...services import Operation
from .discovering import discover_instances, discover_instances_revision
from .instances import (
    deregister_instance,
    get_instance,
    get_instances_health_status,
    list_instances,
    register_instance,
    update_instance_custom_health_status,
)
from .namespaces import (
    create_http_namespace,
    create_private_dns_namespace,
    create_public_dns_namespace,
    delete_namespace,
    get_namespace,
    list_namespaces,
    update_http_namespace,
    update_private_dns_namespace,
    update_public_dns_namespace,
)
from .outcomes import get_operation, list_operations
from .services import (
    create_service,
    delete_service,
    delete_service_attributes,
    get_service,
    get_service_attributes,
    list_services,
    update_service,
    update_service_attributes,
)
from .tags import list_tags_for_resource, tag_resource, untag_resource

OPERATIONS: dict[str, Operation] = {
    "CreateHttpNamespace": create_http_namespace,
    "CreatePrivateDnsNamespace": create_private_dns_namespace,
    "CreatePublicDnsNamespace": create_public_dns_namespace,
    "CreateService": create_service,
    "DeleteNamespace": delete_namespace,
    "DeleteService": delete_service,
    "DeleteServiceAttributes": delete_service_attributes,
    "DeregisterInstance": deregister_instance,
    "DiscoverInstances": discover_instances,
    "DiscoverInstancesRevision": discover_instances_revision,
    "GetInstance": get_instance,
    "GetInstancesHealthStatus": get_instances_health_status,
    "GetNamespace": get_namespace,
    "GetOperation": get_operation,
    "GetService": get_service,
    "GetServiceAttributes": get_service_attributes,
    "ListInstances": list_instances,
    "ListNamespaces": list_namespaces,
    "ListOperations": list_operations,
    "ListServices": list_services,
    "ListTagsForResource": list_tags_for_resource,
    "RegisterInstance": register_instance,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "UpdateHttpNamespace": update_http_namespace,
    "UpdateInstanceCustomHealthStatus": update_instance_custom_health_status,
    "UpdatePrivateDnsNamespace": update_private_dns_namespace,
    "UpdatePublicDnsNamespace": update_public_dns_namespace,
    "UpdateService": update_service,
    "UpdateServiceAttributes": update_service_attributes,
}
