"""A faithful local Salesforce over HTTP: strict about auth, limits and forms; it can misbehave."""

import asyncio
import itertools
import secrets
from collections import Counter
from typing import Any

import jwt
from aiohttp import web

from tests.replicas.crm import soql
from tests.replicas.crm.mischief import Handler, Mischief
from tests.replicas.crm.salesforce_jobs import Jobs, client_of, refusal
from tests.replicas.crm.salesforce_loads import QueryJobs
from tests.replicas.crm.salesforce_org import COLUMNS, KEY, Org, RowError

VERSION = "v62.0"
ORG_ID = "00D000000000001AAA"
ROOT = f"/services/data/{VERSION}"
REFUSALS: list[Any] = [
    (503, [{"errorCode": "SERVER_UNAVAILABLE", "message": "busy"}], {}),
    (500, [{"errorCode": "UNKNOWN_EXCEPTION", "message": "oops"}], {}),
    (403, [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "limit"}], {"Retry-After": "0.05"}),
]


class SalesforceServer:
    """One org and its HTTP face. ``requests`` counts requests by kind."""

    def __init__(self, *, client_id: str = "client-1", secret: str = "secret-of-client-1") -> None:
        self.org = Org()
        self.mischief = Mischief()
        self.requests: Counter[str] = Counter()
        self.client_id, self.secret = client_id, secret
        self.public_key = ""
        self.tokens: set[str] = set()
        self.used, self.total = 0, 100_000
        self.locked: Counter[str] = Counter()
        self.lock_chunk = 0
        self.holds_events = False
        self.event_copies = 1
        self.rows_written = 0
        self.url = ""
        self.jobs = Jobs(self.org, self.mischief)
        self.loads = QueryJobs(self.org)
        self._sessions: dict[str, int] = {}
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> "SalesforceServer":
        app = web.Application(middlewares=[self._middleware], client_max_size=2**28)
        add = app.router.add_route
        add("POST", "/services/oauth2/token", self._token)
        add("GET", f"{ROOT}/query", self._query)
        add("GET", f"{ROOT}/query/", self._query)
        add("GET", f"{ROOT}/queryAll", self._query)
        add("GET", f"{ROOT}/queryAll/", self._query)
        for method, handler in (("POST", self._write_many), ("PATCH", self._write_many),
                                ("DELETE", self._delete_many)):  # fmt: skip
            add(method, f"{ROOT}/composite/sobjects", handler)
        add("PATCH", f"{ROOT}/composite/sobjects/{{type}}/{{field}}", self._upsert_many)
        add("POST", f"{ROOT}/sobjects/{{type}}/", self._create)
        add("*", f"{ROOT}/sobjects/{{type}}/{{id}}", self._one)
        add("*", f"{ROOT}/sobjects/{{type}}/{{field}}/{{key}}", self._one_by_key)
        self.jobs.add_to(app, ROOT)
        self.loads.add_to(app, ROOT)
        add("POST", f"/cometd/{VERSION[1:]}", self._cometd)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        address = self._runner.addresses[0]
        self.url = f"http://127.0.0.1:{address[1]}"
        return self

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def is_listened_to(self) -> bool:
        """Whether somebody is subscribed to events."""
        return any(place >= 0 for place in self._sessions.values())

    def end_sessions(self) -> None:
        """Make all tokens invalid."""
        self.tokens.clear()
        self._sessions.clear()

    # --- around every request -----------------------------------------------------------------

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if "cometd" not in request.path:
            self.requests[f"{request.method} {request.path.removeprefix(ROOT)}"] += 1
            self.used += 1
        response = await self.mischief.around(request, self._checked(handler), REFUSALS,
                                              self.end_sessions)  # fmt: skip
        if not response.prepared:
            response.headers["Sforce-Limit-Info"] = f"api-usage={self.used}/{self.total}"
        return response

    def _checked(self, handler: Handler) -> Handler:
        async def checked(request: web.Request) -> web.StreamResponse:
            if "oauth2" not in request.path:
                token = request.headers.get("Authorization", "").removeprefix("Bearer ")
                if token not in self.tokens:
                    return refusal(401, "INVALID_SESSION_ID", "Session expired or invalid")
                if self.used > self.total:
                    return refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
            try:
                return await handler(request)
            except soql.Malformed as error:
                return refusal(400, "MALFORMED_QUERY", str(error))

        return checked

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        grant = form.get("grant_type")
        is_right = False
        if grant == "client_credentials":
            is_right = (form.get("client_id"), form.get("client_secret")) == (
                self.client_id, self.secret,
            )  # fmt: skip
        elif grant == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            try:
                claims = jwt.decode(
                    str(form.get("assertion")), self.public_key, algorithms=["RS256"],
                    audience=self.url, issuer=self.client_id,
                )  # fmt: skip
                is_right = claims["sub"] == "crm@example.com" and "exp" in claims
            except jwt.PyJWTError:
                is_right = False
        if not is_right:
            body = {"error": "invalid_grant", "error_description": "authentication failure"}
            return web.json_response(body, status=400)
        token = f"00D{secrets.token_hex(16)}"
        self.tokens.add(token)
        identity = f"{self.url}/id/{ORG_ID}/005000000000001AAA"
        return web.json_response(
            {"access_token": token, "instance_url": self.url, "token_type": "Bearer",
             "id": identity}
        )  # fmt: skip

    # --- reading ------------------------------------------------------------------------------

    async def _query(self, request: web.Request) -> web.Response:
        with_deleted = "queryAll" in request.path
        name, columns, rows = soql.run(request.query["q"], self.org.tables, lambda _: COLUMNS)
        rows = [row for row in rows if with_deleted or not row["IsDeleted"]]
        if columns is None:
            return web.json_response({"totalSize": len(rows), "done": True, "records": []})
        records = [
            {
                "attributes": {"type": name, "url": f"{ROOT}/sobjects/{name}/{row['Id']}"},
                **{column: row[column] for column in columns},
            }
            for row in rows
        ]
        return web.json_response({"totalSize": len(rows), "done": True, "records": records})

    async def _one(self, request: web.Request) -> web.Response:
        name, record_id = request.match_info["type"], request.match_info["id"]
        if name not in self.org.tables:
            return refusal(404, "NOT_FOUND", "The requested resource does not exist")
        try:
            row = self.org.living(name, record_id)
            if request.method == "GET":
                return web.json_response({"attributes": {"type": name}, **row})
            if request.method == "DELETE":
                self.org.delete(name, record_id, client_of(request))
            else:
                self.org.update(name, record_id, await request.json(), client_of(request))
        except RowError as error:
            status = 404 if error.result["statusCode"] != "STRING_TOO_LONG" else 400
            return refusal(status, error.result["statusCode"], error.result["message"])
        return web.Response(status=204)

    async def _one_by_key(self, request: web.Request) -> web.Response:
        name, key = request.match_info["type"], request.match_info["key"]
        if request.match_info["field"] != KEY:
            return refusal(404, "NOT_FOUND", "Provided external ID field does not exist")
        if request.method == "GET":
            for row in self.org.tables[name].values():
                if row[KEY] == key and not row["IsDeleted"]:
                    return web.json_response({"attributes": {"type": name}, **row})
            return refusal(404, "NOT_FOUND", "The requested resource does not exist")
        try:
            values = await request.json()
            record_id, is_new = self.org.upsert(name, key, values, client_of(request))
        except RowError as error:
            return refusal(400, error.result["statusCode"], error.result["message"])
        body = {"id": record_id, "success": True, "errors": [], "created": is_new}
        return web.json_response(body, status=201 if is_new else 200)

    # --- writing ------------------------------------------------------------------------------

    async def _create(self, request: web.Request) -> web.Response:
        try:
            name = request.match_info["type"]
            record_id = self.org.create(name, await request.json(), client_of(request))
        except RowError as error:
            return refusal(400, error.result["statusCode"], error.result["message"])
        return web.json_response({"id": record_id, "success": True, "errors": []}, status=201)

    async def _write_many(self, request: web.Request) -> web.Response:
        body = await request.json()
        records = body["records"]
        types = [record["attributes"]["type"] for record in records]
        runs = sum(1 for _ in itertools.groupby(types))
        if len(records) > 200 or runs > 10:
            return refusal(400, "EXCEEDED_ID_LIMIT", "record limit reached. cannot submit more")

        def write(record: dict[str, Any]) -> dict[str, Any]:
            values = {k: v for k, v in record.items() if k not in ("attributes", "id")}
            name = record["attributes"]["type"]
            if request.method == "PATCH":
                record_id = self.org.update(name, record["id"], values, client_of(request))
            else:
                record_id = self.org.create(name, values, client_of(request))
            return {"id": record_id}

        ids = [record.get("id") for record in records]
        return self._rows(records, write, body.get("allOrNone", False), ids)

    async def _upsert_many(self, request: web.Request) -> web.Response:
        body = await request.json()
        records, name = body["records"], request.match_info["type"]
        if len(records) > 200:
            return refusal(400, "EXCEEDED_ID_LIMIT", "record limit reached. cannot submit more")
        if request.match_info["field"] != KEY or any("id" in record for record in records):
            return refusal(400, "INVALID_FIELD", "the external id field alone names the records")
        if any(record["attributes"]["type"] != name for record in records):
            return refusal(400, "INVALID_TYPE", "records are of one type")

        def write(record: dict[str, Any]) -> dict[str, Any]:
            values = {k: v for k, v in record.items() if k not in ("attributes", KEY)}
            record_id, is_new = self.org.upsert(name, record[KEY], values, client_of(request))
            return {"id": record_id, "created": is_new}

        keys = [record[KEY] for record in records]
        return self._rows(records, write, body.get("allOrNone", False), keys)

    def _rows(
        self, records: list[Any], write: Any, all_or_none: bool, ids: list[Any]
    ) -> web.Response:
        results = []
        for record, one in zip(records, ids, strict=True):
            try:
                if one is not None and ids.count(one) > 1:
                    raise RowError("DUPLICATE_VALUE", "duplicate id in the request")
                if self._is_locked(str(one), len(records)) or self.mischief.fails_row():
                    raise RowError("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access")
                results.append({**write(record), "success": True, "errors": []})
                self.rows_written += 1
            except RowError as error:
                results.append({"success": False, "errors": [error.result]})
        if all_or_none and not all(result["success"] for result in results):
            raise AssertionError("the tests never ask for all or none")
        return web.json_response(results)

    def _is_locked(self, one: str, chunk: int) -> bool:
        """Rows of large chunks find locks; and those that are locked so many times."""
        if self.lock_chunk and chunk > self.lock_chunk:
            return True
        if self.locked[one] > 0:
            self.locked[one] -= 1
            return True
        return False

    async def _delete_many(self, request: web.Request) -> web.Response:
        ids = request.query["ids"].split(",")
        if len(ids) > 200:
            return refusal(400, "EXCEEDED_ID_LIMIT", "record limit reached. cannot submit more")
        results = []
        for one in ids:
            name = next((n for n, table in self.org.tables.items() if one in table), "Contact")
            try:
                self.org.delete(name, one, client_of(request))
                results.append({"id": one, "success": True, "errors": []})
            except RowError as error:
                results.append({"success": False, "errors": [error.result]})
        return web.json_response(results)

    # --- events -------------------------------------------------------------------------------

    async def _cometd(self, request: web.Request) -> web.Response:
        answers: list[dict[str, Any]] = []
        for message in await request.json():
            channel, client = message["channel"], message.get("clientId", "")
            if channel == "/meta/handshake":
                client = secrets.token_hex(8)
                self._sessions[client] = -1
                answers.append({"channel": channel, "clientId": client, "successful": True,
                                "version": "1.0", "ext": {"replay": True}})  # fmt: skip
            elif client not in self._sessions:
                answers.append({"channel": channel, "successful": False,
                                "error": "403::Unknown client",
                                "advice": {"reconnect": "handshake"}})  # fmt: skip
            elif channel == "/meta/subscribe":
                answers.append(self._subscribed(message, client))
            else:
                answers += await self._connected(client)
        return web.json_response(answers)

    def _subscribed(self, message: dict[str, Any], client: str) -> dict[str, Any]:
        replay = message["ext"]["replay"][message["subscription"]]
        end = self.org.first_replay + len(self.org.events)
        shown = {"channel": "/meta/subscribe", "subscription": message["subscription"]}
        if replay >= 0 and not self.org.first_replay - 1 <= replay < end:
            error = f"400::The replayId {{{replay}}} you provided was invalid."
            return {**shown, "successful": False, "error": error}
        self._sessions[client] = {-1: end, -2: self.org.first_replay}.get(replay, replay + 1)
        return {**shown, "successful": True}

    def _again(self, news: list[Any]) -> list[Any]:
        """Return events so many times, as after so many reconnections, with older ones before."""
        if self.event_copies == 1:
            return news
        older = [pair for pair in self.org.events if pair[0] < news[0][0]][-20:]
        return (older + news) * self.event_copies

    async def _connected(self, client: str) -> list[dict[str, Any]]:
        for _ in range(40):
            if client not in self._sessions:
                break
            after = self._sessions[client]
            news = [pair for pair in self.org.events if pair[0] >= after]
            if news and not self.holds_events:
                self._sessions[client] = news[-1][0] + 1
                data = [
                    {"channel": "/data/ChangeEvents",
                     "data": {"schema": "s", "payload": payload, "event": {"replayId": number}}}
                    for number, payload in self._again(news)
                ]  # fmt: skip
                return [*data, {"channel": "/meta/connect", "successful": True}]
            await asyncio.sleep(0.025)
        return [{"channel": "/meta/connect", "successful": True}]
