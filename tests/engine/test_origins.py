"""What is known of origins: names, births, and which of them has a successor."""

from crdtstore.engine.number_maps import pack_numbers
from crdtstore.storage.contract import Batch
from crdtstore.storage.memory_storage import MemoryStorage
from tests.engine.stores import open_store, reopened


def retired(store, removed=()):
    origins = store.replication.origins
    return {origin for origin in origins.names if origins.has_retired(origin, removed)}


def test_the_one_born_last_is_the_present_one():
    store = open_store()
    origins = store.replication.origins
    origins.learn({5: ("us", 10), 6: ("us", 20), 7: ("us", 0), 8: ("ap", 1)})
    assert retired(store) == {5, 7}
    assert retired(store, {"ap"}) == {5, 7, 8}
    origins.learn({7: ("hearsay", 30)})
    assert retired(store) == {5, 6}, "a birth may be learnt later"
    assert origins.names[7] == "us"
    origins.learn({7: ("us", 3)})
    assert origins.named([7, 99]) == {7: ("us", 30)}
    origins.learn({7: ("sa", 30)}, at_first_hand=True)
    assert retired(store) == {5}
    store.commit()
    again = reopened(store)
    assert again.replication.origins.named(range(9)) == origins.named(range(9))
    assert again.replication.origins.present() == origins.present()
    assert not origins.has_retired(99, {"us"})


def test_our_own_is_born_after_all_others_of_its_name():
    store = open_store(name="us")
    ours = store.replication.identity.origin
    ((name, born_ms),) = store.replication.origins.named([ours]).values()
    assert (name, born_ms) == ("us", store.now_ms())
    store.now_ms.ms += 1_000
    store.replication.origins.learn({5: ("us", born_ms + 10**6)})
    assert retired(store) == {ours}
    renewed = store.replication.renew_incarnation(lambda _: 77)
    assert renewed.origin == 77
    assert retired(store) == {ours, 5}
    store.commit()
    again = reopened(store)
    assert again.replication.identity.origin == 77
    assert again.replication.origins.named([77]) == store.replication.origins.named([77])
    renamed = reopened(store, name="ap")
    assert renamed.replication.origins.present()["ap"] == 77


def test_names_from_before_births_were_known_are_taken_over():
    storage = MemoryStorage()
    storage.commit(Batch(meta={"names": pack_numbers({5: "us", 6: "us"})}))
    store = open_store(storage)
    assert store.replication.origins.named([5]) == {5: ("us", 0)}
    assert len(retired(store)) == 1
    assert store.replication.identity.origin not in retired(store)


def test_origins_that_never_wrote_are_forgotten_when_they_have_a_successor():
    store = open_store()
    origins = store.replication.origins
    origins.learn({5: ("us", 1), 6: ("us", 2), 7: ("us", 3)})
    store.replication.forget_silent({6})
    assert set(origins.names) == {6, 7, store.replication.identity.origin}
    store.commit()
    assert reopened(store).replication.names == origins.names
