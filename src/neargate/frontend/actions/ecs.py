"""What each ECS operation asks leave for.

Source: Service Authorization Reference, "Amazon Elastic Container Service".
"""

from .rules import REQUEST_TAGS, Actions, Level, Rule, rule

_TAGS = ("aws:ResourceTag/", "ecs:ResourceTag/")
_RUNNING = (
    *_TAGS,
    *REQUEST_TAGS,
    *("ecs:cluster", "ecs:capacity-provider", "ecs:subnet", "ecs:auto-assign-public-ip", "ecs:propagate-tags"),
    *("ecs:enable-ebs-volumes", "ecs:enable-ecs-managed-tags", "ecs:enable-execute-command"),
)
_CLUSTER = "cluster/{cluster}"
_INSTANCE = "container-instance/{cluster}/{instance}"
_TASK = "task/{cluster}/{task}"
_DEFINITION = "task-definition/{family}:{revision}"


_SERVICE = "service/{cluster}/{service}"
_TASK_SET = "task-set/{cluster}/{service}/{set}"
# What a service is made of, or changed in.
_SERVING = (
    *("ecs:cluster", "ecs:task-definition", "ecs:capacity-provider", "ecs:subnet", "ecs:auto-assign-public-ip"),
    *("ecs:enable-ebs-volumes", "ecs:enable-ecs-managed-tags", "ecs:enable-execute-command", "ecs:propagate-tags"),
    *("ecs:enable-service-connect", "ecs:enable-vpc-lattice", "ecs:namespace"),
)


def _tagging(form: str) -> Rule:
    keys = (*REQUEST_TAGS, "ecs:CreateAction")
    return rule("ecs:TagResource", Level.TAGGING, form, keys=keys, when="the request has tags")


def _setting(operation: str) -> Rule:
    return rule(f"ecs:{operation}", Level.WRITE, "*", keys=("ecs:account-setting",))


def _of_cluster(operation: str, level: Level) -> Rule:
    return rule(f"ecs:{operation}", level, _CLUSTER, keys=_TAGS)


def _of_instance(operation: str, level: Level) -> Rule:
    return rule(f"ecs:{operation}", level, _INSTANCE, keys=(*_TAGS, "ecs:cluster"))


def _of_service(operation: str, level: Level) -> Rule:
    return rule(f"ecs:{operation}", level, _SERVICE, keys=(*_TAGS, "ecs:cluster"))


def _of_task_set(operation: str, level: Level) -> Rule:
    return rule(f"ecs:{operation}", level, _TASK_SET, keys=(*_TAGS, "ecs:cluster", "ecs:service"))


def _of_deployment(operation: str, level: Level, kind: str = "service-deployment") -> Rule:
    return rule(f"ecs:{operation}", level, kind + "/{cluster}/{service}/{id}", keys=("ecs:cluster", "ecs:service"))


# What has tags on AWS. Nothing makes the last ones here, and who may is told that they are not there.
_TAGGED = (
    *(_CLUSTER, _TASK, _DEFINITION, _SERVICE, _INSTANCE),
    *(_TASK_SET, "daemon/{cluster}/{daemon}", "daemon-task-definition/{family}:{revision}"),
    "gateway/{gateway}",
)
_PASSING = rule(
    "iam:PassRole",
    Level.PERMISSIONS,
    "role/{role}",
    keys=("iam:PassedToService", "aws:ResourceTag/", "iam:ResourceTag/"),
    when="a task role or an execution role is given, by the request or by the task definition that it names",
)

ACTIONS: Actions = {
    "ContinueServiceDeployment": (_of_deployment("ContinueServiceDeployment", Level.WRITE),),
    "CreateCluster": (
        rule("ecs:CreateCluster", Level.WRITE, _CLUSTER, keys=(*_TAGS, *REQUEST_TAGS, "ecs:capacity-provider")),
        _tagging(_CLUSTER),
    ),
    "CreateService": (
        rule("ecs:CreateService", Level.WRITE, _SERVICE, keys=(*REQUEST_TAGS, *_SERVING)),
        _tagging(_SERVICE),
        _PASSING,
    ),
    "CreateTaskSet": (
        rule("ecs:CreateTaskSet", Level.WRITE, _TASK_SET, keys=(*REQUEST_TAGS, "ecs:service", *_SERVING)),
        _tagging(_TASK_SET),
    ),
    "DeleteAccountSetting": (_setting("DeleteAccountSetting"),),
    "DeleteAttributes": (_of_cluster("DeleteAttributes", Level.WRITE),),
    "DeleteCluster": (rule("ecs:DeleteCluster", Level.WRITE, _CLUSTER, keys=_TAGS),),
    "DeleteService": (_of_service("DeleteService", Level.WRITE),),
    "DeleteTaskDefinitions": (rule("ecs:DeleteTaskDefinitions", Level.WRITE, _DEFINITION, "*", keys=_TAGS),),
    "DeleteTaskSet": (_of_task_set("DeleteTaskSet", Level.WRITE),),
    "DeregisterContainerInstance": (_of_cluster("DeregisterContainerInstance", Level.WRITE),),
    "DeregisterTaskDefinition": (rule("ecs:DeregisterTaskDefinition", Level.WRITE, "*"),),
    "DescribeCapacityProviders": (
        rule("ecs:DescribeCapacityProviders", Level.READ, "capacity-provider/{provider}", keys=_TAGS),
    ),
    "DescribeClusters": (rule("ecs:DescribeClusters", Level.READ, _CLUSTER, "*", keys=_TAGS),),
    "DescribeContainerInstances": (_of_instance("DescribeContainerInstances", Level.READ),),
    "DescribeServiceDeployments": (_of_deployment("DescribeServiceDeployments", Level.READ),),
    "DescribeServiceRevisions": (_of_deployment("DescribeServiceRevisions", Level.READ, "service-revision"),),
    "DescribeServices": (_of_service("DescribeServices", Level.READ),),
    "DescribeTaskDefinition": (rule("ecs:DescribeTaskDefinition", Level.READ, "*"),),
    "DescribeTaskSets": (_of_task_set("DescribeTaskSets", Level.READ),),
    "DescribeTasks": (rule("ecs:DescribeTasks", Level.READ, _TASK, keys=(*_TAGS, "ecs:cluster")),),
    "GetTaskProtection": (rule("ecs:GetTaskProtection", Level.READ, _TASK, keys=(*_TAGS, "ecs:cluster")),),
    "ListAccountSettings": (rule("ecs:ListAccountSettings", Level.READ, "*"),),
    "ListAttributes": (_of_cluster("ListAttributes", Level.LIST),),
    "ExecuteCommand": (
        rule("ecs:ExecuteCommand", Level.WRITE, _CLUSTER, _TASK, keys=(*_TAGS, "ecs:cluster", "ecs:container-name")),
    ),
    "ListClusters": (rule("ecs:ListClusters", Level.LIST, "*"),),
    "ListTaskDefinitionFamilies": (rule("ecs:ListTaskDefinitionFamilies", Level.LIST, "*"),),
    "ListTaskDefinitions": (rule("ecs:ListTaskDefinitions", Level.LIST, "*"),),
    # Container instances are all that AWS lets it be limited to; without one it is asked on everything.
    "ListTasks": (rule("ecs:ListTasks", Level.LIST, "*", _INSTANCE, keys=("ecs:cluster",)),),
    "ListContainerInstances": (_of_cluster("ListContainerInstances", Level.LIST),),
    "ListServiceDeployments": (_of_service("ListServiceDeployments", Level.LIST),),
    "ListServices": (rule("ecs:ListServices", Level.LIST, "*", keys=("ecs:cluster",)),),
    "ListServicesByNamespace": (rule("ecs:ListServicesByNamespace", Level.LIST, "*", keys=("ecs:namespace",)),),
    "ListTagsForResource": (rule("ecs:ListTagsForResource", Level.READ, *_TAGGED, keys=_TAGS),),
    "PutAccountSetting": (_setting("PutAccountSetting"),),
    "PutAccountSettingDefault": (_setting("PutAccountSettingDefault"),),
    "PutClusterCapacityProviders": (
        rule("ecs:PutClusterCapacityProviders", Level.WRITE, _CLUSTER, keys=(*_TAGS, "ecs:capacity-provider")),
    ),
    "PutAttributes": (_of_cluster("PutAttributes", Level.WRITE),),
    "RegisterTaskDefinition": (
        rule(
            "ecs:RegisterTaskDefinition",
            Level.WRITE,
            "task-definition/{family}:*",
            keys=(
                *REQUEST_TAGS,
                "ecs:compute-compatibility",
                "ecs:privileged",
                "ecs:task-cpu",
                "ecs:task-memory",
            ),
        ),
        _tagging("task-definition/{family}:*"),
        _PASSING,
    ),
    "RunTask": (
        rule(
            "ecs:RunTask",
            Level.WRITE,
            _DEFINITION,
            keys=_RUNNING,
        ),
        _tagging("task/{cluster}/*"),
        _PASSING,
    ),
    "StartTask": (rule("ecs:StartTask", Level.WRITE, _DEFINITION, keys=(*_RUNNING, "ecs:container-instances")),),
    "StopServiceDeployment": (_of_deployment("StopServiceDeployment", Level.WRITE),),
    "StopTask": (rule("ecs:StopTask", Level.WRITE, _TASK, keys=(*_TAGS, "ecs:cluster")),),
    "TagResource": (
        rule("ecs:TagResource", Level.TAGGING, *_TAGGED, keys=(*_TAGS, *REQUEST_TAGS, "ecs:CreateAction")),
    ),
    "UntagResource": (rule("ecs:UntagResource", Level.TAGGING, *_TAGGED, keys=(*_TAGS, "aws:TagKeys")),),
    "UpdateCluster": (rule("ecs:UpdateCluster", Level.WRITE, _CLUSTER, keys=_TAGS),),
    "UpdateClusterSettings": (rule("ecs:UpdateClusterSettings", Level.WRITE, _CLUSTER, keys=_TAGS),),
    "UpdateContainerAgent": (_of_instance("UpdateContainerAgent", Level.WRITE),),
    "UpdateContainerInstancesState": (_of_instance("UpdateContainerInstancesState", Level.WRITE),),
    "UpdateService": (rule("ecs:UpdateService", Level.WRITE, _SERVICE, keys=(*_TAGS, *_SERVING)), _PASSING),
    "UpdateServicePrimaryTaskSet": (_of_service("UpdateServicePrimaryTaskSet", Level.WRITE),),
    "UpdateTaskProtection": (rule("ecs:UpdateTaskProtection", Level.WRITE, _TASK, keys=(*_TAGS, "ecs:cluster")),),
    "UpdateTaskSet": (_of_task_set("UpdateTaskSet", Level.WRITE),),
}
