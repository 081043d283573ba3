"""`up --sandbox microvm` refuses what cannot work on this machine, before anything is started, and says what helps."""

import hashlib
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from neargate.cli import microvms
from neargate.cli.config import RegionConfig
from neargate.cli.microvms import accelerators, check, guest_files
from neargate.cli.problems import Problem
from neargate.cli.up import _check_machines
from neargate.sandbox.microvm import qemu_program
from neargate.sandbox.microvm.frames import PROTOCOL

FILES = ("vmlinux", "initramfs.cpio", "tools.erofs")
MACHINES = RegionConfig(sandbox="microvm")
EMULATED = RegionConfig(sandbox="microvm", allow_emulated="yes")


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Whole, as far as files say it."""
    place = tmp_path / "guest"
    place.mkdir()
    for name in FILES:
        (place / name).write_text(f"this is {name}")
    say(place)
    monkeypatch.setenv("NEARGATE_GUEST_DIR", str(place))
    return place


def say(place: Path, **changes: Any) -> None:
    digests = {name: hashlib.sha256((place / name).read_bytes()).hexdigest() for name in FILES}
    manifest = {"version": "0123456789abcdef", "protocol": PROTOCOL, "kernel": "6.1.0-50-cloud-amd64", "files": digests}
    (place / "manifest.json").write_text(json.dumps(manifest | changes))


@pytest.fixture
def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place in which it is looked for, and all else that it needs."""
    place = tmp_path / "bin"
    place.mkdir()
    (place / "bios-microvm.bin").touch()
    monkeypatch.setattr(qemu_program, "_PATH", f"{place}:/usr/bin:/bin")
    monkeypatch.setattr(qemu_program, "_BIOS_DIRECTORIES", (str(place),))
    monkeypatch.setattr(qemu_program, "_NAME", "qemu-of-tests")
    install(place, "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)")
    install(place, "statically linked", name="ldd")
    return place


def install(place: Path, says: str, *, name: str = "qemu-of-tests") -> None:
    program = place / name
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def kvm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microvms, "kvm_refusal", lambda: None)


@pytest.fixture
def no_kvm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microvms, "kvm_refusal", lambda: "/dev/kvm: No such file or directory")


def refusal(config: RegionConfig) -> str:
    with pytest.raises(Problem) as problem:
        _check_machines(config)
    return str(problem.value)


@pytest.mark.usefixtures("guest", "qemu", "kvm")
def test_a_machine_that_has_all_is_not_refused() -> None:
    check(MACHINES)
    check(EMULATED)


def test_containers_need_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARGATE_GUEST_DIR", str(tmp_path / "nowhere"))
    check(RegionConfig())
    _check_machines(RegionConfig())


@pytest.mark.usefixtures("qemu", "kvm")
@pytest.mark.parametrize("name", FILES)
def test_without_a_guest_it_is_said_how_to_build_one(guest: Path, name: str) -> None:
    (guest / name).unlink()
    assert refusal(MACHINES) == f"--sandbox microvm needs a guest; {guest / name} is missing; build it with: make guest"


@pytest.mark.usefixtures("qemu", "kvm")
@pytest.mark.parametrize("name", FILES)
def test_a_guest_that_is_not_what_was_built_is_broken(guest: Path, name: str) -> None:
    (guest / name).write_text("half of")
    said = refusal(MACHINES)
    assert f"the one in {guest} is broken: {name} changed after the build" in said and "make guest" in said


@pytest.mark.usefixtures("qemu", "kvm")
@pytest.mark.parametrize("manifest", ["", "[]", '{"version": 1}', None])
def test_a_guest_of_which_nothing_is_said_is_broken(guest: Path, manifest: str | None) -> None:
    (guest / "manifest.json").unlink()
    if manifest is not None:
        (guest / "manifest.json").write_text(manifest)
    assert "is broken: manifest.json says nothing of it; build it: make guest" in refusal(MACHINES)
    assert guest_files().release == "", "an agent that runs already goes on"


@pytest.mark.usefixtures("qemu", "kvm")
def test_a_guest_of_another_release_is_told_from_a_broken_one(guest: Path) -> None:
    say(guest, protocol=99)
    assert "it speaks protocol 99, which this release does not" in refusal(MACHINES)


@pytest.mark.usefixtures("qemu", "kvm")
def test_a_guest_says_its_release(guest: Path) -> None:
    files = guest_files()
    assert (files.kernel, files.release) == (str(guest / "vmlinux"), "6.1.0-50-cloud-amd64 01234567")


@pytest.mark.usefixtures("guest", "kvm")
def test_without_qemu_it_is_said_how_to_install_it(qemu: Path) -> None:
    (qemu / "qemu-of-tests").unlink()
    assert refusal(MACHINES) == "qemu-of-tests is missing; install it with: apt-get install qemu-system-x86"


@pytest.mark.usefixtures("guest", "kvm")
@pytest.mark.parametrize("says", ["QEMU emulator version 5.2.0", "something else"])
def test_a_qemu_that_is_too_old_or_none_is_refused(qemu: Path, says: str) -> None:
    install(qemu, says)
    assert refusal(MACHINES).endswith("7.2 is the first that will do")


@pytest.mark.usefixtures("guest", "kvm")
def test_a_qemu_without_its_firmware_is_refused(qemu: Path) -> None:
    (qemu / "bios-microvm.bin").unlink()
    assert "apt-get install qemu-system-data seabios" in refusal(MACHINES)


@pytest.mark.usefixtures("guest", "qemu", "no_kvm")
def test_without_kvm_nothing_is_emulated_unless_it_was_allowed() -> None:
    said = refusal(MACHINES)
    assert "needs KVM: /dev/kvm: No such file or directory" in said
    assert "slow and no security boundary: --allow-emulated yes" in said
    check(EMULATED)
    assert accelerators(EMULATED) == ("tcg",)


@pytest.mark.usefixtures("kvm")
def test_kvm_is_tried_before_anything_is_emulated() -> None:
    assert accelerators(MACHINES) == ("kvm",)
    assert accelerators(EMULATED) == ("kvm", "tcg")
