"""The tables of one cell's database, as numbered migrations. Queries live beside the code that asks them.

Invariants held by the database itself: an id, a capacity id and a client token exist once; a task may only be recorded
while no tombstone voids its (task, zone).
"""

from ..store.events import EVENTS_SCHEMA

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE cell (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        incarnation TEXT NOT NULL,
        created_at REAL NOT NULL
    );

    CREATE TABLE clusters (
        n INTEGER PRIMARY KEY,
        account TEXT NOT NULL,
        name TEXT NOT NULL,
        status TEXT NOT NULL,
        rev INTEGER NOT NULL,
        doc BLOB NOT NULL,
        tags BLOB NOT NULL,
        UNIQUE (account, name)
    );

    CREATE TABLE tasks (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        account TEXT NOT NULL,
        cluster TEXT NOT NULL,
        family TEXT NOT NULL,
        service TEXT,
        started_by TEXT,
        grp TEXT NOT NULL,
        last_status TEXT NOT NULL,
        desired_status TEXT NOT NULL,
        launch_type TEXT NOT NULL,
        host TEXT NOT NULL,
        zone TEXT NOT NULL,
        vpc TEXT NOT NULL,
        capacity_id TEXT NOT NULL UNIQUE,
        incarnation TEXT NOT NULL,
        rev INTEGER NOT NULL,
        version INTEGER NOT NULL,
        created_at REAL NOT NULL,
        stopped_at REAL,
        report_seq INTEGER NOT NULL,
        ordered INTEGER NOT NULL,
        released INTEGER NOT NULL,
        definition TEXT NOT NULL,
        stop_code TEXT,
        stop_reason TEXT,
        facts BLOB NOT NULL,
        doc BLOB NOT NULL,
        tags BLOB NOT NULL,
        stages BLOB
    );
    -- Live tasks: counts of clusters, the spread of families over zones.
    CREATE INDEX tasks_live ON tasks (account, cluster, last_status, family, zone) WHERE last_status <> 'STOPPED';
    -- ListTasks reads this index alone, never the wide rows.
    CREATE INDEX tasks_listed
        ON tasks (account, cluster, desired_status, n, family, started_by, service, launch_type, id);
    CREATE INDEX tasks_to_run ON tasks (host, n) WHERE report_seq = 0 AND last_status <> 'STOPPED';
    CREATE INDEX tasks_to_stop ON tasks (host, n) WHERE desired_status = 'STOPPED' AND last_status <> 'STOPPED';
    CREATE INDEX tasks_unlaunched ON tasks (n) WHERE ordered = 0 AND last_status <> 'STOPPED';
    CREATE INDEX tasks_to_release ON tasks (n) WHERE released = 0 AND last_status = 'STOPPED';
    CREATE INDEX tasks_stopped ON tasks (stopped_at) WHERE released = 1;

    -- The order for the host, encoded as it goes over the link. Apart from `tasks`, whose rows are rewritten often.
    CREATE TABLE launches (task INTEGER PRIMARY KEY, message BLOB NOT NULL);

    CREATE TABLE definitions (digest TEXT PRIMARY KEY, arn TEXT NOT NULL, doc BLOB NOT NULL);

    CREATE TABLE client_tokens (
        n INTEGER PRIMARY KEY,
        account TEXT NOT NULL,
        cluster TEXT NOT NULL,
        token TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        answer BLOB NOT NULL,
        created_at REAL NOT NULL,
        UNIQUE (account, cluster, token)
    );
    CREATE INDEX client_tokens_age ON client_tokens (created_at);

    CREATE TABLE tombstones (
        n INTEGER PRIMARY KEY,
        task TEXT NOT NULL,
        zone TEXT NOT NULL,
        created_at REAL NOT NULL,
        UNIQUE (task, zone)
    );
    CREATE INDEX tombstones_age ON tombstones (created_at);

    """
    + EVENTS_SCHEMA
    + """
    CREATE INDEX events_of ON events (key, seq);
    """,
    # The boot of each host that was met last.
    "CREATE TABLE hosts (id TEXT PRIMARY KEY, boot_id TEXT NOT NULL);",
    # The key that each host came with first.
    "CREATE TABLE host_keys (id TEXT PRIMARY KEY, public_key BLOB NOT NULL, pinned_at REAL NOT NULL);",
    # Which tasks are on Spot, and which wait for the end of which of them. Apart from `tasks`: most have neither.
    """
    CREATE TABLE spot (task TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE waits (task TEXT NOT NULL, victim TEXT NOT NULL, PRIMARY KEY (task, victim)) WITHOUT ROWID;
    CREATE INDEX waits_victim ON waits (victim);
    CREATE INDEX tasks_held ON tasks (n) WHERE ordered = 2 AND last_status <> 'STOPPED';
    """,
    # The digests of images whose tags a revision wants resolved once; null until a host has pulled one.
    """
    CREATE TABLE image_pins (
        definition TEXT NOT NULL,
        container TEXT NOT NULL,
        digest TEXT,
        PRIMARY KEY (definition, container)
    ) WITHOUT ROWID;
    """,
    # In which VPCs a host has tasks: asked at each of its sessions.
    "CREATE INDEX tasks_on_host ON tasks (host, vpc) WHERE last_status <> 'STOPPED';",
    # Services. `deployments` are what the scheduler decides on, `service_deployments` the records of the newer API.
    # A row of `service_tasks` is made with its task, and goes when the task's end was counted.
    """
    CREATE TABLE services (
        n INTEGER PRIMARY KEY,
        account TEXT NOT NULL,
        cluster TEXT NOT NULL,
        name TEXT NOT NULL,
        status TEXT NOT NULL,
        rev INTEGER NOT NULL,
        created_at REAL NOT NULL,
        ended_at REAL,
        desired INTEGER NOT NULL,
        launch_type TEXT NOT NULL,
        scheduling TEXT NOT NULL,
        token TEXT,
        fingerprint TEXT NOT NULL,
        doc BLOB NOT NULL,
        tags BLOB NOT NULL,
        state BLOB NOT NULL
    );
    CREATE UNIQUE INDEX services_named ON services (account, cluster, name) WHERE status <> 'INACTIVE';
    CREATE INDEX services_listed ON services (account, cluster, name, n);
    CREATE INDEX services_ended ON services (ended_at) WHERE status = 'INACTIVE';

    CREATE TABLE deployments (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        service INTEGER NOT NULL,
        record TEXT NOT NULL,
        revision TEXT NOT NULL,
        live INTEGER NOT NULL,
        updated_at REAL NOT NULL,
        state BLOB NOT NULL
    );
    CREATE INDEX deployments_of ON deployments (service, n);

    CREATE TABLE service_deployments (
        n INTEGER PRIMARY KEY,
        arn TEXT NOT NULL UNIQUE,
        service INTEGER NOT NULL,
        status TEXT NOT NULL,
        created_at REAL NOT NULL,
        doc BLOB NOT NULL
    );
    CREATE INDEX service_deployments_of ON service_deployments (service, n);

    CREATE TABLE service_revisions (
        n INTEGER PRIMARY KEY,
        arn TEXT NOT NULL UNIQUE,
        service INTEGER NOT NULL,
        created_at REAL NOT NULL,
        doc BLOB NOT NULL
    );
    CREATE INDEX service_revisions_of ON service_revisions (service, n);

    CREATE TABLE service_events (
        n INTEGER PRIMARY KEY, service INTEGER NOT NULL, id TEXT NOT NULL, at REAL NOT NULL, message TEXT NOT NULL
    );
    CREATE INDEX service_events_of ON service_events (service, n);

    CREATE TABLE service_tasks (
        task TEXT PRIMARY KEY, service INTEGER NOT NULL, deployment TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX service_tasks_of ON service_tasks (service);

    CREATE TABLE protections (task TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;

    ALTER TABLE tasks ADD COLUMN started_at REAL;
    ALTER TABLE tasks ADD COLUMN health TEXT;
    """,
    # What a deployment's tasks had that ran; tasks of no service are not in it.
    "CREATE INDEX tasks_that_ran ON tasks (started_by, n) WHERE service IS NOT NULL AND started_at IS NOT NULL;",
    # Which task has a service's own elastic address, or had it last: no two live ones have the same.
    "CREATE TABLE service_addresses (address TEXT PRIMARY KEY, task TEXT NOT NULL) WITHOUT ROWID;",
    # What a task is, or may be, a target of: made with the task, gone when it is none for certain. While a row `holds`,
    # the task's host is not told to stop it. `target`: how it stands in them, the worst; null of tasks without.
    """
    CREATE TABLE task_targets (
        task TEXT NOT NULL,
        service INTEGER NOT NULL,
        grp TEXT NOT NULL,
        ip TEXT NOT NULL,
        port INTEGER NOT NULL,
        holds INTEGER NOT NULL,
        PRIMARY KEY (task, grp, port)
    ) WITHOUT ROWID;
    CREATE INDEX task_targets_service ON task_targets (service);
    CREATE INDEX task_targets_group ON task_targets (grp);
    ALTER TABLE service_tasks ADD COLUMN target BLOB;
    """,
    # Tasks of which was told that what is below them is to go: since when, and not before when a task of no service is
    # stopped for it (one of a service is replaced at once, protected ones at the latest then).
    """
    CREATE TABLE retirements (
        task TEXT PRIMARY KEY, noticed_at REAL NOT NULL, due_at REAL NOT NULL, cause TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
)
