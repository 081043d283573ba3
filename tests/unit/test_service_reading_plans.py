"""What is asked of the cell's database for services reads what it needs, however many tasks an account has had."""

import re
import sqlite3

from neargate.clusters.schema import MIGRATIONS
from neargate.clusters.services import reading


def test_which_images_a_revision_had_is_found_without_reading_every_task_of_the_cluster() -> None:
    database = sqlite3.connect(":memory:")
    for migration in MIGRATIONS:
        database.executescript(migration)
    asked = f"EXPLAIN QUERY PLAN {reading._RAN}"
    plan = " ".join(str(row[3]) for row in database.execute(asked, ("x",) * asked.count("?")))
    database.close()
    assert "SCAN" not in plan
    assert set(re.findall(r"INDEX (\w+)", plan)) == {"deployments_of", "tasks_that_ran"}
