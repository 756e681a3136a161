"""Laws of erasures: in any order of arrival all replicas forget the same, and for good."""

from hypothesis import given, settings
from hypothesis import strategies as st

from crdtstore.errors import Refused
from crdtstore.model.identity import identifiers_in
from crdtstore.model.operations import add, remove
from crdtstore.names import OWN_IDS
from crdtstore.store import Store
from tests.engine.stores import Clock, acquaint, exchange, frames, open_store, reopened

IDENTIFIERS = [f"email:{name}@example.com" for name in "ab"]
PROFILES = ["p1", "p2", "p3"]
REPLICAS = ["eu", "us", "ap"]

_PROFILE = st.sampled_from(PROFILES)
_IDENTIFIER = st.sampled_from(IDENTIFIERS)
_STEP = st.one_of(
    *[st.tuples(st.just("add"), _PROFILE, _IDENTIFIER)] * 4,
    st.tuples(st.just("remove"), _PROFILE, _IDENTIFIER),
    st.tuples(st.just("name"), _PROFILE, st.just("")),
    st.tuples(st.just("erase person"), _PROFILE, st.just("")),
    st.tuples(st.just("erase identifier"), st.just(""), _IDENTIFIER),
    st.tuples(st.just("revive"), _PROFILE, st.just("")),
    st.tuples(st.just("lift"), st.just(""), st.just("")),
    st.tuples(st.just("later"), st.just(""), st.just("")),
    *[st.tuples(st.just("hear"), st.sampled_from(REPLICAS), st.just(""))] * 4,
    st.tuples(st.just("erase identifier"), st.just(""), _IDENTIFIER),
)
PROGRAMS = st.lists(st.tuples(st.integers(0, 2), _STEP), min_size=8, max_size=30)


def act(stores: dict[str, Store], store: Store, step: tuple[str, str, str], clock: Clock) -> None:
    """Do one thing at one replica; what is refused is refused."""
    what, word, identifier = step
    kind, _, value = identifier.partition(":")
    try:
        match what:
            case "add":
                store.write(word, {"identifiers": add(identifier), "n": identifier}, source="crm")
            case "remove":
                store.write(word, {"identifiers": remove(identifier)}, source="crm")
            case "name":
                store.write(word, {"name": word}, source="cdp")
            case "erase person":
                store.persons.erase(word)
            case "erase identifier":
                store.persons.erase_identifier(kind, value)
            case "revive":
                store.revive(word)
            case "lift":
                for erasure in store.erasures.present(limit=1):
                    store.erasures.lift(erasure.id, "dpo")
            case "later":
                clock.ms += 3
            case "hear":
                store.replication.receive_frames(frames(stores[word]), store.now_ms())
                store.erasures.settle()
    except Refused:
        pass


def check_forgotten(store: Store) -> None:
    """Check that nobody alive holds a suppressed identifier, and that the named are erased."""
    suppression = store.replication.healing._drafting.suppression
    for profile_id in PROFILES:
        document = store.documents.get(profile_id)
        if not document.is_erased:
            assert not suppression.of_identifiers(identifiers_in(document.cells)), profile_id
    for erasure in suppression.erasures.values():
        for profile_id in erasure.profiles:
            assert store.documents.get(profile_id).epoch >= erasure.epoch


@settings(max_examples=150, deadline=None)
@given(PROGRAMS)
def test_all_replicas_forget_the_same_in_any_order(
    program: list[tuple[int, tuple[str, str, str]]],
) -> None:
    clock = Clock()
    stores = {name: open_store(name=name, now_ms=clock) for name in REPLICAS}
    acquaint(*stores.values())
    for place, step in program:
        store = stores[REPLICAS[place]]
        act(stores, store, step, clock)
        check_forgotten(store)
        store.commit()
    exchange(*stores.values())
    assert len({store.digest().digest for store in stores.values()}) == 1
    for store in stores.values():
        check_forgotten(store)
        assert store.verify().is_sound
        for erasure in store.erasures.present():
            assert erasure.is_complete
            for profile_id in erasure.profiles:
                assert not profile_id.startswith(OWN_IDS)


@settings(max_examples=60, deadline=None)
@given(PROGRAMS, st.integers(0, 24))
def test_a_store_that_is_opened_again_forgets_the_same(
    program: list[tuple[int, tuple[str, str, str]]], place: int
) -> None:

    clock = Clock()
    stores = {name: open_store(name=name, now_ms=clock) for name in REPLICAS}
    acquaint(*stores.values())
    for number, (where, step) in enumerate(program):
        name = REPLICAS[where]
        act(stores, stores[name], step, clock)
        stores[name].commit()
        if number == place:
            stores[name] = reopened(stores[name])
    exchange(*stores.values())
    assert len({store.digest().digest for store in stores.values()}) == 1
    for store in stores.values():
        check_forgotten(store)
