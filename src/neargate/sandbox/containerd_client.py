"""containerd's gRPC API, as far as Neargate uses it: the one file that imports grpc.

Owns: the channel, method paths, deadlines, and the translation of gRPC codes into four exceptions. It must not know
tasks, images' meaning or AWS. Calls block: they are made on a lane of the world, never on the event loop.
Invariant: no grpc type leaves this file.
"""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from ..interfaces.sandbox import EngineUnavailable
from . import containerd_pb2 as pb

SPEC_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
PROCESS_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Process"
RUNTIME = "io.containerd.runc.v2"
SNAPSHOTTER = "overlayfs"

UNKNOWN_STATUS = 0  # of a task whose shim did not answer containerd within its two seconds
_DEADLINE_S = 30.0
_CREATE_DEADLINE_S = 120.0
_APPLY_DEADLINE_S = 900.0
_APPLY_LOOK_S = 0.1
_MESSAGE_MAX = 32 * 1024 * 1024

Response = TypeVar("Response", bound=Message)


class EngineError(Exception):
    """containerd refused: `detail` is its own sentence."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class NotFound(EngineError):
    """What was asked for is not there (any more)."""


class AlreadyExists(EngineError):
    """What was to be made is there."""


def _translate(error: grpc.RpcError) -> Exception:
    code, detail = error.code(), str(error.details() or "")
    if code == grpc.StatusCode.NOT_FOUND:
        return NotFound(code.name, detail)
    if code == grpc.StatusCode.ALREADY_EXISTS:
        return AlreadyExists(code.name, detail)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        return EngineUnavailable(f"containerd: {code.name}: {detail}")
    return EngineError(code.name, detail)


class Containerd:
    """One channel to one containerd, in one namespace. Safe for use from many threads."""

    def __init__(self, address: str, namespace: str) -> None:
        self._namespace = namespace
        self._channel = grpc.insecure_channel(
            f"unix://{address}",
            options=[
                ("grpc.max_receive_message_length", _MESSAGE_MAX),
                ("grpc.max_send_message_length", _MESSAGE_MAX),
                # A restarted containerd should be found again within a moment, not after gRPC's two minutes.
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.min_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 1000),
            ],
        )

    def close(self) -> None:
        self._channel.close()

    # ---------------------------------------------------------------- plumbing

    def _metadata(self, lease: str | None) -> tuple[tuple[str, str], ...]:
        metadata = (("containerd-namespace", self._namespace),)
        if lease is not None:
            return (*metadata, ("containerd-lease", lease))
        return metadata

    def _call(
        self,
        service: str,
        method: str,
        request: Message,
        response: type[Response],
        *,
        lease: str | None = None,
        deadline_s: float = _DEADLINE_S,
    ) -> Response:
        call = self._channel.unary_unary(
            f"/containerd.services.{service}/{method}",
            request_serializer=_serialize,
            response_deserializer=response.FromString,
        )
        try:
            answer: Response = call(request, timeout=deadline_s, metadata=self._metadata(lease))
        except grpc.RpcError as error:
            raise _translate(error) from None
        except ValueError as error:  # what gRPC raises for a channel that was closed
            raise EngineUnavailable(str(error)) from None
        return answer

    # ---------------------------------------------------------------- version, namespace, leases

    def version(self) -> str:
        return self._call("version.v1.Version", "Version", Empty(), pb.VersionResponse, deadline_s=5.0).version

    def create_namespace(self) -> None:
        request = pb.CreateNamespaceRequest(namespace=pb.Namespace(name=self._namespace))
        try:
            self._call("namespaces.v1.Namespaces", "Create", request, Empty)
        except AlreadyExists:
            pass  # made by an earlier start

    def delete_namespace(self) -> None:
        """Refused with EngineError while anything is in it."""
        try:
            self._call("namespaces.v1.Namespaces", "Delete", pb.DeleteNamespaceRequest(name=self._namespace), Empty)
        except NotFound:
            pass  # gone is what was wanted

    def create_lease(self, lease_id: str, labels: dict[str, str]) -> None:
        request = pb.CreateLeaseRequest(id=lease_id, labels=labels)
        try:
            self._call("leases.v1.Leases", "Create", request, Empty)
        except AlreadyExists:
            pass  # repeating is safe: the name carries the purpose

    def delete_lease(self, lease_id: str, *, collect: bool = False) -> None:
        """`collect`: what nothing refers to any more is removed before this returns."""
        try:
            self._call("leases.v1.Leases", "Delete", pb.DeleteLeaseRequest(id=lease_id, sync=collect), Empty)
        except NotFound:
            pass  # gone is what was wanted

    def list_leases(self) -> list[str]:
        answer = self._call("leases.v1.Leases", "List", pb.ListLeasesRequest(), pb.ListLeasesResponse)
        return [lease.id for lease in answer.leases]

    # ---------------------------------------------------------------- images

    def get_image(self, name: str) -> pb.Image | None:
        try:
            return self._call("images.v1.Images", "Get", pb.GetImageRequest(name=name), pb.ImageResponse).image
        except NotFound:
            return None

    def put_image(self, name: str, target: pb.Descriptor, labels: dict[str, str]) -> None:
        request = pb.ImageRequest(image=pb.Image(name=name, target=target, labels=labels))
        try:
            self._call("images.v1.Images", "Create", request, pb.ImageResponse)
        except AlreadyExists:
            self._call("images.v1.Images", "Update", request, pb.ImageResponse)

    def list_images(self) -> list[pb.Image]:
        answer = self._call("images.v1.Images", "List", pb.ListImagesRequest(), pb.ListImagesResponse)
        return list(answer.images)

    def label_image(self, name: str, key: str, value: str) -> None:
        """One label; an image that is gone needs none."""
        request = pb.ImageRequest(image=pb.Image(name=name, labels={key: value}))
        request.update_mask.paths.append(f"labels.{key}")
        try:
            self._call("images.v1.Images", "Update", request, pb.ImageResponse)
        except NotFound:
            pass

    def delete_image(self, name: str) -> None:
        try:
            self._call("images.v1.Images", "Delete", pb.DeleteImageRequest(name=name, sync=True), Empty)
        except NotFound:
            pass  # gone is what was wanted

    # ---------------------------------------------------------------- content

    def content_size(self, digest: str) -> int | None:
        """Size in bytes, None when the content is not in the store."""
        try:
            info = self._call("content.v1.Content", "Info", pb.InfoRequest(digest=digest), pb.InfoResponse).info
        except NotFound:
            return None
        return info.size

    def label_content(self, digest: str, key: str, value: str, *, lease: str | None = None) -> None:
        request = pb.UpdateContentRequest(info=pb.ContentInfo(digest=digest, labels={key: value}))
        request.update_mask.paths.append(f"labels.{key}")
        self._call("content.v1.Content", "Update", request, pb.InfoResponse, lease=lease)

    def read_content(self, digest: str, max_bytes: int) -> bytes:
        """The whole content; raises EngineError when it is longer than `max_bytes`."""
        call = self._channel.unary_stream(
            "/containerd.services.content.v1.Content/Read",
            request_serializer=_serialize,
            response_deserializer=pb.ReadContentResponse.FromString,
        )
        parts: list[bytes] = []
        length = 0
        try:
            for part in call(pb.ReadContentRequest(digest=digest), timeout=_DEADLINE_S, metadata=self._metadata(None)):
                parts.append(part.data)
                length += len(part.data)
                if length > max_bytes:
                    raise EngineError("OUT_OF_RANGE", f"content {digest} is longer than {max_bytes} bytes")
        except grpc.RpcError as error:
            raise _translate(error) from None
        return b"".join(parts)

    def write_content(
        self, *, ref: str, digest: str, size: int, chunks: Iterable[bytes], labels: dict[str, str], lease: str
    ) -> None:
        """Stream into the content store; it checks size and digest before anything becomes visible.

        An exception of `chunks` ends the write and is raised here unchanged. Content that is there already is success:
        gRPC then lets go of the requests, which is no failure of theirs. `chunks` are closed however it ends.
        """
        failure: list[BaseException] = []

        def requests() -> Generator[pb.WriteContentRequest, None, None]:
            offset = 0
            try:
                for chunk in chunks:
                    yield pb.WriteContentRequest(
                        action=pb.WRITE, ref=ref, total=size, expected=digest, offset=offset, data=chunk
                    )
                    offset += len(chunk)
            except Exception as error:  # re-raised below: gRPC would only say that iterating failed
                failure.append(error)
                raise
            finally:
                if isinstance(chunks, Generator):
                    chunks.close()
            yield pb.WriteContentRequest(
                action=pb.COMMIT, ref=ref, total=size, expected=digest, offset=offset, labels=labels
            )

        call = self._channel.stream_stream(
            "/containerd.services.content.v1.Content/Write",
            request_serializer=_serialize,
            response_deserializer=pb.WriteContentResponse.FromString,
        )
        asked = _Asked(requests())
        try:
            for _ in call(asked, timeout=_APPLY_DEADLINE_S, metadata=self._metadata(lease)):
                pass
        except grpc.RpcError as error:
            if failure:
                raise failure[0] from None
            translated = _translate(error)
            if not isinstance(translated, AlreadyExists):
                raise translated from None
        finally:
            asked.end()

    def abort_write(self, ref: str) -> None:
        try:
            self._call("content.v1.Content", "Abort", pb.AbortRequest(ref=ref), Empty)
        except NotFound:
            pass  # nothing of it was kept

    # ---------------------------------------------------------------- snapshots and unpacking

    def prepare_snapshot(self, key: str, parent: str, *, lease: str) -> list[pb.Mount]:
        request = pb.PrepareSnapshotRequest(snapshotter=SNAPSHOTTER, key=key, parent=parent)
        return list(self._snapshots("Prepare", request, pb.MountsResponse, lease).mounts)

    def view_snapshot(self, key: str, parent: str, labels: dict[str, str]) -> list[pb.Mount]:
        request = pb.PrepareSnapshotRequest(snapshotter=SNAPSHOTTER, key=key, parent=parent, labels=labels)
        return list(self._snapshots("View", request, pb.MountsResponse).mounts)

    def snapshot_mounts(self, key: str) -> list[pb.Mount]:
        request = pb.SnapshotRequest(snapshotter=SNAPSHOTTER, key=key)
        return list(self._snapshots("Mounts", request, pb.MountsResponse).mounts)

    def commit_snapshot(self, name: str, key: str, *, lease: str) -> None:
        request = pb.CommitSnapshotRequest(snapshotter=SNAPSHOTTER, name=name, key=key)
        self._snapshots("Commit", request, Empty, lease)

    def has_snapshot(self, key: str) -> bool:
        try:
            self._snapshots("Stat", pb.SnapshotRequest(snapshotter=SNAPSHOTTER, key=key), pb.SnapshotInfoResponse)
        except NotFound:
            return False
        return True

    def snapshot_usage(self, key: str) -> int:
        request = pb.SnapshotRequest(snapshotter=SNAPSHOTTER, key=key)
        return self._snapshots("Usage", request, pb.UsageResponse).size

    def remove_snapshot(self, key: str) -> None:
        try:
            self._snapshots("Remove", pb.SnapshotRequest(snapshotter=SNAPSHOTTER, key=key), Empty)
        except NotFound:
            pass  # gone is what was wanted

    def list_snapshots(self) -> list[str]:
        call = self._channel.unary_stream(
            "/containerd.services.snapshots.v1.Snapshots/List",
            request_serializer=_serialize,
            response_deserializer=pb.ListSnapshotsResponse.FromString,
        )
        request = pb.ListSnapshotsRequest(snapshotter=SNAPSHOTTER)
        try:
            pages = list(call(request, timeout=_DEADLINE_S, metadata=self._metadata(None)))
        except grpc.RpcError as error:
            raise _translate(error) from None
        return [info.name for page in pages for info in page.info]

    def _snapshots(self, method: str, request: Message, response: type[Response], lease: str | None = None) -> Response:
        return self._call("snapshots.v1.Snapshots", method, request, response, lease=lease)

    def apply_diff(
        self, layer: pb.Descriptor, mounts: list[pb.Mount], *, lease: str, may_go_on: Callable[[], bool]
    ) -> str:
        """Unpack a layer onto the mounts; returns the digest of the uncompressed layer.

        A small layer may unpack to anything, so `may_go_on` is asked now and then; on False containerd gives up and
        EngineError is raised.
        """
        call = self._channel.unary_unary(
            "/containerd.services.diff.v1.Diff/Apply",
            request_serializer=_serialize,
            response_deserializer=pb.ApplyResponse.FromString,
        )
        request = pb.ApplyRequest(diff=layer, mounts=mounts)
        unpacking: Any = call.future(request, timeout=_APPLY_DEADLINE_S, metadata=self._metadata(lease))
        while True:
            try:
                answer: pb.ApplyResponse = unpacking.result(timeout=_APPLY_LOOK_S)
                return answer.applied.digest
            except grpc.FutureTimeoutError:
                if not may_go_on():
                    unpacking.cancel()
                    raise EngineError("RESOURCE_EXHAUSTED", "no space left on device") from None
            except grpc.RpcError as error:
                raise _translate(error) from None

    # ---------------------------------------------------------------- containers

    def create_container(self, container: pb.Container) -> None:
        self._call("containers.v1.Containers", "Create", pb.ContainerRequest(container=container), pb.ContainerResponse)

    def get_container(self, container_id: str) -> pb.Container | None:
        request = pb.ContainerIdRequest(id=container_id)
        try:
            return self._call("containers.v1.Containers", "Get", request, pb.ContainerResponse).container
        except NotFound:
            return None

    def list_containers(self) -> list[pb.Container]:
        answer = self._call("containers.v1.Containers", "List", pb.ListContainersRequest(), pb.ListContainersResponse)
        return list(answer.containers)

    def delete_container(self, container_id: str) -> None:
        try:
            self._call("containers.v1.Containers", "Delete", pb.ContainerIdRequest(id=container_id), Empty)
        except NotFound:
            pass  # gone is what was wanted

    # ---------------------------------------------------------------- tasks (containerd's word: a container's process)

    def create_task(self, request: pb.CreateTaskRequest) -> int:
        answer = self._tasks("Create", request, pb.CreateTaskResponse, deadline_s=_CREATE_DEADLINE_S)
        return answer.pid

    def start_task(self, container_id: str, exec_id: str = "") -> int:
        request = pb.ProcessRequest(container_id=container_id, exec_id=exec_id)
        return self._tasks("Start", request, pb.StartResponse, deadline_s=_CREATE_DEADLINE_S).pid

    def get_task(self, container_id: str, exec_id: str = "") -> pb.Process | None:
        """Raises EngineUnavailable also while its shim does not answer, of which containerd makes an empty state."""
        request = pb.ProcessRequest(container_id=container_id, exec_id=exec_id)
        try:
            process = self._tasks("Get", request, pb.GetTaskResponse).process
        except NotFound:
            return None
        if process.status == UNKNOWN_STATUS:
            raise EngineUnavailable(f"the shim of {container_id} does not answer")
        return process

    def list_tasks(self) -> list[pb.Process]:
        """Those whose shim does not answer have UNKNOWN_STATUS, and nothing else of them is to be believed."""
        return list(self._tasks("List", pb.ListTasksRequest(), pb.ListTasksResponse).tasks)

    def kill_task(self, container_id: str, signal: int, *, exec_id: str = "", all_processes: bool = False) -> None:
        request = pb.KillRequest(container_id=container_id, exec_id=exec_id, signal=signal, all=all_processes)
        self._tasks("Kill", request, Empty)

    def delete_task(self, container_id: str) -> None:
        self._tasks("Delete", pb.TaskRequest(container_id=container_id), pb.DeleteResponse)

    def exec_task(self, request: pb.ExecRequest) -> None:
        self._tasks("Exec", request, Empty)

    def delete_exec(self, container_id: str, exec_id: str) -> None:
        request = pb.ProcessRequest(container_id=container_id, exec_id=exec_id)
        self._tasks("DeleteProcess", request, pb.DeleteResponse)

    def resize_terminal(self, container_id: str, exec_id: str, columns: int, rows: int) -> None:
        request = pb.ResizePtyRequest(container_id=container_id, exec_id=exec_id, width=columns, height=rows)
        self._tasks("ResizePty", request, Empty)

    def pause_task(self, container_id: str) -> None:
        self._tasks("Pause", pb.TaskRequest(container_id=container_id), Empty)

    def resume_task(self, container_id: str) -> None:
        self._tasks("Resume", pb.TaskRequest(container_id=container_id), Empty)

    def metrics(self, container_id: str) -> AnyMessage | None:
        request = pb.MetricsRequest(filters=[f"id=={container_id}"])
        answer = self._tasks("Metrics", request, pb.MetricsResponse)
        for metric in answer.metrics:
            if metric.id == container_id:
                return metric.data
        return None

    def _tasks(
        self, method: str, request: Message, response: type[Response], *, deadline_s: float = _DEADLINE_S
    ) -> Response:
        return self._call("tasks.v1.Tasks", method, request, response, deadline_s=deadline_s)

    # ---------------------------------------------------------------- events

    def publish(self, topic: str, event: Message) -> None:
        packed = AnyMessage(type_url="containerd.events.TaskExit", value=event.SerializeToString())
        self._call("events.v1.Events", "Publish", pb.PublishRequest(topic=topic, event=packed), Empty)

    def subscribe(self, filters: Iterable[str]) -> "EventStream":
        call = self._channel.unary_stream(
            "/containerd.services.events.v1.Events/Subscribe",
            request_serializer=_serialize,
            response_deserializer=pb.Envelope.FromString,
        )
        return EventStream(call(pb.SubscribeRequest(filters=list(filters)), metadata=self._metadata(None)))


class EventStream:
    """A subscription. Iterating blocks; `cancel` ends it from any thread; a lost engine raises EngineUnavailable."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def pump(self, deliver: Callable[[pb.Envelope], None]) -> None:
        """Hand every event to `deliver` until the stream ends."""
        try:
            for envelope in self._call:
                deliver(envelope)
        except grpc.RpcError as error:
            raise _translate(error) from None

    def cancel(self) -> None:
        self._call.cancel()


class _Asked:
    """What gRPC's thread asks for the next request until the call is over: then it just stops, and closes nothing.

    `end` does not wait for a request that is being made: whoever is last closes.
    """

    def __init__(self, requests: Generator[pb.WriteContentRequest, None, None]) -> None:
        self._requests = requests
        self._is_over = False
        self._turn = threading.Lock()

    def __iter__(self) -> Iterator[pb.WriteContentRequest]:
        return self

    def __next__(self) -> pb.WriteContentRequest:
        try:
            with self._turn:
                return next(self._requests)
        finally:
            if self._is_over:
                self.end()

    def end(self) -> None:
        self._is_over = True
        if self._turn.acquire(blocking=False):
            try:
                self._requests.close()
            finally:
                self._turn.release()


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
