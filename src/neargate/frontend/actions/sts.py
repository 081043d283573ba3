"""What each STS operation asks leave for. Source: Service Authorization Reference, "AWS Security Token Service".

Who assumes a role is let in by the role's trust policy, which is asked together with the caller's own policies.
"""

from .rules import REQUEST_TAGS, Actions, Level, rule

_ROLE = "arn:{partition}:iam:{region}:{account}:role/{role}"
_FEDERATED = "arn:{partition}:sts:{region}:{account}:federated-user/{name}"
_TAGS = ("aws:ResourceTag/", "iam:ResourceTag/")
_SESSION = ("sts:RoleSessionName", "sts:SourceIdentity", "sts:TransitiveTagKeys", "sts:DurationSeconds")

ACTIONS: Actions = {
    "AssumeRole": (
        rule("sts:AssumeRole", Level.WRITE, _ROLE, keys=(*_TAGS, *REQUEST_TAGS, *_SESSION, "sts:ExternalId")),
        rule(
            "sts:TagSession",
            Level.TAGGING,
            _ROLE,
            keys=(*_TAGS, *REQUEST_TAGS, *_SESSION, "sts:ExternalId"),
            when="the session has tags, of its own or handed on",
        ),
        rule(
            "sts:SetSourceIdentity",
            Level.WRITE,
            _ROLE,
            keys=(*_TAGS, *REQUEST_TAGS, *_SESSION, "sts:ExternalId"),
            when="the session has a source identity",
        ),
    ),
    "AssumeRoleWithWebIdentity": (
        rule("sts:AssumeRoleWithWebIdentity", Level.WRITE, _ROLE, keys=(*_TAGS, *REQUEST_TAGS, *_SESSION)),
        rule(
            "sts:TagSession",
            Level.TAGGING,
            _ROLE,
            keys=(*_TAGS, *REQUEST_TAGS, *_SESSION),
            when="the token brings tags",
        ),
        rule(
            "sts:SetSourceIdentity",
            Level.WRITE,
            _ROLE,
            keys=(*_TAGS, *REQUEST_TAGS, *_SESSION),
            when="the token brings a source identity",
        ),
    ),
    "DecodeAuthorizationMessage": (rule("sts:DecodeAuthorizationMessage", Level.WRITE, "*"),),
    "GetAccessKeyInfo": (rule("sts:GetAccessKeyInfo", Level.READ, "*"),),
    "GetCallerIdentity": (),
    "GetFederationToken": (
        rule("sts:GetFederationToken", Level.READ, _FEDERATED, keys=(*REQUEST_TAGS, "sts:DurationSeconds")),
        rule("sts:TagSession", Level.TAGGING, _FEDERATED, keys=REQUEST_TAGS, when="the session has tags"),
    ),
    "GetSessionToken": (),
}
