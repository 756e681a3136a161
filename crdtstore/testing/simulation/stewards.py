"""Stewards: what they decide about persons in a simulation, and what is noted of it.

A decision is a write to several profiles at once, which the store works out from all that hangs
together. So what is noted is what its fields show before and after, profile by profile: from then
on the history expects each of these writes to stand, or to have lost by a rule, as any other.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from crdtstore.engine.components import Exploration
from crdtstore.engine.persons import STEWARD, Person
from crdtstore.errors import InvalidInput, ProfileErased, ProfileNotFound, Refused
from crdtstore.identity_rules import IGNORED, MATCH, NOT_MATCH, PIN_PREFIX
from crdtstore.model.cells import SEPARATOR, Cell, parse_key, register_key
from crdtstore.schema import Schema
from crdtstore.store import Store
from crdtstore.testing.simulation.history import Broken, History, Slot
from crdtstore.testing.simulation.machine import Ticket

IDENTIFIERS_DRAWN: Final = (
    "user_id:1", "user_id:2", "email:a@b.c", "email:d@e.f", "email:g@h.i", "card:7",
    "device_id:x", "email:noreply@b.c",
)  # fmt: skip
"""Identifiers that profiles hold: few enough that many share one; the last is blocked. None of them
needs a library for its normal form, so that a simulation needs none."""

_VERBS: Final = (
    "merge", "merge", "merge", "unmerge", "unmerge", "not_match", "pin", "ignore", "regard",
)  # fmt: skip
_SETS: Final = (MATCH, NOT_MATCH, IGNORED)

_Shown = dict[str, dict[str, dict[Slot, Any]]]


class Stewards:
    """Decisions about persons, drawn at random, and their notes in a history."""

    def __init__(self, chance: random.Random, schema: Schema, history: History) -> None:
        self._chance = chance
        self._history = history
        self._registers = [
            name
            for name in (*schema.fields, *schema.group_of_field)
            if (schema.kind_of(name) or "register") == "register"
        ]
        self.may_decide = not schema.sources or STEWARD in schema.sources

    def act(self, store: Store, ticket: Ticket, one: str, other: str) -> str:
        """Decide something about a profile, and maybe another; return what, in words."""
        verb = self._chance.choice(_VERBS)
        if verb in ("merge", "unmerge", "not_match"):
            return self._part_or_unite(store, ticket, verb, one, other)
        if not self._registers:
            return f"{verb} {one}: there is no register"
        field = self._chance.choice(self._registers)
        if verb == "pin":
            return self._pin(store, ticket, one, field)
        return self._leave_out(store, ticket, verb, one, field)

    def _part_or_unite(self, store: Store, ticket: Ticket, verb: str, one: str, other: str) -> str:
        is_leaving = verb == "unmerge" and self._chance.random() < 0.3
        words = (one,) if is_leaving else (one, other)
        told = f"{verb} {' '.join(words)}"
        touched = _hanging_together(store, words)
        decide: Callable[..., Person] = getattr(store.persons, verb)

        def decided() -> None:
            known = store.persons.read(one).profiles
            others = store.persons.read(other).profiles
            person = decide(*words)
            if verb == "merge":
                is_done = set(person.profiles) >= {*known, *others}
            else:
                is_done = person.profiles == (one,) if is_leaving else other not in person.profiles
            if not is_done:
                raise Broken(f"{told}: {one} is of {person.profiles}, was of {known}")

        return self._noted(store, ticket, told, touched, decided)

    def _leave_out(self, store: Store, ticket: Ticket, verb: str, one: str, field: str) -> str:
        try:
            known = store.explain(one, field)
        except (ProfileErased, ProfileNotFound):
            return f"{verb} {one}.{field}: it is gone"
        sources = sorted({candidate.source for candidate in known}) or ["web"]
        source = self._chance.choice(sources)
        values = {c.source: c.value for c in known if not c.rule.startswith("pinned:")}
        decide: Callable[..., Any] = getattr(store.persons, verb)
        told = f"{verb} {one}.{field} of {source}"
        number = len(self._history.entries)
        said = self._noted(store, ticket, told, [one], lambda: decide(one, field, source))
        for entry in self._history.entries[number:]:
            if entry.what == "add":
                self._history.ignored.setdefault(entry.value, (field, source, values[source]))
        return said

    def _pin(self, store: Store, ticket: Ticket, one: str, field: str) -> str:
        value = self._chance.choice([None, "pinned", 7, f"pin {len(self._history.entries)}"])
        told = f"pin {one}.{field} to {value!r}"
        touched = _hanging_together(store, [one])
        before = {profile: pins_of(store, profile).get(field) for profile in touched}
        try:
            store.persons.pin(one, field, value)
        except (Refused, InvalidInput) as refusal:
            return f"{told}: refused, {refusal.code}"
        finally:
            for profile, cell in before.items():
                after = pins_of(store, profile).get(field)
                if after is not None and after != cell:
                    self._history.add(
                        ticket=ticket, what="register", profile=profile, field=PIN_PREFIX + field,
                        epoch=store.documents.get(profile).epoch, source=STEWARD, value=after[2],
                        timestamp=after[0], stamp=_stamp(store),
                    )  # fmt: skip
        pinned = pins_of(store, one).get(field)
        if (None if pinned is None else pinned[2]) != value:
            raise Broken(f"{told}: there is {pinned}")
        return told

    def _noted(
        self,
        store: Store,
        ticket: Ticket,
        told: str,
        touched: Iterable[str],
        decide: Callable[[], Any],
    ) -> str:
        """Have something decided, and note what it changed, also if it was cut short."""
        before = {profile: _shown(store, profile) for profile in touched}
        try:
            decide()
        except (Refused, InvalidInput) as refusal:
            return f"{told}: refused, {refusal.code}"
        finally:
            for profile, fields in before.items():
                self._note(store, ticket, profile, fields, _shown(store, profile))
        return told

    def _note(
        self,
        store: Store,
        ticket: Ticket,
        profile: str,
        before: Mapping[str, Mapping[Slot, Any]],
        after: Mapping[str, Mapping[Slot, Any]],
    ) -> None:
        for field in _SETS:
            place: dict[str, Any] = {
                "ticket": ticket, "profile": profile, "field": field, "source": STEWARD,
                "epoch": store.documents.get(profile).epoch, "stamp": _stamp(store),
            }  # fmt: skip
            old, new = before.get(field, {}), after.get(field, {})
            for slot, claim in new.items():
                stood = slot in old and old[slot].survives
                if claim.survives and not stood:
                    self._history.add(what="add", value=slot[2], timestamp=claim.timestamp, **place)
            seen = {
                slot: claim.timestamp
                for slot, claim in old.items()
                if claim.survives and not (slot in new and new[slot].survives)
            }
            if seen:
                self._history.add(what="remove", seen=seen, **place)


def pins_of(store: Store, profile: str) -> dict[str, Cell]:
    """Return the cells of a profile's pins by stewards, by the field that is pinned."""
    cells = store.documents.get(profile).cells
    begins = register_key(PIN_PREFIX, "").removesuffix(SEPARATOR)
    names = [parse_key(key) for key in cells if key.startswith(begins)]
    return {
        parsed.field.removeprefix(PIN_PREFIX): cells[register_key(parsed.field, parsed.source)]
        for parsed in names
    }


def _hanging_together(store: Store, words: Iterable[str]) -> list[str]:
    """Return all profiles that a decision about some profiles could touch."""
    exploration = Exploration(store.storage, store.documents, store.schema.identity)
    living = [word for word in words if exploration.identity(word) is not None]
    matched = exploration.matched(living).identities
    return sorted({*exploration.component(living).identities, *matched})


def _shown(store: Store, profile: str) -> dict[str, dict[Slot, Any]]:
    """Return what the fields of stewards hold, by (source, origin, element)."""
    found: dict[str, dict[Slot, Any]] = {}
    for field in _SETS:
        told = store.explain(profile, field)
        found[field] = {(c.source, c.origin, c.value): c for c in told}
    return found


def _stamp(store: Store) -> int:
    return store.replication.healing.latest_timestamp
