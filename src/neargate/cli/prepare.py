"""What must be there before a region's processes start: user, directories with owners, the administrator's keys."""

import base64
import json
import os
import pwd
import shutil
import socket
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

from . import private_files
from .config import RegionConfig
from .paths import RegionPaths
from .pools import alone
from .problems import Problem
from .supervisor import USER

PROGRAMS = {  # program -> Debian/Ubuntu package
    "containerd": "containerd",
    "runc": "runc",
    "docker-registry": "docker-registry",
    "mkfs.ext4": "e2fsprogs",
    "unpigz": "pigz",
    "haproxy": "haproxy",
}

FOREIGN_ANSWER_S = 2.0
_USERS = Path("/etc")  # where the machine's are written down


def prepare(paths: RegionPaths, config: RegionConfig) -> None:
    """Make what is missing. Repeatable. Raises Problem with the command that helps."""
    check_root(config)
    if config.runs_tasks:
        _check_machine()
    owner = _owner()
    if owner is not None:
        _reachable(paths, owner)
    _directory(paths.data, 0o755, None)
    for path in (paths.logs, paths.agent, paths.disks, paths.containerd):
        _directory(path, 0o700, None)
    for path in (paths.databases, paths.images):
        _directory(path, 0o700, owner)
    make_run_directory(paths)
    _directory(paths.server_run, 0o700, owner)
    _administrator(paths, config, owner)
    _directory(paths.secrets, 0o700, owner)
    if not config.master_key_command:
        _master_key(paths, owner)
    if owner is not None and paths.administrator.stat().st_uid != owner.pw_uid:
        _give_back(paths, owner)


def _reachable(paths: RegionPaths, owner: pwd.struct_passwd) -> None:
    """The unprivileged user must be able to walk down to the data directory."""
    for parent in paths.data.parents:
        facts = parent.stat()
        if facts.st_uid != owner.pw_uid and not facts.st_mode & 0o001:
            raise Problem(
                f"the user {USER} cannot enter {parent}, above the data directory; "
                "choose another --data, for example /var/lib/neargate"
            )


def check_root(config: RegionConfig) -> None:
    """Before anything is made: where root is needed, every other complaint would only follow from its lack."""
    if config.runs_tasks and os.geteuid() != 0:
        raise Problem(
            "running containers needs root; use sudo, or try the control plane alone with --sandbox simulated"
        )


def _check_machine() -> None:
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if missing:
        raise Problem(f"missing on this machine; install with: apt-get install {' '.join(missing)}")


def check_foreign_containerd(config: RegionConfig) -> None:
    """Refuse early where a containerd that is not ours was asked for and does not run."""
    address = config.foreign_containerd
    if not config.runs_tasks or address is None:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(FOREIGN_ANSWER_S)
        try:
            probe.connect(address)
        except OSError as error:
            start = "systemctl enable --now containerd" if config.containerd == "system" else "start it"
            raise Problem(
                f"no containerd answers at {address} ({error.strerror or error}); {start}, or take neargate's own: "
                "--containerd own"
            ) from None


def _owner() -> pwd.struct_passwd | None:
    """The unprivileged user of the control plane, made when missing; None when we are not root."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam(USER)
    with alone(_USERS):  # two first starts of a machine at once: the later one would give the user another number
        with suppress(KeyError):
            return pwd.getpwnam(USER)
        subprocess.run(
            ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", USER],
            check=True,
        )
        return pwd.getpwnam(USER)


def make_run_directory(paths: RegionPaths) -> None:
    """Root's lies below /run. Another user's may lie in /tmp, where anybody may have made it first, as a link too."""
    if os.geteuid() == 0:
        _directory(paths.run.parent, 0o755, None)
        _directory(paths.run, 0o755, None)
        _name_data(paths)
        return
    try:
        paths.run.mkdir(mode=0o700)
    except FileExistsError:
        pass  # ours of an earlier start, or somebody's
    facts = paths.run.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
        raise Problem(
            f"{paths.run} belongs to somebody else; remove it, or set XDG_RUNTIME_DIR to a directory of yours"
        )
    paths.run.chmod(0o700)
    _name_data(paths)


def _name_data(paths: RegionPaths) -> None:
    """A run directory whose region's data is gone is then known for what it is."""
    with suppress(FileExistsError):
        paths.data_link.symlink_to(paths.data)


def _directory(path: Path, mode: int, owner: pwd.struct_passwd | None) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    if owner is not None:
        os.chown(path, owner.pw_uid, owner.pw_gid)


def _give_back(paths: RegionPaths, owner: pwd.struct_passwd) -> None:
    """A data directory that root copied or restored: what is the control plane's belongs to its user again."""
    for top in (paths.databases, paths.images, paths.secrets):
        for folder, _, files in os.walk(top):
            for path in (Path(folder), *(Path(folder) / name for name in files)):
                os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
    os.chown(paths.administrator, owner.pw_uid, owner.pw_gid)


def _administrator(paths: RegionPaths, config: RegionConfig, owner: pwd.struct_passwd | None) -> None:
    """The first key of the region: random, readable by root and the control plane only."""
    if paths.administrator.exists():
        return
    from ..frontend.identity import unique_ids  # on the first start only

    keys = {
        "account": config.account,
        "access_key_id": unique_ids.unique_id(unique_ids.KEY, _random_bits),
        "secret_access_key": unique_ids.secret_access_key(_random_bits),
    }
    private_files.write(paths.administrator, json.dumps(keys).encode() + b"\n", owner)


def _random_bits(count: int) -> int:
    return int.from_bytes(os.urandom(-(-count // 8))) & (1 << count) - 1


def _master_key(paths: RegionPaths, owner: pwd.struct_passwd | None) -> None:
    """The first key that seals secrets. Never replaced: what it sealed would be lost."""
    if not paths.master_keys.exists():
        text = b"# Seals the secrets in the databases: keep a copy apart from theirs. To rotate, append a key.\n"
        private_files.write(paths.master_keys, text + base64.b64encode(os.urandom(32)) + b"\n", owner)
