"""Which members of requests and answers a record shows. Everything else reads HIDDEN_DUE_TO_SECURITY_REASONS.

Deny by default: a member is shown when its type cannot hold a secret (numbers, booleans, values of an enum) or when it
is in the reviewed lists below; what a model marks sensitive is hidden whole. The lists name members, so that a member
of an operation that is built later stays hidden until somebody has looked at it. Pure.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, TypedDict

from ...wire.shapes import Member, ServiceModel, Shape

HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
_TIME_MAX_S = 253_402_300_799  # the end of the year 9999, beyond which there are no dates

# Identifiers: what other operations list, and what an auditor looks for.
SHOWN = frozenset(
    """
    AccessKeyId Account AccountAlias AccountAliases AssumedRoleId Audience AWSServiceName ClientID ClientIDList
    ActionNames CustomSuffix DefaultVersionId DeletionTaskId EntityPath ExternalId GroupId GroupIds
    GroupList GroupName GroupNames
    InstanceProfileId InstanceProfileName Marker NetworkInterfaceIds NewGroupName NewPath NewUserName OwnerId
    Path PathPrefix PermissionsBoundary PermissionsBoundaryType PolicyId PolicyName PolicyNames
    Provider ProviderId QuotaCode QuotaName RegionNames RequestId RoleId RoleName RoleSessionName
    SecurityGroupRuleId SecurityGroupRuleIds SerialNumber ServiceCode ServiceName ServiceNamespace ServiceNamespaces
    SourceIdentity SourceSecurityGroupName SourceSecurityGroupOwnerId SubjectFromWebIdentityToken SubnetIds TagKeys
    ThumbprintList TransitiveTagKeys Url UserId UserName VersionId VpcId VpcIds ZoneIds ZoneNames
    AddRouteTableIds AssociationId DestinationCidrBlock DestinationIpv6CidrBlock DestinationPrefixListId
    EgressOnlyInternetGatewayId EgressOnlyInternetGatewayIds GatewayId InternetGatewayId InternetGatewayIds NatGatewayId
    NewAssociationId PeerOwnerId PeerRegion PeerVpcId PrefixListIds RemoveRouteTableIds RouteTableId RouteTableIds
    VpcEndpointId VpcEndpointIds VpcPeeringConnectionId VpcPeeringConnectionIds
    CustomerGatewayId CustomerGatewayIds TransitGatewayId VpnConnectionId VpnConnectionIds VpnGatewayId VpnGatewayIds
    AddressFamily NetworkAclId NetworkAclIds PrefixListName
    AvailabilityZone AvailabilityZoneId CidrBlock DhcpOptionsId DhcpOptionsIds Ipv6CidrBlock SubnetId
    CidrIp CidrIpv4 CidrIpv6 IpProtocol PrefixListId ReferencedGroupId
    AwsRegion CaseId ContextId Unit
    CreatorRequestId HostedZoneId HttpName InstanceId NamespaceId NamespaceName OperationId OwnerAccount ResourceOwner
    ServiceId UpdaterRequestId
    ecrRepositoryPrefix imageTag layerDigest layerDigests lifecyclePolicyText policyText registryId registryIds
    repositoryName repositoryNames uploadId
    AliasName DestinationKeyId KeyId KmsKeyId SourceKeyId TargetKeyId
    MoveToVersionId RemoveFromVersionId SecretId SecretIdList VersionStage VersionStages
    AssumeRolePolicyDocument Policy PolicyDocument PolicyInputList PermissionsBoundaryPolicyInputList
    attachmentId availabilityZone capacityProvider capacityProviderName capacityProviders clientToken cluster
    clusterName clusters connectivity containerName containerInstance containerInstances cpu cpuArchitecture
    daemonName desiredStatus ec2InstanceId families family familyPrefix fileSystemId group
    healthStatus image imageDigest kmsKeyId lastStatus lifecycleStage loadBalancerName logGroup logGroupIdentifier
    logGroupIdentifiers logGroupName logGroupNamePattern logGroupNamePrefix logStreamName logStreamNamePrefix
    logStreamNames memory memoryReservation networkInterfaceId
    platformFamily platformVersion portName privateIpv4Address referenceId
    registeredBy rolloutState runtimeId s3BucketName securityGroupIds securityGroups service serviceName services
    sessionId snapshotId startedBy status stopCode subnetIds subnets tagKeys targetId task taskDefinition
    taskDefinitions taskSet taskSets tasks valueFrom
    """.split()  # noqa: SIM905 (a list of names, to be read)
)
# Members whose name alone says too little: by the structure that they are in.
SHOWN_WITHIN = frozenset(
    """
    CreateTagsRequest.Resources DeleteTagsRequest.Resources AddPrefixListEntry.Cidr RemovePrefixListEntry.Cidr
    CreateNetworkAclEntryRequest.Protocol ReplaceNetworkAclEntryRequest.Protocol
    Tag.key Tag.value Tag.Key Tag.Value KeyValuePair.name Secret.name ContainerDefinition.name ContainerOverride.name
    Container.name Volume.name ClusterSetting.value CapacityProvider.name Setting.value ManagedAgent.name
    StopTaskRequest.reason Attachment.id Attachment.type Attachment.status ServiceNamespace.name
    PutParameterRequest.Name PutParameterRequest.KeyId PutParameterRequest.DataType GetParameterRequest.Name
    GetParametersRequest.Names GetParametersByPathRequest.Path GetParameterHistoryRequest.Name
    DeleteParameterRequest.Name DeleteParametersRequest.Names LabelParameterVersionRequest.Name
    LabelParameterVersionRequest.Labels UnlabelParameterVersionRequest.Name UnlabelParameterVersionRequest.Labels
    DeleteParametersResult.DeletedParameters DeleteParametersResult.InvalidParameters
    AddTagsToResourceRequest.ResourceId RemoveTagsFromResourceRequest.ResourceId ListTagsForResourceRequest.ResourceId
    PutAccountSettingRequest.value PutAccountSettingDefaultRequest.value Failure.reason
    GetFederationTokenRequest.Name CreateSAMLProviderRequest.Name ProxyConfiguration.containerName
    FederatedUser.FederatedUserId ReplicationDestination.region RepositoryFilter.filter ScanningRepositoryFilter.filter
    Tag.TagKey Tag.TagValue CreateSecretRequest.Name CreateSecretResponse.Name DeleteSecretResponse.Name
    PutSecretValueResponse.Name RestoreSecretResponse.Name UpdateSecretResponse.Name
    UpdateSecretVersionStageResponse.Name
    CreateHttpNamespaceRequest.Name CreatePrivateDnsNamespaceRequest.Name CreatePrivateDnsNamespaceRequest.Vpc
    CreatePublicDnsNamespaceRequest.Name CreateServiceRequest.Name Service.Id Service.Name DeleteNamespaceRequest.Id
    DeleteServiceRequest.Id UpdateHttpNamespaceRequest.Id UpdatePrivateDnsNamespaceRequest.Id
    UpdatePublicDnsNamespaceRequest.Id UpdateServiceRequest.Id
    """.split()  # noqa: SIM905 (a list of names, to be read)
)
SHOWN_MAPS = frozenset(
    """
    CreateLogGroupRequest.tags TagLogGroupRequest.tags TagResourceRequest.tags
    DecryptRequest.EncryptionContext EncryptRequest.EncryptionContext GenerateDataKeyRequest.EncryptionContext
    GenerateDataKeyWithoutPlaintextRequest.EncryptionContext ReEncryptRequest.SourceEncryptionContext
    ReEncryptRequest.DestinationEncryptionContext
    """.split()  # noqa: SIM905 (a list of names, to be read)
)


class Hidden:
    """The type of what is not shown: decoding calls `hide` with the value, and the mark takes its place."""


class _Mark(Hidden):
    pass


MARK = _Mark()


class Spoken:
    """A time as records of IAM and STS have it: `Nov 22, 2026, 7:00:00 AM`. Raises ValueError for what is no time."""

    def __init__(self, epoch_s: Any) -> None:
        if not isinstance(epoch_s, int | float) or not 0 <= epoch_s <= _TIME_MAX_S:
            raise ValueError("no time")
        at = datetime.fromtimestamp(epoch_s, UTC)
        self.text = f"{at:%b} {at.day}, {at.year}, {at.hour % 12 or 12}:{at:%M:%S} {'AM' if at.hour < 12 else 'PM'}"


def hider(note: Callable[[Any], None] | None = None) -> Callable[[type, Any], Any]:
    """A msgspec `dec_hook`. `note` is told each value that is hidden."""

    def hide(kind: type, value: Any) -> Any:
        if kind is Spoken:
            return Spoken(value)
        assert kind is Hidden
        if note is not None:
            note(value)
        return MARK

    return hide


def encode_mark(value: Any) -> str:
    """A msgspec `enc_hook`."""
    if value is MARK:
        return HIDDEN
    if isinstance(value, Spoken):
        return value.text
    raise TypeError(f"a record cannot hold {type(value).__name__}")


def shown_type(model: ServiceModel, shape: str, *, is_request: bool) -> Any:
    """A type into which msgspec converts params or an answer, members that are not in the model left out.

    Of a request an enum's value must be one of the model's (else converting fails, and all is hidden): a request was
    checked for that, and an unchecked string could be anything. Answers are ours.
    """
    return _structure(model, model.shape(shape), (shape,), is_request)


def _structure(model: ServiceModel, shape: Shape, path: tuple[str, ...], is_request: bool) -> Any:
    fields = {
        name: _type(model, member, shape.name, name, path, is_request) | None for name, member in shape.members.items()
    }
    return TypedDict(shape.name, fields, total=False)  # type: ignore[operator]


def _type(model: ServiceModel, member: Member, owner: str, name: str, path: tuple[str, ...], is_request: bool) -> Any:
    """`owner` and `name`: the structure and its member by which this is reviewed; a list's elements are its."""
    shape = model.shape(member.shape)
    if shape.sensitive or shape.name in path:
        return Hidden
    inside = (*path, shape.name)
    if shape.type == "structure":
        return _structure(model, shape, inside, is_request)
    if shape.type == "list":
        assert shape.element is not None
        return list[_type(model, shape.element, owner, name, inside, is_request)]  # type: ignore[misc]
    if shape.type == "map":
        return dict[str, str] if f"{owner}.{name}" in SHOWN_MAPS else Hidden
    if shape.type == "string":
        if shape.enum and is_request:
            return Literal[shape.enum]
        return str if shape.enum or is_shown(owner, name) else Hidden
    if shape.type == "boolean":
        return bool
    if shape.type == "timestamp" and model.metadata.protocol == "query":
        return Spoken
    if shape.type in ("integer", "long", "float", "double", "timestamp"):
        return int | float
    return Hidden  # blobs, and types that nobody has looked at


def is_shown(owner: str, name: str) -> bool:
    """Is this string member of a structure on a list?"""
    return name in SHOWN or name.endswith(("Arn", "Arns", "ARN")) or name == "arn" or f"{owner}.{name}" in SHOWN_WITHIN
