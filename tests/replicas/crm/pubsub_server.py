"""A faithful local Pub/Sub API over gRPC, for the change events of a local Salesforce."""

import asyncio
import importlib
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
from grpc_tools import protoc

from replicas.crm.event_stream import keep_running
from tests.replicas.crm.pubsub_avro import EventSchema
from tests.replicas.crm.salesforce_server import ORG_ID, SalesforceServer

_REPLAY_ERROR = "sfdc.platform.eventbus.grpc.subscription.fetch.replayid.validation.failed"
_AUTH_ERROR = "sfdc.platform.eventbus.grpc.service.auth.error"
_KEEPALIVE_S = 0.2


def compiled() -> tuple[Any, Any]:
    """Return the modules that the vendor's compiler makes of the interface."""
    if "pubsub_api_pb2" not in sys.modules:
        here = Path(__file__).parent
        with tempfile.TemporaryDirectory() as directory:
            arguments = [f"-I{here}", f"--python_out={directory}", f"--grpc_python_out={directory}"]
            assert protoc.main(["protoc", *arguments, str(here / "pubsub_api.proto")]) == 0
            sys.path.insert(0, directory)
            try:
                importlib.import_module("pubsub_api_pb2_grpc")
            finally:
                sys.path.remove(directory)
    return sys.modules["pubsub_api_pb2"], sys.modules["pubsub_api_pb2_grpc"]


class PubSubServer:
    """The events of a Salesforce. It is strict about tokens, replay ids and what was asked for.

    ``schema`` may be replaced: fields are added to objects. ``breaks`` ends so many streams before
    they deliver anything. ``asked_max`` is the most that a client had outstanding.
    """

    def __init__(self, salesforce: SalesforceServer) -> None:
        self.calls: Counter[str] = Counter()
        self.breaks = 0
        self.asked_max = 0
        self.url = ""
        self._salesforce = salesforce
        self._schemas: dict[str, EventSchema] = {}
        self._pb, self._pb_grpc = compiled()
        self._server: Any = None
        self.schema = EventSchema("Contact")

    async def start(self) -> "PubSubServer":
        keep_running()
        self._server = grpc.aio.server()
        self._pb_grpc.add_PubSubServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.url = f"http://127.0.0.1:{port}"
        await self._server.start()
        return self

    async def stop(self) -> None:
        await self._server.stop(0)
        self._server = None  # its end asks for something of the loop, which must still run
        await asyncio.sleep(0.05)

    async def Subscribe(self, requests: Any, context: Any) -> Any:
        """Deliver events, never more than were asked for."""
        self.calls["Subscribe"] += 1
        await self._check(context)
        first = await anext(requests)
        if first.topic_name != "/data/ChangeEvents":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such topic")
        after = await self._place(first, context)
        pending = [await self._asked(first, context)]

        async def listen() -> None:
            async for request in requests:
                pending[0] += await self._asked(request, context)
                self.asked_max = max(self.asked_max, pending[0])

        listener = asyncio.create_task(listen())
        self.asked_max = max(self.asked_max, pending[0])
        try:
            while True:
                await self._check(context)
                if self.breaks:
                    self.breaks -= 1
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is restarting")
                if pending[0] <= 0:
                    await asyncio.sleep(0.01)
                else:
                    news = await self._news(after, pending[0])
                    after = news[-1][0] if news else after
                    pending[0] -= len(news)
                    yield self._pb.FetchResponse(
                        events=[self._event(*pair) for pair in news],
                        latest_replay_id=_bytes_of(after),
                        pending_num_requested=pending[0],
                    )
        finally:
            listener.cancel()

    async def GetSchema(self, request: Any, context: Any) -> Any:
        """Return a schema by its id."""
        self.calls["GetSchema"] += 1
        await self._check(context)
        if request.schema_id not in self._schemas:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "there is no such schema")
        text = self._schemas[request.schema_id].json
        return self._pb.SchemaInfo(schema_json=text, schema_id=request.schema_id)

    async def _check(self, context: Any) -> None:
        given = dict(context.invocation_metadata())
        is_known = given.get("accesstoken") in self._salesforce.tokens
        wanted = self._salesforce.url, ORG_ID
        if not is_known or (given.get("instanceurl"), given.get("tenantid")) != wanted:
            context.set_trailing_metadata((("error-code", _AUTH_ERROR),))
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the session is not valid")

    async def _place(self, first: Any, context: Any) -> int:
        org = self._salesforce.org
        if first.replay_preset == self._pb.LATEST:
            return self._end()
        if first.replay_preset == self._pb.EARLIEST:
            return org.first_replay - 1
        after = int.from_bytes(first.replay_id, "big")
        if len(first.replay_id) != 8 or not org.first_replay - 1 <= after <= self._end():
            context.set_trailing_metadata((("error-code", _REPLAY_ERROR),))
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Replay ID validation failed")
        return after

    async def _asked(self, request: Any, context: Any) -> int:
        if not 0 < request.num_requested <= 100:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "num_requested is 1 to 100")
        return int(request.num_requested)

    async def _news(self, after: int, count: int) -> list[Any]:
        deadline = asyncio.get_running_loop().time() + _KEEPALIVE_S
        while asyncio.get_running_loop().time() < deadline:
            events = self._salesforce.org.events
            news = [pair for pair in events if pair[0] > after][:count]
            if news and not self._salesforce.holds_events:
                return news
            await asyncio.sleep(0.02)
        return []

    def _event(self, replay: int, payload: dict[str, Any]) -> Any:
        self._schemas[self.schema.id] = self.schema
        event = self._pb.ProducerEvent(
            id=str(replay), schema_id=self.schema.id, payload=self.schema.encode(payload)
        )
        return self._pb.ConsumerEvent(event=event, replay_id=_bytes_of(replay))

    def _end(self) -> int:
        return self._salesforce.org.first_replay + len(self._salesforce.org.events) - 1


def _bytes_of(replay: int) -> bytes:
    return replay.to_bytes(8, "big")
