"""Learning: what events say of profiles becomes fields, from the source ``cdp``.

It follows the log. What it writes and how far it has come go into one commit of the replica, so
after a crash it goes on where its fields end, or before: learning again changes nothing.

| Of an event        | Becomes                                                                    |
|--------------------|----------------------------------------------------------------------------|
| userId, anonymousId| elements of the profile's identifiers; alias adds previousId               |
| traits of identify | fields, by the table of the configuration; email and phone identifiers too |
| groupId of group   | an element of the set ``groups``                                           |
| context.consent    | a consent field for each category, and since when in another field         |
"""

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from crdtstore import Replica, add, grant, revoke
from crdtstore.errors import (
    InvalidInput,
    ProfileErased,
    ProfileNotFound,
    Refused,
    StorageError,
)
from replicas.cdp import limits
from replicas.cdp.collecting import identifiers_of
from replicas.cdp.consent import AT_MS, Consent, consents_in, counts
from replicas.cdp.errors import LogUnusable
from replicas.cdp.event_log import EventLog
from replicas.cdp.events import Event
from replicas.cdp.recent import events_after

_CURSOR: Final = "cdp/learned"
FORGET_NOTE: Final = "cdp/forget/"
"""Beginning of the names of notes on events that must be forgotten, each with its sequence."""

RESERVED_FIELDS: Final = {
    "address": "address",
    "age": "age",
    "avatar": "avatar",
    "birthday": "birthday",
    "company": "company",
    "createdAt": "created_at",
    "description": "description",
    "email": "email",
    "firstName": "first_name",
    "gender": "gender",
    "lastName": "last_name",
    "name": "name",
    "phone": "phone",
    "title": "title",
    "username": "username",
    "website": "website",
}
"""The traits that the specification reserves, and the fields that they become."""

_log = logging.getLogger("replicas.cdp.learning")


@dataclass(frozen=True, slots=True)
class LearnSettings:
    """Which traits become which fields. Others keep their names, or are left in the log only."""

    fields: dict[str, str] = field(default_factory=lambda: dict(RESERVED_FIELDS))
    keeps_others: bool = True
    consent_prefix: str = "consent."
    source: str = "cdp"


class Learning:
    """What follows the log for one replica. ``position`` is how far it has come.

    ``counters`` tell what became of what it read, ``trouble`` what keeps it from going on.
    """

    def __init__(self, replica: Replica, log: EventLog, settings: LearnSettings) -> None:
        self.counters: Counter[str] = Counter()
        self.trouble = ""
        self.settings = settings
        self._replica = replica
        self._log = log
        self._region = replica.schema.identity.phone_region
        self._known: set[tuple[str, str, str]] = set()
        self._consents: dict[str, dict[str, Consent]] = {}
        log_id, _, sequence = replica.cursors.get(_CURSOR, "").partition(" ")
        self.position = self._noted = int(sequence) if log_id == log.id else 0
        self._noted_s = 0.0

    async def run(self) -> None:
        """Follow the log for ever; what the disk refuses now is tried again."""
        while True:
            try:
                count = await self.learn_once()
                self.trouble = ""
            except (StorageError, LogUnusable) as error:
                self.trouble = str(error)
                _log.warning("learning waits: %s", error)
                count = 0
            if count < limits.READ_MAX:
                await asyncio.sleep(limits.FOLLOW_S)

    async def learn_once(self) -> int:
        """Learn from the events that come next; return how many there were.

        Where nothing was to be learned, it is written now and then only how far that goes.
        """
        pending: dict[str, _Pending] = {}
        position, count = self.position, 0
        while count < limits.READ_MAX:
            events = await events_after(self._log, position, limits.LEARN_READ_MAX)
            for sequence, event in events:
                self._gather(sequence, event, pending)
                position = sequence
                if len(pending) >= limits.LEARNED_MAX:
                    await self._commit(pending, position)
                    pending = {}
            count += len(events)
            if len(events) < limits.LEARN_READ_MAX:
                break
            await asyncio.sleep(0)
        is_noted = self._noted_s + limits.LEARNED_NOTE_S > time.monotonic()
        if pending or (position > self._noted and not is_noted):
            await self._commit(pending, position)
        self.position = position
        return count

    def forget_known(self) -> None:
        """Take nothing for known any more, because somebody was erased."""
        self._known.clear()
        self._consents.clear()

    def _gather(self, sequence: int, event: Event, pending: dict[str, "_Pending"]) -> None:
        """Add what an event says to what is to be written."""
        who = event.profile_id, event.user_id, event.anonymous_id
        says_more = event.kind in ("identify", "group", "alias")
        says_consent = bool(event.context) and "consent" in event.context
        if who in self._known and not says_more and not says_consent:
            return
        fields: dict[str, Any] = {}
        if says_consent:
            fields |= self._consents_of(event)
        if says_more or who not in self._known:
            fields |= self._fields_of(event)
            found = pending.setdefault(event.profile_id, _Pending())
            found.identifiers |= dict.fromkeys(identifiers_of(event, self._region))
            if event.kind == "group":
                found.groups[event.group_id] = None
            found.who.add(who)
        if fields or event.profile_id in pending:
            found = pending.setdefault(event.profile_id, _Pending())
            found.fields |= fields
            found.sequences.append(sequence)

    def _fields_of(self, event: Event) -> dict[str, Any]:
        if event.kind != "identify":
            return {}
        fields = {}
        for trait, value in event.properties.items():
            name = self.settings.fields.get(trait)
            if name is None and self.settings.keeps_others and not self._is_own(trait):
                name = trait
            if name is None:
                self.counters["traits_left_out"] += 1
            else:
                fields[name] = value
        return fields

    def _is_own(self, name: str) -> bool:
        """Say whether a field is written by other means: no trait may take its place."""
        prefixes = ("identity.", self.settings.consent_prefix)
        is_folded = self._replica.schema.kind_of(name) == "trait"
        return is_folded or name in ("identifiers", "groups") or name.startswith(prefixes)

    def _consents_of(self, event: Event) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        at_ms = min(event.timestamp_ms, event.received_at_ms)
        standing = self._consents.get(event.profile_id)
        if standing is None:
            if len(self._consents) >= limits.CONSENTS_CACHED_MAX:
                self._consents.clear()
            standing = self._consents[event.profile_id] = self._standing(event.profile_id)
        for category, is_granted in consents_in(event.context).items():
            before = standing.get(category)
            if not counts(is_granted, at_ms, before):
                continue
            standing[category] = Consent(is_granted, at_ms)
            name = self.settings.consent_prefix + category
            fields[name + AT_MS] = at_ms
            if before is None or before.is_granted != is_granted:
                fields[name] = grant() if is_granted else revoke()
                self.counters["grants" if is_granted else "denials"] += 1
        return fields

    def _standing(self, profile_id: str) -> dict[str, Consent]:
        """Return what stands on each category in the profile."""
        try:
            profile = self._replica.read(profile_id)
        except (ProfileNotFound, ProfileErased):
            return {}
        prefix = self.settings.consent_prefix
        standing = {}
        for name in profile:
            if name.startswith(prefix) and name.endswith(AT_MS):
                category = name.removeprefix(prefix).removesuffix(AT_MS)
                at_ms = profile[name]
                if type(at_ms) is int:
                    is_granted = profile.get(prefix + category) is True
                    standing[category] = Consent(is_granted, at_ms)
        return standing

    # --- writing ------------------------------------------------------------------------------

    async def _commit(self, pending: dict[str, "_Pending"], position: int) -> None:
        """Write what was gathered, and how far it reaches, in one commit."""
        known = set[tuple[str, str, str]]()
        try:
            async with self._replica.notes.commit() as commit:
                for profile_id, found in pending.items():
                    try:
                        self._write(commit, profile_id, found.all_fields())
                        known |= found.who
                    except Refused as error:
                        self.counters["events_refused"] += len(found.sequences)
                        _log.info("events of %s are forgotten: %s", profile_id, error)
                        for sequence in found.sequences:
                            commit.note(f"{FORGET_NOTE}{sequence}", b"")
                commit.move_cursor(_CURSOR, f"{self._log.id} {position}")
        except StorageError:
            self.forget_known()
            raise
        if len(self._known) >= limits.PROFILE_IDS_CACHED_MAX:
            self._known.clear()
        self._known |= known
        self.position = self._noted = position
        self._noted_s = time.monotonic()

    def _write(self, commit: Any, profile_id: str, fields: dict[str, Any]) -> None:
        """Write fields of a profile; those that cannot be written are left out and counted."""
        try:
            commit.write(profile_id, fields, source=self.settings.source)
            self.counters["profiles_written"] += 1
        except InvalidInput:
            for name, value in fields.items():
                try:
                    commit.write(profile_id, {name: value}, source=self.settings.source)
                except InvalidInput as error:
                    self.counters["fields_refused"] += 1
                    _log.info("a trait of %s is left out: %s", profile_id, error)


@dataclass(slots=True)
class _Pending:
    """What is to be written to one profile, and of which events it is."""

    fields: dict[str, Any] = field(default_factory=dict)
    identifiers: dict[str, None] = field(default_factory=dict)
    groups: dict[str, None] = field(default_factory=dict)
    sequences: list[int] = field(default_factory=list)
    who: set[tuple[str, str, str]] = field(default_factory=set)

    def all_fields(self) -> dict[str, Any]:
        """Return all fields, with the sets."""
        fields = dict(self.fields)
        if self.identifiers:
            fields["identifiers"] = add(*self.identifiers)
        if self.groups:
            fields["groups"] = add(*self.groups)
        return fields
