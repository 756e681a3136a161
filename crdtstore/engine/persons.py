"""Persons of a store: finding, reading and explaining them, and what stewards decide.

Nothing about a person is stored but what the documents of its profiles say. So every replica with
the same documents and rules finds the same persons, and what a steward takes back is as if it had
never been.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from crdtstore import limits
from crdtstore.engine.components import Component, Exploration, person_version
from crdtstore.engine.conflict_log import ConflictLog
from crdtstore.engine.documents import Documents
from crdtstore.engine.edges import (
    Edge,
    edits,
    planned_loosening,
    planned_merge,
    planned_not_match,
    planned_parting,
    planned_unmerge,
)
from crdtstore.engine.erasures import ErasureReport, Erasures
from crdtstore.engine.export import Held, export_of
from crdtstore.engine.feed import Change
from crdtstore.engine.listing import living_document
from crdtstore.engine.person_feed import PersonFeed
from crdtstore.engine.replication import Replication
from crdtstore.engine.text_fields import TextFields
from crdtstore.engine.writes import WriteResult
from crdtstore.errors import (
    CrdtstoreError,
    InvalidInput,
    KindConflict,
    LimitExceeded,
    PersonNotFound,
    StorageFull,
)
from crdtstore.identity_rules import IGNORED, PIN_PREFIX, RESERVED_PREFIX
from crdtstore.model.candidates import Candidate
from crdtstore.model.cells import parse_key, register_key
from crdtstore.model.document import Document
from crdtstore.model.gathering import ignored_element, ignored_elements
from crdtstore.model.golden import explain_all, resolve_all
from crdtstore.model.identifiers import identifier, profile_id_for
from crdtstore.model.operations import EditSet, SetValue
from crdtstore.model.persons import DroppedLink, PersonGroup
from crdtstore.model.profile import Profile
from crdtstore.model.values import Value
from crdtstore.names import check_field_name, check_profile_id, check_source_name
from crdtstore.person_errors import PersonAmbiguous
from crdtstore.schema import Schema
from crdtstore.storage.contract import Storage

STEWARD: Final = "steward"
"""The source under which decisions are stored unless the caller names another."""


@dataclass(frozen=True, slots=True)
class Person:
    """One person: the ids of its profiles, and the golden record over all of them.

    ``id`` is the id of one of the profiles; the others lead to the same person. ``dropped`` are
    links that the rules do not let hold: see ``crdtstore.model.persons``.
    """

    id: str
    profiles: tuple[str, ...]
    record: Profile
    dropped: tuple[DroppedLink, ...]

    @property
    def version(self) -> str:
        """An opaque token: changes whenever the person gains, loses or changes a profile."""
        return self.record.version


class Writer(Protocol):
    """What takes the writes of stewards: a store."""

    conflict_log: ConflictLog

    @property
    def refusal(self) -> CrdtstoreError | None:
        """Why it takes no writes now, None if it takes them."""
        ...

    def write(self, profile_id: str, fields: Mapping[str, Any], *, source: str) -> WriteResult:
        """Apply what a source says about a profile."""
        ...


class Persons:
    """The persons of one store. ``read`` and ``explain`` take the id of any profile of a person.

    A decision is applied at once, and durable after a commit, as any write; it is a write of
    ``source`` to the profiles concerned, and replicates with them. ``counters`` counts the persons
    that were read, and those of them that a limit or a cap keeps from having more profiles.
    """

    def __init__(
        self,
        store: Writer,
        storage: Storage,
        documents: Documents,
        schema: Schema,
        replication: Replication,
        erasures: Erasures,
        texts: TextFields,
        has_index: bool,
    ) -> None:
        self._store = store
        self._erasures = erasures
        self._storage = storage
        self._documents = documents
        self._schema = schema
        self._rules = schema.identity
        self._replication = replication
        self._texts = texts
        self._has_index = has_index
        self.counters = {"persons_read": 0, "persons_capped": 0}

    # --- reading ------------------------------------------------------------------------------

    def find(self, kind: str, value: str, *, limit: int = 10) -> list[Person]:
        """Return the persons with a profile that holds an identifier, at most ``limit`` of them.

        The one that has held it for longest comes first; there are several only if a rule keeps
        them apart. Raises PersonNotFound if there is none, or the identifier is blocked or held by
        too many; InvalidValue for what is no identifier.
        """
        text = identifier(kind, value, region=self._rules.phone_region)
        exploration, holders = self._holders(text)
        if not holders:
            raise PersonNotFound(text)
        groups: list[PersonGroup] = []
        for holder in sorted(holders, key=lambda each: exploration.since(each, text)):
            if len(groups) < limit and not any(holder in group.profiles for group in groups):
                groups.append(exploration.component([holder]).person(holder, self._rules))
        return [self._person(group) for group in groups]

    def read(self, profile_id: str) -> Person:
        """Return the person of a profile; raises ProfileNotFound or ProfileErased."""
        return self._person(self._group(profile_id))

    def explain(self, profile_id: str, field: str | None = None) -> list[Candidate]:
        """Return every candidate of every field (or of one) of a person, with its profile."""
        documents = self._cells(self._group(profile_id).profiles)
        return explain_all(documents, self._schema, self._replication.names, field)

    def profile_id_for(self, *identifiers: str) -> str:
        """Return the id for a new profile with these identifiers: the same on every replica."""
        return profile_id_for(self._replication.identity.space, identifiers, self._rules)

    def export(self, profile_id: str) -> dict[str, Any]:
        """Return everything held on the person of a profile, as a document that JSON can hold.

        Every value of every source, elements that were removed, texts with their histories, values
        that lost unseen, and what stewards decided.
        """
        person, log = self.read(profile_id), self._store.conflict_log
        held = [
            Held(each, self._documents.get(each), self._texts.states(each), [*log.entries(each)])
            for each in person.profiles
        ]
        candidates = self.explain(person.id)
        return export_of(person.record, held, candidates, person.dropped, self._replication.names)

    # --- forgetting ---------------------------------------------------------------------------

    def erase(
        self, profile_id: str, *, alone: bool = False, source: str = STEWARD
    ) -> ErasureReport:
        """Erase the person of a profile: all its profiles, for good, on every replica.

        Its identifiers are suppressed, but for those that other persons hold too: what would bring
        one back is refused here, and erased where it arrives. Works on a full disk. ``alone``
        erases this profile only, known here or not, and suppresses nothing.
        """
        self._check_erasing()
        if alone:
            check_profile_id(profile_id)
            return self._erasures.order("profile", [profile_id], (), source)
        group = self._group(profile_id)
        own = self._own_identifiers(group.profiles)
        return self._erasures.order("person", group.profiles, own, source)

    def erase_identifier(self, kind: str, value: str, *, source: str = STEWARD) -> ErasureReport:
        """Erase the person that holds an identifier, if anybody here does, and suppress it.

        Raises PersonAmbiguous if several persons do, PersonNotFound if it is blocked or held by too
        many, InvalidValue for what is no identifier.
        """
        self._check_erasing()
        text = identifier(kind, value, region=self._rules.phone_region)
        exploration, holders = self._holders(text)
        profiles: set[str] = set()
        if holders:
            group = exploration.component(holders[:1]).person(holders[0], self._rules)
            others = [
                exploration.component([holder]).person(holder, self._rules).id
                for holder in holders
                if holder not in group.profiles
            ]
            if others:
                raise PersonAmbiguous(kind, (group.id, *dict.fromkeys(others)))
            profiles.update(group.profiles)
        own = self._own_identifiers(profiles) | {text}
        return self._erasures.order("identifier", profiles, own, source)

    def _check_erasing(self) -> None:
        """Refuse to erase where the store takes no writes; a full disk is no reason."""
        refusal = self._store.refusal
        if refusal is not None and not isinstance(refusal, StorageFull):
            raise refusal

    def _own_identifiers(self, profiles: Collection[str]) -> set[str]:
        """Return the identifiers of some profiles that no other profile holds."""
        exploration, own = self._exploration(), set()
        for profile_id in profiles:
            identity = exploration.identity(profile_id)
            for text in () if identity is None else identity.identifiers:
                holders = exploration.holders(text)
                is_own = holders is not None and set(holders) <= set(profiles)
                if is_own and not self._rules.is_blocked(text):
                    own.add(text)
        return own

    def in_feed(self, changes: Iterable[Change]) -> list[Change]:
        """Return changes with the persons that they touched; only the first, if these are many."""
        feed = PersonFeed(self._exploration(), self._documents, self._rules)
        return list(feed.page(changes))

    # --- which profiles are one person --------------------------------------------------------

    def merge(self, profile_id: str, other_id: str, *, source: str = STEWARD) -> Person:
        """Say that two profiles are of one person; return it.

        Limits of types do not count against a steward. Raises MergeRefused if the person would have
        more profiles or identifiers than the rules allow.
        """
        self._check_source(source)
        component = self._component_to_unite(profile_id, other_id)
        return self._apply(
            planned_merge(component, self._rules, profile_id, other_id), profile_id, source
        )

    def unmerge(
        self, profile_id: str, other_id: str | None = None, *, source: str = STEWARD
    ) -> Person:
        """Part two profiles, and what is bound to each; or one from all others of its person.

        Return the person of the first. A merge that is taken back leaves both golden records as
        they were before it.
        """
        self._check_source(source)
        words = (profile_id,) if other_id is None else (profile_id, other_id)
        component = self._component_to_part(*words)
        if component.is_too_large:
            self._apply(planned_loosening(component, profile_id, other_id), profile_id, source)
            component = self._component(*words)  # it may have come apart
        if component.is_too_large:
            return self.read(profile_id)
        if other_id is None:
            edges = planned_parting(component, self._rules, profile_id)
        else:
            edges = planned_unmerge(component, self._rules, profile_id, other_id)
        return self._apply(edges, profile_id, source)

    def not_match(self, profile_id: str, other_id: str, *, source: str = STEWARD) -> Person:
        """Say that two profiles are of two persons, now and later; return that of the first."""
        self._check_source(source)
        component = self._component_to_part(profile_id, other_id)
        return self._apply(planned_not_match(component, profile_id, other_id), profile_id, source)

    # --- what the golden record shows ---------------------------------------------------------

    def pin(self, profile_id: str, field: str, value: Value, *, source: str = STEWARD) -> Person:
        """Have a value survive in the golden record, whatever sources say; None ends that.

        The pin is stored with the profile named. Raises KindConflict if the field is no register.
        """
        check_field_name(field)
        self._check_source(source)
        group = self._group(profile_id)
        document = self._documents.get(profile_id)
        kinds = {parse_key(key).letter for key in document.cells if parse_key(key).field == field}
        is_register = self._schema.kind_of(field) in (None, "register") and kinds <= {"r"}
        if not is_register or field.startswith(RESERVED_PREFIX):
            raise KindConflict(f"field {field!r} is no register, and only a register is pinned")
        pinned = group.profiles if value is None else (profile_id,)
        for member in pinned:
            self._store.write(member, {PIN_PREFIX + field: SetValue(value)}, source=source)
        return self.read(profile_id)

    def ignore(
        self, profile_id: str, field: str, of_source: str, *, source: str = STEWARD
    ) -> Person:
        """Leave a profile's candidate out, for as long as its source says the same.

        Raises InvalidInput if that source has no value there.
        """
        self._check_candidate(field, of_source, source)
        cell = self._living(profile_id).cells.get(register_key(field, of_source))
        if cell is None or cell[2] is None:
            raise InvalidInput(
                f"source {of_source!r} has no value for field {field!r} of profile {profile_id!r}"
            )
        element = ignored_element(field, of_source, cell[2])
        self._store.write(profile_id, {IGNORED: EditSet(add=(element,))}, source=source)
        return self.read(profile_id)

    def regard(
        self, profile_id: str, field: str, of_source: str, *, source: str = STEWARD
    ) -> Person:
        """Let a profile's candidates that were ignored count again."""
        self._check_candidate(field, of_source, source)
        if gone := ignored_elements(self._living(profile_id).cells, field, of_source):
            self._store.write(profile_id, {IGNORED: EditSet(remove=gone)}, source=source)
        return self.read(profile_id)

    # --- inside -------------------------------------------------------------------------------

    def _exploration(self) -> Exploration:
        if not self._has_index:
            raise StorageFull(
                "there was no room to build the index of identifiers; make room, and open again"
            )
        return Exploration(self._storage, self._documents, self._rules)

    def _holders(self, text: str) -> tuple[Exploration, list[str]]:
        """Return the profiles that hold an identifier; raises PersonNotFound if it links nobody."""
        if self._rules.is_blocked(text):
            raise PersonNotFound(text, "it is blocked")
        exploration = self._exploration()
        holders = exploration.holders(text)
        if holders is None:
            number = limits.IDENTIFIER_PROFILES_MAX
            raise PersonNotFound(text, f"more than {number:,} profiles hold it")
        return exploration, holders

    def _check_source(self, source: str) -> None:
        check_source_name(source)
        self._schema.check_source(source)

    def _check_candidate(self, field: str, of_source: str, source: str) -> None:
        check_field_name(field)
        check_source_name(of_source)
        self._check_source(source)

    def _living(self, profile_id: str) -> Document:
        return living_document(self._documents, profile_id)

    def _component(self, *profile_ids: str) -> Component:
        for profile_id in profile_ids:
            self._living(profile_id)
        return self._exploration().component(profile_ids)

    def _group(self, profile_id: str) -> PersonGroup:
        return self._component(profile_id).person(profile_id, self._rules)

    def _component_to_unite(self, *profile_ids: str) -> Component:
        _check_different(profile_ids)
        component = self._component(*profile_ids)
        if component.is_too_large:
            size, most = len(component.identities) + 1, limits.COMPONENT_PROFILES_MAX
            raise LimitExceeded("what hangs together with the profile", size, most, "profiles")
        return component

    def _component_to_part(self, *profile_ids: str) -> Component:
        """Return what hangs together; the matches alone if that is too much."""
        _check_different(profile_ids)
        component = self._component(*profile_ids)
        return self._exploration().matched(profile_ids) if component.is_too_large else component

    def _apply(self, edges: Iterable[Edge], profile_id: str, source: str) -> Person:
        for changed_id, fields in edits(edges).items():
            self._store.write(changed_id, fields, source=source)
        return self.read(profile_id)

    def _cells(self, profile_ids: Iterable[str]) -> list[tuple[str, Any]]:
        return [(profile_id, self._documents.get(profile_id).cells) for profile_id in profile_ids]

    def _person(self, group: PersonGroup) -> Person:
        self.counters["persons_read"] += 1
        self.counters["persons_capped"] += any(link.is_capped for link in group.dropped)
        version = person_version(self._documents, group.profiles)
        cells = self._cells(group.profiles)
        record = resolve_all(group.id, version, cells, self._schema, self._texts)
        return Person(group.id, group.profiles, record, group.dropped)


def _check_different(profile_ids: Sequence[str]) -> None:
    if len(set(profile_ids)) < len(profile_ids):
        raise InvalidInput(f"profile {profile_ids[0]!r} is one profile; name two")
