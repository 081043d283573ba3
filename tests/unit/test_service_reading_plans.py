"""What is asked of the cell's database for services reads what it needs, however many tasks an account has had."""

import re
import sqlite3

import pytest

from neargate.clusters import orders, releases, spot
from neargate.clusters.schema import MIGRATIONS
from neargate.clusters.services import reading, registries, target_rows


def planned(asked: str) -> str:
    database = sqlite3.connect(":memory:")
    for migration in MIGRATIONS:
        database.executescript(migration)
    plan = database.execute(f"EXPLAIN QUERY PLAN {asked}", ("x",) * asked.count("?"))
    told = " ".join(str(row[3]) for row in plan)
    database.close()
    return told


def test_which_images_a_revision_had_is_found_without_reading_every_task_of_the_cluster() -> None:
    plan = planned(reading._RAN)
    assert "SCAN" not in plan
    assert set(re.findall(r"INDEX (\w+)", plan)) == {"deployments_of", "tasks_that_ran"}


def test_which_tasks_are_to_be_instances_is_found_without_reading_those_of_other_services() -> None:
    plan = planned(registries._TASKS)
    assert "SCAN" not in plan
    assert {"services_named", "service_tasks_of"} <= set(re.findall(r"INDEX (\w+)", plan))


def test_whose_targets_are_in_a_group_is_found_without_reading_those_of_the_account_s_other_services() -> None:
    plan = planned(target_rows.services_in_groups(1))
    assert "SCAN" not in plan
    assert set(re.findall(r"INDEX (\w+)", plan)) == {"task_targets_group"}


def test_whose_room_is_waited_for_is_found_by_those_who_wait() -> None:
    plan = planned(spot._DRAINING)
    assert plan.count("SCAN") == plan.count("SCAN h USING INDEX tasks_held") == 1


@pytest.mark.parametrize("asked", [orders._TO_STOP, releases._UNRELEASED])
def test_whether_a_task_is_a_target_still_is_found_by_the_task(asked: str) -> None:
    plan = planned(asked)
    assert "SCAN" not in plan.replace("CORRELATED SCALAR", "")
    assert "task_targets USING PRIMARY KEY (task=?)" in plan
