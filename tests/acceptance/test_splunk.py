"""A task's lines at an event collector in the region: the token comes out of a secret that its execution role may read.

The collector is the test's own, in the network of a task, so that lines travel from task to task.
"""

import http.server
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from neargate.cli import processes
from neargate.testing.fake_splunk import EventBook
from neargate.testing.netlab import listener_in

from .region import LiveRegion, wait_for

TOKEN = "7d1ffb9c-4f2f-4f0e-a3fd-b9f9f1d2a5c3"
PORT = 8088
ROLE = "hec-execution"
FAILED = "ResourceInitializationError: failed to initialize logging driver: "


@dataclass
class Scene:
    """`sources`: addresses that posted. `secret`: ARN of the token's."""

    region: LiveRegion
    book: EventBook
    sources: set[str]
    address: str
    secret: str

    def definition(self, script: str, *, port: int = PORT, secret: str = "") -> str:
        return self.region.register(
            {
                "command": ["sh", "-c", script],
                "stopTimeout": 2,
                "logConfiguration": {
                    "logDriver": "splunk",
                    "options": {
                        "splunk-url": f"http://{self.address}:{port}",
                        "splunk-sourcetype": "shop",
                        "splunk-gzip": "true",
                        "tag": "{{.Name}}",
                    },
                    "secretOptions": [{"name": "splunk-token", "valueFrom": secret or self.secret}],
                },
            },
            executionRoleArn=f"arn:aws:iam::123456789012:role/{ROLE}",
        )


@pytest.fixture(scope="module")
def scene(region: LiveRegion) -> Iterator[Scene]:
    region.task_role(ROLE)
    secret = region.client("secretsmanager").create_secret(Name="shop/hec", SecretString=TOKEN)["ARN"]
    region.client("iam").put_role_policy(
        RoleName=ROLE,
        PolicyName="hec",
        PolicyDocument='{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "arn:aws:secretsmanager'
        ':*:*:secret:shop/*", "Action": "secretsmanager:GetSecretValue"}]}',
    )
    host = region.run(region.register({"command": ["sleep", "600"], "stopTimeout": 2}))
    try:
        address = _address(region.wait_status(host, "RUNNING"))
        netns = region.paths.run / "net" / "netns" / f"task-{host.rpartition('/')[2]}"
        book, sources = EventBook(TOKEN), set[str]()
        server = _serve(str(netns), address, book, sources)
        yield Scene(region=region, book=book, sources=sources, address=address, secret=secret)
        server.shutdown()
        server.server_close()
    finally:
        region.stop(host)
        region.wait_status(host, "STOPPED")


def test_lines_arrive_with_the_token_out_of_a_secret_whatever_becomes_of_the_agent(scene: Scene) -> None:
    definition = scene.definition("echo oops >&2; n=0; while true; do n=$((n+1)); echo line $n; sleep 0.2; done")
    shown = scene.region.ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]
    secret_options = shown["containerDefinitions"][0]["logConfiguration"]["secretOptions"]
    assert secret_options == [{"name": "splunk-token", "valueFrom": scene.secret}]
    arn = scene.region.run(definition)
    task = scene.region.wait_status(arn, "RUNNING")
    wait_for("the lines", lambda: {"line 1", "line 2", "oops"} <= set(scene.book.lines()))
    before = _numbers(scene.book)[-1]
    agent = processes.find(scene.region.paths.pid_file("agent"))
    assert agent is not None
    os.kill(agent.pid, signal.SIGKILL)
    wait_for("lines after it", lambda: _numbers(scene.book)[-1] > before + 5)
    numbers = list(dict.fromkeys(_numbers(scene.book)))
    assert numbers == list(range(1, len(numbers) + 1)), "each at least once, in order"
    assert scene.sources == {_address(task)}
    event = scene.book.events[0]
    assert (event["sourcetype"], event["event"]["tag"]) == ("shop", "c0")
    said = [scene.region.command(verb, arn) for verb in ("logs", "why")]
    told = "".join(done.stdout + done.stderr for done in said)
    assert "collector of splunk's" in told and "splunk, at its collector" in told
    scene.region.stop(arn)
    scene.region.wait_status(arn, "STOPPED")
    paths = scene.region.paths
    assert TOKEN not in told and _files_with(TOKEN, paths.agent, paths.databases, paths.logs) == []


def test_what_cannot_be_reached_or_read_stops_the_task_in_the_words_of_aws(scene: Scene) -> None:
    nobody = scene.region.run(scene.definition("true", port=PORT + 1))
    elsewhere = "arn:aws:secretsmanager:us-east-1:123456789012:secret:other-AbCdEf"
    unread = scene.region.run(scene.definition("true", secret=elsewhere))
    stopped = [scene.region.wait_status(arn, "STOPPED") for arn in (nobody, unread)]
    assert [task["stopCode"] for task in stopped] == ["TaskFailedToStart"] * 2
    where = f"{scene.address}:{PORT + 1}"
    assert stopped[0]["stoppedReason"] == (
        f'{FAILED}Options "http://{where}/services/collector/event/1.0": dial tcp {where}: connect: connection refused'
    )
    assert stopped[1]["stoppedReason"].startswith(
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: "
        "unable to retrieve secret from asm: service call has been retried 1 time(s): "
        f"failed to fetch secret {elsewhere} from secrets manager: "
    )
    assert "AccessDeniedException" in stopped[1]["stoppedReason"]


def _serve(netns: str, address: str, book: EventBook, sources: set[str]) -> http.server.ThreadingHTTPServer:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            named = {name.lower(): value for name, value in self.headers.items()}
            status, text, code = book.receive(self.command, named, body)
            answer = f'{{"text":"{text}","code":{code}}}'.encode()
            if self.command == "POST" and status == http.HTTPStatus.OK:
                sources.add(self.client_address[0])
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_OPTIONS = do_POST  # noqa: N815 - the library's name

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer((address, PORT), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener_in(netns, address, PORT)
    server.socket.setblocking(True)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,)).start()
    return server


def _numbers(book: EventBook) -> list[int]:
    return [int(line.partition(" ")[2]) for line in book.lines() if line.startswith("line ")]


def _address(task: dict[str, Any]) -> str:
    details = {item["name"]: item["value"] for item in task["attachments"][0]["details"]}
    return str(details["privateIPv4Address"])


def _files_with(text: str, *roots: Any) -> list[str]:
    files = [path for root in roots for path in root.rglob("*") if path.is_file()]
    return [str(path) for path in files if text.encode() in path.read_bytes()]
