"""Followers of the change feed and of the log that the configuration asks for, all optional.

segments_file = "segments.toml"

[projections.redis]
url = "redis://127.0.0.1:6379/0"

[projections.postgresql]
url_file = "postgresql.url"
"""

from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiohttp import hdrs, web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from crdtstore import Replica, Schema
from crdtstore.errors import ConfigurationError
from replicas.cdp.event_log import EventLog
from replicas.cdp.projections.projection import Projection
from replicas.cdp.projections.settings import PostgresqlSettings, RedisSettings
from replicas.cdp.segments.definitions import SegmentDefinitions, with_segments
from replicas.cdp.segments.segments import Segments
from replicas.cdp.segments.web import SegmentPages

if TYPE_CHECKING:
    from replicas.cdp.projections.event_stream import EventStream

_PLAIN: Final = {hdrs.CACHE_CONTROL: "no-store"}


@dataclass(frozen=True, slots=True)
class FollowSettings:
    """Which followers there are; None for those that nobody asked for."""

    segments: SegmentDefinitions | None = None
    redis: RedisSettings | None = None
    postgresql: PostgresqlSettings | None = None

    @classmethod
    def of(cls, table: Mapping[str, Any], directory: Path) -> "FollowSettings":
        """Return what a configuration asks for; raises ConfigurationError."""
        projections = table.get("projections", {})
        for name, each in projections.items():
            if name not in ("redis", "postgresql") or not isinstance(each, dict):
                raise ConfigurationError(f"projections.{name} is none: redis, postgresql")
        redis, postgresql = projections.get("redis"), projections.get("postgresql")
        file = table.get("segments_file")
        return cls(
            None if file is None else SegmentDefinitions.load(directory / file),
            None if redis is None else RedisSettings.of(redis, directory),
            None if postgresql is None else PostgresqlSettings.of(postgresql, directory),
        )

    def schema(self, schema: Schema) -> Schema:
        """Return the schema with what the followers need of it; raises ConfigurationError."""
        if self.segments is None:
            return schema
        self.segments.check_traits(schema)
        return with_segments(schema)


class Followers:
    """The followers beside a replica and its event log. Raises ConfigurationError."""

    def __init__(self, replica: Replica, log: EventLog, settings: FollowSettings) -> None:
        self._replica = replica
        self.segments: Segments | None = None
        self.projections: dict[str, Projection | EventStream] = {}
        if settings.segments is not None:
            self.segments = Segments(replica, settings.segments)
        if settings.redis is not None:
            self._add_redis(settings.redis)
        if settings.postgresql is not None:
            self._add_postgresql(settings.postgresql, log)

    def works(self) -> list[Coroutine[Any, Any, None]]:
        """Return what is to be run as long as the service runs."""
        segments = [] if self.segments is None else [self.segments.run()]
        return [*segments, *(each.run() for each in self.projections.values())]

    @property
    def needed_after(self) -> int | None:
        """The last event that all followers have taken, None if nobody follows the log."""
        positions = (getattr(each, "sequence", None) for each in self.projections.values())
        return min((each for each in positions if each is not None), default=None)

    def troubles(self) -> dict[str, str]:
        """Return what does not work at present, by follower."""
        named: dict[str, Any] = {**self.projections, "segments": self.segments}
        return {name: each.trouble for name, each in named.items() if each and each.trouble}

    def add_to(self, app: web.Application) -> None:
        """Add the pages to an application that has not started."""
        if self.segments is not None:
            SegmentPages(self._replica, self.segments).add_to(app)
        app.router.add_get("/cdp/projections", self.status)
        app.router.add_post("/cdp/projections/{name}/rebuild", self.rebuild)

    async def status(self, request: web.Request) -> web.Response:
        """Answer how each projection is doing."""
        shown = {
            name: {
                "trouble": each.trouble,
                "lag_s": each.lag_s,
                "counters": each.counters,
                **_progress_of(each),
            }
            for name, each in self.projections.items()
        }
        return web.json_response(shown, headers=_PLAIN)

    async def rebuild(self, request: web.Request) -> web.Response:
        """Have a projection cleared, and filled from zero."""
        found = self.projections.get(request.match_info["name"])
        if found is None:
            names = ", ".join(self.projections) or "none"
            said = f"there is no such projection; there are {names}"
            return web.json_response({"detail": said}, status=404, headers=_PLAIN)
        found.rebuild()
        return web.json_response({"rebuilding": request.match_info["name"]}, headers=_PLAIN)

    def metrics(self) -> Iterator[Metric]:
        """Yield the metrics of all followers."""
        done = CounterMetricFamily("cdp_followed", "What followers did.", labels=("who", "what"))
        lag = GaugeMetricFamily("cdp_lag_seconds", "How far followers are behind.", labels=("who",))
        stands = GaugeMetricFamily("cdp_stands_still", "1 if it stands still.", labels=("who",))
        named: dict[str, Any] = dict(self.projections)
        if self.segments is not None:
            named["segments"] = self.segments
        for name, each in named.items():
            lag.add_metric((name,), each.lag_s)
            stands.add_metric((name,), 1 if each.trouble else 0)
            for what, count in each.counters.items():
                done.add_metric((name, what), count)
        yield from (done, lag, stands)

    def _add_redis(self, settings: RedisSettings) -> None:
        try:
            from replicas.cdp.projections.redis import RedisTarget
        except ImportError:
            raise _lacking("redis") from None
        target = RedisTarget(settings.url, settings.prefix)
        self.projections["redis"] = Projection(self._replica, target)

    def _add_postgresql(self, settings: PostgresqlSettings, log: EventLog) -> None:
        try:
            from replicas.cdp.projections.event_stream import EventStream
            from replicas.cdp.projections.postgresql import Database, PostgresqlTarget
        except ImportError:
            raise _lacking("asyncpg") from None
        rows = PostgresqlTarget(Database(settings.url, settings.schema))
        self.projections["postgresql"] = Projection(self._replica, rows)
        stream = EventStream(self._replica, log, Database(settings.url, settings.schema))
        self.projections["postgresql_events"] = stream


def _progress_of(each: "Projection | EventStream") -> dict[str, Any]:
    if isinstance(each, Projection):
        done, of = each.progress
        state = "connecting" if each.position is None else each.position.state
        return {"state": state, "done": done, "of": of}
    state = "connecting" if each.position is None else "following"
    return {"state": state, "behind": each.behind}


def _lacking(library: str) -> ConfigurationError:
    return ConfigurationError(
        f"this projection needs the library {library}: pip install crdtstore[projections]"
    )
