"""What moto's ECS tests give that AWS would refuse, or that is not here, and what it takes in its place. Literal.

AWS refuses: FARGATE without awsvpc, cpu and memory of the task, and awsvpc without a network. Not here: container
instances; the subjects of these tests are networks, sizes, tasks and their tags.
(module, given, taken, times); what else a test expects stays.
"""

_ECS, _TASK_TAGS = "test_ecs", "test_ecs_task_tags"

_INSTANCE = """    test_instance = ec2.create_instances(
        ImageId=EXAMPLE_AMI_ID, MinCount=1, MaxCount=1
    )[0]
    instance_id_document = json.dumps(
        ec2_utils.generate_instance_identity_document(test_instance)
    )
    client.register_container_instance(
        cluster=test_cluster_name, instanceIdentityDocument=instance_id_document
    )
"""
_DEFINITION = """    client.register_task_definition(
        family="test_ecs_task",
"""
_FOR_FARGATE = """        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="2048",
        memory="4096",
"""
_HELPER = "def setup_ecs_cluster_with_ec2_instance(client, test_cluster_name):\n"
_REGION = '    ec2 = boto3.resource("ec2", region_name=ECS_REGION)\n\n'
_CLUSTER = "    client.create_cluster(clusterName=test_cluster_name)\n"
_NETWORK = """def default_network():
    only_default = [{"Name": "default-for-az", "Values": ["true"]}]
    subnets = boto3.client("ec2", region_name=ECS_REGION).describe_subnets(Filters=only_default)["Subnets"]
    return {"awsvpcConfiguration": {"subnets": [subnets[0]["SubnetId"]]}}


"""
_ON_FARGATE = 'launchType="FARGATE", networkConfiguration=default_network()'
_TWO_RUN = """            taskDefinition="test_ecs_task",
            count=2,
"""
_ONE_RUNS = _TWO_RUN.replace("            ", "        ").replace("count=2", "count=1")
_GROUP = '        group="test_group",\n    '
_PROVIDER = "def test_run_task_uses_cluster_default_capacity_provider_strategy():\n"
_CLIENT = '    client = boto3.client("ecs", region_name=ECS_REGION)\n'
_WITH_DEFAULT = """    client.create_cluster(
        clusterName="test_ecs_cluster",
        capacityProviders=["FARGATE"],
        defaultCapacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}],
    )
"""
_RUN_BY_DEFAULT = """        cluster="test_ecs_cluster", taskDefinition="test_ecs_task", count=1
    )
"""

ECS_MENDS: tuple[tuple[str, str, str, int], ...] = (
    # A definition of awsvpc, and services of it.
    (
        _ECS,
        f'{_INSTANCE}{_DEFINITION}        networkMode="awsvpc",\n',
        f"{_DEFINITION}{_FOR_FARGATE}",
        1,
    ),
    (_ECS, 'platformVersion="2"', 'launchType="FARGATE"', 5),
    # Tasks that are run, described and tagged.
    (
        _ECS,
        f"{_HELPER}{_REGION}{_CLUSTER}{_INSTANCE}\n{_DEFINITION}",
        f"{_NETWORK}{_HELPER}{_CLUSTER}\n{_DEFINITION}{_FOR_FARGATE}",
        1,
    ),
    (
        _ECS,
        f'{_TWO_RUN}            startedBy="moto",\n',
        f'{_TWO_RUN}            startedBy="moto", {_ON_FARGATE},\n',
        3,
    ),
    (_ECS, f"{_GROUP})\n    assert len", f"{_GROUP}    {_ON_FARGATE},\n    )\n    assert len", 1),
    (_ECS, 'taskDefinition=family)["tasks"]', f'taskDefinition=family, {_ON_FARGATE})["tasks"]', 1),
    (_ECS, '        family="no_cpu_task",\n', f'        family="no_cpu_task",\n{_FOR_FARGATE}', 1),
    (
        _TASK_TAGS,
        "import setup_ecs_cluster_with_ec2_instance\n",
        "import default_network, setup_ecs_cluster_with_ec2_instance\n",
        1,
    ),
    (_TASK_TAGS, _TWO_RUN, f"{_TWO_RUN}            {_ON_FARGATE},\n", 1),
    (_TASK_TAGS, _ONE_RUNS, f"{_ONE_RUNS}        {_ON_FARGATE},\n", 1),
    # A cluster's own capacity providers.
    (
        _ECS,
        f"{_PROVIDER}{_CLIENT}{_WITH_DEFAULT}{_DEFINITION}",
        f"{_PROVIDER}{_CLIENT}{_WITH_DEFAULT}{_DEFINITION}{_FOR_FARGATE}",
        1,
    ),
    (_ECS, _RUN_BY_DEFAULT, _RUN_BY_DEFAULT.replace("count=1", "networkConfiguration=default_network()"), 1),
    # The task has memory, its containers have none.
    (
        _ECS,
        '        "memory": "1024",\n',
        '        "memory": "1024", "cpu": "256", "networkMode": "awsvpc",\n',
        1,
    ),
)
