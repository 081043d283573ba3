"""The ECS operations there are. An operation that is not in this list answers that it is unknown."""

from ...services import Operation
from .account_settings import (
    delete_account_setting,
    list_account_settings,
    put_account_setting,
    put_account_setting_default,
)
from .cluster_changes import update_cluster, update_cluster_settings
from .cluster_providers import describe_capacity_providers, put_cluster_capacity_providers
from .clusters import create_cluster, delete_cluster, describe_clusters, list_clusters
from .container_instances import (
    change_attributes,
    deregister_container_instance,
    describe_container_instances,
    list_attributes,
    list_container_instances,
    start_task,
    update_container_agent,
    update_container_instances_state,
)
from .execute_command import execute_command
from .run_task import run_task
from .service_deployments import (
    continue_service_deployment,
    describe_service_deployments,
    describe_service_revisions,
    list_service_deployments,
    stop_service_deployment,
)
from .services import create_service, delete_service, describe_services, list_services
from .services_by_namespace import list_services_by_namespace
from .tags import list_tags_for_resource, tag_resource, untag_resource
from .task_definitions import (
    delete_task_definitions,
    deregister_task_definition,
    describe_task_definition,
    list_task_definition_families,
    list_task_definitions,
    register_task_definition,
)
from .task_protection import get_task_protection, update_task_protection
from .task_sets import change_task_set, create_task_set, describe_task_sets, update_service_primary_task_set
from .tasks import describe_tasks, list_tasks, stop_task
from .update_service import update_service

OPERATIONS: dict[str, Operation] = {
    "ContinueServiceDeployment": continue_service_deployment,
    "CreateCluster": create_cluster,
    "CreateService": create_service,
    "CreateTaskSet": create_task_set,
    "DeleteAccountSetting": delete_account_setting,
    "DeleteAttributes": change_attributes,
    "DeleteCluster": delete_cluster,
    "DeleteService": delete_service,
    "DeleteTaskDefinitions": delete_task_definitions,
    "DeleteTaskSet": change_task_set,
    "DeregisterContainerInstance": deregister_container_instance,
    "DeregisterTaskDefinition": deregister_task_definition,
    "DescribeCapacityProviders": describe_capacity_providers,
    "DescribeClusters": describe_clusters,
    "DescribeContainerInstances": describe_container_instances,
    "DescribeServiceDeployments": describe_service_deployments,
    "DescribeServiceRevisions": describe_service_revisions,
    "DescribeServices": describe_services,
    "DescribeTaskDefinition": describe_task_definition,
    "DescribeTaskSets": describe_task_sets,
    "DescribeTasks": describe_tasks,
    "GetTaskProtection": get_task_protection,
    "ListAccountSettings": list_account_settings,
    "ListAttributes": list_attributes,
    "ExecuteCommand": execute_command,
    "ListClusters": list_clusters,
    "ListContainerInstances": list_container_instances,
    "ListServiceDeployments": list_service_deployments,
    "ListServices": list_services,
    "ListServicesByNamespace": list_services_by_namespace,
    "ListTagsForResource": list_tags_for_resource,
    "ListTaskDefinitionFamilies": list_task_definition_families,
    "ListTaskDefinitions": list_task_definitions,
    "ListTasks": list_tasks,
    "PutAccountSetting": put_account_setting,
    "PutAccountSettingDefault": put_account_setting_default,
    "PutClusterCapacityProviders": put_cluster_capacity_providers,
    "PutAttributes": change_attributes,
    "RegisterTaskDefinition": register_task_definition,
    "RunTask": run_task,
    "StartTask": start_task,
    "StopServiceDeployment": stop_service_deployment,
    "StopTask": stop_task,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "UpdateCluster": update_cluster,
    "UpdateClusterSettings": update_cluster_settings,
    "UpdateContainerAgent": update_container_agent,
    "UpdateContainerInstancesState": update_container_instances_state,
    "UpdateService": update_service,
    "UpdateServicePrimaryTaskSet": update_service_primary_task_set,
    "UpdateTaskProtection": update_task_protection,
    "UpdateTaskSet": change_task_set,
}
