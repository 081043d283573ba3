"""Every period, batch, bound and wait in one frozen object: tests and the simulator vary them. Seconds unless named."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Knobs:
    # store
    write_queue_max: int = 4096
    write_batch_max: int = 256
    # control plane
    request_body_max_bytes: int = 4 * 1024 * 1024
    clock_skew_max_s: float = 300.0
    reservation_sweep_period_s: float = 10.0
    reservation_sweep_age_s: float = 30.0
    stopped_task_keep_s: float = 24 * 3600.0
    stopped_task_keep_min_s: float = 3600.0
    stopped_task_rows_max: int = 100_000
    cpu_overcommit: float = 4.0
    disk_overcommit: float = 8.0
    reserve_attempts: int = 8  # guards refused before a zone answers "no capacity"
    hosts_max: int = 10_000  # per zone
    tombstone_keep_s: float = 24 * 3600.0  # a duplicate of a reserve cannot be later than this
    unclaimed_batch_max: int = 1000  # named to the sweeper at once
    # link
    link_ping_period_s: float = 5.0
    link_silence_s: float = 20.0
    link_reconnect_min_s: float = 0.2
    link_reconnect_max_s: float = 5.0
    link_message_max_bytes: int = 4 * 1024 * 1024
    report_resend_s: float = 5.0
    order_resend_s: float = 5.0
    hello_reports_max: int = 256  # reports in one Hello, and repeated in one tick
    orders_in_flight_max: int = 256  # run orders sent to one host and not yet reported
    reports_batch_max: int = 64
    reports_queue_max: int = 8192
    # agent
    starts_at_once: int = 4
    stop_timeout_default_s: float = 30.0
    start_timeout_default_s: float = 180.0
    pull_attempts: int = 3
    pull_retry_base_s: float = 1.0
    pull_layers_at_once: int = 4
    pull_authorisation_s: float = 300.0
    log_poll_s: float = 0.1
    log_chunk_max_bytes: int = 1024 * 1024
    metadata_rate_per_s: float = 40.0
    metadata_burst: float = 60.0
    disk_low_fraction: float = 0.10
    disk_floor_fraction: float = 0.03


DEFAULT_KNOBS = Knobs()
