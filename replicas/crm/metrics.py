"""Metrics of the connections, in the Prometheus text format, read when they are asked for."""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from replicas.crm.connection import Connection


class _Collector:
    def __init__(self, connections: Mapping[str, Connection]) -> None:
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        intake = CounterMetricFamily(
            "crm_intake", "What became of what was seen.", labels=("source", "what")
        )
        outflow = CounterMetricFamily(
            "crm_outflow", "What became of what was sent.", labels=("source", "what")
        )
        requests = CounterMetricFamily(
            "crm_requests", "Requests by kind of work.", labels=("source", "lane")
        )
        gauges = GaugeMetricFamily("crm_state", "How it stands now.", labels=("source", "what"))
        for source, connection in self._connections.items():
            for name, value in (connection.intake.counters | connection.heard).items():
                intake.add_metric((source, name), value)
            for name, value in connection.outflow.counters.items():
                outflow.add_metric((source, name), value)
            for name, value in connection.driver.requests.items():
                requests.add_metric((source, name), value)
            for name, number in _state_of(connection).items():
                gauges.add_metric((source, name), number)
        yield from (intake, outflow, requests, gauges)


def _state_of(connection: Connection) -> dict[str, float]:
    daily = connection.driver.budget.daily
    state: dict[str, float] = {
        "dead_letters": sum(1 for _ in connection.ledger.dead_letters()),
        "rereads": len(connection.ledger.rereads()),
        "due": len(connection.ledger.due()),
        "troubles": len(connection.troubles),
        "circuit_open": 0 if connection.driver.breaker.is_closed else 1,
    }
    if daily is not None:
        state["daily_calls_used"], state["daily_calls_total"] = daily
    return state


def metrics_of(connections: Mapping[str, Connection]) -> tuple[bytes, str]:
    """Return all metrics as text, and the type of it."""
    registry = CollectorRegistry(auto_describe=False)
    collector: Any = _Collector(connections)
    registry.register(collector)
    return exposition.generate_latest(registry), exposition.CONTENT_TYPE_PLAIN_0_0_4
