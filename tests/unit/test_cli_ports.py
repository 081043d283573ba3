"""Who holds a port that a region wants: somebody else, another region, or the region's own server that hangs."""

import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from neargate.cli import config as configs
from neargate.cli import doctor, ports, processes
from neargate.cli.config import RegionConfig
from neargate.cli.paths import RegionPaths
from neargate.cli.ports import Holder
from neargate.cli.problems import Problem
from neargate.cli.processes import Running


@pytest.fixture
def port() -> Iterator[int]:
    """This process listens there and never answers."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield int(holder.getsockname()[1])


def test_a_taken_port_is_named_with_its_holder(port: int) -> None:
    with pytest.raises(Problem, match=rf"port {port} \(the API\) is taken by .* \(pid {os.getpid()}\); stop that, or"):
        ports.check_port(port)


@pytest.mark.parametrize(
    ("name", "shown"), [(b"\xff\xfe", "\ufffd\ufffd"), (b"a) b\x1b[2J", "a) b?[2J"), (b"x)", "x)")], ids=repr
)
def test_whatever_a_process_calls_itself_it_is_found_and_named(port: int, name: bytes, shown: str) -> None:
    ticks = processes.start_ticks(os.getpid())
    own = Path("/proc/self/comm")
    before = own.read_bytes()
    own.write_bytes(name)
    try:
        assert processes.start_ticks(os.getpid()) == ticks is not None
        with pytest.raises(Problem, match=rf"is taken by {re.escape(shown)} \(pid {os.getpid()}\); stop that, or"):
            ports.check_port(port)
    finally:
        own.write_bytes(before)


def test_another_region_is_named_with_its_data(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (sys.executable, "-P", "-m", "neargate", "server", "--data", "/srv/my region")
    monkeypatch.setattr(ports, "holder", lambda _port: Holder(pid=7, name="python3", words=words))
    with pytest.raises(Problem) as problem:
        ports.check_port(port)
    assert str(problem.value) == (
        f"port {port} (the API) is taken by the neargate region under /srv/my region (python3 (pid 7)); "
        "stop that with: neargate down --data '/srv/my region', or choose another with --port"
    )


@pytest.mark.parametrize("words", [(), ("nginx",), ("x", "serve"), ("x", "-P", "-m", "neargate", "server", "--data")])
def test_whoever_is_no_region_is_not_called_one(words: tuple[str, ...]) -> None:
    assert ports.region_of(Holder(pid=1, name="x", words=words)) is None


def test_doctor_knows_its_own_server_that_hangs(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RegionPaths, "run", property(lambda self: self.data / "run"))
    paths = RegionPaths(tmp_path)
    paths.run.mkdir()
    configs.save(paths, RegionConfig(port=port))
    assert any(f"note    port {port} is taken by" in line for line in doctor.report(paths)[0])
    processes.remember(paths.pid_file("server"), Running(os.getpid(), processes.start_ticks(os.getpid()) or 0))
    lines = doctor.report(paths)[0]
    assert any(f"the server (pid {os.getpid()}) listens at port {port} and does not answer" in line for line in lines)
    assert not any("is taken by" in line for line in lines)
