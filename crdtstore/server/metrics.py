"""Metrics in the Prometheus text format, read from the replica's status when asked for."""

from collections.abc import Iterator
from typing import Any

from aiohttp import hdrs, web

from crdtstore.server.parameters import query_of
from crdtstore.server.problems import Problem
from crdtstore.server.service import Service, service_of

_GAUGES = (
    ("uptime_s", "uptime_seconds", "Seconds since the replica was opened."),
    ("ready", "ready", "1 if the replica is ready for work."),
    ("profiles", "profiles", "Living profiles."),
    ("frames", "journal_frames", "Records that the journal holds."),
    ("origins_active", "origins_active", "Origins in vectors: their frames are in a journal."),
    ("origins_resting", "origins_resting", "Origins at rest: they write no more."),
    ("journal_bytes", "journal_bytes", "Bytes of the journal."),
    ("storage_bytes", "storage_bytes", "Bytes of the data file in use."),
    ("disk_free_bytes", "disk_free_bytes", "Bytes free on the disk of the data directory."),
    ("dirty_documents", "dirty_documents", "Documents changed since the last checkpoint."),
    ("cached_bytes", "cached_bytes", "Estimated bytes of documents held unpacked."),
    ("held_bytes", "held_frame_bytes", "Bytes of frames that wait for an earlier one."),
    ("waiting_writers", "waiting_writers", "Writes that wait for their commit."),
    ("quarantined", "quarantined_frames", "Refused frames kept for inspection."),
    ("write_sessions", "write_sessions", "Clients of write streams that are remembered."),
)
_PEER_GAUGES = (
    ("lag_frames", "peer_lag_frames", "Frames that the peer has not confirmed."),
    ("missing_frames", "peer_missing_frames", "Frames that the peer has and we lack."),
    ("clock_skew_ms", "peer_clock_skew_milliseconds", "How far the peer's clock is ahead of ours."),
    ("snapshot_profiles", "peer_snapshot_profiles", "Profiles received in the present snapshot."),
)
_PEER_COUNTERS = (
    ("sent_bytes", "peer_sent_bytes", "Bytes sent over the present link."),
    ("received_bytes", "peer_received_bytes", "Bytes received over the present link."),
)
_PEER_LABELS = ("peer", "url", "direction")


async def get_metrics(request: web.Request) -> web.StreamResponse:
    """Answer all metrics."""
    query_of(request, frozenset())
    try:
        from prometheus_client import CollectorRegistry, exposition
    except ImportError:
        raise Problem(
            501,
            "not-installed",
            "Metrics are not installed",
            "metrics need prometheus-client: pip install 'crdtstore[server]'",
        ) from None
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ReplicaCollector(service_of(request)))
    return web.Response(
        body=exposition.generate_latest(registry),
        headers={
            hdrs.CONTENT_TYPE: exposition.CONTENT_TYPE_PLAIN_0_0_4,
            hdrs.CACHE_CONTROL: "no-store",
        },
    )


class ReplicaCollector:
    """What a registry of prometheus_client collects from one service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Any]:
        """Yield every metric family as it is now."""
        from prometheus_client import core

        status = self._service.replica.status()
        info = core.InfoMetricFamily("crdtstore_replica", "Which replica this is.")
        info.add_metric([], {"name": status.name, "space": status.space, "origin": status.origin})
        yield info
        for attribute, name, text in _GAUGES:
            yield core.GaugeMetricFamily(
                f"crdtstore_{name}", text, value=float(getattr(status, attribute))
            )
        for name, value in sorted(status.counters.items()):
            text = f"{name.replace('_', ' ').capitalize()} since the replica was opened."
            yield core.CounterMetricFamily(f"crdtstore_{name}", text, value=value)
        delay = self._service.replica.loop_delay
        yield core.HistogramMetricFamily(
            "crdtstore_event_loop_delay_seconds",
            "How late the event loop did what was due.",
            buckets=list(delay.cumulated()),
            sum_value=delay.total_s,
        )
        yield core.GaugeMetricFamily(
            "crdtstore_write_streams",
            "Write streams that are open.",
            value=len(self._service.streams),
        )
        yield core.GaugeMetricFamily(
            "crdtstore_yjs_clients",
            "Yjs clients that are connected.",
            value=len(self._service.collaborators),
        )
        trials = core.CounterMetricFamily(
            "crdtstore_text_trials",
            "Updates of Yjs clients that were tried in the worker, by how that ended.",
            labels=("outcome",),
        )
        for outcome, count in self._service.replica.texts.trials.outcomes().items():
            trials.add_metric((outcome,), count)
        yield trials
        yield from self._peer_families(core, status)
        yield from self._request_families(core)

    def _peer_families(self, core: Any, status: Any) -> Iterator[Any]:
        live = core.GaugeMetricFamily(
            "crdtstore_peer_live", "1 if the link is live.", labels=_PEER_LABELS
        )
        rows = _labelled(status.peers)
        for labels, peer in rows:
            live.add_metric(labels, float(peer.state == "live"))
        yield live
        for make, families in (
            (core.GaugeMetricFamily, _PEER_GAUGES),
            (core.CounterMetricFamily, _PEER_COUNTERS),
        ):
            for attribute, name, text in families:
                family = make(f"crdtstore_{name}", text, labels=_PEER_LABELS)
                for labels, peer in rows:
                    family.add_metric(labels, getattr(peer, attribute))
                yield family

    def _request_families(self, core: Any) -> Iterator[Any]:
        statistics = self._service.statistics
        requests = core.CounterMetricFamily(
            "crdtstore_http_requests",
            "Requests answered.",
            labels=("method", "route", "status"),
        )
        for (method, route, status), count in sorted(statistics.count.items()):
            requests.add_metric((method, route, str(status)), count)
        yield requests
        duration = core.CounterMetricFamily(
            "crdtstore_http_request_duration_seconds",
            "Seconds that answering took, in all.",
            labels=("method", "route"),
        )
        for (method, route), duration_s in sorted(statistics.duration_s.items()):
            duration.add_metric((method, route), duration_s)
        yield duration


def _labelled(peers: Any) -> list[tuple[tuple[str, str, str], Any]]:
    """Return the peers with their labels, each set of labels once: the last link of a peer."""
    rows = {}
    for peer in peers:
        rows[peer.name or peer.origin, peer.url, peer.direction] = peer
    return sorted(rows.items())
