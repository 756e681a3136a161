"""A faithful local HubSpot over HTTP, strict about auth, limits and forms; it can misbehave.

It serves the dated API and v3 alike, and delivers webhooks, signed, until they are answered.
"""

import asyncio
import json
import time
from collections import Counter
from typing import Any

import aiohttp
from aiohttp import web

from replicas.crm.hubspot.signatures import signature_v3
from tests.replicas.crm.hubspot_account import (
    MODIFIED,
    PROPERTIES,
    Account,
    RowError,
    text_of,
    value_of,
)
from tests.replicas.crm.mischief import Handler, Mischief

_LIMIT = {"status": "error", "message": "limit", "errorType": "RATE_LIMIT",
          "category": "RATE_LIMITS", "policyName": "TEN_SECONDLY_ROLLING"}  # fmt: skip
REFUSALS: list[Any] = [
    (503, {"status": "error", "category": "SERVICE_UNAVAILABLE", "message": "busy"}, {}),
    (502, {}, {}),
    (429, _LIMIT, {"X-HubSpot-RateLimit-Interval-Milliseconds": "50"}),
]


class HubSpotServer:
    """One account and its HTTP face. ``requests`` counts requests by kind.

    ``copies`` says how often each webhook is delivered, ``is_shuffled`` in any order.
    """

    def __init__(self, *, token: str = "pat-eu1-0123456789", secret: str = "hook-secret-1") -> None:
        self.account = Account()
        self.mischief = Mischief()
        self.requests: Counter[str] = Counter()
        self.token, self.secret = token, secret
        self.copies, self.is_shuffled, self.is_deaf = 1, False, False
        self.hook_url = self.hook_target = ""
        self.url = ""
        self.overtakes = False
        self.refused_sessions = 0
        self.waiting: list[dict[str, Any]] = []
        self.delivered = 0
        self._runner: web.AppRunner | None = None
        self._deliveries: asyncio.Task[None] | None = None

    async def start(self, port: int = 0) -> "HubSpotServer":
        app = web.Application(middlewares=[self._middleware], client_max_size=2**26)
        for root in ("/crm/objects/2026-03/contacts", "/crm/v3/objects/contacts"):
            for name in ("read", "create", "update", "upsert", "archive"):
                app.router.add_post(f"{root}/batch/{name}", self._batch)
            app.router.add_post(f"{root}/search", self._search)
            app.router.add_post(f"{root}/gdpr-delete", self._gdpr_delete)
            app.router.add_post(f"{root}/merge", self._merge)
            app.router.add_get(root, self._list)
            app.router.add_post(root, self._create)
            app.router.add_route("*", root + "/{id}", self._one)
        self.account.tell = self.waiting.append
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._deliveries = asyncio.create_task(self._deliver_forever())
        return self

    async def stop(self) -> None:
        assert self._runner is not None
        assert self._deliveries is not None
        self._deliveries.cancel()
        await asyncio.gather(self._deliveries, return_exceptions=True)
        await self._runner.cleanup()

    # --- around every request -----------------------------------------------------------------

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path.replace("/crm/objects/2026-03", "").replace("/crm/v3/objects", "")
        self.requests[f"{request.method} {path}"] += 1
        response = await self.mischief.around(
            request, self._checked(handler), REFUSALS, self._refuse_once
        )
        if not response.prepared:
            left = 650_000 - self.requests.total()
            response.headers["X-HubSpot-RateLimit-Daily"] = "650000"
            response.headers["X-HubSpot-RateLimit-Daily-Remaining"] = str(left)
        return response

    def _refuse_once(self) -> None:
        self.refused_sessions += 1

    def _checked(self, handler: Handler) -> Handler:
        async def checked(request: web.Request) -> web.StreamResponse:
            is_refused = self.refused_sessions > 0
            self.refused_sessions = 0
            if is_refused or request.headers.get("Authorization") != f"Bearer {self.token}":
                return refusal(
                    401, "INVALID_AUTHENTICATION", "Authentication credentials not found"
                )
            try:
                return await handler(request)
            except RowError as error:
                status = {"OBJECT_NOT_FOUND": 404, "CONFLICT": 409}.get(error.category, 400)
                return refusal(status, error.category, error.message)

        return checked

    # --- reading ------------------------------------------------------------------------------

    def _shown(
        self, record: dict[str, Any], names: list[str], history: list[str], trace: str | None = None
    ) -> dict[str, Any]:
        properties: dict[str, Any] = {name: value_of(record, name) for name in names}
        if MODIFIED in names:
            properties[MODIFIED] = text_of(record["modified_ms"])
        properties["hs_object_id"] = record["id"]
        shown = {
            "id": record["id"],
            "properties": properties,
            "createdAt": text_of(record["created_ms"]),
            "updatedAt": text_of(record["modified_ms"]),
            "archived": record["archived"],
        }
        if record["archived"]:
            shown["archivedAt"] = text_of(record["archived_ms"])
        if history:
            shown["propertiesWithHistory"] = {
                name: record["history"].get(name, [])[:20] for name in history
            }
        if trace is not None:
            shown["objectWriteTraceId"] = trace
        return shown

    async def _list(self, request: web.Request) -> web.Response:
        limit = int(request.query.get("limit", "10"))
        if limit > 100:
            return refusal(400, "VALIDATION_ERROR", "limit is at most 100")
        names = request.query.get("properties", "").split(",")
        archived = request.query.get("archived") == "true"
        after = int(request.query.get("after", "0"))
        found = [r for r in self.account.records.values() if r["archived"] == archived]
        found = sorted((r for r in found if int(r["id"]) > after), key=lambda r: int(r["id"]))
        body: dict[str, Any] = {"results": [self._shown(r, names, []) for r in found[:limit]]}
        if len(found) > limit:
            body["paging"] = {"next": {"after": found[limit - 1]["id"]}}
        return web.json_response(body)

    async def _search(self, request: web.Request) -> web.Response:
        body = await request.json()
        limit, after = body.get("limit", 10), int(body.get("after", 0))
        if limit > 200 or after + limit > 10_000:
            return refusal(400, "VALIDATION_ERROR", "search pages end at 10,000")
        since = 0
        for group in body["filterGroups"]:
            (one,) = group["filters"]
            if (one["propertyName"], one["operator"]) != (MODIFIED, "GTE"):
                return refusal(400, "VALIDATION_ERROR", "this filter is not known")
            since = int(one["value"])
        living = [r for r in self.account.records.values() if not r["archived"]]
        found = sorted(
            (r for r in living if r["modified_ms"] >= since),
            key=lambda r: r["modified_ms"],
            reverse=bool(body.get("sorts")) and body["sorts"][0]["direction"] == "DESCENDING",
        )
        results = [self._shown(r, body["properties"], []) for r in found[after : after + limit]]
        return web.json_response({"total": len(found), "results": results})

    # --- writing ------------------------------------------------------------------------------

    async def _batch(self, request: web.Request) -> web.Response:
        kind = request.path.rpartition("/")[2]
        is_archived = request.query.get("archived") == "true"
        body = await request.json()
        inputs = body["inputs"]
        traces = [one.get("objectWriteTraceId") for one in inputs]
        given = [trace for trace in traces if trace is not None]
        if not 0 < len(inputs) <= 100 or len(set(given)) != len(given):
            return refusal(400, "VALIDATION_ERROR", "a batch has 1 to 100 inputs, each its own")
        results: list[Any] = []
        errors: list[Any] = []
        for one, trace in zip(inputs, traces, strict=True):
            try:
                if kind != "read" and self.mischief.fails_row():
                    raise RowError("INTERNAL_ERROR", "try again", ids=[str(one["id"])])
                results.append(self._apply(kind, one, body, trace, is_archived=is_archived))
            except RowError as error:
                context = dict(error.context)
                if trace is not None:
                    context["objectWriteTraceId"] = [trace]
                errors.append({"status": "error", "category": error.category,
                               "message": error.message, "context": context})  # fmt: skip
        if kind == "archive":
            return web.Response(status=204)
        answer: dict[str, Any] = {"status": "COMPLETE", "results": results}
        answer |= {"startedAt": text_of(time.time_ns() // 10**6)}
        answer |= {"completedAt": answer["startedAt"]}
        if errors:
            answer |= {"numErrors": len(errors), "errors": errors}
        return web.json_response(answer, status=207 if errors else 201 if kind == "create" else 200)

    def _apply(
        self,
        kind: str,
        one: dict[str, Any],
        body: dict[str, Any],
        trace: str | None,
        *,
        is_archived: bool,
    ) -> Any:
        account, source = self.account, ("INTEGRATION", self.account.app_id)
        names = body.get("properties", sorted(PROPERTIES))
        if kind == "read":
            record = account.found(str(one["id"]), is_archived=is_archived)
            return self._shown(record, names, body.get("propertiesWithHistory", []))
        if kind == "archive":
            account.archive(str(one["id"]))
            return None
        more: dict[str, Any] = {}
        if kind == "create":
            record_id = account.create(one["properties"], source)
        elif kind == "update":
            record_id = str(one["id"])
            account.update(record_id, one["properties"], source)
        else:
            values = {k: v for k, v in one["properties"].items() if k != one["idProperty"]}
            record_id, more["new"] = account.upsert(one["id"], values, source)
        return {**self._shown(account.records[record_id], names, [], trace), **more}

    async def _create(self, request: web.Request) -> web.Response:
        values = (await request.json())["properties"]
        record_id = self.account.create(values, ("INTEGRATION", "999"))
        record = self.account.records[record_id]
        return web.json_response(self._shown(record, list(values), []), status=201)

    async def _one(self, request: web.Request) -> web.Response:
        record = self.account.living(request.match_info["id"])
        if request.method == "DELETE":
            self.account.archive(record["id"])
            return web.Response(status=204)
        if request.method == "PATCH":
            values = (await request.json())["properties"]
            self.account.update(record["id"], values, ("INTEGRATION", "999"))
        names = request.query.get("properties", "email,firstname,lastname").split(",")
        return web.json_response(self._shown(record, names, []))

    async def _gdpr_delete(self, request: web.Request) -> web.Response:
        self.account.erase(str((await request.json())["objectId"]))
        return web.Response(status=204)

    async def _merge(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.account.merge(body["primaryObjectId"], body["objectIdToMerge"])
        record = self.account.records[body["primaryObjectId"]]
        return web.json_response(self._shown(record, ["email"], []))

    # --- webhooks -----------------------------------------------------------------------------

    async def _deliver_forever(self) -> None:
        async with aiohttp.ClientSession() as client:
            while True:
                await asyncio.sleep(0.02)
                if not self.waiting or not self.hook_target or self.is_deaf:
                    continue
                events, self.waiting[:] = self._next_events()
                batch = events * self.copies
                if self.is_shuffled:
                    self.mischief.chance.shuffle(batch)
                for at in range(0, len(batch), 100):
                    part = batch[at : at + 100]
                    if not await self._deliver(client, part):
                        await asyncio.sleep(0.1)
                        for event in part:
                            event["attemptNumber"] = min(10, event["attemptNumber"] + 1)
                        self.waiting.extend(part)

    def _next_events(self) -> tuple[list[Any], list[Any]]:
        """Return the events that are delivered now, and those that wait: some are overtaken."""
        if not self.overtakes:
            return self.waiting[:100], self.waiting[100:]
        now: list[Any] = []
        later: list[Any] = []
        for event in self.waiting:
            chosen = len(now) < 100 and self.mischief.chance.random() < 0.2
            (now if chosen else later).append(event)
        return now, later

    async def _deliver(self, client: aiohttp.ClientSession, events: list[Any]) -> bool:
        body = json.dumps(events).encode()
        headers = self.signed(body)
        try:
            timeout = aiohttp.ClientTimeout(total=5)
            async with client.post(
                self.hook_target, data=body, headers=headers, timeout=timeout
            ) as answer:
                self.delivered += len(events)
                return answer.status < 300
        except (aiohttp.ClientError, TimeoutError):
            return False

    def signed(self, body: bytes, *, skew_ms: int = 0) -> dict[str, str]:
        """Return the headers that sign a webhook request."""
        timestamp = str(time.time_ns() // 1_000_000 + skew_ms)
        signature = signature_v3(self.secret, "POST", self.hook_url, body, timestamp)
        return {
            "Content-Type": "application/json",
            "X-HubSpot-Signature-v3": signature,
            "X-HubSpot-Request-Timestamp": timestamp,
        }


def refusal(status: int, category: str, message: str) -> web.Response:
    """Return an answer that refuses a request as a whole."""
    body = {"status": "error", "category": category, "message": message, "correlationId": "c-1"}
    return web.json_response(body, status=status)
