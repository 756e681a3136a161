"""Collecting: a request's body becomes events that can be kept, and refusals with their reasons.

Nothing here waits, and nothing is changed: what is accepted is appended to the log by the caller.
"""

import contextlib
import uuid
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from crdtstore import Replica, identifier
from crdtstore.errors import InvalidInput
from replicas.cdp import limits
from replicas.cdp.consent import consents_in
from replicas.cdp.errors import BodyInvalid, BodyTooLarge, EventRefused
from replicas.cdp.events import KINDS, Entry, Event, Json, pack_event
from replicas.cdp.wire import Envelope, Item, check_plain, milliseconds_of, read_item

_SAY_MORE: Final = frozenset({"identify", "alias"})
"""Kinds of events that may name more identifiers than the ids of their sender."""


@dataclass(frozen=True, slots=True)
class CollectSettings:
    """The limits of what is taken."""

    event_bytes_max: int = limits.EVENT_BYTES_MAX
    batch_bytes_max: int = limits.BATCH_BYTES_MAX
    batch_events_max: int = limits.BATCH_EVENTS_MAX
    message_id_characters_max: int = limits.MESSAGE_ID_CHARACTERS_MAX
    traits_max: int = limits.TRAITS_MAX
    waiting_events_max: int = limits.WAITING_EVENTS_MAX
    behind_events_max: int = limits.BEHIND_EVENTS_MAX
    traits_behind_s_max: float = limits.TRAITS_BEHIND_S_MAX


class Refusal(NamedTuple):
    """An event that was refused: its place in the request, its id if it has one, and why."""

    at: int
    message_id: str
    rule: str
    detail: str


@dataclass(slots=True)
class Collected:
    """What became of a request: what is to be appended, of whom and of which kinds, and what not.

    ``profile_ids`` are those of the ``entries``, in their order.
    """

    entries: list[Entry] = field(default_factory=list)
    profile_ids: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)


class Arrival(NamedTuple):
    """How a request came: by which key, when, and when its sender says that it was sent."""

    write_key: str
    received_at_ms: int
    sent_at_ms: int | None
    context: Json


class Collecting:
    """What judges events: it counts those that it ``refused``, by rule.

    Who is found not to be erased counts as such until there is another erasure, or until
    ``forget_standing`` is called: an event that slips through is forgotten once it is learned from.
    """

    def __init__(self, replica: Replica, settings: CollectSettings) -> None:
        self.settings = settings
        self.refused: Counter[str] = Counter()
        self._persons = replica.persons
        self._erasures = replica.erasures
        self._region = replica.schema.identity.phone_region
        self._in_standing: set[tuple[object, ...]] = set()
        self._erasure_count = 0
        self._profile_id = lru_cache(limits.PROFILE_IDS_CACHED_MAX)(self._find_profile_id)

    def collect(
        self,
        envelope: Envelope,
        write_key: str,
        received_at_ms: int,
        *,
        kind: str = "",
        is_msgpack: bool = False,
    ) -> Collected:
        """Judge the events of a request, all of one kind if it is given.

        Raises BodyInvalid or BodyTooLarge for a request that is refused as a whole.
        """
        if len(envelope.batch) > self.settings.batch_events_max:
            count, count_max = len(envelope.batch), self.settings.batch_events_max
            raise BodyTooLarge(f"{count:,} events in one request are more than {count_max:,}")
        if self._erasures.count != self._erasure_count:
            self._erasure_count = self._erasures.count
            self.forget_standing()
        arrival = _arrival_of(envelope, write_key, received_at_ms)
        room_bytes = self.settings.batch_bytes_max * limits.PACKED_GROWTH_MAX
        collected = Collected()
        entries, profile_ids = collected.entries, collected.profile_ids
        for index, raw in enumerate(envelope.batch):
            message_id = ""
            try:
                given = bytes(raw)
                if len(given) > self.settings.event_bytes_max:
                    detail = f"an event has at most {self.settings.event_bytes_max:,} bytes"
                    raise EventRefused("event-too-large", detail)
                item = read_item(given, is_msgpack=is_msgpack)
                message_id = item.message_id or str(uuid.uuid4())
                event = self._event_of(item, message_id, kind or item.type or "", arrival)
                packed = _packed(event)
            except EventRefused as error:
                refusal = Refusal(index, message_id[:200], error.rule, str(error))
                collected.refusals.append(refusal)
                self.refused[error.rule] += 1
                continue
            room_bytes -= len(packed)
            if room_bytes < 0:
                raise BodyTooLarge("the events of a request become too large with its context")
            entries.append(Entry(message_id, packed, event))
            profile_ids.append(event.profile_id)
        collected.kinds = Counter(each.event.kind for each in entries if each.event is not None)
        return collected

    def _event_of(self, item: Item, message_id: str, kind: str, arrival: Arrival) -> Event:
        if kind not in KINDS:
            raise EventRefused("invalid-type", f"type {kind[:40]!r} is none of {', '.join(KINDS)}")
        if len(message_id) > self.settings.message_id_characters_max:
            length_max = self.settings.message_id_characters_max
            raise EventRefused(
                "invalid-message-id", f"messageId has at most {length_max} characters"
            )
        user_id, anonymous_id = _id_of(item.user_id), _id_of(item.anonymous_id)
        has_traits = kind == "identify" or kind == "group"
        properties = (item.traits if has_traits else item.properties) or {}
        if kind == "identify" and len(properties) > self.settings.traits_max:
            count = len(properties)
            detail = f"{count} traits in one identify are more than {self.settings.traits_max}"
            raise EventRefused("too-many-traits", detail)
        context = item.context or arrival.context
        if "consent" in context:
            consents_in(context)
        event = Event(  # by place: names cost as much again, and this is done for each event
            kind, message_id, self._profile_id(user_id, anonymous_id), _name_of(item, kind),
            user_id, anonymous_id, properties, context, _timestamp_of(item, arrival),
            arrival.received_at_ms, arrival.write_key,
            _id_of(item.group_id), _id_of(item.previous_id),
        )  # fmt: skip
        self._check_standing(event)
        return event

    def _find_profile_id(self, user_id: str, anonymous_id: str) -> str:
        """Return whose the events of a user are, else of an anonymous visitor."""
        if not user_id and not anonymous_id:
            raise EventRefused("no-identity", "an event has a userId or an anonymousId")
        try:
            if user_id:
                return self._persons.profile_id_for(f"user_id:{user_id}")
        except InvalidInput as error:
            if not anonymous_id:
                raise EventRefused("invalid-identity", str(error)) from None
        try:
            return self._persons.profile_id_for(f"anonymous_id:{anonymous_id}")
        except InvalidInput as error:
            raise EventRefused("invalid-identity", str(error)) from None

    def _check_standing(self, event: Event) -> None:
        """Refuse events of who was erased; raises EventRefused."""
        who: tuple[object, ...] = event.user_id, event.anonymous_id
        if event.kind in _SAY_MORE:
            given = event.properties.get
            who = (*who, event.previous_id, _text_of(given("email")), _text_of(given("phone")))
        if who in self._in_standing:
            return
        if self._erasures.refuses(event.profile_id, *identifiers_of(event, self._region)):
            raise EventRefused("suppressed", "this person was erased, and is not to be collected")
        if len(self._in_standing) >= limits.PROFILE_IDS_CACHED_MAX:
            self._in_standing.clear()
        self._in_standing.add(who)

    def forget_standing(self) -> None:
        """Look anew at who was erased, from now on."""
        self._in_standing.clear()


def identifiers_of(event: Event, region: str) -> list[str]:
    """Return the identifiers that an event gives its profile: those that can be ones."""
    found = []
    given: list[tuple[str, object]] = [
        ("user_id", event.user_id),
        ("anonymous_id", event.anonymous_id),
    ]
    if event.kind == "alias":
        given.append(("anonymous_id", event.previous_id))
    elif event.kind == "identify":
        given += [(kind, event.properties.get(kind)) for kind in ("email", "phone")]
    for kind, value in given:
        if value and isinstance(value, str):
            with contextlib.suppress(InvalidInput):
                found.append(identifier(kind, value, region=region))
    return found


def _id_of(given: str | int | None) -> str:
    if given is None:
        return ""
    return given.strip() if type(given) is str else str(given)


def _text_of(given: object) -> str:
    return given if type(given) is str else ""


def _name_of(item: Item, kind: str) -> str:
    name = item.event if kind == "track" else item.name
    if kind == "track" and not name:
        raise EventRefused("no-event-name", "a track has the name of its event in `event`")
    if name and len(name) > limits.NAME_CHARACTERS_MAX:
        detail = f"the name of an event has at most {limits.NAME_CHARACTERS_MAX:,} characters"
        raise EventRefused("name-too-long", detail)
    if kind == "group":
        group_id = _id_of(item.group_id)
        if not 0 < len(group_id) <= limits.GROUP_ID_CHARACTERS_MAX:
            detail = f"groupId has 1 to {limits.GROUP_ID_CHARACTERS_MAX} characters"
            raise EventRefused("invalid-group-id", detail)
    if kind == "alias" and not (item.previous_id and item.user_id):
        raise EventRefused("no-identity", "an alias has a previousId and a userId")
    return name or ""


def _arrival_of(envelope: Envelope, write_key: str, received_at_ms: int) -> Arrival:
    try:
        sent_at_ms = milliseconds_of(envelope.sent_at, "sentAt") if envelope.sent_at else None
        check_plain(envelope.context)
    except EventRefused as error:
        raise BodyInvalid(str(error)) from None
    return Arrival(write_key, received_at_ms, sent_at_ms, envelope.context or {})


def _timestamp_of(item: Item, arrival: Arrival) -> int:
    """Return when an event happened, by our clock: its sender's may be wrong, but goes steadily."""
    text = item.original_timestamp or item.timestamp
    if not text:
        return arrival.received_at_ms
    original_ms = milliseconds_of(text, "timestamp")
    sent_ms = milliseconds_of(item.sent_at, "sentAt") if item.sent_at else arrival.sent_at_ms
    return original_ms if sent_ms is None else arrival.received_at_ms - (sent_ms - original_ms)


def _packed(event: Event) -> bytes:
    try:
        return pack_event(event)
    except ValueError as error:
        raise EventRefused("invalid-event", str(error)) from None
