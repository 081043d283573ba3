"""What recording costs a call: a RunTask with its answer, from the note on the call's path to the row in the database.

One thread's CPU time and that of the lanes behind it; SQLite on disk. The share is of the CPU that a RunTask costs in
all, as `run_task_rate` finds it (calls per CPU-second of the server).
"""

import asyncio
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from neargate.frontend.call import Principal, RawBody
from neargate.frontend.record.recorder import CallRecorder
from neargate.frontend.record.seen import SeenCall
from neargate.model.knobs import Knobs
from neargate.store.sqlite import SqliteStores
from neargate.trail.store import Trail
from neargate.wire.shapes import Models
from neargate.world import OsWorld

from .figures import Figure, Load

ROUNDS = 7
CALLS = 2_000
COMMAND = "python -m bench record_cost"
ACCOUNT, REGION = "123456789012", "us-east-1"
WHO = Principal(
    account=ACCOUNT,
    arn=f"arn:aws:iam::{ACCOUNT}:user/administrator",
    user_id="AIDAEXAMPLEEXAMPLE000",
    access_key_id="AKIAIOSFODNN7EXAMPLE",
    is_administrator=True,
)
REQUEST: dict[str, Any] = {
    "taskDefinition": "bench-1",
    "launchType": "FARGATE",
    "networkConfiguration": {
        "awsvpcConfiguration": {"subnets": ["subnet-0123456789abcdef0"], "securityGroups": ["sg-0123456789abcdef0"]}
    },
}


def measure() -> list[Figure]:
    with Load() as load:
        on_path, whole, size = asyncio.run(_measure())
    return [
        Figure(
            name="record of a RunTask, CPU",
            value=median(whole),
            unit="us",
            against=f"nothing; {CALLS} calls in a row, {ROUNDS} rounds, document, packing and commit together",
            samples={"whole_us": whole, "on_the_calls_path_us": on_path},
            notes=[f"{median(on_path):.1f} us of it before the caller has the answer; {size} bytes a call on the disk"],
            load=load.busy,
            command=COMMAND,
        )
    ]


async def _measure() -> tuple[list[float], list[float], int]:
    """CPU microseconds of a call on its path and in all, a value a round; bytes that a call takes."""
    world, knobs = OsWorld(), Knobs()
    on_path, whole = [], []
    with tempfile.TemporaryDirectory() as directory:
        stores = SqliteStores(world, Path(directory), knobs)
        trail = await Trail.open(world, stores, knobs, REGION)
        recorder = CallRecorder(world, trail, Models(), knobs, REGION)
        for turn in range(ROUNDS + 1):
            calls = [_call(turn * CALLS + number) for number in range(CALLS)]
            begun = time.process_time()
            for call in calls:
                recorder.record(call)
            noted = time.process_time()
            await trail.flush()
            written = time.process_time()
            if turn > 0:  # the first compiles
                on_path.append((noted - begun) / CALLS * 1e6)
                whole.append((written - begun) / CALLS * 1e6)
        await stores.close()
        size = (Path(directory) / "trail.sqlite3").stat().st_size // (CALLS * (ROUNDS + 1))
    return on_path, whole, size


def _call(number: int) -> SeenCall:
    answer = _answer(number)
    return SeenCall(
        request_id=f"{number:036d}",
        source_ip="127.0.0.1",
        user_agent="Boto3/1.40.0 md/Botocore#1.40.0 ua/2.1 os/linux#6.1 md/arch#x86_64 lang/python#3.11",
        service="ecs",
        operation="RunTask",
        principal=WHO,
        params=REQUEST,
        params_size=200,
        asked=[f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/bench-1:1"],
        answer=answer,
        answer_size=len(answer),
    )


def _answer(number: int) -> RawBody:
    task = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/default/{number:032x}"
    document = {
        "attachments": [{"id": "0" * 36, "type": "ElasticNetworkInterface", "status": "PRECREATED", "details": []}],
        "availabilityZone": "us-east-1a",
        "clusterArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/default",
        "connectivity": "CONNECTED",
        "containers": [{"name": "c", "image": "busybox", "taskArn": task, "lastStatus": "PENDING", "cpu": "0"}],
        "cpu": "256",
        "memory": "512",
        "createdAt": 1_795_300_000.1,
        "desiredStatus": "RUNNING",
        "lastStatus": "PROVISIONING",
        "group": "family:bench-1",
        "launchType": "FARGATE",
        "overrides": {"containerOverrides": [{"name": "c"}], "inferenceAcceleratorOverrides": []},
        "platformVersion": "1.4.0",
        "taskArn": task,
        "taskDefinitionArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/bench-1:1",
        "version": 1,
        "ephemeralStorage": {"sizeInGiB": 20},
    }
    return RawBody(json.dumps({"failures": [], "tasks": [document]}).encode())
