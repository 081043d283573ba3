"""What an executed process said is kept whole, in whatever order the shim opens and closes its ends."""

import asyncio
import os
from pathlib import Path

from neargate.sandbox.execution import _Output


def test_the_first_stream_ends_before_the_second_is_opened(tmp_path: Path) -> None:
    path = str(tmp_path / "fifo")

    async def story() -> bytes:
        output = _Output(path, 4096)
        try:
            for said in (b"1000\n", b"b\n"):
                stream = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
                os.write(stream, said)
                os.close(stream)
                for _ in range(3):  # the loop sees what is readable, and the end if it took this for one
                    await asyncio.sleep(0)
            output.begun()
            await output.drained()
            return output.kept
        finally:
            output.close()

    assert asyncio.run(story()) == b"1000\nb\n"
    assert os.listdir(tmp_path) == []


def test_the_output_ends_with_its_last_writer(tmp_path: Path) -> None:
    path = str(tmp_path / "fifo")

    async def story() -> tuple[bool, bytes]:
        output = _Output(path, 3)
        try:
            stream = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            output.begun()
            ending = asyncio.ensure_future(output.drained())
            os.write(stream, b"abcdef")
            for _ in range(3):
                await asyncio.sleep(0)
            early = ending.done()
            os.close(stream)
            await ending
            return early, output.kept
        finally:
            output.close()

    assert asyncio.run(story()) == (False, b"abc")
