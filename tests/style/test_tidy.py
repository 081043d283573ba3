"""The project's own rules, each checked over the syntax trees of the package; a message names the replacement."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "neargate"
GENERATED = ("_pb2.py",)

# What only world.py may ask, and whom to ask instead. The command line (cli/) is not simulated and may ask the OS.
BANNED_CALLS = {
    "time.time": "world.now()",
    "time.time_ns": "world.now()",
    "time.monotonic": "world.monotonic()",
    "time.monotonic_ns": "world.monotonic()",
    "time.perf_counter": "world.monotonic()",
    "time.sleep": "await world.sleep()",
    "datetime.now": "world.now()",
    "datetime.utcnow": "world.now()",
    "datetime.today": "world.now()",
    "date.today": "world.now()",
    "random.random": "world.random",
    "random.randint": "world.random",
    "random.choice": "world.random",
    "random.getrandbits": "world.random",
    "random.SystemRandom": "world.random",
    "secrets.token_hex": "world.random",
    "secrets.token_bytes": "world.random",
    "os.urandom": "world.random",
    "uuid.uuid1": "model.ids.uuid4(world.random.getrandbits)",
    "uuid.uuid4": "model.ids.uuid4(world.random.getrandbits)",
    "asyncio.sleep": "world.sleep()",
    "asyncio.create_task": "world.spawn()",
    "asyncio.ensure_future": "world.spawn()",
    "asyncio.to_thread": "world.offload()",
    "asyncio.wait_for": "within() of world.py: Python 3.11's wait_for loses a cancellation that meets the result",
    "asyncio.as_completed": "asyncio.gather, whose order is the arguments'",
    "asyncio.all_tasks": "keep the task you spawned",
    "asyncio.run": "cli/, the composition root",
    "loop.run_in_executor": "world.offload()",
    "threading.Thread": "world.offload(), or hostnet's one thread per namespace",
    "threading.Timer": "world.sleep()",
    "os.fork": "cli/",
    "subprocess.run": "cli/, or an in-process call: no external command on the start path",
    "subprocess.Popen": "cli/",
    "atexit.register": "nothing: correctness never depends on a clean end",
}
# Places with a reason of their own to call one of these.
ALLOWED = {
    ("world.py", "*"),
    ("log.py", "*"),
    ("cli/", "*"),
    ("testing/", "subprocess.Popen"),  # the private registry of tests
    ("testing/", "time.monotonic"),  # waiting for that registry
    ("testing/", "time.sleep"),
    ("testing/sim/world.py", "asyncio.sleep"),  # the simulator's World is made of the loop's timers
    ("testing/sim/batch.py", "os.fork"),  # a child per seed: what was killed there must never be collected
    ("testing/", "subprocess.run"),  # which applets busybox has
    ("testing/", "asyncio.run"),  # rigs are composition roots of unit tests
    ("testing/", "asyncio.all_tasks"),  # a rig that drops a process has to find what it spawned
    ("testing/virtual_time.py", "asyncio.sleep"),  # a World of its own
    ("testing/fake_", "asyncio.sleep"),  # a turn of the loop, or a programmed hang
    ("testing/stepping.py", "asyncio.sleep"),  # turns of the loop
    ("hostnet/", "threading.Thread"),  # one dedicated thread per network namespace (a namespace is a thread's)
    ("hostnet/uplink/legacy.py", "subprocess.run"),  # iptables-legacy, where it has rules that drop ours
    ("hostnet/uplink/pasta.py", "subprocess.Popen"),  # pasta: of the uplink, never of a task's start
    ("hostnet/proxy_process.py", "subprocess.Popen"),  # HAProxy: of a load balancer's node, never of a task's start
    ("hostnet/proxy_process.py", "subprocess.run"),  # whether HAProxy takes its files
    ("hostnet/disks", "subprocess.run"),  # mkfs.ext4, once per size, for the template
    ("hostnet/user_namespaces.py", "subprocess.Popen"),  # who makes one must have no second thread: 1 ms of a start
    ("store/writing_process.py", "threading.Thread"),  # a process of its own, without a World: one thread per database
    ("sandbox/", "threading.Thread"),  # a pull inside a task's network namespace
    ("sandbox/runtime_probe.py", "subprocess.run"),  # which OCI runtime works here, once per start
    ("sandbox/microvm/packing.py", "subprocess.run"),  # mkfs.erofs, once per image and host
    ("sandbox/microvm/confinement.py", "subprocess.Popen"),  # a machine's monitor, whose confinement is a program
    ("sandbox/microvm/qemu_program.py", "subprocess.run"),  # QEMU's version and libraries, once per start
    ("sandbox/shim_process.py", "subprocess.run"),  # the next task's shim, between launches
}
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70


@functools.cache
def trees() -> dict[str, ast.Module]:
    files = sorted(p for p in PACKAGE.rglob("*.py") if not p.name.endswith(GENERATED))
    return {str(p.relative_to(PACKAGE)): ast.parse(p.read_text()) for p in files}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of each call, names imported with `from x import y` given back their module."""
    origin = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            yield node.lineno, origin.get(name, name)


def allowed(file: str, call: str) -> bool:
    return any(file.startswith(place) and what in ("*", call) for place, what in ALLOWED)


def test_only_the_world_asks_the_operating_system() -> None:
    found = []
    for file, tree in trees().items():
        for line, name in calls(tree):
            banned = name.removeprefix("datetime.") if name.count(".") > 1 else name
            if banned in BANNED_CALLS and not allowed(file, banned):
                found.append(f"{file}:{line}: {banned}() is banned; use {BANNED_CALLS[banned]}")
    assert not found, "\n".join(found)


# Who takes a new task's handle where it is made: asyncio itself holds tasks weakly, and one that nobody holds is
# garbage in the middle of its work.
HOLDS_ITS_TASKS = {
    "world.py",
    "testing/virtual_time.py",
    "testing/sim/world.py",  # its loop keeps them
    "sandbox/pull/share.py",
    "frontend/http_protocol.py",
    "cli/agent.py",  # the program itself
}


def loses_tasks(file: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        called, of = node.func.attr, ast.unparse(node.func.value)
        is_loops = of.endswith(("loop", "get_running_loop()", "get_event_loop()"))
        if called in ("create_task", "run_coroutine_threadsafe") and is_loops and file not in HOLDS_ITS_TASKS:
            yield f"{file}:{node.lineno}: a task that nobody holds may be collected; use world.spawn() or a TaskGroup"
        if called in ("start_server", "start_unix_server"):
            serve = node.args[0] if node.args else None
            if not (isinstance(serve, ast.Call) and dotted(serve.func) == "held"):
                yield f"{file}:{node.lineno}: a quiet connection's task may be collected; serve with held() of world.py"


def test_no_task_is_made_that_nobody_holds() -> None:
    found = [line for file, tree in trees().items() for line in loses_tasks(file, tree)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "asyncio.get_running_loop().create_task(work())",
        "self._loop.create_task(work())",
        "await asyncio.start_server(self._serve, sock=listener)",
        "asyncio.start_unix_server(serve, path)",
    ],
)
def test_the_check_sees_a_task_that_nobody_holds(source: str) -> None:
    assert list(loses_tasks("agent/agent.py", ast.parse(source)))


@pytest.mark.parametrize("source", ["group.create_task(work())", "await asyncio.start_server(held(serve), sock=one)"])
def test_the_check_lets_through_what_is_held(source: str) -> None:
    assert not list(loses_tasks("agent/agent.py", ast.parse(source)))


def test_files_are_pages() -> None:
    lengths = {file: len((PACKAGE / file).read_text().splitlines()) for file in trees()}
    long = {file: lines for file, lines in lengths.items() if lines > FILE_LINES_MAX}
    assert not long, f"look for the missing idea in {long}"


def test_functions_are_paragraphs() -> None:
    long = [
        f"{file}:{node.lineno} {node.name}: {(node.end_lineno or 0) - node.lineno + 1} lines"
        for file, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert not long, "\n".join(long)


def test_every_module_says_what_it_is_for() -> None:
    silent = [file for file, tree in trees().items() if tree.body and not ast.get_docstring(tree)]
    assert not silent, f"no module docstring: {silent}"


def test_imports_inside_the_package_are_relative() -> None:
    """Two releases can then be loaded side by side."""
    absolute = [
        f"{file}:{node.lineno}"
        for file, tree in trees().items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "neargate")
        or (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "neargate" for alias in node.names))
    ]
    assert not absolute, absolute


def test_no_class_costs_every_process_its_methods_when_it_starts() -> None:
    eager = [
        f"{file}:{node.lineno}: a msgspec.Struct is made fifty times faster than a dataclass"
        for file, tree in trees().items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.ImportFrom) and node.module == "dataclasses" and not node.level)
        or (isinstance(node, ast.Import) and "dataclasses" in {alias.name for alias in node.names})
    ]
    assert not eager, "\n".join(eager)


SECRET_NAMES = re.compile(r"secret(_access_key)?|password|session_token")


def test_no_text_of_an_object_shows_a_secret() -> None:
    """What has a field named as one is a `Concealed`."""
    shown = [
        f"{file}:{node.lineno}: {node.name}.{field.target.id}"
        for file, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and "Concealed" not in {getattr(base, "id", None) for base in node.bases}
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if SECRET_NAMES.fullmatch(field.target.id)
    ]
    assert not shown, "\n".join(shown)


def test_no_import_hides_in_a_function() -> None:
    """Outside the command line, where each command loads only what it needs."""
    hidden = [
        f"{file}:{inner.lineno}"
        for file, tree in trees().items()
        if not file.startswith("cli/")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert not hidden, hidden


def test_no_module_keeps_state() -> None:
    """Two incarnations of a process share the module under the simulator: nothing mutable may live there.

    Constants are UPPER_CASE or typed Final and never changed; what is banned is `global` and lower-case containers.
    """
    found = []
    for file, tree in trees().items():
        for node in ast.walk(tree):
            found += [f"{file}: global {name}" for name in (node.names if isinstance(node, ast.Global) else ())]
        for statement in tree.body:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            if isinstance(statement, ast.AnnAssign):
                targets = [statement.target]
            value = getattr(statement, "value", None)
            mutable = isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp)
            found += [
                f"{file}:{statement.lineno}: {target.id} is a mutable module variable"
                for target in targets
                if mutable and isinstance(target, ast.Name) and not target.id.lstrip("_").isupper()
            ]
    assert not found, "\n".join(found)


def test_nothing_is_left_unfinished() -> None:
    words = ("TODO", "FIXME", "XXX", "NotImplementedError")
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for folder in ("src", "scripts", "bench")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and path.suffix in ("", ".py", ".sql", ".proto")
        for word in words
        if word in path.read_text(errors="replace")
    ]
    assert not found, found


def test_the_check_of_calls_sees_a_wait_that_loses_cancellations() -> None:
    found = {name for _, name in calls(ast.parse("import asyncio\nawait asyncio.wait_for(work(), 1)"))}
    assert "asyncio.wait_for" in found & BANNED_CALLS.keys()


@pytest.mark.parametrize("source", ["import time\ntime.sleep(1)", "from time import sleep\nsleep(1)"])
def test_the_check_sees_both_forms_of_a_call(source: str) -> None:
    assert [name for _, name in calls(ast.parse(source))] == ["time.sleep"]
