"""Calls that come at the same time share a write; what is refused of one is told to that one alone."""

import asyncio
from collections.abc import Sequence

from neargate.interfaces.roles import Documents
from neargate.interfaces.store import Row, Statement
from neargate.model.errors import Conflict
from neargate.store.rows import many
from neargate.testing.cell_rig import CellRig, id_of, in_cell, parsed, run_request


def test_calls_at_the_same_time_share_a_write() -> None:
    async def body(rig: CellRig) -> None:
        writes: list[int] = []
        plain = rig.stores.cell_store.write

        async def counted(statements: Sequence[Statement]) -> list[list[Row]]:
            writes.append(sum("INSERT INTO tasks" in statement.sql for statement in statements))
            return await plain(statements)

        await rig.run()  # the definition's copy is stored
        rig.stores.cell_store.write = counted  # type: ignore[method-assign]
        answers = await asyncio.gather(*(rig.cell.run_task(run_request()) for _ in range(40)))
        assert len({id_of(task) for answer in answers for task in parsed(answer)}) == 40
        assert len([count for count in writes if count]) < 20
        assert await rig.reserved_tasks() == 41

    in_cell(body)


def test_a_call_that_is_refused_harms_none_it_shared_a_write_with() -> None:
    async def body(rig: CellRig) -> None:
        await rig.run()
        calls = [
            run_request(request_fingerprint=str(n), client_token="same" if n in (3, 7) else None) for n in range(9)
        ]
        answers = await asyncio.gather(*map(rig.cell.run_task, calls), return_exceptions=True)
        [refused] = [n for n, answer in enumerate(answers) if not isinstance(answer, Documents)]
        assert refused in (3, 7) and isinstance(answers[refused], Conflict), "the later of the two with one token"
        assert await rig.reserved_tasks() == 9, "the refused call gave its reservation back"

    in_cell(body)


def test_a_caller_who_is_gone_is_not_waited_for() -> None:
    async def body(rig: CellRig) -> None:
        await rig.run()
        calls = [asyncio.ensure_future(rig.cell.run_task(run_request())) for _ in range(8)]
        await asyncio.sleep(0)
        calls[2].cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(answer, Documents) for answer in answers) == 7

    in_cell(body)


def test_many_rows_become_few_statements_with_few_texts() -> None:
    texts = set()
    for count in range(1, 200):
        rows = [(n, str(n)) for n in range(count)]
        statements = many("INSERT INTO t (a, b) VALUES {rows}", rows, "t")
        assert sum(statement.expect or 0 for statement in statements) == count
        assert [value for statement in statements for value in statement.params] == [v for row in rows for v in row]
        texts |= {statement.sql for statement in statements}
    assert len(texts) == 17, "each is prepared once and kept; the connection keeps 512"
