"""Flow log records on their way to the server: said again until they are stored, given up when refused for good."""

from collections.abc import Awaitable, Callable

from neargate.agent.channels.bulk import BulkClient
from neargate.agent.flow_logs.sender import FlowSender
from neargate.link.host_identity import HostKey
from neargate.model.flow_logs import FlowLogBatch
from neargate.model.knobs import Knobs
from neargate.testing.fake_link_server import FakeLinkServer
from neargate.testing.virtual_time import VirtualWorld, run_virtual

BATCH = FlowLogBatch(
    flow_log_id="fl-0123456789abcdef0", eni_id="eni-0123456789abcdef0", number=1, events=((1_750_000_000_000, "2 -"),)
)
NEXT = FlowLogBatch(flow_log_id=BATCH.flow_log_id, eni_id=BATCH.eni_id, number=2, events=((1_750_000_060_000, "2 -"),))


def sent(scenario: Callable[[FakeLinkServer, FlowSender], Awaitable[None]]) -> tuple[FakeLinkServer, list[str]]:
    """The server after the scenario, and what the agent noted."""
    notes: list[str] = []
    server, key = FakeLinkServer(), HostKey(bytes(32))
    server.public_key = key.public

    async def main() -> None:
        world = VirtualWorld()
        bulk = BulkClient(world, Knobs(), server, "h-1", key)
        running = world.spawn(bulk.run(), "bulk")
        await scenario(server, FlowSender(world, Knobs(), bulk, notes.append))
        running.cancel()

    run_virtual(main())
    return server, notes


def test_batches_reach_the_server_in_their_order_under_one_counter() -> None:
    async def scenario(_: FakeLinkServer, sender: FlowSender) -> None:
        await sender.append_flows(BATCH)
        await sender.append_flows(NEXT)

    server, notes = sent(scenario)
    assert [batch for _, batch in server.flows] == [BATCH, NEXT]
    assert len({counter for counter, _ in server.flows}) == 1 and notes == []


def test_a_batch_that_nobody_answered_is_said_again_with_its_number() -> None:
    async def scenario(server: FakeLinkServer, sender: FlowSender) -> None:
        server.flow_answers = [None]
        await sender.append_flows(BATCH)

    server, _ = sent(scenario)
    assert len(server.flows) == 2 and server.flows[0] == server.flows[1]


def test_a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not() -> None:
    async def scenario(server: FakeLinkServer, sender: FlowSender) -> None:
        server.flow_answers = [
            ("ServiceUnavailableException", "later"),
            ("ThrottlingException", "Rate exceeded"),
            ("AccessDeniedException", "Access error"),
        ]
        await sender.append_flows(BATCH)
        await sender.append_flows(NEXT)

    server, notes = sent(scenario)
    assert [batch.number for _, batch in server.flows] == [1, 1, 1, 2]
    assert "ServiceUnavailableException: later" in notes[0] and BATCH.flow_log_id in notes[0]


def test_a_batch_waits_for_a_server_that_is_down() -> None:
    async def scenario(server: FakeLinkServer, sender: FlowSender) -> None:
        server.flow_answers = [None]
        server.drop()
        await sender.append_flows(BATCH)

    server, _ = sent(scenario)
    assert server.flows[-1][1] == BATCH


def test_a_batch_that_ends_every_connection_is_given_up() -> None:
    """As a server of an earlier release does, which does not know the message."""

    async def scenario(server: FakeLinkServer, sender: FlowSender) -> None:
        server.cuts_flows = True
        await sender.append_flows(BATCH)
        server.cuts_flows = False
        await sender.append_flows(NEXT)

    server, notes = sent(scenario)
    assert [batch.number for _, batch in server.flows] == [1] * Knobs().flow_losses_max + [2]
    assert notes == [f"records of {BATCH.flow_log_id} and {BATCH.eni_id} are given up: 20 connections were lost"]
