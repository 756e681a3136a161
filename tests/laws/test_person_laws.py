"""Persons are a function of the documents and the rules, and keep what the rules promise."""

from collections.abc import Iterable, Iterator, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from crdtstore.identity_rules import (
    IdentityRules,
    TypeRules,
    type_of,
)
from crdtstore.model.document import Document, join
from crdtstore.model.identity import ProfileIdentity, identifiers_in, identity_of
from crdtstore.model.operations import EditSet
from crdtstore.model.persons import PersonGroup, persons_of
from crdtstore.model.write import WriteContext, plan_write
from crdtstore.schema import Schema

IDS = tuple("abcdefgh")
TEXTS = (
    "user_id:1", "user_id:2", "email:a", "email:b", "email:c", "phone:+1", "phone:+2", "user_id:0",
)  # fmt: skip
DAY = 86_400_000 << 16

times = st.integers(1, 6).map(lambda days: days * DAY)
edges = st.frozensets(st.sampled_from(IDS), max_size=2)


@st.composite
def worlds(draw: st.DrawFn) -> list[ProfileIdentity]:
    """Profiles whose identifiers meet often, with some edges of stewards."""
    made = []
    for profile_id in draw(st.lists(st.sampled_from(IDS), min_size=1, unique=True)):
        held = draw(st.dictionaries(st.sampled_from(TEXTS), times, max_size=4))
        few = st.one_of(st.just(frozenset[str]()), st.just(frozenset[str]()), edges)
        made.append(
            ProfileIdentity(profile_id, held, draw(few) - {profile_id}, draw(few) - {profile_id})
        )
    return made


rules = st.builds(
    IdentityRules,
    limit=st.integers(1, 3),
    profiles_max=st.sampled_from([2, 3, 100]),
    identifiers_max=st.sampled_from([2, 3, 100]),
    types=st.sampled_from([{}, {"user_id": TypeRules(3)}, {"email": TypeRules(1, 2)}]),
    priority=st.sampled_from([("user_id", "email"), (), ("phone",)]),
)
overloads = st.frozensets(st.sampled_from(TEXTS), max_size=2)


def usable(identity: ProfileIdentity, by: IdentityRules, overloaded: Iterable[str]) -> set[str]:
    return {t for t in identity.identifiers if not by.is_blocked(t) and t not in set(overloaded)}


def neighbours(
    world: Mapping[str, ProfileIdentity], by: IdentityRules, overloaded: Iterable[str]
) -> dict[str, set[str]]:
    """Return the profiles to which each is linked, if no rule forbids it."""
    linked: dict[str, set[str]] = {profile_id: set() for profile_id in world}
    for one in world.values():
        for other in world.values():
            is_matched = one.profile_id in other.match and other.profile_id in one.match
            shares = usable(one, by, overloaded) & usable(other, by, overloaded)
            if is_matched or shares:
                linked[one.profile_id].add(other.profile_id)
    return linked


def components(linked: Mapping[str, set[str]]) -> Iterator[set[str]]:
    waiting = set(linked)
    while waiting:
        reached, border = set[str](), {min(waiting)}
        while border:
            reached |= border
            border = set().union(*(linked[profile_id] for profile_id in border)) - reached
        waiting -= reached
        yield reached


@given(st.data(), worlds(), rules, overloads)
def test_order_and_repetition_do_not_matter(
    data: st.DataObject, world: list[ProfileIdentity], by: IdentityRules, overloaded: frozenset[str]
) -> None:
    shuffled = data.draw(st.permutations(world + data.draw(st.lists(st.sampled_from(world)))))
    assert persons_of(shuffled, by, overloaded) == persons_of(world, by, overloaded)


@given(worlds(), rules, overloads)
def test_every_profile_is_of_one_person(
    world: list[ProfileIdentity], by: IdentityRules, overloaded: frozenset[str]
) -> None:
    persons = persons_of(world, by, overloaded)
    members = [profile_id for person in persons for profile_id in person.profiles]
    assert sorted(members) == sorted(identity.profile_id for identity in world)
    assert all(person.id in person.profiles for person in persons)
    assert all(list(person.profiles) == sorted(person.profiles) for person in persons)


@given(worlds(), rules, overloads)
def test_what_is_not_linked_does_not_matter(
    world: list[ProfileIdentity], by: IdentityRules, overloaded: frozenset[str]
) -> None:
    """The persons of a whole store are those of its components: an update costs no more."""
    known = {identity.profile_id: identity for identity in world}
    one_by_one: list[PersonGroup] = []
    for reached in components(neighbours(known, by, overloaded)):
        one_by_one += persons_of([known[profile_id] for profile_id in reached], by, overloaded)
    assert sorted(one_by_one) == persons_of(world, by, overloaded)


@given(worlds(), rules, overloads)
def test_a_person_hangs_together(
    world: list[ProfileIdentity], by: IdentityRules, overloaded: frozenset[str]
) -> None:
    known = {identity.profile_id: identity for identity in world}
    linked = neighbours(known, by, overloaded)
    for person in persons_of(world, by, overloaded):
        members = set(person.profiles)
        inside = {member: linked[member] & members for member in members}
        assert list(components(inside)) == [members]


@given(worlds(), rules, overloads)
def test_the_rules_hold(
    world: list[ProfileIdentity], by: IdentityRules, overloaded: frozenset[str]
) -> None:
    known = {identity.profile_id: identity for identity in world}
    for person in persons_of(world, by, overloaded):
        members = [known[profile_id] for profile_id in person.profiles]
        assert not any(one.not_match & set(person.profiles) for one in members)
        if len(members) == 1:
            continue
        assert len(members) <= by.profiles_max
        texts = [usable(one, by, overloaded) for one in members]
        together = set().union(*texts)
        assert len(together) <= max(by.identifiers_max, *map(len, texts))
        if any(one.match for one in members):
            continue
        for kind in ("user_id", "email", "phone"):
            values = {text for text in together if type_of(text) == kind}
            alone = max(len(values & held) for held in texts)
            limit, window_days = by.type_rules(kind).limit, by.type_rules(kind).window_days
            if not window_days:
                assert len(values) <= max(limit, alone)
            elif alone <= limit:
                since = [
                    min(o.identifiers[t] for o in members if t in o.identifiers) for t in values
                ]
                for start in since:
                    span = [time for time in since if 0 <= time - start < window_days * DAY]
                    assert len(span) <= max(limit, alone)


@given(worlds(), rules, overloads)
def test_who_shares_an_identifier_and_stays_apart_is_told_why(
    world: list[ProfileIdentity], by: IdentityRules, overloaded: frozenset[str]
) -> None:
    known = {identity.profile_id: identity for identity in world}
    persons = persons_of(world, by, overloaded)
    held = [
        set().union(*(usable(known[p], by, overloaded) for p in person.profiles))
        for person in persons
    ]
    for one, texts in zip(persons, held, strict=True):
        for other, other_texts in zip(persons, held, strict=True):
            if one is other:
                continue
            for text in texts & other_texts:
                told = [link for link in one.dropped if link.identifier == text]
                ends = {(link.profile_id, link.other_id) for link in told}
                both = set(one.profiles) | set(other.profiles)
                assert any(set(end) <= both for end in ends), (text, one, other)
        for link in one.dropped:
            inside = {link.profile_id, link.other_id} & set(one.profiles)
            assert len(inside) == 1
            assert link.reason


@settings(max_examples=60)
@given(st.data())
def test_what_documents_say_does_not_depend_on_the_order_of_arrival(data: st.DataObject) -> None:
    """Deltas of several origins, joined in any order and batch, say the same identity."""
    deltas: list[Document] = []
    whole = Document()
    for number in range(data.draw(st.integers(1, 6))):
        field = data.draw(st.sampled_from(["identifiers", "identity.match", "identity.not_match"]))
        texts = st.sampled_from(
            ["email:a@b.c", "user_id:1"] if field == "identifiers" else ["q", "r"]
        )
        edit = data.draw(st.sampled_from(["add", "remove"]))
        known = join(whole, Document()) if data.draw(st.booleans()) else Document()
        context = WriteContext(known, Schema(), "crm", 10 * (number + 1), 1 + number % 2)
        element = data.draw(texts)
        operation = EditSet(**{edit: (element,)})
        delta = Document(0, plan_write(context, {field: operation})[0])
        deltas.append(delta)
        whole = join(whole, delta)
    shuffled = Document()
    for delta in data.draw(st.permutations(deltas + deltas[:2])):
        shuffled = join(shuffled, delta)
    identity = identity_of("p", whole.cells)
    assert identity_of("p", shuffled.cells) == identity
    assert identifiers_in(shuffled.cells) == identity.identifiers.keys()
