"""What each IAM operation asks leave for.

Source: Service Authorization Reference, "AWS Identity and Access Management". Nearly every action is called as its
operation is and bears on one entity, so that most rows are made from the name and the kind of entity.
"""

from .rules import REQUEST_TAGS, Actions, Level, Rule, rule

_TAGS = ("aws:ResourceTag/", "iam:ResourceTag/")
_POLICY = ("iam:PolicyARN",)
_BOUNDARY = ("iam:PermissionsBoundary",)
_WRITE, _READ, _LIST, _TAGGING = Level.PERMISSIONS, Level.READ, Level.LIST, Level.TAGGING
_FORMS = {
    "user": ("user/{path}",),
    "group": ("group/{path}",),
    "role": ("role/{path}",),
    "policy": ("policy/{path}",),
    "instance-profile": ("instance-profile/{path}",),
    "oidc-provider": ("oidc-provider/{url}",),
    "principal": ("user/{path}", "group/{path}", "role/{path}"),
    "users": ("user/{path}",),
    "groups": ("group/{path}",),
    "roles": ("role/{path}",),
    "instance-profiles": ("instance-profile/{path}",),
    "all": ("*",),
}
_TAGGED = frozenset({"user", "role", "policy", "instance-profile", "oidc-provider", "principal"})


def _rows(kind: str, level: Level, names: str, keys: tuple[str, ...] = ()) -> dict[str, tuple[Rule, ...]]:
    keys = (*keys, *(_TAGS if kind in _TAGGED else ()))
    return {name: (rule(f"iam:{name}", level, *_FORMS[kind], keys=keys),) for name in names.split()}


def _creating(kind: str, name: str, tagging: str, keys: tuple[str, ...] = ()) -> dict[str, tuple[Rule, ...]]:
    """New entities: their tags are asked for, too."""
    forms = _FORMS[kind]
    return {
        name: (
            rule(f"iam:{name}", _WRITE, *forms, keys=(*keys, *REQUEST_TAGS)),
            rule(f"iam:{tagging}", _TAGGING, *forms, keys=(*_TAGS, *REQUEST_TAGS), when="the request has tags"),
        )
    }


ACTIONS: Actions = {
    **_creating("user", "CreateUser", "TagUser", _BOUNDARY),
    **_rows(
        "user",
        _WRITE,
        "ChangePassword CreateAccessKey CreateLoginProfile DeleteAccessKey DeleteLoginProfile DeleteUser "
        "UpdateAccessKey UpdateLoginProfile UpdateUser",
    ),
    **_rows("user", _WRITE, "AttachUserPolicy DetachUserPolicy", (*_POLICY, *_BOUNDARY)),
    **_rows(
        "user",
        _WRITE,
        "DeleteUserPermissionsBoundary DeleteUserPolicy PutUserPermissionsBoundary PutUserPolicy",
        _BOUNDARY,
    ),
    **_rows("user", _READ, "GetAccessKeyLastUsed GetUser GetUserPolicy"),
    **_rows(
        "user",
        _LIST,
        "GetLoginProfile ListAccessKeys ListAttachedUserPolicies ListGroupsForUser ListMFADevices ListSSHPublicKeys "
        "ListServiceSpecificCredentials ListSigningCertificates ListUserPolicies ListUserTags",
    ),
    **_rows("user", _TAGGING, "TagUser UntagUser", REQUEST_TAGS),
    **_rows(
        "group",
        _WRITE,
        "AddUserToGroup CreateGroup DeleteGroup DeleteGroupPolicy PutGroupPolicy RemoveUserFromGroup UpdateGroup",
    ),
    **_rows("group", _WRITE, "AttachGroupPolicy DetachGroupPolicy", _POLICY),
    **_rows("group", _READ, "GetGroup GetGroupPolicy"),
    **_rows("group", _LIST, "ListAttachedGroupPolicies ListGroupPolicies"),
    **_creating("role", "CreateRole", "TagRole", _BOUNDARY),
    **_rows("role", _WRITE, "AttachRolePolicy DetachRolePolicy", (*_POLICY, *_BOUNDARY)),
    **_rows(
        "role",
        _WRITE,
        "DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy PutRolePermissionsBoundary PutRolePolicy "
        "UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription",
        _BOUNDARY,
    ),
    **_rows("role", _WRITE, "CreateServiceLinkedRole", ("iam:AWSServiceName",)),
    **_rows("role", _WRITE, "DeleteServiceLinkedRole"),
    **_rows("role", _READ, "GetRole", _BOUNDARY),
    **_rows("role", _READ, "GetRolePolicy GetServiceLinkedRoleDeletionStatus"),
    **_rows("role", _LIST, "ListAttachedRolePolicies ListInstanceProfilesForRole ListRolePolicies ListRoleTags"),
    **_rows("role", _TAGGING, "TagRole UntagRole", REQUEST_TAGS),
    **_creating("policy", "CreatePolicy", "TagPolicy"),
    **_rows("policy", _WRITE, "CreatePolicyVersion DeletePolicy DeletePolicyVersion SetDefaultPolicyVersion"),
    **_rows("policy", _READ, "GetPolicy GetPolicyVersion"),
    **_rows("policy", _LIST, "ListEntitiesForPolicy ListPolicyTags ListPolicyVersions"),
    **_rows("policy", _TAGGING, "TagPolicy UntagPolicy", REQUEST_TAGS),
    **_creating("instance-profile", "CreateInstanceProfile", "TagInstanceProfile"),
    **_rows("instance-profile", _WRITE, "DeleteInstanceProfile RemoveRoleFromInstanceProfile"),
    "AddRoleToInstanceProfile": (
        rule("iam:AddRoleToInstanceProfile", _WRITE, *_FORMS["instance-profile"], keys=_TAGS),
        rule("iam:PassRole", _WRITE, *_FORMS["role"], keys=(*_TAGS, "iam:PassedToService")),
    ),
    **_rows("instance-profile", _READ, "GetInstanceProfile"),
    **_rows("instance-profile", _LIST, "ListInstanceProfileTags"),
    **_rows("instance-profile", _TAGGING, "TagInstanceProfile UntagInstanceProfile", REQUEST_TAGS),
    **_creating("oidc-provider", "CreateOpenIDConnectProvider", "TagOpenIDConnectProvider"),
    **_rows(
        "oidc-provider",
        _WRITE,
        "AddClientIDToOpenIDConnectProvider DeleteOpenIDConnectProvider RemoveClientIDFromOpenIDConnectProvider "
        "UpdateOpenIDConnectProviderThumbprint",
    ),
    **_rows("oidc-provider", _READ, "GetOpenIDConnectProvider"),
    **_rows("oidc-provider", _LIST, "ListOpenIDConnectProviderTags"),
    **_rows("oidc-provider", _TAGGING, "TagOpenIDConnectProvider UntagOpenIDConnectProvider", REQUEST_TAGS),
    **_rows("principal", _READ, "GetContextKeysForPrincipalPolicy SimulatePrincipalPolicy"),
    **_rows(
        "all",
        _WRITE,
        "CreateAccountAlias DeleteAccountAlias DeleteAccountPasswordPolicy UpdateAccountPasswordPolicy",
    ),
    **_rows(
        "all",
        _READ,
        "GenerateCredentialReport GetAccountAuthorizationDetails GetAccountPasswordPolicy "
        "GetContextKeysForCustomPolicy GetCredentialReport SimulateCustomPolicy",
    ),
    **_rows(
        "all",
        _LIST,
        "GetAccountSummary ListAccountAliases ListOpenIDConnectProviders ListPolicies ListSAMLProviders "
        "ListServerCertificates ListVirtualMFADevices",
    ),
    # Of these the reference names no resource; AWS asks on the path below which is listed, as its refusals show.
    **_rows("users", _LIST, "ListUsers"),
    **_rows("groups", _LIST, "ListGroups"),
    **_rows("roles", _LIST, "ListRoles"),
    **_rows("instance-profiles", _LIST, "ListInstanceProfiles"),
}
