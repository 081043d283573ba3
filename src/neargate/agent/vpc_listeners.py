"""What the agent serves inside each VPC's router: task metadata, the region's endpoint and the resolver of names.

And the region's API at the addresses of its interface endpoints. Invariant: one listener of an address per VPC and
process; after a restart of the agent they are opened again, and those of a VPC that is needed no longer are closed.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from ..interfaces.hostnet import HostNetwork
from ..model.knobs import Knobs
from ..model.network import REGION_ENDPOINT_ADDRESS, RESOLVER_ADDRESS, TASK_METADATA_ADDRESS, PlannedEndpoint
from ..world import Serve, held
from .endpoint_proxy import EndpointProxy
from .guests import Guests
from .metadata.endpoint import Metadata, MetadataServer
from .names import resolver
from .names.resolver import Resolver

METADATA_PORT = 80


class VpcListeners:
    """`api_socket`: where the region's API takes what is handed on; tasks reach it at `api_port`.

    `resolver_of`: makes a VPC's own.
    """

    def __init__(
        self,
        knobs: Knobs,
        network: HostNetwork,
        metadata: Metadata,
        api_socket: str,
        api_port: int,
        resolver_of: Callable[[str], Resolver],
    ) -> None:
        self._knobs = knobs
        self._network = network
        self._metadata = metadata
        self._api_socket = api_socket
        self._api_port = api_port
        self._resolver_of = resolver_of
        self._resolvers: dict[str, Resolver] = {}
        self._proxied = Guests(each_max=knobs.proxy_connections_per_task, all_max=knobs.proxy_connections_max)
        self._servers: dict[tuple[str, str], asyncio.Server] = {}
        self._datagrams: dict[str, socket.socket] = {}
        self._connections: dict[str, set[asyncio.StreamWriter]] = {}  # by VPC, accepted and not yet ended
        self._endpoints: dict[str, dict[PlannedEndpoint, tuple[asyncio.Server, EndpointProxy]]] = {}

    async def open(self, vpc_id: str, endpoints: Sequence[PlannedEndpoint] = ()) -> None:
        """Repeatable; endpoints that are not among these are served no longer. Raises HostError, OSError."""
        await self._listen(vpc_id, TASK_METADATA_ADDRESS, METADATA_PORT)
        await self._listen(vpc_id, REGION_ENDPOINT_ADDRESS, self._api_port)
        await self._listen(vpc_id, RESOLVER_ADDRESS, resolver.PORT)
        if vpc_id not in self._datagrams:
            bound = await self._network.listen(vpc_id, RESOLVER_ADDRESS, resolver.PORT, datagrams=True)
            answer = self._resolver(vpc_id).answer_datagrams
            asyncio.get_running_loop().add_reader(bound.fileno(), answer, bound)
            self._datagrams[vpc_id] = bound

        await self._serve_endpoints(vpc_id, endpoints)

    async def _serve_endpoints(self, vpc_id: str, endpoints: Sequence[PlannedEndpoint]) -> None:
        """By interface: the groups of an endpoint are the rule set's to look at."""
        served = self._endpoints.setdefault(vpc_id, {})
        wanted = {replace(one, security_groups=()) for one in endpoints}
        for gone in [one for one in served if one not in wanted]:
            server, proxy = served.pop(gone)
            server.close()
            proxy.end()
        for one in wanted:
            if one not in served:
                listener = await self._network.listen(vpc_id, one.private_ipv4, self._api_port)
                proxy = EndpointProxy(self._knobs, vpc_id, self._proxied, self._api_socket, one.endpoint_id)
                limit = self._knobs.metadata_request_max_bytes
                served[one] = await asyncio.start_server(held(proxy.serve), sock=listener, limit=limit), proxy

    async def close(self, vpc_id: str) -> None:
        """Of a VPC without tasks. What a task left connected ends with it: a socket keeps its router's namespace."""
        await self._serve_endpoints(vpc_id, ())
        del self._endpoints[vpc_id]
        bound = self._datagrams.pop(vpc_id, None)
        if bound is not None:
            asyncio.get_running_loop().remove_reader(bound.fileno())
            bound.close()
        for key in [key for key in self._servers if key[0] == vpc_id]:
            self._servers.pop(key).close()
        for writer in list(self._connections.get(vpc_id, ())):
            writer.transport.abort()
        self._resolvers.pop(vpc_id, None)

    async def _listen(self, vpc_id: str, address: str, port: int) -> None:
        if (vpc_id, address) in self._servers:
            return
        serve = self._known(vpc_id, self._server(vpc_id, address))
        listener = await self._network.listen(vpc_id, address, port)
        limit = self._knobs.metadata_request_max_bytes
        self._servers[vpc_id, address] = await asyncio.start_server(held(serve), sock=listener, limit=limit)

    def _known(self, vpc_id: str, serve: Serve) -> Serve:
        """The same, with each connection where `close` finds it."""

        async def known(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            open_now = self._connections.setdefault(vpc_id, set())
            open_now.add(writer)
            try:
                await serve(reader, writer)
            finally:
                open_now.discard(writer)
                if not open_now and self._connections.get(vpc_id) is open_now:
                    del self._connections[vpc_id]

        return known

    def _server(self, vpc_id: str, address: str) -> Serve:
        if address == TASK_METADATA_ADDRESS:
            return MetadataServer(self._knobs, self._metadata, vpc_id).serve
        if address == RESOLVER_ADDRESS:
            return self._resolver(vpc_id).serve
        return EndpointProxy(self._knobs, vpc_id, self._proxied, self._api_socket).serve

    def _resolver(self, vpc_id: str) -> Resolver:
        if vpc_id not in self._resolvers:
            self._resolvers[vpc_id] = self._resolver_of(vpc_id)
        return self._resolvers[vpc_id]
