"""The web pages of the service: health, metrics, what was not done, and what would be sent.

They stand beside the replica's own API, on its address and behind its token, under /crm. Webhooks
have an application of their own: the world may reach it, and every request must be signed.
"""

import dataclasses
import json
import time
from collections.abc import Collection, Mapping
from typing import Any, Final

from aiohttp import hdrs, web

from crdtstore.errors import StorageError
from replicas.crm import limits
from replicas.crm.connection import Connection
from replicas.crm.dead_letters import DeadLetter
from replicas.crm.errors import WebhookRefused
from replicas.crm.hubspot.settings import HubSpotSettings
from replicas.crm.hubspot.signatures import check_signature
from replicas.crm.hubspot.webhooks import sightings_of
from replicas.crm.metrics import metrics_of

_PLAIN: Final = {hdrs.CACHE_CONTROL: "no-store"}


class Pages:
    """The pages about some connections, by the names of their sources."""

    def __init__(self, connections: Mapping[str, Connection]) -> None:
        self._connections = connections

    def add_to(self, app: web.Application) -> None:
        """Add the pages to an application that has not started."""
        app.router.add_get("/crm/health", self.health)
        app.router.add_get("/crm/status", self.status)
        app.router.add_get("/crm/metrics", self.metrics)
        app.router.add_get("/crm/plan", self.plan)
        app.router.add_get("/crm/dead-letters", self.dead_letters)
        app.router.add_post("/crm/dead-letters/retry", self.retry)
        app.router.add_post("/crm/dead-letters/drop", self.drop)
        app.router.add_post("/crm/backfill", self.backfill)

    async def health(self, request: web.Request) -> web.Response:
        """Answer 200 if every connection works, 503 with what does not."""
        troubles = {
            name: problems
            for name, connection in self._connections.items()
            if (problems := troubles_of(connection))
        }
        status = 503 if troubles else 200
        return web.json_response({"troubles": troubles}, status=status, headers=_PLAIN)

    async def status(self, request: web.Request) -> web.Response:
        """Answer how each connection is doing."""
        shown = {name: status_of(each) for name, each in self._connections.items()}
        return web.json_response(shown, headers=_PLAIN)

    async def metrics(self, request: web.Request) -> web.Response:
        """Answer all numbers in the Prometheus text format."""
        body, content_type = metrics_of(self._connections)
        headers = {hdrs.CONTENT_TYPE: content_type, **_PLAIN}
        return web.Response(body=body, headers=headers)

    async def plan(self, request: web.Request) -> web.Response:
        """Answer what would be sent for the profiles above an id, and nothing is sent."""
        after = request.query.get("after", "")
        shown: dict[str, Any] = {}
        for name, connection in self._connections.items():
            ids = connection.profile_ids(after)
            planned = connection.outflow.planner.plan(ids)
            shown[name] = {
                "next": ids[-1] if len(ids) == limits.FEED_PAGE_MAX else None,
                "edits": [dataclasses.asdict(each.edit) for each in planned],
            }
        return web.json_response(shown, headers=_PLAIN, dumps=_dumps)

    async def dead_letters(self, request: web.Request) -> web.Response:
        """Answer what could not be done, each with its reason and what to do about it."""
        shown = {
            name: [
                {**dataclasses.asdict(letter), "advice": letter.advice}
                for letter in list(connection.ledger.dead_letters())[
                    : limits.DEAD_LETTERS_SHOWN_MAX
                ]
            ]
            for name, connection in self._connections.items()
        }
        return web.json_response(shown, headers=_PLAIN)

    async def retry(self, request: web.Request) -> web.Response:
        """Try dead letters again: those whose keys are given, or all."""
        keys = await _keys_of(request)
        count = 0
        for connection in self._connections.values():
            letters = _chosen(connection, keys)
            await connection.retry(letters)
            count += len(letters)
        return web.json_response({"retried": count}, headers=_PLAIN)

    async def drop(self, request: web.Request) -> web.Response:
        """Forget the dead letters whose keys are given."""
        keys = await _keys_of(request)
        count = 0
        for connection in self._connections.values():
            letters = _chosen(connection, keys or ())
            await connection.drop(letters)
            count += len(letters)
        return web.json_response({"dropped": count}, headers=_PLAIN)

    async def backfill(self, request: web.Request) -> web.Response:
        """Have all records loaded anew, and all profiles compared with them."""
        for connection in self._connections.values():
            await connection.backfill()
        return web.json_response({"started": list(self._connections)}, headers=_PLAIN)


async def _keys_of(request: web.Request) -> list[str] | None:
    """Return the keys that a request names, None if it names none."""
    try:
        body = await request.json() if request.can_read_body else {}
    except ValueError:
        raise web.HTTPBadRequest(text="the body is no JSON") from None
    keys = body.get("keys") if isinstance(body, dict) else None
    if keys is not None and not (isinstance(keys, list) and all(type(k) is str for k in keys)):
        raise web.HTTPBadRequest(text="keys is a list of texts")
    return keys


def _chosen(connection: Connection, keys: Collection[str] | None) -> list[DeadLetter]:
    return [
        letter for letter in connection.ledger.dead_letters() if keys is None or letter.key in keys
    ]


def troubles_of(connection: Connection) -> dict[str, str]:
    """Return what does not work at present, by task."""
    troubles = dict(connection.troubles)
    if connection.driver.breaker.reason:
        troubles["circuit"] = connection.driver.breaker.reason
    return troubles


def status_of(connection: Connection) -> dict[str, Any]:
    """Return how a connection is doing."""
    driver = connection.driver
    return {
        "is_loaded": connection.is_loaded,
        "is_compared": connection.is_compared,
        "is_dry": connection.is_dry,
        "progress": {
            name: {"done": done, "total": total}
            for name, (done, total) in connection.progress.items()
        },
        "intake": connection.intake.counters | connection.heard,
        "outflow": connection.outflow.counters,
        "requests": driver.requests,
        "retries": driver.retries,
        "daily_calls": driver.budget.daily,
        "dead_letters": sum(1 for _ in connection.ledger.dead_letters()),
        "rereads": len(connection.ledger.rereads()),
        "due": len(connection.ledger.due()),
        "troubles": troubles_of(connection),
    }


class Webhooks:
    """The application that HubSpot sends its events to."""

    def __init__(self, connection: Connection, settings: HubSpotSettings) -> None:
        self._connection = connection
        self._settings = settings

    def application(self) -> web.Application:
        """Return the application; it has one address, for requests of any path."""
        app = web.Application(client_max_size=limits.WEBHOOK_BODY_BYTES_MAX)
        app.router.add_post("/{path:.*}", self.receive)
        return app

    async def receive(self, request: web.Request) -> web.Response:
        """Answer 204 when the events are durable, 401 if the request is not HubSpot's."""
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            check_signature(
                self._settings.webhook_secret,
                request.method,
                self._signed_uri(request),
                headers,
                body,
                now_ms=time.time_ns() // 1_000_000,
                versions=self._settings.signatures,
            )
            sightings = sightings_of(self._settings, body)
        except WebhookRefused as error:
            self._connection.heard["webhooks_refused"] += 1
            return web.json_response({"detail": str(error)}, status=401)
        try:
            await self._connection.hear(sightings)
        except StorageError:
            return web.json_response({"detail": "there is no room now"}, status=503)
        self._connection.heard["webhooks"] += 1
        return web.Response(status=204)

    def _signed_uri(self, request: web.Request) -> str:
        """Return the address that HubSpot called: ours may be behind a proxy."""
        query = request.rel_url.raw_query_string
        return self._settings.webhook_url + (f"?{query}" if query else "")


def _dumps(value: Any) -> str:
    return json.dumps(value, default=str)
