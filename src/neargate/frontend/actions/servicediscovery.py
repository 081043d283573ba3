"""What each Cloud Map operation asks leave for. Source: Service Authorization Reference, "AWS Cloud Map".

What is done with an instance is asked for on its service; what makes or finds a service, on its namespace, too. What
is not there and was named by no id is asked for on `*`.
"""

from .rules import REQUEST_TAGS, Actions, Level, Rule, rule

_NAMESPACE, _SERVICE = "namespace/{namespace}", "service/{service}"
_TAGS = ("aws:ResourceTag/",)
_CREATED_BY = "servicediscovery:ServiceCreatedByAccount"
_ARN = "servicediscovery:ServiceArn"
_NAMES = ("servicediscovery:NamespaceName", "servicediscovery:ServiceName")


def _rows(level: Level, names: str, *forms: str, keys: tuple[str, ...] = ()) -> dict[str, tuple[Rule, ...]]:
    return {name: (rule(f"servicediscovery:{name}", level, *forms, keys=keys),) for name in names.split()}


def _creating(name: str, *forms: str, keys: tuple[str, ...] = ()) -> dict[str, tuple[Rule, ...]]:
    return {
        name: (
            rule(f"servicediscovery:{name}", Level.WRITE, *forms, keys=(*keys, *REQUEST_TAGS)),
            rule("servicediscovery:TagResource", Level.TAGGING, "*", keys=REQUEST_TAGS, when="the request has tags"),
        )
    }


ACTIONS: Actions = {
    **_creating("CreateHttpNamespace", "*"),
    **_creating("CreatePrivateDnsNamespace", "*"),
    **_creating("CreatePublicDnsNamespace", "*"),
    **_creating("CreateService", _NAMESPACE, _SERVICE, keys=(*_TAGS, "servicediscovery:NamespaceArn")),
    **_rows(
        Level.WRITE,
        "DeleteNamespace UpdateHttpNamespace UpdatePrivateDnsNamespace UpdatePublicDnsNamespace",
        _NAMESPACE,
        keys=_TAGS,
    ),
    **_rows(
        Level.WRITE,
        "DeleteService DeleteServiceAttributes UpdateService UpdateServiceAttributes",
        _SERVICE,
        keys=(*_TAGS, _CREATED_BY),
    ),
    **_rows(
        Level.WRITE,
        "DeregisterInstance RegisterInstance UpdateInstanceCustomHealthStatus",
        _SERVICE,
        keys=(*_TAGS, _ARN, _CREATED_BY),
    ),
    **_rows(
        Level.READ, "DiscoverInstances DiscoverInstancesRevision", _NAMESPACE, _SERVICE, "*", keys=(*_TAGS, *_NAMES)
    ),
    **_rows(Level.READ, "GetInstance GetInstancesHealthStatus ListInstances", _SERVICE, keys=(*_TAGS, _ARN)),
    **_rows(Level.READ, "GetService GetServiceAttributes", _SERVICE, keys=_TAGS),
    **_rows(Level.READ, "GetNamespace", _NAMESPACE, keys=_TAGS),
    **_rows(Level.READ, "GetOperation", _NAMESPACE, _SERVICE, "*", keys=_TAGS),
    **_rows(Level.READ, "ListNamespaces ListServices ListTagsForResource", "*"),
    **_rows(Level.LIST, "ListOperations", "*"),
    **_rows(Level.TAGGING, "TagResource", "*", keys=REQUEST_TAGS),
    **_rows(Level.TAGGING, "UntagResource", "*", keys=("aws:TagKeys",)),
}
