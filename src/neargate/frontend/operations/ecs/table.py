"""The ECS operations there are. An operation that is not in this list answers that it is unknown."""

from ...services import Operation
from .clusters import create_cluster, delete_cluster, describe_clusters, list_clusters
from .run_task import run_task
from .task_definitions import (
    delete_task_definitions,
    deregister_task_definition,
    describe_task_definition,
    list_task_definition_families,
    list_task_definitions,
    register_task_definition,
)
from .tasks import describe_tasks, list_tasks, stop_task

OPERATIONS: dict[str, Operation] = {
    "CreateCluster": create_cluster,
    "DeleteCluster": delete_cluster,
    "DeleteTaskDefinitions": delete_task_definitions,
    "DeregisterTaskDefinition": deregister_task_definition,
    "DescribeClusters": describe_clusters,
    "DescribeTaskDefinition": describe_task_definition,
    "DescribeTasks": describe_tasks,
    "ListClusters": list_clusters,
    "ListTaskDefinitionFamilies": list_task_definition_families,
    "ListTaskDefinitions": list_task_definitions,
    "ListTasks": list_tasks,
    "RegisterTaskDefinition": register_task_definition,
    "RunTask": run_task,
    "StopTask": stop_task,
}
