"""The stream of the Pub/Sub API over gRPC, on which the conversation about events runs.

One stream stays open. Events are asked for, a bounded number, only when those asked for before were
delivered; and they are read only when the ones before them are in the store. Whatever breaks ends
the stream, and the next one starts at our position.
"""

import asyncio
from functools import cache
from typing import Any, Final

from replicas.crm import limits
from replicas.crm.conversation import Session
from replicas.crm.crm import Page
from replicas.crm.driver import Driver
from replicas.crm.errors import CrmAccessDenied, CrmError, CrmUnavailable, PositionExpired
from replicas.crm.salesforce.grpc_format import CUSTOM, LATEST, SERVICE, messages
from replicas.crm.salesforce.pubsub import Call, Event, Fetch, Fetched, PubSubEvents
from replicas.crm.salesforce.settings import SalesforceSettings

_LOOPBACK: Final = "http://"


@cache
def keep_running() -> None:
    """Keep gRPC's thread until the process ends.

    It would end with the last of its objects, at any moment that looks for garbage, and waiting
    for the end of a thread there can take for ever.
    """
    import grpc

    grpc.aio.init_grpc_aio()


class EventStream:
    """The change events of one org, over one stream at a time."""

    def __init__(self, settings: SalesforceSettings, driver: Driver) -> None:
        self._address = settings.pubsub_address
        self._events = PubSubEvents(settings)
        self._driver = driver
        self._channel: Any = None
        self._call: Any = None
        self._position = b""
        self._pending = 0

    async def next_page(self, position: str) -> Page:
        """Wait for the next events after a position ("" for now).

        Raises PositionExpired, CrmUnavailable, CrmAccessDenied.
        """
        conversation = self._events.follow(position)
        try:
            call = next(conversation)
            while True:
                call = conversation.send(await self._answer(call))
        except StopIteration as end:
            page: Page = end.value
            return page
        except BaseException:
            self._hang_up()
            raise
        finally:
            conversation.close()

    async def close(self) -> None:
        """End the stream, and the connection under it."""
        self._hang_up()
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def _answer(self, call: Call) -> Fetched | str:
        """Make a call; log in again once if the session has ended."""
        import grpc

        has_new_session = False
        while True:
            was_open = self._call is not None
            session = await self._driver.session()
            try:
                async with asyncio.timeout(limits.STREAM_TIMEOUT_S):
                    if isinstance(call, Fetch):
                        return await self._fetch(call, session)
                    return await self._get_schema(call.schema_id, session)
            except TimeoutError:
                raise CrmUnavailable("the stream of events is silent for too long") from None
            except grpc.aio.AioRpcError as error:
                self._hang_up()
                if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                    if was_open and isinstance(call, Fetch):
                        continue  # streams end now and then: the next one starts at our position
                    raise _error_of(error, call) from None
                if has_new_session:
                    raise CrmAccessDenied("the Pub/Sub API refuses a new token too") from None
                has_new_session = True
                self._driver.forget(session)

    async def _fetch(self, fetch: Fetch, session: Session) -> Fetched:
        import grpc

        if self._call is not None and fetch.replay_id != self._position:
            self._hang_up()  # what came last did not get into the store
        if self._call is None:
            self._call = self._method("stream_stream", "Subscribe", "Fetch")(
                metadata=_metadata(session)
            )
            await self._ask(
                topic_name=fetch.topic,
                replay_preset=CUSTOM if fetch.replay_id else LATEST,
                replay_id=fetch.replay_id,
            )
        elif self._pending <= 0:
            await self._ask(topic_name=fetch.topic)
        answer = await self._call.read()
        if answer is grpc.aio.EOF:
            raise CrmUnavailable(f"the stream of events has ended: {await self._call.code()}")
        self._pending = answer.pending_num_requested
        events = [Event(e.event.schema_id, e.event.payload, e.replay_id) for e in answer.events]
        self._position = events[-1].replay_id if events else answer.latest_replay_id
        return Fetched(events, answer.latest_replay_id)

    async def _ask(self, **values: Any) -> None:
        request = messages().FetchRequest(num_requested=limits.EVENTS_ASKED_MAX, **values)
        await self._call.write(request)

    async def _get_schema(self, schema_id: str, session: Session) -> str:
        get = self._method("unary_unary", "GetSchema", "Schema")
        request = messages().SchemaRequest(schema_id=schema_id)
        answer = await get(request, metadata=_metadata(session))
        return str(answer.schema_json)

    def _method(self, kind: str, name: str, format_name: str) -> Any:
        known = messages()._asdict()
        response = "SchemaInfo" if format_name == "Schema" else f"{format_name}Response"
        return getattr(self._connected(), kind)(
            f"/{SERVICE}/{name}",
            request_serializer=known[f"{format_name}Request"].SerializeToString,
            response_deserializer=known[response].FromString,
        )

    def _connected(self) -> Any:
        """Return the connection: encrypted, but for one to this machine."""
        import grpc

        if self._channel is None:
            keep_running()
            options = [("grpc.max_receive_message_length", limits.ANSWER_BYTES_MAX)]
            if self._address.startswith(_LOOPBACK):
                address = self._address.removeprefix(_LOOPBACK)
                self._channel = grpc.aio.insecure_channel(address, options)
            else:
                secure = grpc.ssl_channel_credentials()
                self._channel = grpc.aio.secure_channel(self._address, secure, options)
        return self._channel

    def _hang_up(self) -> None:
        if self._call is not None:
            self._call.cancel()
        self._call, self._pending, self._position = None, 0, b""


def _metadata(session: Session) -> tuple[tuple[str, str], ...]:
    token = session.headers["Authorization"].removeprefix("Bearer ")
    return (
        ("accesstoken", token),
        ("instanceurl", session.address),
        ("tenantid", session.tenant),
    )


def _error_of(error: Any, call: Call) -> CrmError:
    """Return what a refused call means: above all, that our position is no longer kept."""
    trailing = {str(name): str(value) for name, value in error.trailing_metadata() or ()}
    told = f"{trailing.get('error-code', '')} {error.details() or ''}".strip()
    is_about_replay = "replayid" in told.lower().replace(" ", "")
    if isinstance(call, Fetch) and call.replay_id and is_about_replay:
        return PositionExpired(f"the events from our position on are no longer kept: {told}")
    return CrmUnavailable(f"the Pub/Sub API failed with {error.code().name}: {told}")
