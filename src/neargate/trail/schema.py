"""The tables of the shard `trail`.

A chunk holds calls of one account in order of time. `trail_terms` says which chunks hold a call with an attribute: its
hash covers account, attribute and value, so that one account's search never touches another's rows. `terms` repeats a
chunk's hashes, so that they can be deleted with it.
"""

MIGRATIONS: tuple[str, ...] = (
    """
CREATE TABLE trail_chunks (
    n INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    size INTEGER NOT NULL,
    terms BLOB NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX trail_chunks_of_account ON trail_chunks (account, last_ms, n);
CREATE INDEX trail_chunks_by_time ON trail_chunks (last_ms, n);
CREATE TABLE trail_terms (
    term INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    PRIMARY KEY (term, last_ms, chunk)
) WITHOUT ROWID;
CREATE TABLE trail_accounts (
    account TEXT PRIMARY KEY,
    stored INTEGER NOT NULL,
    dropped INTEGER NOT NULL
) WITHOUT ROWID;
""",
)
