"""What moto's ELBv2 tests give that AWS would refuse, or that is not here, and what it takes in its place. Literal.

AWS refuses: security groups of another VPC than the subnets', application load balancers in one zone, internet-facing
ones without an internet gateway, listeners and rules without actions or conditions, two listeners on one port, HTTPS
without a certificate, stickiness without a duration. Not here: targets that are instances; tasks are targets by their
addresses (`ip`). AWS takes a forward to one group both ways, and shows it both ways: who looks for what he gave gives
both.
(module, given, taken, times); what else a test expects stays.
"""

_LB, _TAGS, _RULE_TAGS = "test_elbv2", "test_elbv2_listener_tags", "test_elbv2_listener_rule_tags"
_RULES, _SUBNETS = "test_elbv2_listener_rules", "test_elbv2_set_subnets"
_GROUPS, _HEALTH, _LISTENER = "test_elbv2_target_groups", "test_elbv2_target_health", "test_elbv2_listener_attributes"

_VPC = 'vpc = ec2.create_vpc(CidrBlock="172.28.7.0/24", InstanceTenancy="default")\n'
_GROUP = """security_group = ec2.create_security_group(
        GroupName="a-security-group", Description="First One"
    )
"""
_OF_VPC = _GROUP.replace('"First One"', '"First One", VpcId=vpc.id')
_DEEPER = _GROUP.replace("\n", "\n    ").rstrip(" ")
_SECOND = _GROUP.replace("security_group =", "security_group2 =").replace("a-sec", "b-sec").replace("First", "Second")
_ACTION = 'DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}]'
_ONE_SUBNET = """    subnet1 = ec2.create_subnet(
        VpcId=vpc.id, CidrBlock="172.28.7.192/26", AvailabilityZone="eu-central-1a"
    )

"""
_TWO_SUBNETS = (
    _ONE_SUBNET
    + """    subnet2 = ec2.create_subnet(
        VpcId=vpc.id, CidrBlock="172.28.7.0/26", AvailabilityZone="eu-central-1b"
    )
"""
)
_NETWORK = "{name}():\n    response, _, _, _, _, client = create_load_balancer({given})\n"
_AS_NETWORK = (
    "test_modify_load_balancer_attributes_crosszone_enabled",  # of application load balancers it cannot be turned off
    "test_describe_load_balancer_attributes_default",  # nor is it off
)
_MATCH = 'Conditions=[{"Field": "path-pattern", "Values": ["/a"]}]'
_ACTIONS = _ACTION.removeprefix("Default")
_SECOND_LISTENER = """        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": arn_d}],
"""
_ARN = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener/app/a/0123456789abcdef/0123456789abcdef"

_BY_CONFIG = """        "Type": "forward",
        "ForwardConfig": {
            "TargetGroups": [{"TargetGroupArn": target_group_arn, "Weight": 1}],
"""
_BOTH_WAYS = """{{
        {given}, "TargetGroupArn": {group}, "ForwardConfig": {{
            "TargetGroups": [{{"TargetGroupArn": {group}, "Weight": 1}}],
            "TargetGroupStickinessConfig": {{"Enabled": False}},
        }},
    }}"""

ELB_MENDS: tuple[tuple[str, str, str, int], ...] = (
    (_LB, f"    {_GROUP}    {_VPC}", f"    {_VPC}    {_OF_VPC}", 8),
    (_LB, f"    {_GROUP}    {_SECOND}    {_VPC}", f"    {_VPC}    {_OF_VPC}    {_SECOND}", 1),
    (_LB, 'Description="Second One"', 'Description="Second One", VpcId=vpc.id', 1),
    (
        _LB,
        f"        {_DEEPER}        {_VPC}",
        f"        {_VPC}        {_DEEPER}".replace('"First One"', '"First One", VpcId=vpc.id'),
        1,
    ),
    (_RULES, f"    {_GROUP}    {_VPC}", f"    {_VPC}    {_OF_VPC}", 1),
    (_SUBNETS, f"    {_GROUP}    {_VPC}", f"    {_VPC}    {_OF_VPC}", 2),
    # What nodes say comes a moment later.
    (
        _LB,
        'response = conn.describe_load_balancers()\n\n    assert len(response["LoadBalancers"]) == 1\n    lb =',
        'conn.get_waiter("load_balancer_available").wait(WaiterConfig={"Delay": 1})\n'
        '    response = conn.describe_load_balancers()\n\n    assert len(response["LoadBalancers"]) == 1\n    lb =',
        1,
    ),
    # Targets.
    (_LB, "        VpcId=vpc.id,\n", '        VpcId=vpc.id,\n        TargetType="ip",\n', 8),
    (_LB, "Port=8443, VpcId=vpc.id\n", 'Port=8443, VpcId=vpc.id, TargetType="ip"\n', 4),
    (_LB, "Port=443, VpcId=vpc.id\n", 'Port=443, VpcId=vpc.id, TargetType="ip"\n', 1),
    (_GROUPS, "        VpcId=vpc.id,\n", '        VpcId=vpc.id,\n        TargetType="ip",\n', 19),
    (_GROUPS, '        TargetType="ip",\n        TargetType="ip",\n', '        TargetType="ip",\n', 2),
    (_GROUPS, "            VpcId=vpc,\n", '            VpcId=vpc,\n            TargetType="ip",\n', 1),
    (_GROUPS, "Port=8080, VpcId=vpc.id\n", 'Port=8080, VpcId=vpc.id, TargetType="ip"\n', 3),
    (_GROUPS, "Port=8081, VpcId=vpc.id\n", 'Port=8081, VpcId=vpc.id, TargetType="ip"\n', 2),
    (_GROUPS, '        IpAddressType="ipv6",\n', "", 2),
    (_HEALTH, "            VpcId=vpc.id,\n", '            VpcId=vpc.id,\n            TargetType="ip",\n', 2),
    (_RULES, "Port=80, VpcId=vpc.id\n", 'Port=80, VpcId=vpc.id, TargetType="ip"\n', 1),
    (_RULES, f"{_VPC}\n    response = boto_client", "[vpc] = _others(ec2)\n\n    response = boto_client", 1),
    (
        _RULES,
        "def setup_target_group(",
        "def _others(ec2):\n    return [one for one in ec2.vpcs.all() if not one.is_default]\n\n\n"
        "def setup_target_group(",
        1,
    ),
    # Actions, conditions, ports, certificates.
    (_LB, _BY_CONFIG, _BY_CONFIG.replace('"Type"', '"TargetGroupArn": target_group_arn, "Type"'), 2),
    (_LB, 'Config": {"Enabled": True}', 'Config": {"Enabled": True, "DurationSeconds": 3600}', 1),
    (
        _RULES,
        '"ForwardConfig": forward_config}',
        '"TargetGroupArn": target_group_arn, "ForwardConfig": forward_config}',
        1,
    ),
    *(
        (module, f'{{{given}, "TargetGroupArn": {group}}}', _BOTH_WAYS.format(given=given, group=group), times)
        for module, given, group, times in (
            (_RULES, '"Order": 1, "Type": "forward"', "target_group_arn", 1),
            (_GROUPS, '"Type": "forward"', "target_group_arn2", 3),
        )
    ),
    (_LB, "DefaultActions=[]", _ACTION, 3),
    (_TAGS, "DefaultActions=[]", _ACTION, 3),
    (_RULE_TAGS, "DefaultActions=[]", _ACTION, 3),
    (_LB, "Priority=priority, Conditions=[], Actions=[]", f"Priority=priority, {_MATCH}, {_ACTIONS}", 2),
    (_RULES, "Conditions=[]", _MATCH, 3),
    (_RULES, '["Conditions"] == []', '["Conditions"][0]["Values"] == ["/a"]', 6),
    (_RULES, '"HHTP 301"', '"HTTP_301"', 1),
    # AWS's limit is 50 tags; logs to Amazon S3 are not here, whose bucket and prefix are kept.
    (
        _LB,
        """            {"Key": "j", "Value": "b"},
""",
        """            {"Key": "j", "Value": "b"},
            *({"Key": f"more-{n}", "Value": ""} for n in range(40)),
""",
        1,
    ),
    (
        _LB,
        '{"Key": "connection_logs.s3.enabled", "Value": "true"}',
        '{"Key": "connection_logs.s3.enabled", "Value": "false"}',
        2,
    ),
    (_LB, '"Path": "p"', '"Path": "/p"', 1),
    (_LB, _ONE_SUBNET, _TWO_SUBNETS, 2),
    (_LB, "Subnets=[subnet1.id],", "Subnets=[subnet1.id, subnet2.id],", 2),
    (
        _LB,
        'Name="my-lb", Subnets=[subnet1.id, subnet2.id]\n',
        'Name="my-lb", Subnets=[subnet1.id, subnet2.id], Scheme="internal"\n',
        1,
    ),
    *(
        (_LB, _NETWORK.format(name=name, given=""), _NETWORK.format(name=name, given='"network"'), 1)
        for name in _AS_NETWORK
    ),
    (_LISTENER, 'Name="my-lb", Subnets', 'Name="my-lb", Type="network", Subnets', 1),
    (
        _LISTENER,
        'Protocol="HTTPS", Port=8443, VpcId=vpc.id\n',
        'Protocol="TCP", Port=8443, VpcId=vpc.id, TargetType="ip"\n',
        1,
    ),
    (_LISTENER, 'Protocol="HTTPS"', 'Protocol="TCP"', 1),
    (_GROUPS, _SECOND_LISTENER, _SECOND_LISTENER.replace("Port=80", "Port=81"), 1),
    (_LB, 'ListenerArn="unknown"', f'ListenerArn="{_ARN}"', 2),
    (_RULES, '"unknown_arn"', '"' + _ARN.replace(":listener/", ":listener-rule/") + '/0123456789abcdef"', 1),
)
