"""Origins at rest in one store: heads as before, durable, undone with a failed commit."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from crdtstore import limits
from crdtstore.engine.commits import persist_growing
from crdtstore.engine.resting import Resting, entry_digest
from crdtstore.errors import FrameForked, StorageFull
from crdtstore.settings import Settings
from crdtstore.storage.contract import Batch
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.sync.frame import decode_body, parse, seal, space_tag
from tests.engine.stores import Clock, fail, frames, open_store, reopened, state
from tests.engine.test_snapshots import snapshot

TAG = space_tag("default")
SHORT = Settings(journal_retention_ms=1, acknowledged_retention_ms=1)


def frame_after(head, origin, stamp, dependencies=()):
    return seal(
        origin=origin,
        previous=head,
        timestamp=stamp,
        dependencies=dict(dependencies),
        entries=[],
        tag=TAG,
    )


def deliver(store, origin, count=1, **options):
    """Let so many frames of an origin come."""
    for _ in range(count):
        stamp = store.now_ms() << 16
        raw = frame_after(store.ledger.head(origin), origin, stamp, **options).raw
        assert store.replication.receive_frames([raw], store.now_ms()) == 1


def trim(store):
    """Have all frames that are there trimmed."""
    for _ in range(4):
        store.now_ms.ms += 10
        store.write("ann", {"n": store.now_ms.ms}, source="crm")
        store.commit(checkpoint=True)


def rested(store, *origins):
    """Give a store frames of origins that then come to rest."""
    for origin in origins:
        store.replication.learn_names({origin: "old"})
        deliver(store, origin, 3)
    store.replication.removal.learn(["old"])
    trim(store)
    for origin, head in store.replication.retired().items():
        store.replication.rest_origin(origin, head)
    store.commit()
    assert len(store.ledger.resting) == len(origins)
    return store


def test_only_what_has_retired_and_was_trimmed_and_checkpointed_may_rest(monkeypatch):
    monkeypatch.setattr(limits, "WAYPOINT_RECORDS", 1)
    store = open_store(settings=SHORT)
    for origin in (5, 6, 7):
        deliver(store, origin)
    store.replication.origins.learn({5: ("us", 1), 6: ("us", 2), 7: ("ap", 1)})
    assert store.replication.retired() == {}
    trim(store)
    assert list(store.replication.retired()) == [5]
    deliver(store, 5)
    assert store.replication.retired() == {}, "its last frame is in the journal"
    trim(store)
    store.replication.removal.learn(["ap", "eu"])
    assert sorted(store.replication.retired()) == [5, 7], "our own never"
    monkeypatch.setattr(limits, "RESTING_MAX", 1)
    assert len(store.replication.retired()) == 1


def test_an_origin_at_rest_counts_as_had_and_as_trimmed():
    store = rested(open_store(settings=SHORT), 5)
    head = store.ledger.head(5)
    assert head[0] == 3
    for each in (store, reopened(store, settings=SHORT)):
        assert 5 not in each.replication.heads
        assert 5 not in each.replication.vector
        assert 5 not in each.replication.floor
        assert each.replication.resting == {5: head}
        assert each.digest().vector["old/0000000000000005"] == 3
        assert each.ledger.applied.get(5, 0) == each.ledger.vector()[5] == 3
        assert dict(each.ledger.applied) == each.ledger.vector()
        assert len(each.ledger.applied) == len(each.ledger.vector())
        assert each.replication.position_before({5: 2}) is None
        assert each.replication.position_before({5: 3}) == each.ledger.position
        assert each.replication.hash_at(5, 3) == head[1]
        assert each.replication.hash_at(5, 2) is None
        again = frame_after((2, bytes(16)), 5, each.now_ms() << 16)
        with pytest.raises(FrameForked):
            each.replication.receive_frames([again.raw], each.now_ms())
        old = frame_after((1, bytes(16)), 5, each.now_ms() << 16)
        assert each.replication.receive_frames([old.raw], each.now_ms()) == 0


def test_it_is_a_cause_and_named_as_one_after_a_restart():
    store = rested(open_store(settings=SHORT), 5, 6)
    effect = frame_after((0, bytes(16)), 9, store.now_ms() << 16, {5: 3, 6: 3}.items())
    assert store.replication.receive_frames([effect.raw], store.now_ms()) == 1
    store.commit()
    store = reopened(store, settings=SHORT)
    store.write("ann", {"n": 0}, source="crm")
    store.commit()
    dependencies, _ = decode_body(parse(frames(store)[-1], TAG))
    assert dependencies == {5: 3, 6: 3, 9: 1}


def test_more_causes_than_a_frame_holds_go_ahead_of_it(monkeypatch):
    monkeypatch.setattr(limits, "ORIGINS_MAX", 2)
    store = rested(open_store(settings=SHORT), 5)
    monkeypatch.setattr(limits, "ORIGINS_MAX", 3)
    for origin in (6, 7, 8):
        store.ledger.resting.put(origin, (1, bytes(16)))
    store.write("ann", {"n": 0}, source="crm")
    store.replication.renew_incarnation(lambda _: 99)
    store.write("ann", {"n": 1}, source="crm")
    store.commit()
    named = [decode_body(parse(raw, TAG))[0] for raw in frames(store)[-2:]]
    assert [len(dependencies) for dependencies in named] == [3, 2]
    assert set().union(*named) >= {5, 6, 7, 8}


def test_it_wakes_up_when_there_is_more_of_it():
    store = rested(open_store(settings=SHORT), 5)
    deliver(store, 5)
    store.commit()
    for each in (store, reopened(store, settings=SHORT)):
        assert each.replication.heads[5][0] == each.replication.vector[5] == 4
        assert each.replication.resting == {}
        assert each.replication.floor[5] == 3
        assert each.replication.position_before({5: 2}) is None
        assert each.replication.position_before({5: 3}) is not None
        resting, begin = each.replication.snapshot_begin()
        assert resting == {}
        assert each.commits.owes_checkpoint or begin.heads[5][0] >= 3
    store.commit(checkpoint=True)
    assert store.replication.snapshot_begin()[1].heads[5][0] == 4
    trim(store)
    assert 5 in store.replication.retired()


@pytest.mark.parametrize("is_restarted", [False, True])
def test_rest_and_waking_are_undone_with_a_failed_commit(is_restarted):
    store = rested(open_store(settings=SHORT), 5)
    store.now_ms.ms += 1
    deliver(store, 5)
    fail(store, StorageFull("no room"))
    with pytest.raises(StorageFull):
        store.commit()
    each = reopened(store, settings=SHORT) if is_restarted else store
    each.now_ms.ms += limits.FULL_RETRY_MS
    assert (each.replication.resting[5][0], each.replication.heads.get(5)) == (3, None)
    assert 5 not in each.replication.floor
    deliver(each, 5)
    each.commit(checkpoint=True)
    trim(each)
    ((origin, head),) = each.replication.retired().items()
    each.replication.rest_origin(origin, head)
    assert (each.replication.resting, each.replication.heads[5]) == ({}, head), "not durable yet"
    fail(each, StorageFull("no room"))
    with pytest.raises(StorageFull):
        each.commit()
    assert (each.replication.resting, each.replication.heads[5]) == ({}, head)
    assert each.replication.floor[5] == 4


def test_a_snapshot_brings_origins_at_rest_to_rest():
    full = rested(open_store(settings=SHORT), *range(10, 40))
    fresh = open_store(name="fresh")
    deliver(fresh, 10)
    fresh.commit(checkpoint=True)
    snapshot(full, fresh)
    for each in (fresh, reopened(fresh)):
        assert each.replication.resting == full.replication.resting
        assert each.replication.resting_summary == full.replication.resting_summary
        assert state(each) == state(full)
        assert 10 not in each.replication.heads
        deliver(each, 10)
        each.commit()
        assert each.replication.vector[10] == 4


def test_a_snapshot_that_goes_on_with_another_peer_stands_for_the_lower_of_both(monkeypatch):
    monkeypatch.setattr(limits, "CHUNK_DOCUMENTS_MAX", 1)
    one = rested(open_store(settings=SHORT), 5, 6)
    two = rested(open_store(name="two", settings=SHORT, now_ms=one.now_ms), 5)
    deliver(two, 6, 2)
    deliver(two, 5, 1)
    two.commit(checkpoint=True)
    for number in range(4):
        one.write(f"p{number}", {"n": 1}, source="crm")
        two.write(f"p{number}", {"n": 2}, source="crm")
    one.commit(checkpoint=True)
    two.commit(checkpoint=True)
    fresh = open_store(name="fresh")
    snapshot(one, fresh, chunks_max=2)
    fresh = reopened(fresh)
    snapshot(two, fresh, after=fresh.replication.progress.after)
    vector = fresh.ledger.vector()
    assert (vector[5], vector[6]) == (3, 2)


def test_the_digest_is_that_of_the_entries_in_any_order():
    one, two = Resting(MemoryStorage()), Resting(MemoryStorage())
    heads = {1 << 62: (3, b"a" * 16), 1: (1, b"b" * 16), 2: (9, b"c" * 16)}
    for origin, head in heads.items():
        one.put(origin, head)
    two.put(2, (8, b"c" * 16))
    for origin, head in reversed(heads.items()):
        two.put(origin, head)
    assert one.digest == two.digest != 0
    storage = MemoryStorage()
    storage.commit(Batch(meta=one.packed(set(heads))))
    assert len(storage.metas("resting/")) == 2
    assert dict(Resting(storage).items()) == heads
    one.put(1, None)
    assert one.digest == two.digest ^ entry_digest(1, heads[1])
    for origin in heads:
        one.put(origin, None)
    assert (one.digest, len(one), one.packed({1})) == (0, 0, {"resting/00": None})


class Moves(RuleBasedStateMachine):
    """Frames, rest, waking, failing commits and crashes, against plain dictionaries."""

    @initialize(waypoint_records=st.integers(1, 3))
    def open(self, waypoint_records):
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(limits, "WAYPOINT_RECORDS", waypoint_records)
        self.clock = Clock()
        self.store = open_store(now_ms=self.clock, settings=SHORT)
        self.store.replication.learn_names(dict.fromkeys(range(2, 6), "old"))
        self.store.replication.removal.learn(["old"])
        self.store.commit()
        self.present, self.durable, self.under_way = {}, {}, None

    def teardown(self):
        if hasattr(self, "patch"):
            self.patch.undo()

    @rule(origin=st.integers(2, 5))
    def come(self, origin):
        deliver(self.store, origin)
        self.present[origin] = self.present.get(origin, 0) + 1

    @rule()
    def rest(self):
        for origin, head in self.store.replication.retired().items():
            self.store.replication.rest_origin(origin, head)

    @rule(checkpoint=st.booleans())
    def commit(self, checkpoint):
        self.clock.ms += 5
        if self.under_way is None:
            self.store.write("ann", {"n": self.clock.ms}, source="crm")
            self.store.commit(checkpoint=checkpoint)
            self.durable = dict(self.present)

    @rule()
    def begin(self):
        if self.under_way is None:
            self.under_way = self.store.begin_commit(checkpoint=True)
            only_trims = self.under_way is not None and self.under_way.makes_room
            self.promised = dict(self.durable if only_trims else self.present)

    @rule(fails=st.booleans())
    def finish(self, fails):
        commit, self.under_way = self.under_way, None
        if commit is None:
            return
        if fails:
            self.store.finish_commit(commit, StorageFull("no room"))
            self.clock.ms += limits.FULL_RETRY_MS
            self.present = dict(self.durable)
            return
        persist_growing(commit, self.store.storage)
        self.store.finish_commit(commit)
        self.durable = self.promised

    @rule()
    def crash(self):
        self.under_way = None
        self.store = reopened(self.store, settings=SHORT)
        self.present = dict(self.durable)

    @invariant()
    def everything_is_known(self):
        if not hasattr(self, "store"):
            return
        ledger, replication = self.store.ledger, self.store.replication
        own = replication.identity.origin
        applied = {origin: n for origin, n in ledger.vector().items() if origin != own}
        assert applied == self.present
        assert not any(origin in ledger.resting for origin in ledger.heads)
        claims = replication.heads | replication.resting
        assert {o: head[0] for o, head in claims.items() if o != own} == self.durable
        assert not replication.heads.keys() & replication.resting.keys()
        resting = replication.resting
        digest = 0
        for origin, head in resting.items():
            digest ^= entry_digest(origin, head)
        assert replication.resting_summary == (len(resting), digest)
        for origin, sequence in self.durable.items():
            for wanted in range(sequence):
                start = replication.position_before({origin: wanted})
                if start is not None:
                    self.check_served(start, origin, wanted)

    def check_served(self, start, origin, wanted):
        records = self.store.storage.journal(start, limit=10**6, bytes_max=10**9)
        found = [parse(raw, TAG) for _, raw in records if raw[:2] == b"CF"]
        sequences = [frame.sequence for frame in found if frame.origin == origin]
        assert wanted + 1 in sequences, "a gap that nobody is told of"


TestMoves = Moves.TestCase
TestMoves.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
