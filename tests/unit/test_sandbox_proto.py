"""Our field numbers are containerd's: compared with the .proto files that Debian packages."""

import re
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from neargate.sandbox import containerd_pb2 as pb

ROOT = Path("/usr/share/gocode/src/github.com/containerd")
API = "containerd/api/"

# Our message -> file and message of containerd's (several of ours may be the same message on the wire).
SAME = {
    "Mount": (API + "types/mount.proto", "Mount"),
    "Descriptor": (API + "types/descriptor.proto", "Descriptor"),
    "VersionResponse": (API + "services/version/v1/version.proto", "VersionResponse"),
    "Namespace": (API + "services/namespaces/v1/namespace.proto", "Namespace"),
    "CreateNamespaceRequest": (API + "services/namespaces/v1/namespace.proto", "CreateNamespaceRequest"),
    "DeleteNamespaceRequest": (API + "services/namespaces/v1/namespace.proto", "DeleteNamespaceRequest"),
    "CreateLeaseRequest": (API + "services/leases/v1/leases.proto", "CreateRequest"),
    "DeleteLeaseRequest": (API + "services/leases/v1/leases.proto", "DeleteRequest"),
    "Lease": (API + "services/leases/v1/leases.proto", "Lease"),
    "ListLeasesRequest": (API + "services/leases/v1/leases.proto", "ListRequest"),
    "ListLeasesResponse": (API + "services/leases/v1/leases.proto", "ListResponse"),
    "Image": (API + "services/images/v1/images.proto", "Image"),
    "ImageRequest": (API + "services/images/v1/images.proto", "UpdateImageRequest"),
    "ImageResponse": (API + "services/images/v1/images.proto", "GetImageResponse"),
    "GetImageRequest": (API + "services/images/v1/images.proto", "GetImageRequest"),
    "DeleteImageRequest": (API + "services/images/v1/images.proto", "DeleteImageRequest"),
    "ListImagesRequest": (API + "services/images/v1/images.proto", "ListImagesRequest"),
    "ListImagesResponse": (API + "services/images/v1/images.proto", "ListImagesResponse"),
    "ContentInfo": (API + "services/content/v1/content.proto", "Info"),
    "InfoRequest": (API + "services/content/v1/content.proto", "InfoRequest"),
    "InfoResponse": (API + "services/content/v1/content.proto", "InfoResponse"),
    "UpdateContentRequest": (API + "services/content/v1/content.proto", "UpdateRequest"),
    "ReadContentRequest": (API + "services/content/v1/content.proto", "ReadContentRequest"),
    "ReadContentResponse": (API + "services/content/v1/content.proto", "ReadContentResponse"),
    "WriteContentRequest": (API + "services/content/v1/content.proto", "WriteContentRequest"),
    "WriteContentResponse": (API + "services/content/v1/content.proto", "WriteContentResponse"),
    "AbortRequest": (API + "services/content/v1/content.proto", "AbortRequest"),
    "ApplyRequest": (API + "services/diff/v1/diff.proto", "ApplyRequest"),
    "ApplyResponse": (API + "services/diff/v1/diff.proto", "ApplyResponse"),
    "PrepareSnapshotRequest": (API + "services/snapshots/v1/snapshots.proto", "PrepareSnapshotRequest"),
    "SnapshotRequest": (API + "services/snapshots/v1/snapshots.proto", "RemoveSnapshotRequest"),
    "MountsResponse": (API + "services/snapshots/v1/snapshots.proto", "MountsResponse"),
    "CommitSnapshotRequest": (API + "services/snapshots/v1/snapshots.proto", "CommitSnapshotRequest"),
    "SnapshotInfo": (API + "services/snapshots/v1/snapshots.proto", "Info"),
    "SnapshotInfoResponse": (API + "services/snapshots/v1/snapshots.proto", "StatSnapshotResponse"),
    "UsageResponse": (API + "services/snapshots/v1/snapshots.proto", "UsageResponse"),
    "ListSnapshotsRequest": (API + "services/snapshots/v1/snapshots.proto", "ListSnapshotsRequest"),
    "ListSnapshotsResponse": (API + "services/snapshots/v1/snapshots.proto", "ListSnapshotsResponse"),
    "Runtime": (API + "services/containers/v1/containers.proto", "Runtime"),
    "Container": (API + "services/containers/v1/containers.proto", "Container"),
    "ContainerRequest": (API + "services/containers/v1/containers.proto", "CreateContainerRequest"),
    "ContainerResponse": (API + "services/containers/v1/containers.proto", "GetContainerResponse"),
    "ContainerIdRequest": (API + "services/containers/v1/containers.proto", "GetContainerRequest"),
    "ListContainersRequest": (API + "services/containers/v1/containers.proto", "ListContainersRequest"),
    "ListContainersResponse": (API + "services/containers/v1/containers.proto", "ListContainersResponse"),
    "CreateTaskRequest": (API + "services/tasks/v1/tasks.proto", "CreateTaskRequest"),
    "CreateTaskResponse": (API + "services/tasks/v1/tasks.proto", "CreateTaskResponse"),
    "ProcessRequest": (API + "services/tasks/v1/tasks.proto", "StartRequest"),
    "TaskRequest": (API + "services/tasks/v1/tasks.proto", "DeleteTaskRequest"),
    "StartResponse": (API + "services/tasks/v1/tasks.proto", "StartResponse"),
    "DeleteResponse": (API + "services/tasks/v1/tasks.proto", "DeleteResponse"),
    "Process": (API + "types/task/task.proto", "Process"),
    "GetTaskResponse": (API + "services/tasks/v1/tasks.proto", "GetResponse"),
    "ListTasksRequest": (API + "services/tasks/v1/tasks.proto", "ListTasksRequest"),
    "ListTasksResponse": (API + "services/tasks/v1/tasks.proto", "ListTasksResponse"),
    "KillRequest": (API + "services/tasks/v1/tasks.proto", "KillRequest"),
    "ResizePtyRequest": (API + "services/tasks/v1/tasks.proto", "ResizePtyRequest"),
    "ExecRequest": (API + "services/tasks/v1/tasks.proto", "ExecProcessRequest"),
    "MetricsRequest": (API + "services/tasks/v1/tasks.proto", "MetricsRequest"),
    "Metric": (API + "types/metrics.proto", "Metric"),
    "MetricsResponse": (API + "services/tasks/v1/tasks.proto", "MetricsResponse"),
    "PublishRequest": (API + "services/events/v1/events.proto", "PublishRequest"),
    "SubscribeRequest": (API + "services/events/v1/events.proto", "SubscribeRequest"),
    "Envelope": (API + "services/events/v1/events.proto", "Envelope"),
    "TaskExit": (API + "events/task.proto", "TaskExit"),
    "RuncOptions": ("containerd/runtime/v2/runc/options/oci.proto", "Options"),
    "MemoryOomControl": ("cgroups/stats/v1/metrics.proto", "MemoryOomControl"),
    "MetricsV1": ("cgroups/stats/v1/metrics.proto", "Metrics"),
    "MemoryEvents": ("cgroups/v2/stats/metrics.proto", "MemoryEvents"),
    "MetricsV2": ("cgroups/v2/stats/metrics.proto", "Metrics"),
}

_KINDS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
}


def theirs(file: str, message: str) -> dict[str, tuple[int, str]]:
    """Field name -> number and scalar kind (or '' for messages, maps and enums) as their file says."""
    text = re.sub(r"//[^\n]*", "", (ROOT / file).read_text())
    start = re.search(rf"\bmessage {message}\s*\{{", text)
    assert start is not None, f"{file} has no message {message}"
    depth, end = 1, start.end()
    while depth:
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    fields = {}
    for kind, name, number in re.findall(r"([\w.<>, ]+?)\s+(\w+)\s*=\s*(\d+)", text[start.end() : end]):
        scalar = kind.strip().removeprefix("repeated ").strip()
        fields[name] = (int(number), scalar if scalar in _KINDS.values() else "")
    return fields


def test_every_message_is_compared() -> None:
    assert set(SAME) == set(pb.DESCRIPTOR.message_types_by_name)


@pytest.mark.skipif(not ROOT.is_dir(), reason="golang-github-containerd-containerd-dev is not installed")
@pytest.mark.parametrize("name", sorted(SAME))
def test_numbers_are_containerds(name: str) -> None:
    descriptor: Descriptor = pb.DESCRIPTOR.message_types_by_name[name]
    expected = theirs(*SAME[name])
    for field in descriptor.fields:
        assert field.name in expected, f"{name}.{field.name} is not theirs"
        number, kind = expected[field.name]
        assert field.number == number, f"{name}.{field.name}"
        # cgroup v1 and v2 files and ours may differ in integers' names only where the wire does not.
        assert kind in ("", _KINDS.get(field.type, "")), f"{name}.{field.name}"
