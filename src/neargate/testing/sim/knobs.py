"""Draws the knobs of a run: races hide behind comfortable periods, so the simulator makes them tight and wide."""

import random

from ...model.knobs import Knobs


def draw_knobs(rng: random.Random) -> Knobs:
    """In half of the runs production's own values."""
    if rng.random() < 0.5:
        return Knobs(cpu_overcommit=rng.choice((1.0, 4.0)))
    pick = rng.choice
    return Knobs(
        cpu_overcommit=pick((1.0, 4.0)),
        write_queue_max=pick((4, 64, 4096)),
        write_batch_max=pick((1, 8, 256)),
        read_batch_max=pick((1, 64)),
        reservation_sweep_age_s=pick((0.0, 1.0, 20.0)),
        reservation_sweep_period_s=pick((0.3, 3.0, 10.0)),
        release_retry_s=pick((0.1, 5.0)),
        link_ping_period_s=pick((0.5, 5.0)),
        link_silence_s=pick((3.0, 20.0)),
        report_resend_s=pick((0.3, 5.0)),
        order_resend_s=pick((0.3, 5.0)),
        orders_lookaround_s=pick((1.0, 60.0)),
        orders_in_flight_max=pick((1, 4, 256)),
        hello_reports_max=pick((1, 256)),
        reports_batch_max=pick((1, 64)),
        reports_in_flight_max=pick((1, 256)),
        reserve_attempts=pick((2, 8)),
        starts_at_once=pick((1, 4)),
        stop_tombstone_keep_s=pick((120.0, 3600.0)),
        events_keep=pick((10, 100_000)),
        task_credentials_lifetime_s=pick((12.0, 40.0, 21_600.0)),
        task_credentials_look_s=pick((0.5, 2.0)),
        task_credentials_refused_retry_s=pick((1.0, 60.0)),
        execution_credentials_lifetime_s=pick((2.0, 3600.0)),
        vpc_unused_s=pick((0.0, 5.0, 300.0)),
    )
