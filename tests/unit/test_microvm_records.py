"""The microVM engine's records: whole or not there, in memory, and nobody's else to read."""

from pathlib import Path

import pytest

from neargate.sandbox.microvm.record import Blueprint, Machine, Phase, Run, ended
from neargate.sandbox.microvm.records import Records, safe


def blueprint(runtime_id: str = "task-1-0000000001") -> Blueprint:
    return Blueprint(runtime_id=runtime_id, task_id="task-1", name="web", spec=b"{}", host_cgroup="/n/task-1")


def test_what_was_saved_is_found_by_the_next_agent(tmp_path: Path) -> None:
    records = Records(tmp_path / "machines")
    machine = Machine(task_id="task-1", phase=Phase.READY)
    run = Run(status="running", stream=7, log_base=12, number=1, pid=33)
    records.save_machine(machine)
    records.save_blueprint(blueprint())
    records.save_run(blueprint(), run)
    assert Records(tmp_path / "machines").load() == [(machine, [(blueprint(), run)])]


def test_nobody_else_may_read_them(tmp_path: Path) -> None:
    records = Records(tmp_path / "machines")
    records.save_blueprint(blueprint())
    assert [path.stat().st_mode & 0o077 for path in (tmp_path / "machines").rglob("*")] == [0, 0]


def test_a_container_without_a_run_was_created(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.save_blueprint(blueprint())
    assert records.load() == [(Machine(task_id="task-1"), [(blueprint(), Run())])]


def test_a_file_that_was_never_whole_is_none(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.save_blueprint(blueprint())
    whole = (tmp_path / "task-1" / "task-1-0000000001.blueprint").read_bytes()
    (tmp_path / "task-1" / ".task-1-0000000002.blueprint").write_bytes(whole[:-1])
    (tmp_path / "task-1" / "task-1-0000000003.blueprint").write_bytes(whole[:-1])
    assert [found.runtime_id for found, _ in records.load()[0][1]] == ["task-1-0000000001"]


def test_what_is_forgotten_is_gone_and_may_be_forgotten_again(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.save_blueprint(blueprint())
    records.save_run(blueprint(), Run())
    for _ in range(2):
        records.forget(blueprint())
        assert records.load() == [(Machine(task_id="task-1"), [])]
    for _ in range(2):
        records.forget_machine("task-1")
        assert records.load() == []


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a\0b", "machine", "x" * 300, "ä"])
def test_a_name_that_is_no_file_names_nothing(name: str) -> None:
    with pytest.raises(ValueError, match="names no container"):
        safe(name)


def test_the_first_end_of_a_run_stays() -> None:
    once = ended(Run(status="running", stream=1), 3, 10.0)
    assert ended(once, 137, 20.0, "machine") == once and once.exit_code == 3
