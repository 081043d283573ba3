"""Metrics as Prometheus reads them: its text format, 0.0.4. Loaded by who shows metrics, and by nobody else.

The library makes the text, which has rules for what must be escaped. Its own registry of this process is not used.
"""

from collections.abc import Iterator
from typing import Any

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

from .table import METRICS, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Told(Collector):
    def __init__(self, readings: dict[str, Any]) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            yield _family(metric, self._readings.get(metric.name, ()))


def exposition(readings: dict[str, Any]) -> bytes:
    """`readings`: Readings, also as JSON gave them, of a server of this release or of another one."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(readings))
    return generate_latest(registry)


def _family(metric: Metric, samples: Any) -> Family:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.said, labels=metric.labels)
    for labels, value in samples:
        if len(labels) == len(metric.labels):
            family.add_metric(labels, value)
    return family
