"""Which bucket each operation of each service draws from, and what AWS lets an account draw.

Data, literal: a test walks the operations of this endpoint and finds each of them here. Must not know how buckets work.
ECS, ECR, Fargate, EC2, CloudWatch Logs, STS and CloudTrail publish their numbers; IAM and Service Quotas do not, and
get one generous number of ours. Invariant: a bucket's key is never reused, since an operator's values are stored by it.
"""

from collections.abc import Mapping

from msgspec import Struct

from .token_bucket import Rate


class Bucket(Struct, frozen=True, kw_only=True):
    """`apart`: each of its operations has the whole bucket for itself, as EC2 and Logs count."""

    key: str
    rate: Rate  # AWS's
    operations: str = ""
    apart: bool = False

    @property
    def names(self) -> list[str]:
        return self.operations.split()


UNPUBLISHED = Rate(200, 100)
UNLISTED = Bucket(key="other", rate=Rate(50, 20))  # an operation that this endpoint does not have

# Not calls but tasks: a call that starts ten takes ten. For each of the two kinds of Fargate capacity.
LAUNCH_ON_DEMAND = Bucket(key="fargate/launch-on-demand", rate=Rate(100, 20))
LAUNCH_SPOT = Bucket(key="fargate/launch-spot", rate=Rate(100, 20))
# Fargate's own bound on RunTask, beside the one that it shares with StopTask.
RUN_TASK = Bucket(key="fargate/run-task", rate=Rate(20, 20))

_ECS = (
    Bucket(
        key="ecs/cluster-modify",
        rate=Rate(20, 1),
        operations="""
        CreateCluster DeleteCluster UpdateCluster UpdateClusterSettings PutClusterCapacityProviders
        CreateCapacityProvider DeleteCapacityProvider UpdateCapacityProvider
        CreateGateway UpdateGateway DeleteGateway AssociateGatewayWithCluster DisassociateGatewayFromCluster
        """,
    ),
    Bucket(
        key="ecs/cluster-read",
        rate=Rate(50, 20),
        operations="""
        DescribeClusters ListClusters DescribeCapacityProviders
        DescribeGateway DescribeGatewayResources DescribeGatewayRoute ListGateways ListGatewayRoutes
        ListGatewayClusterAssociations
        """,
    ),
    Bucket(
        key="ecs/task-definition-modify",
        rate=Rate(20, 1),
        operations="""
        RegisterTaskDefinition DeregisterTaskDefinition RegisterDaemonTaskDefinition
        """,
    ),
    Bucket(
        key="ecs/task-definition-read",
        rate=Rate(50, 20),
        operations="""
        DescribeTaskDefinition ListTaskDefinitions ListTaskDefinitionFamilies
        DescribeDaemonTaskDefinition ListDaemonTaskDefinitions
        """,
    ),
    Bucket(
        key="ecs/task-definition-delete",
        rate=Rate(5, 1),
        operations="DeleteTaskDefinitions DeleteDaemonTaskDefinition",
    ),
    Bucket(key="ecs/tag-modify", rate=Rate(20, 10), operations="TagResource UntagResource"),
    Bucket(key="ecs/tag-read", rate=Rate(50, 20), operations="ListTagsForResource"),
    Bucket(
        key="ecs/settings-modify",
        rate=Rate(10, 1),
        operations="DeleteAccountSetting PutAccountSetting PutAccountSettingDefault",
    ),
    Bucket(key="ecs/settings-read", rate=Rate(50, 20), operations="ListAccountSettings"),
    Bucket(key="ecs/task-modify", rate=Rate(100, 40), operations="RunTask StartTask StopTask ExecuteCommand"),
    Bucket(key="ecs/task-read", rate=Rate(100, 20), operations="DescribeTasks ListTasks"),
    Bucket(key="ecs/protection", rate=Rate(200, 80), operations="GetTaskProtection UpdateTaskProtection"),
    Bucket(
        key="ecs/service-modify",
        rate=Rate(50, 5),
        operations="""
        CreateService UpdateService DeleteService CreateTaskSet UpdateTaskSet DeleteTaskSet UpdateServicePrimaryTaskSet
        CreateDaemon UpdateDaemon DeleteDaemon
        CreateExpressGatewayService UpdateExpressGatewayService DeleteExpressGatewayService
        """,
    ),
    Bucket(
        key="ecs/service-read",
        rate=Rate(100, 20),
        operations="""
        DescribeServices ListServices DescribeTaskSets DescribeDaemon ListDaemons DescribeExpressGatewayService
        """,
    ),
    Bucket(
        key="ecs/deployments",
        rate=Rate(50, 20),
        operations="""
        DescribeServiceDeployments ListServiceDeployments StopServiceDeployment ContinueServiceDeployment
        DescribeServiceRevisions DescribeDaemonDeployments ListDaemonDeployments DescribeDaemonRevisions
        """,
    ),
    Bucket(key="ecs/namespace-read", rate=Rate(10, 1), operations="ListServicesByNamespace"),
    Bucket(
        key="ecs/instances",
        rate=Rate(100, 20),
        operations="""
        DescribeContainerInstances ListContainerInstances RegisterContainerInstance DeregisterContainerInstance
        UpdateContainerAgent UpdateContainerInstancesState ListAttributes PutAttributes DeleteAttributes
        DiscoverPollEndpoint SubmitAttachmentStateChanges SubmitContainerStateChange SubmitTaskStateChange
        """,
    ),
)
_EC2 = (
    Bucket(
        key="ec2/read",
        rate=Rate(100, 20),
        apart=True,
        operations="""
        DescribeAvailabilityZones DescribeManagedPrefixLists DescribeNetworkAcls DescribeNetworkInterfaces
        DescribeRegions DescribeSecurityGroupReferences DescribeSecurityGroupRules DescribeSecurityGroups
        DescribeStaleSecurityGroups DescribeSubnets DescribeTags DescribeVpcs GetManagedPrefixListAssociations
        GetManagedPrefixListEntries GetSecurityGroupsForVpc
        DescribeEgressOnlyInternetGateways DescribeInternetGateways DescribePrefixLists DescribeRouteTables
        DescribeVpcEndpointServices DescribeVpcEndpoints DescribeVpcPeeringConnections
        DescribeAccountAttributes DescribeDhcpOptions DescribeVpcAttribute DescribeVpcClassicLink
        DescribeVpcClassicLinkDnsSupport DescribeFlowLogs
        DescribeAddresses DescribeAddressesAttribute DescribeNatGateways DescribeNetworkInterfaceAttribute
        GetSubnetCidrReservations DescribeVpnGateways DescribeCustomerGateways DescribeVpnConnections
        DescribeIpv6Pools GetAssociatedIpv6PoolCidrs
        """,
    ),
    Bucket(
        key="ec2/modify",
        rate=Rate(50, 5),
        apart=True,
        operations="""
        AuthorizeSecurityGroupEgress AuthorizeSecurityGroupIngress CreateManagedPrefixList CreateNetworkAcl
        CreateNetworkAclEntry CreateSecurityGroup CreateTags DeleteManagedPrefixList DeleteNetworkAcl
        DeleteNetworkAclEntry DeleteSecurityGroup DeleteTags ModifyManagedPrefixList ModifySecurityGroupRules
        ReplaceNetworkAclAssociation ReplaceNetworkAclEntry RestoreManagedPrefixListVersion RevokeSecurityGroupEgress
        RevokeSecurityGroupIngress UpdateSecurityGroupRuleDescriptionsEgress UpdateSecurityGroupRuleDescriptionsIngress
        AcceptVpcPeeringConnection AssociateRouteTable AttachInternetGateway CreateEgressOnlyInternetGateway
        CreateInternetGateway CreateRoute CreateRouteTable CreateVpcEndpoint CreateVpcPeeringConnection
        DeleteEgressOnlyInternetGateway DeleteInternetGateway DeleteRoute DeleteRouteTable DeleteVpcEndpoints
        DeleteVpcPeeringConnection DetachInternetGateway DisassociateRouteTable ModifyVpcEndpoint
        ModifyVpcPeeringConnectionOptions RejectVpcPeeringConnection ReplaceRoute ReplaceRouteTableAssociation
        AssociateDhcpOptions AssociateSubnetCidrBlock AssociateVpcCidrBlock CreateDefaultSubnet CreateDefaultVpc
        CreateDhcpOptions CreateSubnet CreateVpc DeleteDhcpOptions DeleteSubnet DeleteVpc DisassociateSubnetCidrBlock
        DisassociateVpcCidrBlock ModifySubnetAttribute ModifyVpcAttribute ModifyVpcTenancy
        AllocateAddress AssociateAddress CreateNatGateway DeleteNatGateway DeleteNetworkInterface
        DetachNetworkInterface DisassociateAddress ModifyAddressAttribute ModifyNetworkInterfaceAttribute
        ReleaseAddress ResetAddressAttribute ResetNetworkInterfaceAttribute CreateFlowLogs DeleteFlowLogs
        CreateSubnetCidrReservation DeleteSubnetCidrReservation AssignPrivateIpAddresses AttachNetworkInterface
        CreateNetworkInterface UnassignPrivateIpAddresses CreateVpnGateway AttachVpnGateway DetachVpnGateway
        DeleteVpnGateway EnableVgwRoutePropagation DisableVgwRoutePropagation CreateCustomerGateway
        DeleteCustomerGateway CreateVpnConnection DeleteVpnConnection
        """,
    ),
)
_LOGS = (
    Bucket(key="logs/put", rate=Rate(5000, 5000), operations="PutLogEvents"),
    Bucket(key="logs/group-modify", rate=Rate(10, 10), apart=True, operations="CreateLogGroup DeleteLogGroup"),
    Bucket(key="logs/stream-create", rate=Rate(50, 50), operations="CreateLogStream"),
    Bucket(key="logs/stream-delete", rate=Rate(15, 15), operations="DeleteLogStream"),
    Bucket(key="logs/group-read", rate=Rate(10, 10), operations="DescribeLogGroups"),
    Bucket(
        key="logs/event-read",
        rate=Rate(25, 25),
        apart=True,
        operations="DescribeLogStreams FilterLogEvents GetLogEvents",
    ),
    Bucket(
        key="logs/settings",
        rate=Rate(5, 5),
        apart=True,
        operations="""
        PutRetentionPolicy DeleteRetentionPolicy ListTagsForResource ListTagsLogGroup TagLogGroup TagResource
        UntagLogGroup UntagResource
        PutMetricFilter DeleteMetricFilter DescribeMetricFilters TestMetricFilter
        PutSubscriptionFilter DeleteSubscriptionFilter DescribeSubscriptionFilters StartLiveTail
        """,
    ),
)
_STS = (
    Bucket(
        key="sts/calls",
        rate=Rate(600, 600),
        operations="""
        AssumeRole AssumeRoleWithSAML AssumeRoleWithWebIdentity AssumeRoot DecodeAuthorizationMessage
        GetAccessKeyInfo GetCallerIdentity GetDelegatedAccessToken GetFederationToken GetSessionToken
        GetWebIdentityToken
        """,
    ),
)
_IAM = (
    Bucket(
        key="iam/read",
        rate=UNPUBLISHED,
        operations="""
        GenerateCredentialReport GenerateOrganizationsAccessReport GenerateServiceLastAccessedDetails
        GetAccessKeyLastUsed GetAccountAuthorizationDetails GetAccountPasswordPolicy GetAccountProperties
        GetAccountSummary GetContextKeysForCustomPolicy GetContextKeysForPrincipalPolicy GetCredentialReport
        GetDelegationRequest GetGroup GetGroupPolicy GetHumanReadableSummary GetInstanceProfile GetLoginProfile
        GetMFADevice GetOpenIDConnectProvider GetOrganizationsAccessReport GetOutboundWebIdentityFederationInfo
        GetPolicy GetPolicyVersion GetRole GetRolePolicy GetRoleTemplateVersion GetSAMLProvider GetSSHPublicKey
        GetServerCertificate GetServiceLastAccessedDetails GetServiceLastAccessedDetailsWithEntities
        GetServiceLinkedRoleDeletionStatus GetUser GetUserPolicy ListAccessKeys ListAccountAliases
        ListAttachedGroupPolicies ListAttachedRolePolicies ListAttachedUserPolicies ListDelegationRequests
        ListEntitiesForPolicy ListGroupPolicies ListGroups ListGroupsForUser ListInstanceProfileTags
        ListInstanceProfiles ListInstanceProfilesForRole ListMFADeviceTags ListMFADevices
        ListOpenIDConnectProviderTags ListOpenIDConnectProviders ListOrganizationsFeatures ListPolicies
        ListPoliciesGrantingServiceAccess ListPolicyTags ListPolicyVersions ListRolePolicies ListRoleTags
        ListRoles ListSAMLProviderTags ListSAMLProviders ListSSHPublicKeys ListServerCertificateTags
        ListServerCertificates ListServiceSpecificCredentials ListSigningCertificates ListUserPolicies
        ListUserTags ListUsers ListVirtualMFADevices SimulateCustomPolicy SimulatePrincipalPolicy
        """,
    ),
    Bucket(
        key="iam/modify",
        rate=UNPUBLISHED,
        operations="""
        AcceptDelegationRequest AcquireRole AddClientIDToOpenIDConnectProvider AddRoleToInstanceProfile
        AddUserToGroup AssociateDelegationRequest AttachGroupPolicy AttachRolePolicy AttachUserPolicy
        ChangePassword CreateAccessKey CreateAccountAlias CreateDelegationRequest CreateGroup
        CreateInstanceProfile CreateLoginProfile CreateOpenIDConnectProvider CreatePolicy CreatePolicyVersion
        CreateRole CreateSAMLProvider CreateServiceLinkedRole CreateServiceSpecificCredential CreateUser
        CreateVirtualMFADevice DeactivateMFADevice DeleteAccessKey DeleteAccountAlias
        DeleteAccountPasswordPolicy DeleteGroup DeleteGroupPolicy DeleteInstanceProfile DeleteLoginProfile
        DeleteOpenIDConnectProvider DeletePolicy DeletePolicyVersion DeleteRole DeleteRolePermissionsBoundary
        DeleteRolePolicy DeleteSAMLProvider DeleteSSHPublicKey DeleteServerCertificate DeleteServiceLinkedRole
        DeleteServiceSpecificCredential DeleteSigningCertificate DeleteUser DeleteUserPermissionsBoundary
        DeleteUserPolicy DeleteVirtualMFADevice DetachGroupPolicy DetachRolePolicy DetachUserPolicy
        DisableOrganizationsRootCredentialsManagement DisableOrganizationsRootSessions
        DisableOutboundWebIdentityFederation EnableMFADevice EnableOrganizationsRootCredentialsManagement
        EnableOrganizationsRootSessions EnableOutboundWebIdentityFederation PutAccountProperties PutGroupPolicy
        PutRolePermissionsBoundary PutRolePolicy PutUserPermissionsBoundary PutUserPolicy
        RejectDelegationRequest RemoveClientIDFromOpenIDConnectProvider RemoveRoleFromInstanceProfile
        RemoveUserFromGroup ResetServiceSpecificCredential ResyncMFADevice SendDelegationToken
        SetDefaultPolicyVersion SetSecurityTokenServicePreferences TagInstanceProfile TagMFADevice
        TagOpenIDConnectProvider TagPolicy TagRole TagSAMLProvider TagServerCertificate TagUser
        UntagInstanceProfile UntagMFADevice UntagOpenIDConnectProvider UntagPolicy UntagRole UntagSAMLProvider
        UntagServerCertificate UntagUser UpdateAccessKey UpdateAccountPasswordPolicy UpdateAssumeRolePolicy
        UpdateDelegationRequest UpdateGroup UpdateLoginProfile UpdateOpenIDConnectProviderThumbprint UpdateRole
        UpdateRoleDescription UpdateSAMLProvider UpdateSSHPublicKey UpdateServerCertificate
        UpdateServiceSpecificCredential UpdateSigningCertificate UpdateUser UploadSSHPublicKey
        UploadServerCertificate UploadSigningCertificate
        """,
    ),
)
_SERVICE_QUOTAS = (
    Bucket(
        key="service-quotas/calls",
        rate=UNPUBLISHED,
        operations="""
        AssociateServiceQuotaTemplate CreateSupportCase DeleteServiceQuotaIncreaseRequestFromTemplate
        DisassociateServiceQuotaTemplate GetAWSDefaultServiceQuota GetAssociationForServiceQuotaTemplate
        GetAutoManagementConfiguration GetQuotaUtilizationReport GetRequestedServiceQuotaChange GetServiceQuota
        GetServiceQuotaIncreaseRequestFromTemplate ListAWSDefaultServiceQuotas
        ListRequestedServiceQuotaChangeHistory ListRequestedServiceQuotaChangeHistoryByQuota
        ListServiceQuotaIncreaseRequestsInTemplate ListServiceQuotas ListServices ListTagsForResource
        PutServiceQuotaIncreaseRequestIntoTemplate RequestServiceQuotaIncrease StartAutoManagement
        StartQuotaUtilizationReport StopAutoManagement TagResource UntagResource UpdateAutoManagement
        """,
    ),
)
_CLOUDTRAIL = (Bucket(key="cloudtrail/lookup", rate=Rate(2, 2), operations="LookupEvents"),)

_KMS = (
    Bucket(
        key="kms/cryptography",
        rate=Rate(10_000, 10_000),
        operations="""
        Decrypt Encrypt GenerateDataKey GenerateDataKeyWithoutPlaintext GenerateMac GenerateRandom ReEncrypt VerifyMac
        """,
    ),
    Bucket(
        key="kms/read",
        rate=Rate(1000, 1000),
        apart=True,
        operations="""
        DescribeKey GetKeyPolicy GetKeyRotationStatus GetPublicKey ListAliases ListKeyPolicies ListKeys
        ListResourceTags
        """,
    ),
    Bucket(
        key="kms/modify",
        rate=Rate(10, 10),
        apart=True,
        operations="""
        CancelKeyDeletion CreateAlias CreateKey DeleteAlias DisableKey EnableKey PutKeyPolicy ScheduleKeyDeletion
        TagResource UntagResource UpdateAlias UpdateKeyDescription
        """,
    ),
    Bucket(
        key="kms/other",
        rate=UNPUBLISHED,
        operations="""
        ConnectCustomKeyStore CreateCustomKeyStore CreateGrant Decapsulate DeleteCustomKeyStore
        DeleteImportedKeyMaterial DeriveSharedSecret DescribeCustomKeyStores DisableKeyRotation
        DisconnectCustomKeyStore EnableKeyRotation Encapsulate GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext
        GetKeyLastUsage GetParametersForImport ImportKeyMaterial ListGrants ListKeyRotations ListRetirableGrants
        ReplicateKey RetireGrant RevokeGrant RotateKeyOnDemand Sign UpdateCustomKeyStore UpdatePrimaryRegion Verify
        """,
    ),
)
# Of these only what parameters are read and written with is published: its default throughput.
_SSM = (
    Bucket(
        key="ssm/parameter-read",
        rate=Rate(40, 40),
        operations="GetParameter GetParameters GetParametersByPath",
    ),
    Bucket(key="ssm/parameter-write", rate=Rate(3, 3), operations="PutParameter"),
    Bucket(
        key="ssm/other",
        rate=UNPUBLISHED,
        operations="""
        AddTagsToResource DeleteParameter DeleteParameters DescribeParameters GetParameterHistory
        LabelParameterVersion ListTagsForResource RemoveTagsFromResource ResumeSession UnlabelParameterVersion
        """,
    ),
)

_ECR = (
    Bucket(key="ecr/authorization", rate=Rate(500, 500), operations="GetAuthorizationToken"),
    Bucket(key="ecr/layer-check", rate=Rate(1000, 1000), operations="BatchCheckLayerAvailability"),
    Bucket(key="ecr/image-get", rate=Rate(2000, 2000), operations="BatchGetImage"),
    Bucket(key="ecr/layer-get", rate=Rate(3000, 3000), operations="GetDownloadUrlForLayer"),
    Bucket(key="ecr/upload", rate=Rate(100, 100), operations="InitiateLayerUpload CompleteLayerUpload", apart=True),
    Bucket(key="ecr/upload-part", rate=Rate(500, 500), operations="UploadLayerPart"),
    Bucket(key="ecr/image-put", rate=Rate(10, 10), operations="PutImage"),
    Bucket(
        key="ecr/calls",
        rate=UNPUBLISHED,
        operations="""
        BatchDeleteImage BatchGetRepositoryScanningConfiguration CreatePullThroughCacheRule CreateRepository
        DeleteLifecyclePolicy DeletePullThroughCacheRule DeleteRegistryPolicy DeleteRepository
        DeleteRepositoryPolicy DescribeImageReplicationStatus DescribeImageScanFindings DescribeImages
        DescribePullThroughCacheRules DescribeRegistry DescribeRepositories GetAccountSetting GetLifecyclePolicy
        GetLifecyclePolicyPreview GetRegistryPolicy GetRegistryScanningConfiguration GetRepositoryPolicy
        ListImages ListTagsForResource PutAccountSetting PutImageScanningConfiguration PutImageTagMutability
        PutLifecyclePolicy PutRegistryPolicy PutRegistryScanningConfiguration PutReplicationConfiguration
        SetRepositoryPolicy StartImageScan StartLifecyclePolicyPreview TagResource UntagResource
        UpdatePullThroughCacheRule ValidatePullThroughCacheRule
        """,
    ),
)

_SECRETS_MANAGER = (
    Bucket(key="secretsmanager/read", rate=Rate(10_000, 10_000), operations="DescribeSecret GetSecretValue"),
    Bucket(key="secretsmanager/list", rate=Rate(100, 100), apart=True, operations="BatchGetSecretValue ListSecrets"),
    Bucket(
        key="secretsmanager/policy",
        rate=Rate(50, 50),
        operations="DeleteResourcePolicy GetResourcePolicy PutResourcePolicy ValidateResourcePolicy",
    ),
    Bucket(
        key="secretsmanager/modify",
        rate=Rate(50, 50),
        operations="""
        AssociateCrossAccountReplica DisassociateCrossAccountReplica PutSecretValue RemoveRegionsFromReplication
        ReplicateSecretToRegions StopReplicationToReplica UpdateSecret UpdateSecretVersionStage
        """,
    ),
    Bucket(key="secretsmanager/rotate", rate=Rate(50, 50), operations="CancelRotateSecret RotateSecret"),
    Bucket(key="secretsmanager/tag", rate=Rate(50, 50), operations="TagResource UntagResource"),
    Bucket(
        key="secretsmanager/other",
        rate=Rate(50, 50),
        apart=True,
        operations="""
        CreateSecret DeleteSecret GetRandomPassword ListResourcePolicies ListSecretVersionIds RestoreSecret
        """,
    ),
)

_CLOUD_MAP = (
    Bucket(key="servicediscovery/discover", rate=Rate(2000, 1000), operations="DiscoverInstances"),
    Bucket(key="servicediscovery/revision", rate=Rate(3000, 3000), operations="DiscoverInstancesRevision"),
    Bucket(
        key="servicediscovery/calls",
        rate=UNPUBLISHED,
        operations="""
        CreateHttpNamespace CreatePrivateDnsNamespace CreatePublicDnsNamespace CreateService DeleteNamespace
        DeleteService DeleteServiceAttributes DeregisterInstance GetInstance GetInstancesHealthStatus GetNamespace
        GetOperation GetService GetServiceAttributes ListInstances ListNamespaces ListOperations ListServices
        ListTagsForResource RegisterInstance TagResource UntagResource UpdateHttpNamespace
        UpdateInstanceCustomHealthStatus UpdatePrivateDnsNamespace UpdatePublicDnsNamespace UpdateService
        UpdateServiceAttributes
        """,
    ),
)

_ACM = (
    Bucket(
        key="acm/calls",
        rate=UNPUBLISHED,
        operations="""
        AddTagsToCertificate CreateAcmeDomainValidation CreateAcmeEndpoint CreateAcmeExternalAccountBinding
        DeleteAcmeDomainValidation DeleteAcmeEndpoint DeleteAcmeExternalAccountBinding DeleteCertificate
        DescribeAcmeAccount DescribeAcmeDomainValidation DescribeAcmeEndpoint DescribeAcmeExternalAccountBinding
        DescribeCertificate ExportCertificate GetAccountConfiguration GetAcmeExternalAccountBindingCredentials
        GetCertificate ImportCertificate ListAcmeAccounts ListAcmeDomainValidations ListAcmeEndpoints
        ListAcmeExternalAccountBindings ListCertificateDomainValidations ListCertificates ListTagsForCertificate
        ListTagsForResource PutAccountConfiguration RemoveTagsFromCertificate RenewCertificate RequestCertificate
        ResendValidationEmail RevokeAcmeAccount RevokeAcmeExternalAccountBinding RevokeCertificate SearchCertificates
        TagResource UntagResource UpdateAcmeDomainValidation UpdateAcmeEndpoint UpdateCertificateOptions
        """,
    ),
)

# Of ELB the bucket of what only describes is published.
_ELB = (
    Bucket(
        key="elbv2/read",
        rate=Rate(40, 10),
        operations="""
        DescribeAccountLimits DescribeCapacityReservation DescribeListenerAttributes DescribeListenerCertificates
        DescribeListeners DescribeLoadBalancerAttributes DescribeLoadBalancers DescribeRules DescribeSSLPolicies
        DescribeTags DescribeTargetGroupAttributes DescribeTargetGroups DescribeTargetHealth
        DescribeTrustStoreAssociations DescribeTrustStoreRevocations DescribeTrustStores GetResourcePolicy
        GetTrustStoreCaCertificatesBundle GetTrustStoreRevocationContent
        """,
    ),
    Bucket(
        key="elbv2/modify",
        rate=UNPUBLISHED,
        operations="""
        AddListenerCertificates AddTags AddTrustStoreRevocations CreateListener CreateLoadBalancer CreateRule
        CreateTargetGroup CreateTrustStore DeleteListener DeleteLoadBalancer DeleteRule
        DeleteSharedTrustStoreAssociation DeleteTargetGroup DeleteTrustStore DeregisterTargets
        ModifyCapacityReservation ModifyIpPools ModifyListener ModifyListenerAttributes ModifyLoadBalancerAttributes
        ModifyRule ModifyTargetGroup ModifyTargetGroupAttributes ModifyTrustStore RegisterTargets
        RemoveListenerCertificates RemoveTags RemoveTrustStoreRevocations SetIpAddressType SetRulePriorities
        SetSecurityGroups SetSubnets
        """,
    ),
)

BUCKETS: Mapping[str, tuple[Bucket, ...]] = {
    "acm": _ACM,
    "cloudtrail": _CLOUDTRAIL,
    "ec2": _EC2,
    "ecr": _ECR,
    "ecs": _ECS,
    "elbv2": _ELB,
    "iam": _IAM,
    "kms": _KMS,
    "logs": _LOGS,
    "secretsmanager": _SECRETS_MANAGER,
    "service-quotas": _SERVICE_QUOTAS,
    "servicediscovery": _CLOUD_MAP,
    "ssm": _SSM,
    "sts": _STS,
}
OF_OPERATION: Mapping[tuple[str, str], Bucket] = {
    (service, name): bucket for service, buckets in BUCKETS.items() for bucket in buckets for name in bucket.names
}
BY_KEY: Mapping[str, Bucket] = {
    bucket.key: bucket
    for bucket in (
        *(bucket for buckets in BUCKETS.values() for bucket in buckets),
        LAUNCH_ON_DEMAND,
        LAUNCH_SPOT,
        RUN_TASK,
        UNLISTED,
    )
}
