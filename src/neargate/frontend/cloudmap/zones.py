"""The DNS zones of private namespaces: which names lead where, by the health of instances. Pure.

Invariants: a service whose instances are all unhealthy answers as if all were healthy, as on AWS; of two things that
claim one name, a service comes before the instance of another; an alias is alone on its name.
"""

from collections.abc import Iterable, Sequence

from ...model.network import DnsRecords, DnsZone
from .checks import owner_name
from .records import CNAME, IPV4, IPV6, MULTIVALUE, PORT, Instance, Namespace, Service

MULTIVALUE_MAX = 8  # of healthy instances, in one answer
_PRIORITY, _WEIGHT = 1, 1
_ATTRIBUTES = {"A": IPV4, "AAAA": IPV6, "CNAME": CNAME}


def zone(namespace: Namespace, services: Iterable[tuple[Service, Sequence[Instance]]]) -> DnsZone:
    """`services`: those of the namespace, each with all its instances."""
    given = [(one, one.dns, instances) for one, instances in services if one.dns is not None]
    records: dict[tuple[str, str], DnsRecords] = {}
    for service, dns, instances in given:
        owner = owner_name(service.called, namespace)
        most = MULTIVALUE_MAX if dns.policy == MULTIVALUE else 1
        for kind, ttl_s in dns.records:
            values = tuple(_values(kind, owner, _answering(service, instances)))
            if values:
                records[owner, kind] = DnsRecords(name=owner, type=kind, ttl_s=ttl_s, values=values, most=most)
    taken = {owner for owner, _ in records}
    for service, dns, instances in given:
        for kind, ttl_s in dns.records:
            if kind != "SRV":
                continue
            for target in _targets(owner_name(service.called, namespace), instances, ttl_s):
                if target.name not in taken:
                    records.setdefault((target.name, target.type), target)
    apex = namespace.called.removesuffix(".").lower()
    return DnsZone(name=apex, records=tuple(records.values()), ttl_s=namespace.soa_ttl_s)


def _answering(service: Service, instances: Sequence[Instance]) -> Sequence[Instance]:
    if not service.has_custom_health:
        return instances
    return [one for one in instances if one.is_healthy] or instances


def _values(kind: str, owner: str, instances: Iterable[Instance]) -> Iterable[str]:
    for one in instances:
        if kind == "SRV":
            port = one.attribute(PORT)
            if port is not None:
                yield f"{_PRIORITY} {_WEIGHT} {port} {_target(one, owner)}"
            continue
        value = one.attribute(_ATTRIBUTES[kind])
        if value is not None:
            yield value.lower()


def _targets(owner: str, instances: Iterable[Instance], ttl_s: int) -> Iterable[DnsRecords]:
    """The names that SRV records point to, also of instances that are not healthy: nobody else has them."""
    for one in instances:
        for kind in ("A", "AAAA"):
            value = one.attribute(_ATTRIBUTES[kind])
            if value is not None:
                yield DnsRecords(name=_target(one, owner), type=kind, ttl_s=ttl_s, values=(value,), most=1)


def _target(instance: Instance, owner: str) -> str:
    return f"{instance.id.lower()}.{owner}"
