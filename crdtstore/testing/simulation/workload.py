"""The workload: random writes of every kind, by any schema, and what is noted of each.

Values are few enough that writes meet, and different enough that it shows whose value stands.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

from crdtstore.errors import (
    InvalidInput,
    ProfileErased,
    ProfileNotFound,
    VersionMismatch,
)
from crdtstore.identity_rules import IDENTIFIERS, PIN_PREFIX, IdentityRules
from crdtstore.model.operations import JoinUpdate, add, grant, increment, remove, revoke
from crdtstore.policy import (
    Trust,
    fill_only,
    frequency,
    longest,
    maximum,
    minimum,
    oldest,
    source_priority,
    trust_decay,
)
from crdtstore.schema import Field, Group, Schema
from crdtstore.store import Store
from crdtstore.testing.simulation.coverage import is_covered, visible
from crdtstore.testing.simulation.history import Broken, Entry, History, Slot
from crdtstore.testing.simulation.machine import Ticket
from crdtstore.testing.simulation.stewards import IDENTIFIERS_DRAWN, Stewards
from crdtstore.testing.simulation.texts import (
    EDITS,
    FORMAT,
    GARBAGE,
    MOVE,
    draw_edit,
    elements_of,
)
from crdtstore.testing.simulation.traits import FOLD, TRAITS, Traits, operation_of

SCHEMA: Final = Schema(
    fields={
        "email": Field(),
        "name": Field(policy=source_priority("crm", "cdp"), indexed=True),
        "city": Field(policy=frequency()),
        "born": Field(policy=oldest()),
        "score": Field(policy=maximum(), indexed=True),
        "price": Field(policy=minimum()),
        "about": Field(policy=longest()),
        "phone": Field(policy=fill_only("web")),
        "title": Field(policy=trust_decay({"crm": Trust(90, 10, 1), "web": Trust(60, 60, 1)})),
        "logins": Field(kind="counter", indexed=True),
        "balance": Field(kind="counter"),
        "tags": Field(kind="set", indexed=True),
        "mail": Field(kind="consent"),
        "calls": Field(kind="consent"),
        "notes": Field(kind="text"),
        "tasks": Field(kind="list"),
        **TRAITS,
    },
    groups={"address": Group(fields=("street", "zip"))},
    identity=IdentityRules(limit=2, profiles_max=6, identifiers_max=5),
)
"""The schema of a simulation that is given none: every kind and every policy, and some indexes."""

SOURCES: Final = ("cdp", "crm", "web")
CAUSES_NOTED: Final = 6
"""Of what a writer has read, so many of the newest writes are noted as causes of its own."""

ELEMENTS: Final = ("a", "b", "c", "é", 1, 2.5)


class Workload:
    """Writes at replicas, and the history that they make."""

    def __init__(self, chance: random.Random, schema: Schema, profiles: int) -> None:
        self.history = History()
        self._chance = chance
        self._schema = schema
        self._sources = schema.sources or SOURCES
        self._profiles = [f"p{number:02d}" for number in range(profiles)]
        self._stewards = Stewards(chance, schema, self.history)
        named = [name for name, field in schema.fields.items() if field.kind != "trait"]
        self._fields = [*named, *schema.group_of_field, IDENTIFIERS]
        self._traits = Traits(chance, schema)
        self._by_kind: dict[str, list[str]] = {}
        for name in self._fields:
            self._by_kind.setdefault(schema.kind_of(name) or "register", []).append(name)
        self._versions: dict[str, str] = {}
        self._read: dict[str, tuple[Store, int, Sequence[Entry]]] = {}
        self._elements: dict[str, tuple[Any, ...]] = {}

    def profile(self) -> str:
        """Draw a profile: the first ones are written most often."""
        return self._profiles[int(len(self._profiles) * self._chance.random() ** 2)]

    def act(self, store: Store, ticket: Ticket, profile: str, field: str | None = None) -> str:
        """Write something to a profile; return what was done, in words.

        The ticket is of the commit that the write will be part of. Raises StorageError, and Broken
        if the store does what it must not.
        """
        chance = self._chance.random()
        try:
            if field is None and chance < 0.03:
                return self._move(store, ticket, profile, "erase")
            if field is None and chance < 0.06:
                return self._move(store, ticket, profile, "revive")
            if field is None and chance < 0.08:
                return self._intrude(store, profile)
            if field is None and chance < 0.12:
                chosen = self._choose(store, ticket, profile)
                if chosen:
                    return chosen
            if field is None and chance < 0.22 and self._stewards.may_decide:
                return self._stewards.act(store, ticket, profile, self.profile())
            return self._write(store, ticket, profile, field)
        except ProfileErased:
            if not store.documents.get(profile).is_erased:
                raise Broken(f"{profile} is alive, and refused a write as erased") from None
            if self._chance.random() < 0.3:
                return self._move(store, ticket, profile, "revive")
            return f"write {profile}: refused, it is erased"

    def _move(self, store: Store, ticket: Ticket, profile: str, verb: str) -> str:
        before = store.documents.get(profile).epoch
        getattr(store, verb)(profile)
        epoch = store.documents.get(profile).epoch
        if epoch % 2 != (verb == "erase"):
            raise Broken(f"{verb} left {profile} in epoch {epoch}")
        if epoch != before:
            self.history.add(
                ticket=ticket, what=verb, profile=profile, epoch=epoch, stamp=_stamp(store)
            )
        return f"{verb} {profile}"

    def _intrude(self, store: Store, profile: str) -> str:
        """Be a hostile client of a text, which changes nothing."""
        kind = self._chance.choice(["text", "list"])
        names = self._by_kind.get(kind)
        if not names:
            return "nobody intrudes: there are no texts"
        name = self._chance.choice(names)
        before = _version(store, profile)
        garbage = JoinUpdate(kind, self._chance.choice(GARBAGE))
        try:
            store.write(profile, {name: garbage}, source=self._sources[0])
        except InvalidInput:
            _check(_version(store, profile) == before, f"{profile}.{name}: garbage changed it")
            return f"hostile update to {profile}.{name}: refused"
        raise Broken(f"{profile}.{name} took {garbage.update.hex()}")

    def _choose(self, store: Store, ticket: Ticket, profile: str) -> str:
        """Settle a conflict of a profile; return "" if there is none."""
        for conflict in store.conflicts.present(profile, limit=1):
            if conflict.field.startswith(PIN_PREFIX):
                return ""
            choice = self._chance.choice(["lost", "kept"])
            store.conflicts.choose(conflict.id, choice)
            claims = _claims(store, profile, [conflict.field])[conflict.field]
            slot = _register_slot(claims, conflict.source)
            _check(slot is not None and (choice == "kept" or _is_same(slot.value, conflict.lost)),
                   f"{profile}.{conflict.field}: chose {conflict}, reads {slot}")  # fmt: skip
            self.history.add(
                ticket=ticket, what="register", profile=profile, field=conflict.field,
                epoch=store.documents.get(profile).epoch, source=conflict.source,
                stamp=_stamp(store), causes=self._causes(ticket.machine),
                value=slot.value, timestamp=slot.timestamp,
            )  # fmt: skip
            return f"choose what {choice} {profile}.{conflict.field}"
        return ""

    # --- one write ----------------------------------------------------------------------------

    def _write(self, store: Store, ticket: Ticket, profile: str, field: str | None) -> str:
        chance = self._chance
        source = chance.choice(self._sources)
        count = 1 if chance.random() < 0.7 else chance.randrange(2, 5)
        if field is None and chance.random() < 0.4:
            field = chance.choice(self._by_kind[chance.choice(list(self._by_kind))])
        names = [field] if field else chance.sample(self._fields, min(count, len(self._fields)))
        events = self._traits.drawn()
        before = _claims(store, profile, [*names, *events])
        operations = {name: self._operation(store, profile, name, before[name]) for name in names}
        operations |= {name: (FOLD, operation_of(name, event)) for name, event in events.items()}
        if_version = self._if_version(store, profile)
        now = _version(store, profile)
        try:
            result = store.write(
                profile,
                {name: operation for name, (_, operation) in operations.items()},
                source=source,
                if_version=if_version,
            )
        except VersionMismatch:
            if if_version == now:
                raise Broken(f"{profile} is at {now}, which was refused as another") from None
            return f"write {profile}: refused, it is no longer at {if_version}"
        if if_version is not None and if_version != now:
            raise Broken(f"{profile} is at {now}, and took a write for {if_version}")
        after = _claims(store, profile, list(operations))
        for name, (what, operation) in operations.items():
            place = (profile, store.documents.get(profile).epoch, name, source)
            said = events[name] if what == FOLD else operation
            self._note(ticket, _stamp(store), place, what, said, (before[name], after[name]),
                       name in result.changed)  # fmt: skip
        self._versions[profile] = result.version
        changes = ", ".join(f"{name} {what}" for name, (what, _) in operations.items())
        return f"write {profile} as {source}: {changes}{'' if result.changed else ' (no news)'}"

    def _if_version(self, store: Store, profile: str) -> str | None:
        if self._chance.random() < 0.85:
            return None
        known = self._versions.get(profile)
        return known if self._chance.random() < 0.5 else _version(store, profile) or known

    def _operation(
        self, store: Store, profile: str, name: str, claims: Mapping[Slot, Any]
    ) -> tuple[str, Any]:
        chance = self._chance
        kind = self._schema.kind_of(name)
        match kind:
            case "text" | "list":
                present = elements_of(store, profile, name)
                edit = draw_edit(chance, kind, present, len(self.history.entries))
                self._elements[name] = edit.elements
                return edit.what, edit.operation
            case "counter":
                return "counter", increment(chance.choice([1, 1, 2, 5, -3]))
            case "set":
                if claims and chance.random() < 0.4:
                    return "remove", remove(chance.choice([slot[2] for slot in claims]))
                element = chance.choice(IDENTIFIERS_DRAWN if name == IDENTIFIERS else ELEMENTS)
                return (
                    ("add", add(element)) if chance.random() < 0.8 else ("remove", remove(element))
                )
            case "consent":
                return ("deny", revoke()) if chance.random() < 0.4 else ("grant", grant())
        return "register", self._value()

    def _value(self) -> Any:
        chance = self._chance.random()
        if chance < 0.1:
            return None
        if chance < 0.4:
            return self._chance.choice(["ann", "bob", 1, 2, 30])
        if chance < 0.43:
            return "x" * self._chance.choice([3_000, 20_000, 60_000]) + str(
                len(self.history.entries)
            )
        return f"w{len(self.history.entries)}"

    # --- what is noted ------------------------------------------------------------------------

    def _note(
        self,
        ticket: Ticket,
        stamp: int,
        place: tuple[str, int, str, str],
        what: str,
        operation: Any,
        claims: tuple[Mapping[Slot, Any], Mapping[Slot, Any]],
        is_changed: bool,
    ) -> None:
        profile, epoch, name, source = place
        before, after = claims
        entry: dict[str, Any] = {
            "ticket": ticket, "what": what, "profile": profile, "epoch": epoch, "field": name,
            "source": source, "stamp": stamp, "causes": self._causes(ticket.machine),
        }  # fmt: skip
        is_news = True
        if what in EDITS:
            entry["value"] = self._elements[name]
            is_news = is_changed or what not in (FORMAT, MOVE)
        elif what == "register":
            slot = _register_slot(after, source)
            old = _register_slot(before, source)
            is_news = (old is None and operation is not None) or (
                old is not None and not _is_same(old.value, operation)
            )
            if is_news:
                _check(slot is not None and _is_same(slot.value, operation),
                       f"{profile}.{name}: wrote {operation!r:.40}, reads {slot}")  # fmt: skip
                assert slot is not None
                entry |= {"value": operation, "timestamp": slot.timestamp}
        elif what == "counter":
            entry["value"] = operation.amount
        elif what == FOLD:
            entry["value"] = operation
            mine = (source, ticket.origin, None)
            is_news = mine not in before or before[mine].value != after[mine].value
        elif what in ("add", "deny"):
            element = operation.add[0] if what == "add" else None
            stood = any(c.source == source and c.value == element and c.survives
                        for c in before.values()) if what == "add" else False  # fmt: skip
            is_news = not stood
            if is_news:
                claim = after.get((source, ticket.origin, element))
                _check(
                    claim is not None and claim.survives, f"{profile}.{name}: {what} is not seen"
                )
                assert claim is not None
                entry |= {"value": element, "timestamp": claim.timestamp}
        else:
            seen = {
                slot: c.timestamp
                for slot, c in before.items()
                if c.survives and (what == "grant" or c.value == operation.remove[0])
                and (what == "remove" or c.value is False)
            }  # fmt: skip
            is_news = bool(seen) or (
                what == "grant"
                and not any(c.source == source and c.value is True for c in before.values())
            )
            entry["seen"] = seen
        _check(is_news == is_changed,
               f"{profile}.{name}: {what} by {source} is{'' if is_news else ' no'} news, and the "
               f"store says the opposite")  # fmt: skip
        if is_news:
            self.history.add(**entry)

    def read_at(self, store: Store, machine: str, profile: str) -> Sequence[Entry]:
        """Read a profile for a later write's causes; return the register writes that stand."""
        entries = visible(store, profile, self.history)
        came_by_frames = [entry for entry in entries if is_covered(store, entry)][-CAUSES_NOTED:]
        self._read[machine] = (store, store.counters["commits_failed"], came_by_frames)
        return entries

    def _causes(self, machine: str) -> tuple[int, ...]:
        """Return the writes that a machine's writer had read: no failed commit has undone them."""
        store, failed, entries = self._read.get(machine, (None, 0, ()))
        if store is None or store.counters["commits_failed"] != failed:
            return ()
        return tuple(entry.number for entry in entries)

    def forget_reads(self, machine: str) -> None:
        """Take note that a machine's process ended, and what was read there with it."""
        self._read.pop(machine, None)


def _claims(store: Store, profile: str, names: Sequence[str]) -> dict[str, dict[Slot, Any]]:
    """Return the candidates of some fields, by (source, origin, element)."""
    found: dict[str, dict[Slot, Any]] = {}
    for name in names:
        try:
            candidates = store.explain(profile, name)
        except ProfileNotFound:
            candidates = []
        kind = store.schema.kind_of(name)
        found[name] = {(c.source, c.origin, _part(kind, c.value)): c for c in candidates}
    return found


def _part(kind: str | None, value: Any) -> Any:
    if kind == "set":
        return value
    return "granted" if kind == "consent" and value is True else None


def _register_slot(claims: Mapping[Slot, Any], source: str) -> Any:
    return next((c for (owner, _, _), c in claims.items() if owner == source), None)


def _version(store: Store, profile: str) -> str | None:
    try:
        return store.read(profile).version
    except (ProfileErased, ProfileNotFound):
        return None


def _stamp(store: Store) -> int:
    """Return the newest timestamp of a store: at least that of the write just made."""
    return store.replication.healing.latest_timestamp


def _is_same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _check(is_so: bool, complaint: str) -> None:
    if not is_so:
        raise Broken(complaint)
