"""The zone shard's tables and every statement that writes them.

Free columns of a host are what was offered minus the sum of its live reservations; both change in one write. A
reservation is named by (task, zone) and is never deleted before its tombstone may be: the `void` row is the tombstone.
The guards here decide; the ledger in memory only proposes.
"""

from collections.abc import Sequence

from ..interfaces.store import Statement, Value
from ..model.capacity import HostFacts
from ..model.network import Eni
from ..placement.reserve import Room
from ..placement.tenancy import Sharing
from ..store.rows import many
from .claims import Claim, Key, NewClaim

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE hosts (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        boot_id TEXT NOT NULL,
        cpu INTEGER NOT NULL, memory INTEGER NOT NULL, disk INTEGER NOT NULL,
        free_cpu INTEGER NOT NULL, free_memory INTEGER NOT NULL, free_disk INTEGER NOT NULL,
        tasks INTEGER NOT NULL,
        tenant TEXT,
        accepts INTEGER NOT NULL,
        connected INTEGER NOT NULL,
        rev INTEGER NOT NULL,
        doc BLOB NOT NULL
    );
    CREATE TABLE reservations (
        n INTEGER PRIMARY KEY,
        task_id TEXT NOT NULL,
        zone TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('reserved', 'void')),
        capacity_id TEXT UNIQUE,
        account TEXT,
        host TEXT,
        cpu INTEGER NOT NULL DEFAULT 0, memory INTEGER NOT NULL DEFAULT 0, disk INTEGER NOT NULL DEFAULT 0,
        subnet TEXT,
        private_ip INTEGER,
        public_ip INTEGER,
        eni TEXT,
        eni_error TEXT,
        created_at REAL,
        voided_at REAL,
        UNIQUE (task_id, zone)
    );
    CREATE INDEX reservations_of_host ON reservations (host) WHERE state = 'reserved';
    CREATE INDEX reservations_void ON reservations (voided_at) WHERE state = 'void';
    CREATE INDEX reservations_of_subnet ON reservations (subnet, n);
    CREATE TABLE enis (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        account TEXT NOT NULL,
        vpc TEXT NOT NULL,
        subnet TEXT NOT NULL,
        private_ip INTEGER NOT NULL,
        public_ip INTEGER UNIQUE,
        mac TEXT NOT NULL,
        task_id TEXT NOT NULL,
        zone TEXT NOT NULL,
        owner TEXT NOT NULL,
        created_at REAL NOT NULL,
        doc BLOB NOT NULL,
        UNIQUE (subnet, private_ip)
    );
    CREATE INDEX enis_of_account ON enis (account, n);
    """,
    "ALTER TABLE hosts ADD COLUMN pool TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE reservations ADD COLUMN spot INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE reservations ADD COLUMN placed INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX reservations_of_interface ON reservations (eni) WHERE eni IS NOT NULL",
    """ALTER TABLE hosts ADD COLUMN sandbox TEXT NOT NULL DEFAULT 'container';
    UPDATE hosts SET sandbox = coalesce(json_extract(CAST(doc AS TEXT), '$.sandbox'), 'container');""",
)

# Names of the guards; the manager reads them in a refusal.
ROOM = "room"
ADDRESS = "address"
CLAIM = "claim"
TOMBSTONE = "tombstone"

# `tenant` is whose tasks a host has, whatever the operator's tenancy is: it may be another at the next start. The mark
# of several stays until the host is empty; whether all but one have left is asked of the reservations.
_ITS_TENANT = "tenant = CASE WHEN tasks = 0 OR tenant = ? THEN ? ELSE '*' END"
_TAKE_ROOM = f"""UPDATE hosts SET free_cpu = free_cpu - ?, free_memory = free_memory - ?, free_disk = free_disk - ?,
    {_ITS_TENANT}, tasks = tasks + ?, rev = rev + 1
    WHERE id = ? AND free_cpu >= ? AND free_memory >= ? AND free_disk >= ? AND accepts = 1 AND pool = ?
    AND sandbox = ?"""  # noqa: S608
_MAY_SHARE = {
    Sharing.ANYBODY: "",
    Sharing.ITS_ACCOUNT: """ AND (tasks = 0 OR tenant = ? OR tenant = '*' AND NOT EXISTS (SELECT 1 FROM reservations
    WHERE host = hosts.id AND state = 'reserved' AND placed = 0 AND account <> ?))""",
    Sharing.NOBODY: " AND tasks + ? <= 1",
}
_RETAKE_ROOM = f"""UPDATE hosts SET free_cpu = free_cpu - ?, free_memory = free_memory - ?, free_disk = free_disk - ?,
    {_ITS_TENANT}, tasks = tasks + 1, rev = rev + 1 WHERE id = ?"""  # noqa: S608
_INSERT_ENI = """INSERT INTO enis
    (id, account, vpc, subnet, private_ip, public_ip, mac, task_id, zone, owner, created_at, doc)
    VALUES {rows} ON CONFLICT DO NOTHING"""
_INSERT_CLAIM = """INSERT INTO reservations
    (task_id, zone, state, capacity_id, account, host, cpu, memory, disk, subnet, private_ip, public_ip, eni, eni_error,
     created_at, spot, placed)
    VALUES {rows} ON CONFLICT DO NOTHING"""
_VOID_CLAIM = """UPDATE reservations SET state = 'void', voided_at = ?
    WHERE task_id = ? AND zone = ? AND state = 'reserved' AND capacity_id = ?"""
_CARRY = """UPDATE reservations SET host = ?
    WHERE task_id = ? AND zone = ? AND state = 'reserved' AND capacity_id = ? AND placed = 1"""
_DRESS = """UPDATE reservations SET memory = ?
    WHERE task_id = ? AND zone = ? AND state = 'reserved' AND capacity_id = ?"""
# What its row says was taken, whoever proposes to give it back: a host that joins changes rows that were restored.
_GIVE_ROOM = """UPDATE hosts SET free_cpu = free_cpu + held.cpu, free_memory = free_memory + held.memory,
    free_disk = free_disk + held.disk, tenant = CASE WHEN tasks <= 1 THEN NULL ELSE tenant END, tasks = tasks - 1,
    rev = rev + 1 FROM reservations AS held
    WHERE held.task_id = ? AND held.zone = ? AND held.capacity_id = ? AND hosts.id = held.host"""
_INSERT_TOMBSTONE = """INSERT INTO reservations (task_id, zone, state, voided_at) VALUES (?, ?, 'void', ?)
    ON CONFLICT DO NOTHING"""
_HELD = "FROM reservations WHERE host = new.id AND state = 'reserved' AND placed = 0"
_LIVE = "FROM reservations WHERE host = excluded.id AND state = 'reserved' AND placed = 0"
# A host without a row may hold reservations all the same: those restored after a crash that cost the row.
_REGISTER = f"""INSERT INTO hosts
    (id, boot_id, cpu, memory, disk, free_cpu, free_memory, free_disk, tasks, tenant, accepts, connected, rev, doc,
    pool, sandbox)
    SELECT id, boot, cpu, memory, disk,
    new.cpu - (SELECT coalesce(sum(cpu), 0) {_HELD}),
    new.memory - (SELECT coalesce(sum(memory), 0) {_HELD}),
    new.disk - (SELECT coalesce(sum(disk), 0) {_HELD}),
    (SELECT count(*) {_HELD}),
    (SELECT CASE count(DISTINCT account) WHEN 0 THEN NULL WHEN 1 THEN min(account) ELSE '*' END {_HELD}),
    accepts, 1, 1, doc, pool, sandbox
    FROM (SELECT ? AS id, ? AS boot, ? AS cpu, ? AS memory, ? AS disk, ? AS accepts, ? AS doc, ? AS pool,
    ? AS sandbox) AS new
    WHERE true
    ON CONFLICT (id) DO UPDATE SET boot_id = excluded.boot_id,
    cpu = excluded.cpu, memory = excluded.memory, disk = excluded.disk,
    free_cpu = excluded.cpu - (SELECT coalesce(sum(cpu), 0) {_LIVE}),
    free_memory = excluded.memory - (SELECT coalesce(sum(memory), 0) {_LIVE}),
    free_disk = excluded.disk - (SELECT coalesce(sum(disk), 0) {_LIVE}),
    accepts = excluded.accepts, connected = 1, rev = hosts.rev + 1, doc = excluded.doc,
    pool = excluded.pool, sandbox = excluded.sandbox"""  # noqa: S608  constant text


def reserve(new: Sequence[NewClaim]) -> list[Statement]:
    """Room, address and interface, reservation of each: all or nothing."""
    rooms: dict[tuple[str, str, Sharing, str, str], tuple[Room, int]] = {}
    for one in new:
        key = (one.claim.host_id, one.claim.account, one.sharing, one.pool, one.sandbox)
        room, tasks = rooms.get(key, (Room(), 0))
        rooms[key] = room.plus(one.claim.room), tasks + 1
    return [*(_take_room(*key, room, tasks) for key, (room, tasks) in rooms.items()), *_rows(new)]


def reserve_ahead(new: NewClaim, coming: Room) -> list[Statement]:
    """Like `reserve`, of room that is not all there yet: `coming` is held by tasks that will end."""
    claim = new.claim
    return [
        _take_room(claim.host_id, claim.account, new.sharing, new.pool, new.sandbox, claim.room, 1, coming),
        *_rows([new]),
    ]


def _take_room(
    host_id: str,
    account: str,
    sharing: Sharing,
    pool: str,
    sandbox: str,
    room: Room,
    tasks: int,
    coming: Room | None = None,
) -> Statement:
    """Of a host that is still what it was when it was chosen: by its sandbox it was decided who may be there."""
    amounts = (room.cpu_units, room.memory_mib, room.disk_gib)
    least = room if coming is None else room.minus(coming)
    there = (least.cpu_units, least.memory_mib, least.disk_gib)
    taken = (*amounts, account, account, tasks, host_id, *there, pool, sandbox)
    guarded: dict[Sharing, tuple[Value, ...]] = {Sharing.ITS_ACCOUNT: (account, account), Sharing.NOBODY: (tasks,)}
    return Statement(_TAKE_ROOM + _MAY_SHARE[sharing], (*taken, *guarded.get(sharing, ())), 1, ROOM)


def _rows(new: Sequence[NewClaim]) -> list[Statement]:
    enis = [_eni_row(one.claim, one.eni, one) for one in new if one.eni is not None]
    return [
        *many(_INSERT_ENI, enis, ADDRESS),
        *many(_INSERT_CLAIM, [_claim_row(one.claim) for one in new], CLAIM),
    ]


def _eni_row(claim: Claim, eni: Eni, new: NewClaim) -> tuple[Value, ...]:
    return (
        eni.eni_id,
        claim.account,
        eni.vpc_id,
        eni.subnet_id,
        claim.private_ip,
        claim.public_ip,
        eni.mac,
        *claim.key,
        new.owner,
        claim.created_at,
        new.doc,
    )


def _claim_row(claim: Claim) -> tuple[Value, ...]:
    room = claim.room
    return (
        *claim.key,
        "reserved",
        claim.capacity_id,
        claim.account,
        claim.host_id,
        room.cpu_units,
        room.memory_mib,
        room.disk_gib,
        claim.subnet_id,
        claim.private_ip,
        claim.public_ip,
        claim.eni_id,
        claim.eni_error,
        claim.created_at,
        int(claim.is_spot),
        int(claim.is_placed),
    )


def place(new: NewClaim) -> list[Statement]:
    """An address and an interface. The host is not touched: it gives no room and becomes nobody's."""
    return _rows([new])


def carry(claim: Claim, host_id: str) -> Statement:
    """What is placed is on another host, with all that it has."""
    return Statement(_CARRY, (host_id, *claim.key, claim.capacity_id), 1, CLAIM)


def restore(new: NewClaim) -> list[Statement]:
    """What `reserve` wrote and a crash lost. The task runs there, so nobody asks for room; the host may be unknown."""
    room = new.claim.room
    amounts = (room.cpu_units, room.memory_mib, room.disk_gib)
    account = new.claim.account
    return [Statement(_RETAKE_ROOM, (*amounts, account, account, new.claim.host_id)), *_rows([new])]


def release(claim: Claim, now: float) -> list[Statement]:
    """Give back what `reserve` took; the reservation's row stays as tombstone."""
    statements = [Statement(_VOID_CLAIM, (now, *claim.key, claim.capacity_id), 1, CLAIM)]
    if not claim.is_placed:
        # No count is expected: an operator may have removed the host meanwhile.
        statements.append(Statement(_GIVE_ROOM, (*claim.key, claim.capacity_id)))
    if claim.eni_id is not None:
        statements.append(Statement("DELETE FROM enis WHERE id = ?", (claim.eni_id,), 1, ADDRESS))
    return statements


def bury(key: Key, now: float) -> Statement:
    """A tombstone for a claim that was never made, so that a late `reserve` meets it."""
    return Statement(_INSERT_TOMBSTONE, (*key, now), 1, TOMBSTONE)


def forget_tombstones(before: float) -> Statement:
    return Statement("DELETE FROM reservations WHERE state = 'void' AND voided_at < ?", (before,))


def register(facts: HostFacts, offered: Room, doc: bytes, *, pool: str) -> Statement:
    """The host as it is now; what is free is computed anew from its live reservations."""
    room = (offered.cpu_units, offered.memory_mib, offered.disk_gib)
    values = (facts.host_id, facts.boot_id, *room, int(facts.accepts_tasks), doc, pool, facts.sandbox)
    return Statement(_REGISTER, values, 1, "host")


def dress(claim: Claim) -> Statement:
    """Its room with what its host, unknown when it was restored, needs beside the task."""
    return Statement(_DRESS, (claim.room.memory_mib, *claim.key, claim.capacity_id))


def connection(host_id: str, connected: bool) -> Statement:
    return Statement("UPDATE hosts SET connected = ?, rev = rev + 1 WHERE id = ?", (int(connected), host_id))


def assign(host_id: str, pool: str) -> Statement:
    """Whose own the host is from now on; what runs there stays."""
    return Statement("UPDATE hosts SET pool = ?, rev = rev + 1 WHERE id = ? AND pool <> ?", (pool, host_id, pool))


# Nobody is connected when a process starts: sessions end with it.
DISCONNECT_ALL = Statement("UPDATE hosts SET connected = 0 WHERE connected = 1")

_CLAIM_COLUMNS = """task_id, zone, capacity_id, account, host, cpu, memory, disk, subnet, private_ip, public_ip, eni,
    eni_error, created_at, spot, placed"""
LIVE_CLAIMS = f"SELECT {_CLAIM_COLUMNS} FROM reservations WHERE state = 'reserved' ORDER BY n"  # noqa: S608
ONE_CLAIM = f"SELECT state, {_CLAIM_COLUMNS} FROM reservations WHERE task_id = ? AND zone = ?"  # noqa: S608
LAST_ADDRESSES = """SELECT subnet, private_ip FROM reservations
    WHERE n IN (SELECT max(n) FROM reservations WHERE private_ip IS NOT NULL GROUP BY subnet) ORDER BY subnet"""
LAST_PUBLIC = "SELECT public_ip FROM reservations WHERE public_ip IS NOT NULL ORDER BY n DESC LIMIT 1"
HOSTS = "SELECT id, cpu, memory, disk, doc, pool FROM hosts ORDER BY n"
TAKEN = "SELECT private_ip FROM enis WHERE subnet = ? ORDER BY private_ip"
TAKEN_PUBLIC = "SELECT public_ip FROM enis WHERE public_ip IS NOT NULL ORDER BY public_ip"
ENI_OF = "SELECT doc FROM enis WHERE id = ?"
# Addresses that are only held are no interfaces of the zone's; who holds them is known to the front end.
_SHOWN = "task_id, zone, owner, created_at, doc FROM enis WHERE account = ? AND task_id NOT LIKE 'eni-%'"
ENIS = f"SELECT {_SHOWN} ORDER BY n"
ENI_NAMED = f"SELECT {_SHOWN} AND id = ?"
# Also of an interface that was given back, for as long as its reservation's tombstone is kept.
PLACE_OF_ENI = "SELECT account, host, subnet FROM reservations WHERE eni = ?"
