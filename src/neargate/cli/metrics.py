"""`neargate metrics`: the region's metrics in Prometheus's text format, asked at the operator's socket."""

from .admin import ask
from .metrics_text import exposition
from .paths import RegionPaths


def told(paths: RegionPaths) -> str:
    """Raises Problem."""
    return exposition(ask(paths, "metrics")["metrics"]).decode()
