"""Following Salesforce's change events through its Pub/Sub API: the conversation, without gRPC.

    Fetch -> Fetched, with events in Avro -> GetSchema for each schema that is not known yet -> Page

The vendor keeps events for three days. Each has a replay id, opaque bytes; that of the last one is
our position. When nothing happens, an empty answer within 270 seconds tells of a newer one. A
schema has an id of its own: it never changes, and is asked for once.
"""

import io
import json
import struct
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, TypeAlias

from replicas.crm import limits
from replicas.crm.crm import Page, Sighting
from replicas.crm.errors import CrmAnswerInvalid, PositionExpired
from replicas.crm.salesforce.changes import SchemaFields, sightings_of
from replicas.crm.salesforce.settings import SalesforceSettings

TOPIC: Final = "/data/ChangeEvents"
_PREFIX: Final = "pubsub:"


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask for the next events behind a replay id, empty for new ones only."""

    topic: str
    replay_id: bytes


@dataclass(frozen=True, slots=True)
class GetSchema:
    """Ask for the Avro schema with an id; the answer is its JSON text."""

    schema_id: str


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it comes: the id of its schema, its bytes, its replay id."""

    schema_id: str
    payload: bytes
    replay_id: bytes


@dataclass(frozen=True, slots=True)
class Fetched:
    """Some events, none at times, and the replay id behind them."""

    events: Sequence[Event]
    latest_replay_id: bytes


Call: TypeAlias = Fetch | GetSchema
PubSubConversation: TypeAlias = Generator[Call, Any, Page]


@dataclass(frozen=True, slots=True)
class _Schema:
    parsed: Any
    fields: SchemaFields


class PubSubEvents:
    """The change events of one org. It keeps the schemas that it has seen, and nothing else."""

    def __init__(self, settings: SalesforceSettings) -> None:
        self._settings = settings
        self._schemas: dict[str, _Schema] = {}

    def follow(self, position: str) -> PubSubConversation:
        """Wait for the next events after a position ("" for now); raises PositionExpired."""
        fetched: Fetched = yield Fetch(TOPIC, _replay_id_of(position))
        sightings: list[Sighting] = []
        lost: dict[str, None] = {}
        for event in fetched.events:
            if event.schema_id not in self._schemas:
                text: str = yield GetSchema(event.schema_id)
                self._learn(event.schema_id, text)
            schema = self._schemas[event.schema_id]
            payload = _decoded(event.payload, schema)
            seen, overflowed = sightings_of(self._settings, payload, schema.fields)
            sightings += seen
            if overflowed:
                lost[overflowed] = None
        last = fetched.latest_replay_id
        if fetched.events:
            last = fetched.events[-1].replay_id
        return Page(sightings, _PREFIX + last.hex(), True, lost=tuple(lost))

    def _learn(self, schema_id: str, text: str) -> None:
        import fastavro

        try:
            raw = json.loads(text)
            parsed = fastavro.parse_schema(raw)
            fields = [_field_of(one) for one in raw["fields"]]
        except (ValueError, KeyError, TypeError, fastavro.schema.SchemaParseException) as error:
            raise CrmAnswerInvalid(f"schema {schema_id} is no Avro schema: {error}") from None
        if len(self._schemas) >= limits.SCHEMAS_MAX:
            self._schemas.clear()
        self._schemas[schema_id] = _Schema(parsed, fields)


def _replay_id_of(position: str) -> bytes:
    if not position:
        return b""
    if not position.startswith(_PREFIX):
        raise PositionExpired(f"{position!r} is no position of the Pub/Sub API")
    return bytes.fromhex(position.removeprefix(_PREFIX))


def _field_of(field: Any) -> Any:
    """Return a field for bitmaps: its name, or for a compound one a pair with its own fields."""
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    for kind in kinds:
        if isinstance(kind, dict) and kind.get("type") == "record":
            return field["name"], [_field_of(one) for one in kind["fields"]]
    return field["name"]


def _decoded(payload: bytes, schema: _Schema) -> dict[str, Any]:
    import fastavro

    try:
        record = fastavro.schemaless_reader(io.BytesIO(payload), schema.parsed, None)
    except (ValueError, EOFError, IndexError, TypeError, KeyError, struct.error) as error:
        raise CrmAnswerInvalid(f"an event is not of its schema: {error!r}") from None
    if not isinstance(record, dict):
        raise CrmAnswerInvalid("an event is no record")
    return {name: _plain(value) for name, value in record.items()}


def _plain(value: Any) -> Any:
    """Return a value as the forms read it: moments of Avro's logical types as text."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value.isoformat() if isinstance(value, date | datetime) else value
