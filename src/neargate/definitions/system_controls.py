"""systemControls: kernel parameters that a container may set in its task's own namespaces.

Pure. AWS takes those of IPC and all of net.* that are namespaced; here tasks share a kernel, so of net.* only those are
taken that the kernel keeps per network namespace and that cost the machine no memory of its own, each by name.
Invariant: what passes cannot reach another task or the machine, whatever its value.
"""

import re
from collections.abc import Sequence

from ..model.errors import ClientError
from .reading import Document, invalid_setting

CONTROLS_MAX = 64
_IPC = frozenset(
    f"kernel.{name}" for name in ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"]
) | {f"fs.mqueue.{name}" for name in ["msg_default", "msg_max", "msgsize_default", "msgsize_max", "queues_max"]}
_TCP = """
    abort_on_overflow autocorking base_mss challenge_ack_limit dsack early_retrans ecn ecn_fallback fastopen
    fin_timeout frto keepalive_intvl keepalive_probes keepalive_time limit_output_bytes max_reordering max_syn_backlog
    max_tw_buckets min_snd_mss mtu_probe_floor mtu_probing no_metrics_save notsent_lowat orphan_retries recovery
    reordering retries1 retries2 rfc1337 rmem sack slow_start_after_idle stdurg syn_retries synack_retries syncookies
    thin_linear_timeouts timestamps tw_reuse window_scaling wmem
"""
_IP = """
    ip_default_ttl ip_local_port_range ip_local_reserved_ports ip_no_pmtu_disc ip_nonlocal_bind
    ip_unprivileged_port_start ping_group_range icmp_echo_ignore_all icmp_echo_ignore_broadcasts
"""
NETWORK_CONTROLS = frozenset(
    {"net.core.somaxconn", "net.unix.max_dgram_qlen"}
    | {f"net.ipv4.tcp_{name}" for name in _TCP.split()}
    | {f"net.ipv4.{name}" for name in _IP.split()}
)
# The largest number in a value, of those that say how much the kernel keeps.
_BOUNDS = {
    "net.core.somaxconn": 1 << 20,
    "net.unix.max_dgram_qlen": 1 << 16,
    "net.ipv4.tcp_max_syn_backlog": 1 << 20,
    "net.ipv4.tcp_max_tw_buckets": 1 << 20,
    "net.ipv4.tcp_limit_output_bytes": 1 << 24,
    "net.ipv4.tcp_rmem": 1 << 24,
    "net.ipv4.tcp_wmem": 1 << 24,
}
_VALUE = re.compile(r"-?\d{1,20}(?:[ \t,-]{1,4}\d{1,20}){0,63}", re.ASCII)


def check_system_controls(container: str, controls: Sequence[Document]) -> None:
    """Raises ClientError."""
    if len(controls) > CONTROLS_MAX:
        raise invalid_setting(container, "systemControls")
    for control in controls:
        name, value = control.get("namespace") or "", control.get("value") or ""
        if not name.startswith(("net.", "kernel.", "fs.mqueue.")) or not _VALUE.fullmatch(value):
            raise invalid_setting(container, "systemControls")
        if name not in NETWORK_CONTROLS | _IPC:
            raise ClientError(
                f"The system control '{name}' of container '{container}' is not supported: it is not one that the "
                "kernel keeps apart for each task."
            )
        bound = _BOUNDS.get(name)
        if bound is not None and "-" in value:  # to some of these the kernel listens as if there were no bound
            raise ClientError(f"The system control '{name}' of container '{container}' cannot be negative.")
        if bound is not None and any(int(number) > bound for number in re.findall(r"\d+", value)):
            raise ClientError(f"The system control '{name}' of container '{container}' can be at most {bound}.")


def split_controls(controls: Sequence[Document]) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """(of the container's own IPC namespace, of the task's network namespace); of one name the last value counts."""
    values = {control["namespace"]: control["value"] for control in controls}
    network = tuple((name, value) for name, value in values.items() if name.startswith("net."))
    return tuple((name, value) for name, value in values.items() if not name.startswith("net.")), network
