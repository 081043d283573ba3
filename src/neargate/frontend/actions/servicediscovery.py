"""What each Cloud Map operation asks leave for. Source: Service Authorization Reference, "AWS Cloud Map".

What is done with an instance is asked for on its service. The reference names no resource for creating namespaces,
for discovering and for operations: these are asked for on `*`.
"""

from .rules import REQUEST_TAGS, Actions, Level, Rule, rule

_NAMESPACE, _SERVICE = "namespace/{namespace}", "service/{service}"
_TAGS = ("aws:ResourceTag/",)
_OF_SERVICE = (*_TAGS, "servicediscovery:ServiceArn", "servicediscovery:ServiceCreatedByAccount")
_NAMES = ("servicediscovery:NamespaceName", "servicediscovery:ServiceName")


def _rows(level: Level, names: str, *forms: str, keys: tuple[str, ...] = ()) -> dict[str, tuple[Rule, ...]]:
    return {name: (rule(f"servicediscovery:{name}", level, *forms, keys=keys),) for name in names.split()}


def _creating(name: str, form: str, *keys: str) -> dict[str, tuple[Rule, ...]]:
    return {
        name: (
            rule(f"servicediscovery:{name}", Level.WRITE, form, keys=(*keys, *REQUEST_TAGS)),
            rule("servicediscovery:TagResource", Level.TAGGING, "*", keys=REQUEST_TAGS, when="the request has tags"),
        )
    }


ACTIONS: Actions = {
    **_creating("CreateHttpNamespace", "*"),
    **_creating("CreatePrivateDnsNamespace", "*"),
    **_creating("CreatePublicDnsNamespace", "*"),
    **_creating("CreateService", _NAMESPACE, *_TAGS, "servicediscovery:NamespaceArn"),
    **_rows(
        Level.WRITE,
        "DeleteNamespace UpdateHttpNamespace UpdatePrivateDnsNamespace UpdatePublicDnsNamespace",
        _NAMESPACE,
        keys=_TAGS,
    ),
    **_rows(
        Level.WRITE,
        "DeleteService DeleteServiceAttributes DeregisterInstance RegisterInstance UpdateInstanceCustomHealthStatus "
        "UpdateService UpdateServiceAttributes",
        _SERVICE,
        keys=_OF_SERVICE,
    ),
    **_rows(Level.READ, "DiscoverInstances DiscoverInstancesRevision", "*", keys=_NAMES),
    **_rows(
        Level.READ,
        "GetInstance GetInstancesHealthStatus GetService GetServiceAttributes",
        _SERVICE,
        keys=_OF_SERVICE,
    ),
    **_rows(Level.LIST, "ListInstances", _SERVICE, keys=_OF_SERVICE),
    **_rows(Level.READ, "GetNamespace", _NAMESPACE, keys=_TAGS),
    **_rows(Level.READ, "GetOperation", "*"),
    **_rows(Level.LIST, "ListNamespaces ListOperations ListServices", "*"),
    **_rows(Level.READ, "ListTagsForResource", _NAMESPACE, _SERVICE, keys=_TAGS),
    **_rows(Level.TAGGING, "TagResource UntagResource", _NAMESPACE, _SERVICE, keys=(*_TAGS, *REQUEST_TAGS)),
}
