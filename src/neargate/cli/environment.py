"""`neargate env` and `neargate aws`: the region's endpoint and keys for AWS clients. Writes no file of the user's."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import config as configs
from .paths import RegionPaths
from .problems import Problem


def variables(paths: RegionPaths) -> dict[str, str]:
    """What an AWS client needs in its environment. The keys are the administrator's."""
    config = configs.load(paths)
    try:
        keys = json.loads(paths.administrator.read_text())
    except PermissionError:
        raise Problem(f"{paths.administrator} cannot be read by this user; run as root") from None
    except (OSError, ValueError) as error:
        raise Problem(f"{paths.administrator} is damaged ({error}); restore it from a backup") from None
    return {
        "AWS_ENDPOINT_URL": config.endpoint,
        "AWS_REGION": config.region,
        "AWS_DEFAULT_REGION": config.region,
        # Live tails are asked of stream-NAME on AWS: the endpoint has one name, and that may be a number.
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        "AWS_ACCESS_KEY_ID": keys["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": keys["secret_access_key"],
    }


def exports(paths: RegionPaths) -> str:
    """Shell lines for `eval`. Other credentials in the environment would win over these keys, so they are unset."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables(paths).items()]
    return "\n".join([*lines, "unset AWS_SESSION_TOKEN AWS_PROFILE"])


def before_typing() -> list[str]:
    """What the user's own shell lacks for the commands that are shown: root, who may read the keys, and the command."""
    lines = ["sudo -s"] if os.environ.get("SUDO_USER", "root") != "root" else []
    folder = Path(sys.executable).parent
    if shutil.which("neargate") is None and (folder / "neargate").exists():
        lines.append(f"export PATH={shlex.quote(str(folder))}:$PATH")
    return lines


def warning() -> str | None:
    """A sentence when the `aws` on PATH is too old to honour AWS_ENDPOINT_URL: it would call real AWS."""
    program = aws_program()
    if program is None:
        return "no aws command found; install it with: apt-get install awscli (or pip install awscli)"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"aws-cli/(\d+)\.(\d+)", said.stdout + said.stderr)
    if found is None:
        return None
    version = int(found[1]), int(found[2])
    needed = (2, 13) if version[0] >= 2 else (1, 29)
    if version < needed:
        return (
            f"{program} is {version[0]}.{version[1]}, which ignores AWS_ENDPOINT_URL (needs {needed[0]}.{needed[1]}) "
            "and would call real AWS: use `neargate aws ...`, which passes --endpoint-url"
        )
    return None


def aws_program() -> str | None:
    """The aws command: the one on PATH, else the one installed beside Neargate."""
    beside = Path(sys.executable).parent / "aws"
    return shutil.which("aws") or (str(beside) if beside.exists() else None)


def run_aws(paths: RegionPaths, arguments: list[str]) -> int:
    """The aws command with the endpoint passed, whatever its age. Returns its exit status."""
    program = aws_program()
    if program is None:
        raise Problem("no aws command found; install it with: apt-get install awscli")
    chosen = variables(paths)
    environment = {
        name: value for name, value in os.environ.items() if name not in ("AWS_SESSION_TOKEN", "AWS_PROFILE")
    }
    environment.update(chosen, AWS_PAGER="")
    return subprocess.run(
        [program, "--endpoint-url", chosen["AWS_ENDPOINT_URL"], *arguments], env=environment, check=False
    ).returncode


def aws_json(paths: RegionPaths, *arguments: str) -> dict[str, Any]:
    """One aws call whose JSON answer is wanted. Problem with the client's own words when it fails."""
    program = aws_program()
    if program is None:
        raise Problem("no aws command found; install it with: apt-get install awscli")
    chosen = variables(paths)
    done = subprocess.run(
        [program, "--endpoint-url", chosen["AWS_ENDPOINT_URL"], "--output", "json", *arguments],
        env={**os.environ, **chosen, "AWS_PAGER": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Problem(f"aws {' '.join(arguments[:2])} failed: {done.stderr.strip()}")
    answer: dict[str, Any] = json.loads(done.stdout or "{}")
    return answer
