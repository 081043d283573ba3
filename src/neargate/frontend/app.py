"""The front end as one function: a request's bytes in, an answer's bytes out, whatever the bytes are.

`FrontEnd._serve` is the whole path of a request in order. Owns no state but compiled codecs. Must not know of sockets.
Invariant: every answer is in the caller's protocol; a 500 is a bug of ours, logged with the request id.
"""

from collections.abc import Mapping

import msgspec

from ..interfaces.store import Overloaded
from ..log import get_logger
from ..model.bugs import told
from ..model.errors import AwsError, UnsupportedFeature
from ..model.ids import uuid4
from ..model.knobs import Knobs
from ..wire.content import InflatedTooLarge, inflated
from ..wire.shapes import Models
from ..wire.sigv4 import Problem, SignatureRefused, SignedRequest, Verifier
from ..world import World
from .authorize import confirm_asked
from .call import Answer, Call, Params, Principal
from .callers.authenticate import Authenticator, AuthMode
from .callers.forwarded import seen_by_proxy
from .callers.principals import KeyRing
from .errors import (
    EC2,
    JSON,
    QUERY,
    Fault,
    RequestEntityTooLarge,
    RequestRefused,
    Response,
    fault_of,
    fault_response,
    internal_fault,
    signature_fault,
)
from .limits.limits import Limits, throttled
from .network.endpoints.entrances import Entrances, Via
from .protocols import OperationCodec, Protocols
from .record.counts import RequestCounts
from .record.seen import NoRecord, Recorder, SeenCall
from .regional.looking import CALLERS, SecondLook
from .routing import TABLES, Route, Router, Tables, invalid_action
from .services import Operation, Services

HEALTH_PATH = b"/_neargate/health"

OperationTable = Mapping[str, Mapping[str, Operation]]  # service -> operation name -> function


class FrontEnd:
    """One region's API. `handle` never raises."""

    def __init__(
        self,
        *,
        world: World,
        region: str,
        knobs: Knobs,
        models: Models,
        services: Services,
        operations: OperationTable,
        credentials: KeyRing,
        auth: AuthMode = AuthMode.ENFORCE,
        known_hosts: frozenset[str] = frozenset(),
        limits: Limits | None = None,
        tables: Tables = TABLES,
        recorder: Recorder | None = None,
        tls_proxy: bool = False,
        second_look: SecondLook | None = None,
    ) -> None:
        """`tls_proxy`: one on this machine ends TLS; what its headers say of a call is believed.

        Without `limits` nobody is throttled, without `recorder` nothing is recorded: for tests of other things.
        """
        self._tls_proxy = tls_proxy
        self._second_look = second_look
        self._recorder = recorder or NoRecord()
        self.requests = RequestCounts(operations)
        self._limits = limits
        self._world = world
        self._region = region
        self._knobs = knobs
        self._services = services
        self._entrances = Entrances(lambda: services.network)
        self._operations = operations
        self._protocols = Protocols(models)
        self._router = Router(tables, lambda: models.uri_index(tables.rest))
        self._authenticator = Authenticator(
            mode=auth,
            keys=credentials,
            verifier=Verifier(region=region, clock_skew_max_s=knobs.clock_skew_max_s),
            known_hosts=known_hosts,
        )
        self._log = get_logger(__name__)
        self._health = msgspec.json.encode({"status": "ok", "region": region, "services": sorted(operations)})

    async def handle(
        self,
        method: str,
        raw_path: bytes,
        query: bytes,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        peer: str = "",
        endpoint: str = "",
    ) -> Response:
        """`raw_path` and `query` as they came, undecoded. Header names in any case. `peer`: the caller's address.

        `endpoint`: the id of the VPC endpoint that it came through.
        """
        if raw_path == HEALTH_PATH and method == "GET":
            return Response(status=200, headers=((b"content-type", b"application/json"),), body=self._health)
        request_id = uuid4(self._world.random.getrandbits)
        request = SignedRequest(
            method=method,
            path=raw_path,
            query=query,
            headers=[(name.lower(), value) for name, value in headers],
            body=body,
        )
        secure = False  # we speak plain HTTP
        if self._tls_proxy:
            peer, secure = seen_by_proxy(dict(request.headers), peer)
        seen = SeenCall(request_id=request_id, source_ip=peer, secure=secure)
        try:
            seen.via = self.via(endpoint)
            response = await self._serve(request, seen)
        except RequestRefused as refused:
            seen.fault = refused.fault
            response = self._protocols.refused(refused, request_id)
        self.requests.add(seen.service, seen.operation, response.status)
        seen.answer_size = len(response.body)
        self._recorder.record(seen)
        return response

    async def _serve(self, request: SignedRequest, seen: SeenCall) -> Response:
        """The path of every request, in order: who calls, whether there is room for it, what it says, what it does."""
        by_name = dict(request.headers)
        seen.user_agent = by_name.get(b"user-agent", b"").decode("latin-1")
        seen.host = by_name.get(b"host", b"").decode("latin-1")
        seen.authorization = by_name.get(b"authorization", b"")
        if seen.via is None:  # behind an endpoint there are tasks, and no browser of this machine
            self._authenticator.guard_browser(by_name)
        route = self._route(request, by_name)
        seen.service = route.service
        self._check_entrance(route, seen)
        codec = self._codec(route)
        seen.operation = route.operation
        try:
            now = self._world.now()
            service = self._protocols.signing_name(route.service)
            principal = await self._caller(request, service, now, route.operation)
            seen.principal = principal
            if self._limits is not None:
                self._limits.enter(principal.account, route.service, route.operation, seen.source_ip)
            try:
                operation = self._operation(route, codec)
                payload = self._payload(route)
                seen.params_size = len(payload)
                params = seen.params = codec.parse(payload, route.parts)
                call = self._call(route, principal, seen, now)
                answer = seen.answer = await self._run(operation, call, params)
                return codec.respond(answer, seen.request_id)
            finally:
                if self._limits is not None:
                    self._limits.leave(principal.account, seen.source_ip)
        except SignatureRefused as refused:
            seen.fault = signature_fault(refused, route.protocol)
        except AwsError as error:
            seen.fault = fault_of(error, route.protocol)
        except Overloaded:
            seen.fault = fault_of(throttled(route.service), route.protocol)
        except RequestRefused:
            raise
        except Exception as error:
            # A bug. The caller gets the service's own internal error; where it was is in the log under the same id.
            facts = {"request_id": seen.request_id, "service": route.service, "operation": route.operation}
            self._log.error("operation_failed", **facts, bug=told(error))
            seen.fault = internal_fault(route.protocol, frozenset(codec.model.errors))
        return codec.refuse(seen.fault, seen.request_id)

    def _route(self, request: SignedRequest, headers: Mapping[bytes, bytes]) -> Route:
        size = sum(len(name) + len(value) for name, value in request.headers)
        if len(request.headers) > self._knobs.request_headers_max or size > self._knobs.request_head_max_bytes:
            fault = Fault(
                code="RequestHeaderFieldsTooLarge", status=431, message="The request's headers are too large."
            )
            raise RequestRefused(fault)
        route = self._router.find(request.method, request.path, request.query, headers, request.body)
        bound = self._body_bound(route)
        if len(route.payload) > bound:
            error = RequestEntityTooLarge(f"The request is larger than {bound} bytes.")
            raise RequestRefused(fault_of(error, route.protocol), route.protocol, route.service)
        return route

    def via(self, endpoint: str) -> Via | None:
        """None for no endpoint. Raises RequestRefused (403) for one that is not there any more."""
        found = self._entrances.via(endpoint) if endpoint else None
        if endpoint and found is None:
            message = f"The VPC endpoint {endpoint} does not exist."
            raise RequestRefused(Fault(code="AccessDeniedException", status=403, message=message))
        return found

    def _check_entrance(self, route: Route, seen: SeenCall) -> None:
        """An endpoint leads to one service; another's requests are not signed for it."""
        if seen.via is None or self._protocols.signing_name(route.service) in seen.via.service.signing:
            return
        own = (seen.via.service.signing or (seen.via.service.host,))[0]
        refused = SignatureRefused(Problem.SCOPE, f"Credential should be scoped to correct service: '{own}'. ")
        raise RequestRefused(signature_fault(refused, route.protocol), route.protocol, route.service)

    def _body_bound(self, route: Route) -> int:
        """Parsing runs in the event loop, so what may be sent is what can be parsed in a moment."""
        if route.protocol in (QUERY, EC2):
            return self._knobs.request_form_max_bytes
        if route.service == "logs":
            return self._knobs.request_body_max_bytes  # a batch of log events is a MiB before it is JSON
        return self._knobs.request_json_max_bytes

    def _payload(self, route: Route) -> bytes:
        """What the client compressed is held to the same bound as what it did not."""
        if not route.is_gzip:
            return route.payload
        bound = self._body_bound(route)
        try:
            return inflated(route.payload, bound)
        except InflatedTooLarge:
            raise RequestEntityTooLarge(f"The request is larger than {bound} bytes.") from None

    def _codec(self, route: Route) -> OperationCodec:
        codec = self._protocols.codec(route.service, route.operation, route.protocol)
        if codec is None:
            version = self._protocols.api_version(route.service)
            raise RequestRefused(
                invalid_action(route.operation, route.protocol, version), route.protocol, route.service
            )
        return codec

    def _operation(self, route: Route, codec: OperationCodec) -> Operation:
        operation = self._operations.get(route.service, {}).get(route.operation)
        if operation is not None:
            return operation
        # Known to AWS and not built: the operation's own refusal where it has one, else it is unknown here.
        if UnsupportedFeature.code in codec.model.errors:
            raise UnsupportedFeature(
                f"Neargate does not support {route.operation} yet; docs/coverage.md lists what it does."
            )
        version = self._protocols.api_version(route.service)
        raise RequestRefused(invalid_action(route.operation, route.protocol, version), route.protocol, route.service)

    def _call(self, route: Route, principal: Principal, seen: SeenCall, now: float) -> Call:
        return Call(
            service=self._protocols.signing_name(route.service),
            operation=route.operation,
            protocol=route.protocol,
            region=self._region,
            principal=principal,
            request_id=seen.request_id,
            now=now,
            source_ip=seen.source_ip,
            user_agent=seen.user_agent,
            secure=seen.secure,
            host=seen.host,
            via=seen.via,
            authorised_resources=seen.asked,
            web_identity=seen.web_identity,
        )

    async def _caller(self, request: SignedRequest, service: str, now: float, operation: str) -> Principal:
        """Raises SignatureRefused."""
        try:
            return self._authenticator.authenticate(request, service, now, operation)
        except SignatureRefused as refused:
            # The key, or the role whose session it is, may have been made at another server.
            look = self._second_look
            if look is None or refused.problem is not Problem.UNKNOWN_KEY or not await look.look(CALLERS):
                raise
            return self._authenticator.authenticate(request, service, now, operation)

    async def _run(self, operation: Operation, call: Call, params: Params) -> Answer:
        answer = await self._first_answer(operation, call, params)
        if answer is None:
            call.authorised_actions.clear()  # leave is asked for again, and what is confirmed and recorded is that
            call.authorised_resources.clear()
            answer = await operation(call, self._services, params)
        confirm_asked(call)
        return answer

    async def _first_answer(self, operation: Operation, call: Call, params: Params) -> Answer | None:
        """None: something was not found, which another server had made. Nothing was done, so it is done again."""
        look = self._second_look
        try:
            answer = await operation(call, self._services, params)
        except AwsError as error:
            if look is None or not look.is_worth(call.service, error) or not await look.look(call.service):
                raise
            return None
        if look is None or not look.is_partial(call.service, call.operation, answer):
            return answer
        return None if await look.look(call.service) else answer


def too_large(knobs: Knobs, request_id: str) -> Response:
    """For a body that was not read at all: the transport stops reading at the bound."""
    error = RequestEntityTooLarge(f"The request is larger than {knobs.request_body_max_bytes} bytes.")
    return fault_response(fault_of(error, JSON), JSON, request_id)


def too_busy(request_id: str) -> Response:
    """For a large body while many others are under way; clients repeat it."""
    fault = Fault(code="ServiceUnavailableException", status=503, message="Too many large requests are under way.")
    return fault_response(fault, JSON, request_id)


def timed_out(request_id: str) -> Response:
    """For a body that did not come within `request_read_timeout_s`."""
    fault = Fault(code="RequestTimeoutException", status=408, message="The request body did not arrive in time.")
    return fault_response(fault, JSON, request_id)
