"""The tables of the shard `logs`.

Times are epoch milliseconds. A chunk holds events `base`..`top` (numbers that grow over the whole shard, at least 1),
so that (timestamp, number) is each event's place for ever. `span` is the longest chunk of a stream or group: it bounds
how far before a wanted time a chunk that reaches it can begin. Keys are never used again: what was deleted cannot come
back.
"""

MIGRATIONS: tuple[str, ...] = (
    """
CREATE TABLE log_groups (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    tags TEXT NOT NULL,
    retention_days INTEGER,
    bytes INTEGER NOT NULL DEFAULT 0,
    span INTEGER NOT NULL DEFAULT 0,
    UNIQUE (account, name)
);
CREATE TABLE log_streams (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    grp INTEGER NOT NULL REFERENCES log_groups (n) ON DELETE CASCADE,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    first_ts INTEGER,
    last_ts INTEGER NOT NULL DEFAULT -1,
    ingested INTEGER,
    span INTEGER NOT NULL DEFAULT 0,
    UNIQUE (grp, name)
);
CREATE INDEX log_streams_by_last_event ON log_streams (grp, last_ts, name);
CREATE TABLE log_sources (
    stream INTEGER NOT NULL REFERENCES log_streams (n) ON DELETE CASCADE,
    source TEXT NOT NULL,
    stored INTEGER NOT NULL,
    PRIMARY KEY (stream, source)
) WITHOUT ROWID;
CREATE TABLE log_chunks (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    grp INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    first_ts INTEGER NOT NULL,
    last_ts INTEGER NOT NULL,
    base INTEGER NOT NULL,
    top INTEGER NOT NULL,
    ingested INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX log_chunks_of_stream_forward ON log_chunks (stream, first_ts, base, last_ts);
CREATE INDEX log_chunks_of_stream_backward ON log_chunks (stream, last_ts, top, first_ts);
CREATE INDEX log_chunks_of_group_forward ON log_chunks (grp, first_ts, base, last_ts);
CREATE INDEX log_chunks_of_group_backward ON log_chunks (grp, last_ts, top, first_ts);
CREATE TABLE log_totals (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    events INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    dropped_events INTEGER NOT NULL,
    dropped_bytes INTEGER NOT NULL
);
INSERT INTO log_totals (id, events, stored, dropped_events, dropped_bytes) VALUES (1, 0, 0, 0, 0);
CREATE TABLE log_trash (stream INTEGER PRIMARY KEY);
""",
)
