"""The documents of AWS's managed policies that users of ECS attach, as AWS publishes them.

Data only, and of 2026: AWS changes them now and then. ReadOnlyAccess is cut down to the services that exist here (AWS's
names some four hundred); the others are whole, and so also name actions that nothing here has.
"""

from typing import Any

Statement = dict[str, Any]


def _allow(
    actions: str,
    *,
    negated: bool = False,
    resource: str | list[str] = "*",
    condition: dict[str, Any] | None = None,
    sid: str | None = None,
    single: bool = False,
) -> Statement:
    """`actions`: services with a colon, their actions behind them. `single`: a text, not a list of one."""
    service, named = "", []
    for word in actions.split():
        if word.endswith(":"):
            service = word
        else:
            named.append(service + word)
    statement: Statement = {"Sid": sid} if sid is not None else {}
    statement |= {"Effect": "Allow", "NotAction" if negated else "Action": named[0] if single else named}
    statement |= {"Resource": resource}
    return statement | ({"Condition": condition} if condition is not None else {})


STATEMENTS: dict[str, tuple[Statement, ...]] = {
    "AdministratorAccess": (_allow("*", single=True),),
    "PowerUserAccess": (
        _allow(
            """
            iam: *
            organizations: *
            account: *
            """,
            negated=True,
        ),
        _allow("""
            account: GetAccountInformation GetGovCloudAccountInformation GetPrimaryEmail ListRegions
            iam: CreateServiceLinkedRole DeleteServiceLinkedRole ListRoles
            organizations: DescribeEffectivePolicy DescribeOrganization
            """),
    ),
    "ReadOnlyAccess": (
        _allow(
            """
            application-autoscaling: Describe* GetPredictiveScalingForecast ListTagsForResource
            cloudtrail: Describe* Get* List* LookupEvents
            cloudwatch: Describe* GenerateQuery GenerateQueryResultsSummary Get* List*
            ec2: Describe* DescribeInstanceImageMetadata Get* ListImagesInRecycleBin ListSnapshotsInRecycleBin
            SearchLocalGatewayRoutes SearchTransitGatewayRoutes ListVolumesInRecycleBin
            SearchTransitGatewayMulticastGroups
            ecr: BatchCheck* BatchGet* Describe* Get* List*
            ecs: Describe* GetTaskProtection List*
            elasticloadbalancing: Describe*
            events: Describe* List* Test*
            iam: Generate* Get* List* Simulate*
            """,
            sid="ReadOnlyActionsGroup1",
        ),
        _allow(
            """
            logs: Describe* FilterLogEvents Get* ListAggregateLogGroupSummaries ListAnomalies
            ListEntitiesForLogGroup ListIntegrations ListLogAnomalyDetectors ListLogDeliveries
            ListLogGroupsForEntity ListLogGroupsForQuery ListScheduledQueries ListSourcesForS3TableIntegration
            ListTagsForResource ListTagsLogGroup StartLiveTail StartQuery StopLiveTail StopQuery TestMetricFilter
            secretsmanager: Describe* GetResourcePolicy List*
            servicediscovery: DiscoverInstances DiscoverInstancesRevision Get* List*
            servicequotas: GetAssociationForServiceQuotaTemplate GetAutoManagementConfiguration
            GetAWSDefaultServiceQuota GetQuotaUtilizationReport GetRequestedServiceQuotaChange GetServiceQuota
            GetServiceQuotaIncreaseRequestFromTemplate ListAWSDefaultServiceQuotas
            ListRequestedServiceQuotaChangeHistory ListRequestedServiceQuotaChangeHistoryByQuota
            ListServiceQuotaIncreaseRequestsInTemplate ListServiceQuotas ListServices StartQuotaUtilizationReport
            ssm: Describe* Get* List*
            sts: GetAccessKeyInfo GetCallerIdentity GetSessionToken
            """,
            sid="ReadOnlyActionsGroup2",
        ),
    ),
    "IAMFullAccess": (
        _allow("""
            iam: *
            organizations: DescribeAccount DescribeOrganization DescribeOrganizationalUnit DescribePolicy
            ListChildren ListParents ListPoliciesForTarget ListRoots ListPolicies ListTargetsForPolicy
            """),
    ),
    "IAMReadOnlyAccess": (
        _allow("""
            iam: GenerateCredentialReport GenerateServiceLastAccessedDetails Get* List* SimulateCustomPolicy
            SimulatePrincipalPolicy
            """),
    ),
    "CloudWatchLogsFullAccess": (
        _allow(
            """
            logs: *
            cloudwatch: GenerateQuery GenerateQueryResultsSummary
            observabilityadmin: GetS3TableIntegration ListS3TableIntegrations ListTelemetryPipelines
            """,
            sid="CloudWatchLogsFullAccess",
        ),
    ),
    "CloudWatchLogsReadOnlyAccess": (
        _allow(
            """
            logs: Describe* Get* List* StartQuery StopQuery TestMetricFilter FilterLogEvents StartLiveTail
            StopLiveTail
            cloudwatch: GenerateQuery GenerateQueryResultsSummary
            observabilityadmin: ListS3TableIntegrations GetS3TableIntegration ListTelemetryPipelines
            """,
            sid="CloudWatchLogsReadOnlyAccess",
        ),
    ),
    "AmazonEC2ContainerRegistryReadOnly": (
        _allow("""
            ecr: GetAuthorizationToken BatchCheckLayerAvailability GetDownloadUrlForLayer GetRepositoryPolicy
            DescribeRepositories ListImages DescribeImages BatchGetImage GetLifecyclePolicy
            GetLifecyclePolicyPreview ListTagsForResource DescribeImageScanFindings
            """),
    ),
    "AmazonEC2ContainerRegistryPowerUser": (
        _allow("""
            ecr: GetAuthorizationToken BatchCheckLayerAvailability GetDownloadUrlForLayer GetRepositoryPolicy
            DescribeRepositories ListImages DescribeImages BatchGetImage GetLifecyclePolicy
            GetLifecyclePolicyPreview ListTagsForResource DescribeImageScanFindings InitiateLayerUpload
            UploadLayerPart CompleteLayerUpload PutImage
            """),
    ),
    "AmazonEC2ContainerRegistryFullAccess": (
        _allow("""
            ecr: *
            cloudtrail: LookupEvents
            """),
        _allow(
            "iam: CreateServiceLinkedRole",
            condition={"StringEquals": {"iam:AWSServiceName": ["replication.ecr.amazonaws.com"]}},
        ),
    ),
    "AmazonSSMReadOnlyAccess": (_allow("ssm: Describe* Get* List*"),),
    "SecretsManagerReadWrite": (
        _allow(
            """
            secretsmanager: *
            cloudformation: CreateChangeSet DescribeChangeSet DescribeStackResource DescribeStacks ExecuteChangeSet
            docdb-elastic: GetCluster ListClusters
            ec2: DescribeSecurityGroups DescribeSubnets DescribeVpcs
            kms: DescribeKey ListAliases ListKeys
            lambda: ListFunctions
            rds: DescribeDBClusters DescribeDBInstances
            redshift: DescribeClusters
            redshift-serverless: ListWorkgroups GetNamespace
            tag: GetResources
            """,
            sid="BasePermissions",
        ),
        _allow(
            "lambda: AddPermission CreateFunction GetFunction InvokeFunction UpdateFunctionConfiguration",
            resource="arn:aws:lambda:*:*:function:SecretsManager*",
            sid="LambdaPermissions",
        ),
        _allow(
            "serverlessrepo: CreateCloudFormationChangeSet GetApplication",
            resource="arn:aws:serverlessrepo:*:*:applications/SecretsManager*",
            sid="SARPermissions",
        ),
        _allow(
            "s3: GetObject",
            resource=["arn:aws:s3:::awsserverlessrepo-changesets*", "arn:aws:s3:::secrets-manager-rotation-apps-*/*"],
            sid="S3Permissions",
        ),
        _allow(
            "cloudformation: TagResource UntagResource",
            condition={"StringEquals": {"cloudformation:CreateAction": ["CreateChangeSet", "ExecuteChangeSet"]}},
            sid="CloudFormationTagOnCreate",
        ),
    ),
    "AmazonVPCFullAccess": (
        _allow(
            """
            ec2: AcceptVpcPeeringConnection AcceptVpcEndpointConnections AllocateAddress AssignIpv6Addresses
            AssignPrivateIpAddresses AssociateAddress AssociateDhcpOptions AssociateRouteTable
            AssociateSecurityGroupVpc AssociateSubnetCidrBlock AssociateVpcCidrBlock AttachClassicLinkVpc
            AttachInternetGateway AttachNetworkInterface AttachVpnGateway AuthorizeSecurityGroupEgress
            AuthorizeSecurityGroupIngress CreateCarrierGateway CreateCustomerGateway CreateDefaultSubnet
            CreateDefaultVpc CreateDhcpOptions CreateEgressOnlyInternetGateway CreateFlowLogs CreateInternetGateway
            CreateLocalGatewayRouteTableVpcAssociation CreateNatGateway CreateNetworkAcl CreateNetworkAclEntry
            CreateNetworkInterface CreateNetworkInterfacePermission CreateRoute CreateRouteTable CreateSecurityGroup
            CreateSubnet CreateTags CreateVpc CreateVpcEndpoint CreateVpcEndpointConnectionNotification
            CreateVpcEndpointServiceConfiguration CreateVpcPeeringConnection CreateVpnConnection
            CreateVpnConnectionRoute CreateVpnGateway DeleteCarrierGateway DeleteCustomerGateway DeleteDhcpOptions
            DeleteEgressOnlyInternetGateway DeleteFlowLogs DeleteInternetGateway
            DeleteLocalGatewayRouteTableVpcAssociation DeleteNatGateway DeleteNetworkAcl DeleteNetworkAclEntry
            DeleteNetworkInterface DeleteNetworkInterfacePermission DeleteRoute DeleteRouteTable DeleteSecurityGroup
            DeleteSubnet DeleteTags DeleteVpc DeleteVpcEndpoints DeleteVpcEndpointConnectionNotifications
            DeleteVpcEndpointServiceConfigurations DeleteVpcPeeringConnection DeleteVpnConnection
            DeleteVpnConnectionRoute DeleteVpnGateway DescribeAccountAttributes DescribeAddresses
            DescribeAvailabilityZones DescribeCarrierGateways DescribeClassicLinkInstances DescribeCustomerGateways
            DescribeDhcpOptions DescribeEgressOnlyInternetGateways DescribeFlowLogs DescribeInstances
            DescribeInternetGateways DescribeIpv6Pools DescribeLocalGatewayRouteTables
            DescribeLocalGatewayRouteTableVpcAssociations DescribeKeyPairs DescribeMovingAddresses
            DescribeNatGateways DescribeNetworkAcls DescribeNetworkInterfaceAttribute
            DescribeNetworkInterfacePermissions DescribeNetworkInterfaces DescribePrefixLists DescribeRouteTables
            DescribeSecurityGroupReferences DescribeSecurityGroupRules DescribeSecurityGroups
            DescribeSecurityGroupVpcAssociations DescribeStaleSecurityGroups DescribeSubnets DescribeTags
            DescribeVpcAttribute DescribeVpcClassicLink DescribeVpcClassicLinkDnsSupport
            DescribeVpcEndpointConnectionNotifications DescribeVpcEndpointConnections DescribeVpcEndpoints
            DescribeVpcEndpointServiceConfigurations DescribeVpcEndpointServicePermissions
            DescribeVpcEndpointServices DescribeVpcPeeringConnections DescribeVpcs DescribeVpnConnections
            DescribeVpnGateways DetachClassicLinkVpc DetachInternetGateway DetachNetworkInterface DetachVpnGateway
            DisableVgwRoutePropagation DisableVpcClassicLink DisableVpcClassicLinkDnsSupport DisassociateAddress
            DisassociateRouteTable DisassociateSecurityGroupVpc DisassociateSubnetCidrBlock DisassociateVpcCidrBlock
            EnableVgwRoutePropagation EnableVpcClassicLink EnableVpcClassicLinkDnsSupport GetSecurityGroupsForVpc
            ModifyNetworkInterfaceAttribute ModifySecurityGroupRules ModifySubnetAttribute ModifyVpcAttribute
            ModifyVpcEndpoint ModifyVpcEndpointConnectionNotification ModifyVpcEndpointServiceConfiguration
            ModifyVpcEndpointServicePermissions ModifyVpcPeeringConnectionOptions ModifyVpcTenancy MoveAddressToVpc
            RejectVpcEndpointConnections RejectVpcPeeringConnection ReleaseAddress ReplaceNetworkAclAssociation
            ReplaceNetworkAclEntry ReplaceRoute ReplaceRouteTableAssociation ResetNetworkInterfaceAttribute
            RestoreAddressToClassic RevokeSecurityGroupEgress RevokeSecurityGroupIngress UnassignIpv6Addresses
            UnassignPrivateIpAddresses UpdateSecurityGroupRuleDescriptionsEgress
            UpdateSecurityGroupRuleDescriptionsIngress
            """,
            sid="AmazonVPCFullAccess",
        ),
    ),
    "ElasticLoadBalancingFullAccess": (
        _allow("elasticloadbalancing: *", single=True),
        _allow("""
            ec2: DescribeAccountAttributes DescribeAddresses DescribeInternetGateways DescribeSecurityGroups
            DescribeSubnets DescribeVpcs DescribeVpcClassicLink DescribeInstances DescribeNetworkInterfaces
            DescribeClassicLinkInstances DescribeRouteTables DescribeCoipPools GetCoipPoolUsage
            GetSecurityGroupsForVpc DescribeVpcPeeringConnections DescribeAvailabilityZones
            cognito-idp: DescribeUserPoolClient
            """),
        _allow(
            "iam: CreateServiceLinkedRole",
            condition={"StringEquals": {"iam:AWSServiceName": "elasticloadbalancing.amazonaws.com"}},
            single=True,
        ),
        _allow("arc-zonal-shift: *", resource="arn:aws:elasticloadbalancing:*:*:loadbalancer/*", single=True),
        _allow("arc-zonal-shift: ListManagedResources ListZonalShifts"),
    ),
    "AmazonECSTaskExecutionRolePolicy": (
        _allow("""
            ecr: GetAuthorizationToken BatchCheckLayerAvailability GetDownloadUrlForLayer BatchGetImage
            logs: CreateLogStream PutLogEvents
            """),
    ),
    "AmazonECS_FullAccess": (
        _allow(
            """
            application-autoscaling: DeleteScalingPolicy DeregisterScalableTarget DescribeScalableTargets
            DescribeScalingActivities DescribeScalingPolicies PutScalingPolicy RegisterScalableTarget
            appmesh: DescribeVirtualGateway DescribeVirtualNode ListMeshes ListVirtualGateways ListVirtualNodes
            autoscaling: CreateAutoScalingGroup CreateLaunchConfiguration DeleteAutoScalingGroup
            DeleteLaunchConfiguration Describe* UpdateAutoScalingGroup
            cloudformation: CreateStack DeleteStack DescribeStack* UpdateStack
            cloudwatch: DeleteAlarms DescribeAlarms GetMetricStatistics PutMetricAlarm
            codedeploy: BatchGetApplicationRevisions BatchGetApplications BatchGetDeploymentGroups
            BatchGetDeployments ContinueDeployment CreateApplication CreateDeployment CreateDeploymentGroup
            GetApplication GetApplicationRevision GetDeployment GetDeploymentConfig GetDeploymentGroup
            GetDeploymentTarget ListApplicationRevisions ListApplications ListDeploymentConfigs ListDeploymentGroups
            ListDeployments ListDeploymentTargets RegisterApplicationRevision StopDeployment
            ec2: AssociateRouteTable AttachInternetGateway AuthorizeSecurityGroupIngress CancelSpotFleetRequests
            CreateInternetGateway CreateLaunchTemplate CreateRoute CreateRouteTable CreateSecurityGroup CreateSubnet
            CreateVpc DeleteLaunchTemplate DeleteSubnet DeleteVpc Describe* DetachInternetGateway
            DisassociateRouteTable ModifySubnetAttribute ModifyVpcAttribute RequestSpotFleet RunInstances
            ecs: *
            elasticfilesystem: DescribeAccessPoints DescribeFileSystems
            elasticloadbalancing: CreateListener CreateLoadBalancer CreateRule CreateTargetGroup DeleteListener
            DeleteLoadBalancer DeleteRule DeleteTargetGroup DescribeListeners DescribeLoadBalancers DescribeRules
            DescribeTargetGroups
            events: DeleteRule DescribeRule ListRuleNamesByTarget ListTargetsByRule PutRule PutTargets RemoveTargets
            fsx: DescribeFileSystems
            iam: ListAttachedRolePolicies ListInstanceProfiles ListRoles
            lambda: ListFunctions
            logs: CreateLogGroup DescribeLogGroups FilterLogEvents
            route53: CreateHostedZone DeleteHostedZone GetHealthCheck GetHostedZone ListHostedZonesByName
            servicediscovery: CreatePrivateDnsNamespace CreateService DeleteService GetNamespace GetOperation
            GetService ListNamespaces ListServices UpdateService
            sns: ListTopics
            """,
            resource=["*"],
            sid="ECSIntegrationsManagementPolicy",
        ),
        _allow(
            "ssm: GetParameter GetParameters GetParametersByPath",
            resource="arn:aws:ssm:*:*:parameter/aws/service/ecs*",
            sid="SSMPolicy",
        ),
        _allow(
            "ec2: DeleteInternetGateway DeleteRoute DeleteRouteTable DeleteSecurityGroup",
            resource=["*"],
            condition={"StringLike": {"ec2:ResourceTag/aws:cloudformation:stack-name": "EC2ContainerService-*"}},
            sid="ManagedCloudformationResourcesCleanupPolicy",
        ),
        _allow(
            "iam: PassRole",
            resource=["*"],
            condition={"StringLike": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
            sid="TasksPassRolePolicy",
            single=True,
        ),
        _allow(
            "iam: PassRole",
            resource=["arn:aws:iam::*:role/ecsInfrastructureRole"],
            condition={"StringEquals": {"iam:PassedToService": "ecs.amazonaws.com"}},
            sid="InfrastructurePassRolePolicy",
            single=True,
        ),
        _allow(
            "iam: PassRole",
            resource=["arn:aws:iam::*:role/ecsInstanceRole*"],
            condition={"StringLike": {"iam:PassedToService": ["ec2.amazonaws.com", "ec2.amazonaws.com.cn"]}},
            sid="InstancePassRolePolicy",
            single=True,
        ),
        _allow(
            "iam: PassRole",
            resource=["arn:aws:iam::*:role/ecsAutoscaleRole*"],
            condition={
                "StringLike": {
                    "iam:PassedToService": [
                        "application-autoscaling.amazonaws.com",
                        "application-autoscaling.amazonaws.com.cn",
                    ]
                }
            },
            sid="AutoScalingPassRolePolicy",
            single=True,
        ),
        _allow(
            "iam: CreateServiceLinkedRole",
            condition={
                "StringLike": {
                    "iam:AWSServiceName": [
                        "ecs.amazonaws.com",
                        "autoscaling.amazonaws.com",
                        "ecs.application-autoscaling.amazonaws.com",
                        "spot.amazonaws.com",
                        "spotfleet.amazonaws.com",
                    ]
                }
            },
            sid="ServiceLinkedRoleCreationPolicy",
            single=True,
        ),
        _allow(
            "elasticloadbalancing: AddTags",
            condition={
                "StringEquals": {
                    "elasticloadbalancing:CreateAction": [
                        "CreateTargetGroup",
                        "CreateRule",
                        "CreateListener",
                        "CreateLoadBalancer",
                    ]
                }
            },
            sid="ELBTaggingPolicy",
        ),
        _allow(
            "cloudformation: TagResource UntagResource",
            condition={"StringEquals": {"cloudformation:CreateAction": ["CreateStack", "UpdateStack"]}},
            sid="CloudFormationTagOnCreate",
        ),
    ),
    "AmazonEC2ContainerServiceEventsRole": (
        _allow("ecs: RunTask", resource=["*"]),
        _allow(
            "iam: PassRole",
            resource=["*"],
            condition={"StringLike": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
            single=True,
        ),
        _allow("ecs: TagResource", condition={"StringEquals": {"ecs:CreateAction": ["RunTask"]}}, single=True),
    ),
    "AmazonECSServiceRolePolicy": (
        _allow(
            """
            ec2: AttachNetworkInterface AssociateTrunkInterface CreateNetworkInterface
            CreateNetworkInterfacePermission DeleteNetworkInterface DeleteNetworkInterfacePermission Describe*
            DetachNetworkInterface DisassociateTrunkInterface
            elasticloadbalancing: DeregisterInstancesFromLoadBalancer DeregisterTargets Describe*
            RegisterInstancesWithLoadBalancer RegisterTargets
            route53: ChangeResourceRecordSets CreateHealthCheck DeleteHealthCheck Get* List* UpdateHealthCheck
            servicediscovery: DeregisterInstance Get* List* RegisterInstance UpdateInstanceCustomHealthStatus
            """,
            sid="ECSTaskManagement",
        ),
        _allow("autoscaling: Describe*", sid="AutoScaling"),
        _allow(
            """
            autoscaling: DeletePolicy PutScalingPolicy SetInstanceProtection UpdateAutoScalingGroup PutLifecycleHook
            DeleteLifecycleHook CompleteLifecycleAction RecordLifecycleActionHeartbeat
            TerminateInstanceInAutoScalingGroup
            """,
            condition={"Null": {"autoscaling:ResourceTag/AmazonECSManaged": "false"}},
            sid="AutoScalingManagement",
        ),
        _allow(
            "autoscaling-plans: CreateScalingPlan DeleteScalingPlan DescribeScalingPlans DescribeScalingPlanResources",
            sid="AutoScalingPlanManagement",
        ),
        _allow(
            "events: DescribeRule ListTargetsByRule",
            resource="arn:aws:events:*:*:rule/ecs-managed-*",
            sid="EventBridge",
        ),
        _allow(
            "events: PutRule PutTargets",
            condition={"StringEquals": {"events:ManagedBy": "ecs.amazonaws.com"}},
            sid="EventBridgeRuleManagement",
        ),
        _allow(
            "cloudwatch: DeleteAlarms DescribeAlarms PutMetricAlarm",
            resource="arn:aws:cloudwatch:*:*:alarm:*",
            sid="CWAlarmManagement",
        ),
        _allow("ec2: CreateTags", resource="arn:aws:ec2:*:*:network-interface/*", sid="ECSTagging"),
        _allow(
            "logs: CreateLogGroup DescribeLogGroups PutRetentionPolicy",
            resource="arn:aws:logs:*:*:log-group:/aws/ecs/*",
            sid="CWLogGroupManagement",
        ),
        _allow(
            "logs: CreateLogStream DescribeLogStreams PutLogEvents",
            resource="arn:aws:logs:*:*:log-group:/aws/ecs/*:log-stream:*",
            sid="CWLogStreamManagement",
        ),
        _allow("ssm: DescribeSessions", sid="ExecuteCommandSessionManagement"),
        _allow(
            "ssm: StartSession",
            resource=["arn:aws:ecs:*:*:task/*", "arn:aws:ssm:*:*:document/AmazonECS-ExecuteInteractiveCommand"],
            sid="ExecuteCommand",
        ),
        _allow(
            "ssmmessages: OpenDataChannel",
            resource=["arn:aws:ssm:*:*:session/*"],
            condition={"StringEquals": {"aws:PrincipalAccount": "${aws:ResourceAccount}"}},
            sid="OpenDataChannel",
        ),
        _allow(
            "servicediscovery: CreateHttpNamespace CreateService",
            condition={"ForAllValues:StringEquals": {"aws:TagKeys": ["AmazonECSManaged"]}},
            sid="CloudMapResourceCreation",
        ),
        _allow(
            "servicediscovery: TagResource",
            condition={"StringLike": {"aws:RequestTag/AmazonECSManaged": "*"}},
            sid="CloudMapResourceTagging",
            single=True,
        ),
        _allow(
            "servicediscovery: DeleteService",
            condition={"Null": {"aws:ResourceTag/AmazonECSManaged": "false"}},
            sid="CloudMapResourceDeletion",
        ),
        _allow("servicediscovery: DiscoverInstances DiscoverInstancesRevision", sid="CloudMapResourceDiscovery"),
        _allow(
            "servicediscovery: UpdateServiceAttributes",
            condition={"Null": {"aws:ResourceTag/AmazonECSManaged": "false"}},
            sid="CloudMapResourceAttributeManagement",
        ),
        _allow("ec2: DescribeInstanceEventWindows", sid="ReadOnlyPermissionsForInstanceEventWindows"),
    ),
    "AWSApplicationAutoscalingECSServicePolicy": (
        _allow(
            """
            ecs: DescribeServices DescribeServiceRevisions UpdateService
            cloudwatch: PutMetricAlarm DescribeAlarms GetMetricData DeleteAlarms
            """,
            resource=["*"],
        ),
    ),
}
