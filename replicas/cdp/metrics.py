"""Metrics of the service, in the Prometheus text format, read when they are asked for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Histogram, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from replicas.cdp.service import Running

_BUCKETS = (0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)


def request_histogram() -> Histogram:
    """Return a histogram of how long requests took until their events were durable."""
    return Histogram(
        "cdp_request_seconds", "From request to durable events.", buckets=_BUCKETS, registry=None
    )


class _Collector:
    def __init__(self, service: "Running") -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        service = self._service
        accepted = CounterMetricFamily("cdp_events", "Events taken.", labels=("kind",))
        for kind, count in service.collector.accepted.items():
            accepted.add_metric((kind,), count)
        refused = CounterMetricFamily("cdp_refused", "Events refused.", labels=("rule",))
        for rule, count in service.collecting.refused.items():
            refused.add_metric((rule,), count)
        answers = CounterMetricFamily("cdp_answers", "Answers by status.", labels=("status",))
        for status, count in service.collector.answers.items():
            answers.add_metric((str(status),), count)
        learned = CounterMetricFamily("cdp_learned", "What events meant.", labels=("what",))
        for what, count in service.learning.counters.items():
            learned.add_metric((what,), count)
        folded = CounterMetricFamily("cdp_folded", "What traits were folded of.", labels=("what",))
        for what, count in service.folding.counters.items():
            folded.add_metric((what,), count)
        unfit = CounterMetricFamily("cdp_unfit", "Values of no use to a trait.", labels=("trait",))
        for name, count in service.folding.unfit.items():
            unfit.add_metric((name,), count)
        log = GaugeMetricFamily("cdp_log", "The event log.", labels=("what",))
        for what, number in service.numbers().items():
            log.add_metric((what,), number)
        yield from (accepted, refused, answers, learned, folded, unfit, log)
        yield from service.collector.seconds.collect()
        yield from service.followers.metrics()


def metrics_of(service: "Running") -> tuple[bytes, str]:
    """Return all metrics as text, and the type of it."""
    registry = CollectorRegistry(auto_describe=False)
    collector: Any = _Collector(service)
    registry.register(collector)
    return exposition.generate_latest(registry), exposition.CONTENT_TYPE_PLAIN_0_0_4
