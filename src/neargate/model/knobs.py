"""Every period, batch, bound and wait in one frozen object: tests and the simulator vary them. Seconds unless named."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Knobs:
    # store
    write_queue_max: int = 4096
    write_batch_max: int = 256
    read_queue_max: int = 4096
    read_batch_max: int = 64
    store_free_min_bytes: int = 32 * 1024 * 1024  # below it writes are refused, so that COMMIT never meets a full disk
    store_checkpoint_pages: int = 4000
    store_lock_wait_s: float = 5.0
    # log shard
    logs_stored_max_bytes: int = 20 * 1024**3  # compressed; beyond it the oldest chunks go
    logs_chunks_at_once: int = 32  # chunks packed or queued for the database at a time
    logs_chunks_waiting_max: int = 1024
    logs_page_max_bytes: int = 1_048_576  # AWS's: messages and 26 bytes each
    logs_step_max_bytes: int = 4 * 1024 * 1024  # loaded and unpacked in one go
    logs_step_max_chunks: int = 512
    logs_scan_max_bytes: int = 16 * 1024 * 1024  # looked through for one answer
    logs_sweep_period_s: float = 10.0
    logs_sweep_batch_max: int = 256
    # the record of calls
    trail_keep_s: float = 90 * 24 * 3600.0  # LookupEvents' on AWS
    trail_stored_max_bytes: int = 2 * 1024**3  # beyond it the oldest calls of whoever has most go
    trail_nobody_share: float = 0.1  # of that, for calls whose caller is not proven: they push out nobody else's
    trail_flush_s: float = 0.25  # what a kill of the process may lose
    trail_queue_max: int = 20_000  # calls that wait to be written
    trail_queue_max_bytes: int = 64 * 1024 * 1024
    trail_batch_max: int = 1000  # calls packed in one go
    trail_chunk_max: int = 256
    trail_field_max_bytes: int = 100 * 1024  # parameters or an answer beyond it are left out, and it is said
    trail_refused_per_s: float = 50.0  # calls of nobody in particular that are recorded; the rest is counted
    trail_scan_max_chunks: int = 256  # looked through for one page
    trail_retry_s: float = 2.0  # while the disk is full
    trail_sweep_period_s: float = 30.0
    trail_sweep_batch_max: int = 64
    # control plane
    request_body_max_bytes: int = 4 * 1024 * 1024
    request_body_small_bytes: int = 64 * 1024  # a body of this size is always taken
    request_bodies_max_bytes: int = 256 * 1024 * 1024  # of all larger ones together
    request_json_max_bytes: int = 1024 * 1024  # of services other than logs
    request_form_max_bytes: int = 256 * 1024
    request_headers_max: int = 128
    request_head_max_bytes: int = 64 * 1024
    request_read_timeout_s: float = 60.0
    request_pipeline_max: int = 16  # requests of one connection that wait for an answer
    answer_unread_timeout_s: float = 300.0  # a caller who does not read is hung up on
    connections_max: int = 2048  # of the API; more are answered 503
    calls_max: int = 512  # under way and past their signature, of all accounts together
    quotas_reread_s: float = 5.0  # with several servers
    buckets_max: int = 65_536  # levels remembered; one is two numbers
    clock_skew_max_s: float = 300.0
    opened_secrets_max: int = 10_000  # of access keys, kept open in memory
    last_used_flush_s: float = 900.0  # AWS, too, shows the last use of a key some minutes late
    reservation_sweep_period_s: float = 10.0
    reservation_sweep_age_s: float = 30.0
    stopped_task_keep_s: float = 24 * 3600.0
    stopped_task_keep_min_s: float = 3600.0
    stopped_task_rows_max: int = 100_000
    purge_batch_max: int = 500  # stopped tasks forgotten in one write
    client_token_keep_s: float = 24 * 3600.0
    voided_keep_s: float = 24 * 3600.0  # a record of a task cannot come later than this after its reservation
    release_retry_s: float = 5.0
    events_keep: int = 100_000
    events_hard_max: int = 1_000_000
    cpu_overcommit: float = 4.0
    disk_overcommit: float = 8.0
    reserve_attempts: int = 8  # guards refused before a zone answers "no capacity"
    hosts_max: int = 10_000  # per zone
    host_grace_s: float = 20.0  # a host lost so lately (its agent restarts, or this server did) still gets tasks
    tombstone_keep_s: float = 24 * 3600.0  # a duplicate of a reserve cannot be later than this
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
    reports_batch_max: int = 64  # a batch is one turn of the loop: nobody is answered meanwhile
    rest_per_call_s: float = 0.015  # between two batches of orders or reports, for each RunTask that waits
    rest_max_s: float = 0.25
    reports_queue_max: int = 8192
    reports_in_flight_max: int = 256  # of one host, not yet durable
    orders_rest_min_s: float = 0.005  # of one host, after what was rung was sent
    orders_lookaround_s: float = 60.0  # a session reads its orders from the start again, whatever it has sent
    link_frames_max: int = 4096  # written to one connection and not yet taken by the socket
    bulk_connections_per_host: int = 4  # an agent has one; those that it lost may still be ending
    log_requests_in_flight_max: int = 64  # of one bulk connection
    log_sources_max: int = 16_384
    # agent
    starts_at_once: int = 4
    stop_timeout_default_s: float = 30.0
    start_timeout_default_s: float = 180.0
    pull_attempts: int = 3
    pull_retry_base_s: float = 1.0
    pull_layers_at_once: int = 4
    pull_authorisation_s: float = 300.0
    pull_connect_timeout_s: float = 10.0  # all addresses of a name together
    pull_head_timeout_s: float = 30.0  # of an answer, from its request to the last of its headers; a TLS handshake
    pull_read_timeout_s: float = 30.0  # silence within a body; also the span over which its rate is counted
    pull_rate_min_bytes_s: int = 1024
    pull_blob_timeout_s: float = 1800.0
    pull_requests_per_registry: int = 8  # of the 64 threads of the lane `pull-net`
    pull_authorisations_max: int = 4096
    pull_images_remembered_max: int = 256
    pull_free_fraction: float = 0.05  # of containerd's filesystem: what a pull never takes
    log_poll_s: float = 0.1
    log_chunk_max_bytes: int = 1024 * 1024
    log_chunk_max_lines: int = 20_000  # a chunk is read as a whole, and each event costs a reader a hundred bytes
    metadata_rate_per_s: float = 40.0
    metadata_burst: float = 60.0
    task_credentials_lifetime_s: float = 21_600.0  # Fargate's; renewed at half, so that an outage has hours
    task_credentials_look_s: float = 5.0  # between looks for what is missing or due; an ask is repeated as often
    task_credentials_refused_retry_s: float = 60.0
    engine_retry_s: float = 0.5  # between attempts while the engine or the host does not answer
    relist_period_s: float = 5.0  # exits are events; a list now and then finds what an event stream lost
    host_check_period_s: float = 5.0
    stop_tombstone_keep_s: float = 3600.0  # after the acknowledgement: a delayed order must still meet it
    tombstones_max: int = 20_000
    mailbox_max: int = 256
    exec_output_max_bytes: int = 4096
    log_line_max_bytes: int = 256 * 1024 - 26  # one CloudWatch event with its overhead
    log_in_flight_max_bytes: int = 8 * 1024 * 1024
    log_punch_bytes: int = 1024 * 1024  # shipped bytes are given back in steps of this size
    log_drain_s: float = 5.0  # a stopping task waits this long for its last lines; the rest follows in the background
    log_resend_s: float = 30.0
    metadata_connections_max: int = 1024  # of one VPC's tasks on this host together
    metadata_connections_per_task: int = 64
    metadata_request_max_bytes: int = 8192
    metadata_request_timeout_s: float = 5.0
    proxy_connections_per_task: int = 64
    proxy_connections_max: int = 1024  # of all tasks on this host: half of connections_max is for callers from outside
    proxy_idle_s: float = 900.0
    disk_low_fraction: float = 0.10  # free; below it the host takes no tasks
    disk_recovered_fraction: float = 0.12  # free; from here on it takes tasks again
    disk_floor_fraction: float = 0.03  # free; below it the fastest writer is stopped
    disk_watch_period_s: float = 0.25  # instead of host_check_period_s when little is free
    disk_blame_window_s: float = 10.0  # who wrote fastest; covers two of the kernel's write-backs
    disk_blame_min_bytes: int = 1024 * 1024  # less than this within the window is nobody's fault
    disk_recovery_s: float = 30.0  # the room of a stopped task is waited for so long before another is stopped
    eni_mtu: int = 1500
    link_linger_s: float = 5.0
    disk_size_max_gib: int = 200
    process_log_max_bytes: int = 8 * 1024 * 1024  # of each process's own log, and as much again of the one before
    process_log_look_s: float = 1.0
    image_volumes_max: int = 64  # that one image may declare for itself
    unmount_attempts: int = 40
    unmount_retry_s: float = 0.05


DEFAULT_KNOBS = Knobs()
