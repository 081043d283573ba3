"""`neargate metrics`: the region's metrics in Prometheus's text format, asked at the operator's socket."""

from ..admin import ask
from ..paths import RegionPaths
from .text import exposition


def told(paths: RegionPaths) -> str:
    """Raises Problem."""
    return exposition(ask(paths, "metrics")["metrics"]).decode()
