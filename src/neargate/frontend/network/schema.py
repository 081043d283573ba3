"""The region shard's network tables: one shelf of records, filled at first from what an earlier schema kept.

Owns the numbered lines alone; `records/objects.py` has the records' shapes, by whose field names the old rows are
rewritten.
"""

from ..regional.shelves import migration

TABLE = "network"

_REWRITTEN = """
    INSERT INTO network_accounts (account, generation)
        SELECT account, max(generation) + 1 FROM vpcs GROUP BY account;
    INSERT INTO network (account, kind, name, doc)
        SELECT account, 'vpc', id, CAST(json_object('account', account, 'name', id, 'cidr', cidr,
            'is_default', json(iif(is_default, 'true', 'false')), 'dhcp_options_id', dhcp_options,
            'dns_hostnames', json(iif(is_default, 'true', 'false'))) AS BLOB)
        FROM vpcs ORDER BY n;
    INSERT INTO network (account, kind, name, doc)
        SELECT account, 'subnet', id, CAST(json_object('account', account, 'name', id, 'vpc_id', vpc, 'zone', zone,
            'zone_id', zone_id, 'cidr', cidr, 'default_for_zone', json(iif(default_for_zone, 'true', 'false')),
            'map_public_ip', json(iif(map_public_ip, 'true', 'false'))) AS BLOB)
        FROM subnets ORDER BY n;
    INSERT INTO network (account, kind, name, doc)
        SELECT account, 'security-group', id, CAST(json_object('account', account, 'name', id, 'vpc_id', vpc,
            'group_name', name, 'description', description, 'tags', json(tags), 'rules', (
                SELECT json_group_array(json_object('rule_id', r.id, 'tags', json(r.tags), 'spec', json_object(
                    'is_egress', json(iif(r.is_egress, 'true', 'false')), 'protocol', r.protocol,
                    'from_port', r.from_port, 'to_port', r.to_port, 'cidr_ipv4', r.cidr_ipv4,
                    'cidr_ipv6', r.cidr_ipv6, 'peer_group', r.peer_group, 'description', r.description)))
                FROM (SELECT * FROM security_group_rules WHERE group_id = security_groups.id ORDER BY n) AS r
            )) AS BLOB)
        FROM security_groups ORDER BY n;
    DROP TABLE security_group_rules;
    DROP TABLE security_groups;
    DROP TABLE subnets;
    DROP TABLE vpcs;
"""

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
    migration(TABLE) + _REWRITTEN,
)
