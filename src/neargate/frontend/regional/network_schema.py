"""The region shard's network tables: VPCs, subnets, security groups; rows to views and views to statements.

A VPC's generation grows in the same commit as whatever its hosts must hear of. `rev` of a group guards every change of
its rules against a decision made on an older view.
"""

import json
from typing import Any

from ...interfaces.store import Statement, Store
from ...model.capacity import SubnetView
from .network_views import SubnetRecord, VpcView
from .security_groups import RuleSpec, SecurityGroupView, StoredRule, Tags

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE vpcs (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        account TEXT NOT NULL,
        cidr TEXT NOT NULL,
        is_default INTEGER NOT NULL,
        dhcp_options TEXT NOT NULL,
        generation INTEGER NOT NULL
    );
    CREATE UNIQUE INDEX vpcs_default ON vpcs (account) WHERE is_default = 1;
    CREATE TABLE subnets (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        account TEXT NOT NULL,
        vpc TEXT NOT NULL REFERENCES vpcs (id),
        zone TEXT NOT NULL,
        zone_id TEXT NOT NULL,
        cidr TEXT NOT NULL,
        default_for_zone INTEGER NOT NULL,
        map_public_ip INTEGER NOT NULL,
        UNIQUE (vpc, cidr)
    );
    CREATE TABLE security_groups (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        account TEXT NOT NULL,
        vpc TEXT NOT NULL REFERENCES vpcs (id),
        name TEXT NOT NULL,
        description TEXT NOT NULL,
        tags TEXT NOT NULL,
        rev INTEGER NOT NULL,
        UNIQUE (vpc, name)
    );
    CREATE TABLE security_group_rules (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        group_id TEXT NOT NULL REFERENCES security_groups (id),
        is_egress INTEGER NOT NULL,
        protocol TEXT NOT NULL,
        from_port INTEGER NOT NULL,
        to_port INTEGER NOT NULL,
        cidr_ipv4 TEXT,
        cidr_ipv6 TEXT,
        peer_group TEXT REFERENCES security_groups (id),
        description TEXT,
        tags TEXT NOT NULL
    );
    CREATE INDEX security_group_rules_of_group ON security_group_rules (group_id);
    CREATE INDEX security_group_rules_of_peer ON security_group_rules (peer_group) WHERE peer_group IS NOT NULL;
    """,
)

GROUP = "group"


def insert_vpc(vpc: VpcView) -> Statement:
    return Statement(
        "INSERT INTO vpcs (id, account, cidr, is_default, dhcp_options, generation) VALUES (?, ?, ?, ?, ?, ?)",
        (vpc.vpc_id, vpc.account, vpc.cidr, int(vpc.is_default), vpc.dhcp_options_id, vpc.generation),
        1,
        "vpc",
    )


def insert_subnet(record: SubnetRecord) -> Statement:
    subnet = record.view
    return Statement(
        """INSERT INTO subnets (id, account, vpc, zone, zone_id, cidr, default_for_zone, map_public_ip)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            *(subnet.subnet_id, record.account, subnet.vpc_id, subnet.zone, subnet.zone_id, subnet.cidr),
            *(int(record.default_for_zone), int(record.map_public_ip)),
        ),
        1,
        "subnet",
    )


def insert_group(group: SecurityGroupView) -> list[Statement]:
    head = Statement(
        """INSERT INTO security_groups (id, account, vpc, name, description, tags, rev)
        VALUES (?, ?, ?, ?, ?, ?, ?)""",
        (
            *(group.group_id, group.account, group.vpc_id, group.group_name, group.description),
            *(json.dumps(group.tags), group.rev),
        ),
        1,
        GROUP,
    )
    return [head, *(insert_rule(group.group_id, rule) for rule in group.rules)]


def insert_rule(group_id: str, rule: StoredRule) -> Statement:
    spec = rule.spec
    return Statement(
        """INSERT INTO security_group_rules
        (id, group_id, is_egress, protocol, from_port, to_port, cidr_ipv4, cidr_ipv6, peer_group, description, tags)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            *(rule.rule_id, group_id, int(spec.is_egress), spec.protocol, spec.from_port, spec.to_port),
            *(spec.cidr_ipv4, spec.cidr_ipv6, spec.peer_group, spec.description, json.dumps(rule.tags)),
        ),
        1,
        "rule",
    )


def delete_rule(rule: StoredRule) -> Statement:
    return Statement("DELETE FROM security_group_rules WHERE id = ?", (rule.rule_id,), 1, "rule")


def touch_group(group: SecurityGroupView) -> Statement:
    """Guards the change: the group is still as it was decided on."""
    return Statement(
        "UPDATE security_groups SET rev = rev + 1 WHERE id = ? AND rev = ?", (group.group_id, group.rev), 1, GROUP
    )


def delete_group(group: SecurityGroupView) -> list[Statement]:
    """Foreign keys refuse it while another group's rule refers to it."""
    return [
        touch_group(group),
        Statement("DELETE FROM security_group_rules WHERE group_id = ?", (group.group_id,)),
        Statement("DELETE FROM security_groups WHERE id = ?", (group.group_id,), 1, GROUP),
    ]


def bump_generation(vpc_id: str) -> Statement:
    return Statement(
        "UPDATE vpcs SET generation = generation + 1 WHERE id = ? RETURNING generation", (vpc_id,), 1, "vpc"
    )


async def read_vpcs(store: Store) -> dict[str, VpcView]:
    rows = await store.read("SELECT id, account, cidr, is_default, dhcp_options, generation FROM vpcs ORDER BY n")
    return {
        row[0]: VpcView(
            vpc_id=row[0],
            account=row[1],
            cidr=row[2],
            is_default=bool(row[3]),
            dhcp_options_id=row[4],
            generation=row[5],
        )
        for row in rows
    }


async def read_subnets(store: Store) -> dict[str, SubnetRecord]:
    rows = await store.read(
        "SELECT id, vpc, zone, zone_id, cidr, account, default_for_zone, map_public_ip FROM subnets ORDER BY n"
    )
    return {
        row[0]: SubnetRecord(
            view=SubnetView(subnet_id=row[0], vpc_id=row[1], zone=row[2], zone_id=row[3], cidr=row[4]),
            account=row[5],
            default_for_zone=bool(row[6]),
            map_public_ip=bool(row[7]),
        )
        for row in rows
    }


async def read_groups(store: Store) -> dict[str, SecurityGroupView]:
    """All groups with their rules. One write makes both, but two reads may straddle one: `rev` then corrects it."""
    rules: dict[str, list[StoredRule]] = {}
    for row in await store.read(
        """SELECT group_id, id, tags, is_egress, protocol, from_port, to_port, cidr_ipv4, cidr_ipv6, peer_group,
        description FROM security_group_rules ORDER BY n"""
    ):
        rules.setdefault(row[0], []).append(StoredRule(rule_id=row[1], tags=_tags(row[2]), spec=_spec(row[3:])))
    rows = await store.read("SELECT id, account, vpc, name, description, tags, rev FROM security_groups ORDER BY n")
    return {
        row[0]: SecurityGroupView(
            group_id=row[0],
            account=row[1],
            vpc_id=row[2],
            group_name=row[3],
            description=row[4],
            tags=_tags(row[5]),
            rev=row[6],
            rules=tuple(rules.get(row[0], ())),
        )
        for row in rows
    }


def _spec(row: tuple[Any, ...]) -> RuleSpec:
    is_egress, protocol, from_port, to_port, cidr_ipv4, cidr_ipv6, peer_group, description = row
    return RuleSpec(
        is_egress=bool(is_egress),
        protocol=protocol,
        from_port=from_port,
        to_port=to_port,
        cidr_ipv4=cidr_ipv4,
        cidr_ipv6=cidr_ipv6,
        peer_group=peer_group,
        description=description,
    )


def _tags(text: str) -> Tags:
    return tuple((key, value) for key, value in json.loads(text))
