"""How a node's proxy is spoken to: one line to one of its sockets, one answer. Bounded in time and size."""

import asyncio

from ...model.knobs import Knobs


class Unanswered(Exception):
    """The proxy is not there, or does not answer in time."""


class Control:
    def __init__(self, knobs: Knobs, api: str, master: str) -> None:
        self._knobs = knobs
        self._api = api
        self._master = master

    async def ask(self, line: str) -> str:
        """Of the process that serves now. Raises Unanswered."""
        return await self._ask(self._api, line)

    async def ask_master(self, line: str) -> str:
        return await self._ask(self._master, line)

    async def ask_worker(self, pid: int, line: str) -> str:
        """Of one that was replaced and still has connections."""
        return await self._ask(self._master, "; ".join(f"@!{pid} {command}" for command in line.split("; ")))

    async def _ask(self, path: str, line: str) -> str:
        try:
            async with asyncio.timeout(self._knobs.balancer_answer_s):
                reader, writer = await asyncio.open_unix_connection(path)
                try:
                    writer.write(line.encode() + b"\n")
                    writer.write_eof()
                    told = await reader.read(self._knobs.balancer_answer_max_bytes)
                    while len(told) < self._knobs.balancer_answer_max_bytes and (
                        more := await reader.read(self._knobs.balancer_answer_max_bytes - len(told))
                    ):
                        told += more
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError) as error:
            raise Unanswered(str(error) or "it does not answer in time") from None
        return told.decode(errors="replace")
