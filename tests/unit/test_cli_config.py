"""The command line's pure parts: options and what fixes them, paths, processes by pid and start time, texts."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import asdict, replace

from neargate.cli import config as configs
from neargate.cli import prepare, processes
from neargate.cli.commands import parser as commands
from neargate.cli.config import RegionConfig
from neargate.cli.environment import before_typing, exports
from neargate.cli.force import Progress
from neargate.cli.inspect import room, table
from neargate.cli.paths import RegionPaths, region_paths
from neargate.cli.problems import Problem
from neargate.cli.processes import Program, Running


@pytest.fixture
def paths(tmp_path: Path) -> RegionPaths:
    return RegionPaths(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"region": "nowhere"}, "--region"),
        ({"account": "12"}, "12 digits"),
        ({"account": "１２３４５６７８９０１２"}, "12 digits"),
        ({"account": "123456789012\n"}, "12 digits"),
        ({"zones": ()}, "--zones"),
        ({"zones": ("a", "a")}, "twice"),
        ({"zones": ("A",)}, "--zones"),
        ({"auth": "none"}, "enforce or open"),
        ({"containerd": "docker"}, "own or system"),
        ({"sandbox": "vm"}, "container or microvm or simulated"),
        ({"port": 0}, "port"),
        ({"extensions": ("files", "flies")}, "--extensions 'flies': there is files; '' for none"),
        ({"hosts": 0}, "--hosts"),
        ({"hosts": 99_999_999}, "at most"),
    ],
)
def test_options_that_cannot_work_are_refused(change: dict[str, object], words: str) -> None:
    configs.check(RegionConfig())
    with pytest.raises(Problem, match=words):
        configs.check(replace(RegionConfig(), **change))  # type: ignore[arg-type]


def test_extensions_are_what_was_said_last(paths: RegionPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[RegionConfig] = []
    monkeypatch.setattr("neargate.cli.prepare.check_root", lambda *_: None)

    def noted(_paths: RegionPaths, wanted: RegionConfig, _say: object) -> int:
        seen.append(wanted)
        return 0

    monkeypatch.setattr("neargate.cli.up.up", noted)
    for words in (["--extensions", "files"], [], ["--extensions", ""]):
        assert commands.run(["up", "--data", str(paths.data), *words]) == 0
        configs.save(paths, seen[-1])
    assert [config.extensions for config in seen] == [("files",), ("files",), ()]


def test_what_the_first_start_fixed_stays(paths: RegionPaths) -> None:
    first = RegionConfig(region="eu-west-1", account="111122223333", public_pool="198.18.3.0/24")
    configs.save(paths, first)
    assert configs.load(paths) == first
    again = configs.settle(paths, configs.wanted(paths, {"port": 5000}))
    assert (again.region, again.account, again.public_pool) == ("eu-west-1", "111122223333", "198.18.3.0/24")
    assert again.port == 5000
    configs.save(paths, again)
    assert configs.wanted(paths, {}).port == 5000, "what is not given stays as it was"
    with pytest.raises(Problem, match=r"another account \(111122223333\)"):
        configs.settle(paths, configs.wanted(paths, {"account": "999999999999"}))
    with pytest.raises(Problem, match="another region"):
        configs.settle(paths, configs.wanted(paths, {"region": "us-east-1"}))


def test_what_a_newer_release_wrote_is_passed_over_and_kept(paths: RegionPaths) -> None:
    """A rollback must be able to run, ask and stop the region; the newer release finds its members again."""
    paths.config.write_text(json.dumps({**asdict(RegionConfig(port=5000)), "warp": {"speed": 9}}))
    assert configs.load(paths) == RegionConfig(port=5000)
    configs.save(paths, replace(configs.load(paths), port=5001))
    assert json.loads(paths.config.read_text())["warp"] == {"speed": 9}
    assert configs.load(paths).port == 5001


def test_damaged_files_are_named(paths: RegionPaths) -> None:
    paths.config.write_text("{")
    with pytest.raises(Problem, match=r"region\.json is damaged"):
        configs.load(paths)
    paths.config.write_text("[]")
    with pytest.raises(Problem, match=r"region\.json is damaged"):
        configs.load(paths)
    paths.config.unlink()
    configs.save(paths, RegionConfig())
    paths.administrator.write_text("")
    with pytest.raises(Problem, match=r"administrator\.json is damaged"):
        exports(paths)


def test_an_empty_data_directory_is_no_default() -> None:
    with pytest.raises(Problem, match="--data is empty"):
        region_paths("")


def test_simulated_sizes_need_simulated_hosts(paths: RegionPaths) -> None:
    with pytest.raises(Problem, match="--sandbox simulated"):
        commands.run(["up", "--data", str(paths.data), "--hosts", "3"])


def test_a_region_that_was_never_started_says_how(paths: RegionPaths) -> None:
    with pytest.raises(Problem, match="neargate up"):
        configs.load(paths)


def test_zones_have_names_and_ids() -> None:
    assert RegionConfig().zone_names == (
        ("us-east-1a", "use1-az1"),
        ("us-east-1b", "use1-az2"),
        ("us-east-1c", "use1-az3"),
    )
    assert RegionConfig(region="ap-southeast-2", zones=("b",)).zone_names == (("ap-southeast-2b", "aps2-az1"),)


def test_two_data_directories_are_two_instances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = region_paths(str(tmp_path / "one")), region_paths(str(tmp_path / "two"))
    assert first.instance != second.instance
    assert len(first.instance) == 6 and int(first.instance, 16) >= 0
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "one")
    assert region_paths(str(link)) == first
    monkeypatch.setenv("NEARGATE_DATA", str(tmp_path / "two"))
    assert region_paths() == second
    assert region_paths(str(tmp_path / "one")) == first
    assert first.as_option == f" --data {first.data}"
    spaced = region_paths(str(tmp_path / "my data; x"))
    assert shlex.split(spaced.as_option) == ["--data", str(spaced.data)], "what is shown can be typed"


# A process that outlives its starter is the point here; Popen would have us wait for it.
OUTLIVES = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@OUTLIVES
def test_a_process_is_known_by_pid_and_start_time(tmp_path: Path) -> None:
    program = Program(
        name="sleeper",
        argv=(sys.executable, "-c", "import signal; signal.pause()"),
        environment={"PATH": os.environ["PATH"]},
        log_file=tmp_path / "log" / "sleeper.log",
        pid_file=tmp_path / "sleeper.pid",
    )
    running = processes.spawn(program)
    try:
        assert processes.find(program.pid_file) == running
        assert os.getsid(running.pid) == running.pid  # a session of its own: Ctrl-C does not reach it
        assert not Running(running.pid, running.start_ticks + 1).alive  # the pid was given to somebody else
        program.pid_file.write_text("nonsense")
        assert processes.find(program.pid_file) is None
    finally:
        processes.stop(running, timeout_s=5.0)
    assert not running.alive


@OUTLIVES
def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    log = tmp_path / "deaf.log"
    program = Program(
        name="deaf",
        argv=(sys.executable, "-c", code),
        environment={"PATH": os.environ["PATH"]},
        log_file=log,
        pid_file=tmp_path / "deaf.pid",
    )
    running = processes.spawn(program)
    while b"deaf" not in log.read_bytes():
        assert running.alive
    assert processes.stop(running, timeout_s=0.2) is False
    assert not running.alive


def test_a_zombie_does_not_count_as_running() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    ticks = None
    while ticks is None:
        ticks = processes.start_ticks(child.pid)
        if ticks is None:
            break
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes.start_ticks(child.pid) is None
    assert child.wait() == 0


def test_env_quotes_and_clears_other_credentials(paths: RegionPaths) -> None:
    configs.save(paths, RegionConfig(port=4999))
    paths.administrator.write_text(
        json.dumps({"account": "123456789012", "access_key_id": "AKIA1", "secret_access_key": "s $(x)"})
    )
    lines = exports(paths).splitlines()
    assert "export AWS_ENDPOINT_URL=http://127.0.0.1:4999" in lines
    assert "export AWS_SECRET_ACCESS_KEY='s $(x)'" in lines
    assert lines[-1] == "unset AWS_SESSION_TOKEN AWS_PROFILE"


def test_the_administrators_secret_has_awss_form(paths: RegionPaths) -> None:
    """Nothing that a command line would take for an option or a path; a key that is there stays."""
    found = set()
    for _ in range(60):
        paths.administrator.unlink(missing_ok=True)
        prepare._administrator(paths, RegionConfig(), None)
        found.add(json.loads(paths.administrator.read_text())["secret_access_key"])
    assert len(found) == 60
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+/]{39}", secret) for secret in found)
    before = paths.administrator.read_bytes()
    prepare._administrator(paths, RegionConfig(), None)
    assert paths.administrator.read_bytes() == before


def test_who_waits_for_tasks_to_stop_is_told_how_long_it_may_take() -> None:
    said: list[str] = []
    progress = Progress(said.append)
    for left, at in ((-1, 0.0), (2, 1.0), (2, 1.1), (2, 5.9), (1, 6.0), (1, 6.1), (0, 12.0)):
        progress.tell(left, at)
    first, second = said
    assert first.startswith("stopping 2 tasks; ") and "30 s, or up to 120 s" in first
    assert second == "  1 task left ..."


def test_columns_stand_beneath_each_other() -> None:
    assert table([("A", "B"), ("long", "x")]) == ["A     B", "long  x"]


def _host(cpu: int, memory: int, disk: int, **more: bool) -> dict[str, object]:
    free = {"free_cpu_units": cpu, "free_memory_mib": memory, "free_disk_gib": disk}
    return {"connected": True, "accepts_tasks": True, **free, **more}


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        ([_host(16384, 60000, 608)], "room for 30 more tasks of {}; the limit is disk"),
        ([_host(16384, 1023, 608)], "room for 1 more task of {}; the limit is memory"),
        ([_host(255, 1023, 608)], "room for 0 more tasks of {}; the limit is CPU"),
        ([_host(1024, 9000, 20), _host(1024, 9000, 40)], "room for 3 more tasks of {}; the limit is disk"),
        ([_host(1024, 9000, 90, connected=False)], "room for no task: no host takes any"),
        ([_host(1024, 9000, 90, accepts_tasks=False)], "room for no task: no host takes any"),
        ([_host(-5, 9000, 90)], "room for 0 more tasks of {}; the limit is CPU"),
        ([], "room for no task: no host takes any"),
    ],
)
def test_status_says_what_runs_out_first(hosts: list[dict[str, object]], said: str) -> None:
    assert room(hosts) == said.format("256 CPU units, 512 MiB and 20 GiB disk")


def test_signals_are_left_alone() -> None:
    """`up` installs its handlers only when it runs, not when it is imported."""
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(
    ("words", "data", "aws"),
    [
        (["aws", "ecs", "list-clusters", "--data", "x"], None, ["ecs", "list-clusters", "--data", "x"]),
        (["aws", "--data", "/d", "--version"], "/d", ["--version"]),
        (["aws", "--data=/d", "s3", "--help"], "/d", ["s3", "--help"]),
        (["aws"], None, []),
    ],
)
def test_what_follows_aws_is_the_aws_commands_own(words: list[str], data: str | None, aws: list[str]) -> None:
    given = commands.parser().parse_args(commands._aws_last(words))
    assert given.data == data
    assert [word for word in given.words if word != "--"] == aws


@pytest.mark.parametrize(("sudo", "found"), [("", True), ("root", True), ("me", False), ("", False)])
def test_what_is_shown_to_type_works_in_the_users_own_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sudo: str, found: bool
) -> None:
    folder = tmp_path / "my bin"
    folder.mkdir()
    (folder / "neargate").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", str(folder) if found else "/nowhere")
    monkeypatch.setenv("SUDO_USER", sudo or "root")
    lines = before_typing()
    assert ("sudo -s" in lines) is (sudo == "me")
    if found:
        assert not any("PATH" in line for line in lines)
    else:
        shell = f"{lines[-1]}\ncommand -v neargate"
        done = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(folder / "neargate")


def test_a_lone_help_is_ours_and_leads_to_the_aws_commands_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        commands.run(["aws", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0 and "its help: neargate aws help" in said and "except a leading --data" in said


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run([]) == 2
    assert "doctor" in capsys.readouterr().out
