"""Which OCI runtime works on this machine as it is: crun (half the time per start), else runc.

Owns: one throw-away container per runtime, run with the limits that tasks get. Nothing of the machine is changed for
crun. Invariant: the answer is remembered below the run directory, which a reboot empties, so that an agent that
restarts does not run containers.
"""

import json
import os
import shutil
import subprocess
from typing import Any

_PROBE_TIMEOUT_S = 20.0
_RUNTIMES = ("crun", "runc")
# Directories that a program of the host needs to run; they are bound read-only into an otherwise empty root.
_PROGRAM_DIRECTORIES = ("/usr", "/bin", "/lib", "/lib64")


class NoRuntime(Exception):
    """Neither crun nor runc runs a container here. The message says why, for `doctor`."""


def probe_runtime(run_dir: str, cgroup_path: str) -> str:
    """The path of the first runtime that works; blocking. `cgroup_path` is one of the caller's own."""
    remembered = os.path.join(run_dir, "oci-runtime.json")
    candidates = [path for path in map(shutil.which, _RUNTIMES) if path is not None]
    key = [[path, os.stat(path).st_mtime_ns] for path in candidates]
    try:
        with open(remembered, encoding="utf-8") as file:
            known = json.load(file)
        if known["candidates"] == key and known["runtime"] in candidates:
            return str(known["runtime"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never probed since the reboot, or half written: probe
    failures: list[str] = []
    for path in candidates:
        failure = _try(path, run_dir, cgroup_path)
        if failure is None:
            with open(remembered + ".new", "w", encoding="utf-8") as file:
                json.dump({"candidates": key, "runtime": path, "failures": failures}, file)
            os.replace(remembered + ".new", remembered)
            return path
        failures.append(f"{path}: {failure}")
    raise NoRuntime("; ".join(failures) or "neither crun nor runc is installed: apt-get install crun runc")


def _try(program: str, run_dir: str, cgroup_path: str) -> str | None:
    bundle = os.path.join(run_dir, f"neargate-probe-{os.path.basename(program)}-{os.getpid()}")
    os.makedirs(os.path.join(bundle, "rootfs"), exist_ok=True)
    try:
        return run_throw_away(program, bundle, throw_away_spec(cgroup_path))
    finally:
        shutil.rmtree(bundle, ignore_errors=True)


def run_throw_away(program: str, bundle: str, spec: dict[str, Any]) -> str | None:
    """None when the runtime ran the container to its end, else the last line of what it said. The bundle is there."""
    name, state = os.path.basename(bundle), os.path.join(bundle, "state")
    try:
        with open(os.path.join(bundle, "config.json"), "w", encoding="utf-8") as file:
            json.dump(spec, file)
        command = [program, "--root", state, "run", "--bundle", bundle, name]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, stdin=subprocess.DEVNULL
        )
        if done.returncode == 0:
            return None
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    finally:
        subprocess.run(
            [program, "--root", state, "delete", "--force", name], capture_output=True, timeout=_PROBE_TIMEOUT_S
        )


def throw_away_spec(cgroup_path: str) -> dict[str, Any]:
    """Of a container that is root in a root of its own and does nothing."""
    binds = [
        {"destination": path, "type": "bind", "source": os.path.realpath(path), "options": ["bind", "ro"]}
        for path in _PROGRAM_DIRECTORIES
        if os.path.isdir(path)
    ]
    return {
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["/usr/bin/true"], "cwd": "/", "env": ["PATH=/usr/bin"]},
        "root": {"path": "rootfs", "readonly": False},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            # The root lies below /run, where Debian and Ubuntu allow no devices; a runtime opens the container's own.
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
            *binds,
        ],
        "linux": {
            "cgroupsPath": cgroup_path,
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")],
            "resources": {"memory": {"limit": 64 * 1024 * 1024}, "cpu": {"shares": 2}, "pids": {"limit": 64}},
        },
    }
