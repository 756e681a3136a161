"""Recovery: whatever is committed is there after a crash, at any point, and nothing else."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from crdtstore import limits
from crdtstore.engine.commits import persist_growing
from crdtstore.errors import ProfileErased, StorageCorrupt, StorageFull
from crdtstore.model.operations import add, increment, remove
from crdtstore.settings import Settings
from crdtstore.sync.messages import SnapshotBegin, SnapshotChunk
from tests.engine.stores import Clock, frames, journal, open_store, reopened, send, state

PROFILES = st.sampled_from(["ann", "bob", "cleo", "dan", "eve"])


class Crashes(RuleBasedStateMachine):
    """One store and a model of what it promised: plain dictionaries, durable and present."""

    @initialize(slice_documents=st.integers(1, 3), waypoint_records=st.integers(1, 4))
    def open(self, slice_documents, waypoint_records):
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(limits, "CHECKPOINT_SLICE_DOCUMENTS", slice_documents)
        self.patch.setattr(limits, "WAYPOINT_RECORDS", waypoint_records)
        self.patch.setattr(limits, "CHECKPOINT_INTERVAL_MS", 300)
        self.clock = Clock()
        self.settings = Settings(journal_bytes_max=600, cache_bytes=4_000)
        self.store = open_store(now_ms=self.clock, settings=self.settings)
        self.present, self.durable = {}, {}
        self.erased, self.durable_erased = frozenset(), frozenset()
        self.cursor = self.durable_cursor = None
        self.under_way = self.settling = None

    def teardown(self):
        if hasattr(self, "patch"):
            self.patch.undo()

    @rule(profile_id=PROFILES, field=st.sampled_from("xy"), value=st.integers(0, 3))
    def set(self, profile_id, field, value):
        self.write(profile_id, {field: value}, {field: value})

    @rule(profile_id=PROFILES, amount=st.integers(1, 3))
    def increment(self, profile_id, amount):
        total = self.present.get(profile_id, {}).get("n", 0) + amount
        self.write(profile_id, {"n": increment(amount)}, {"n": total})

    @rule(profile_id=PROFILES, element=st.sampled_from("abc"), adds=st.booleans())
    def edit_set(self, profile_id, element, adds):
        tags = set(self.present.get(profile_id, {}).get("t", []))
        after = sorted(tags | {element} if adds else tags - {element})
        operation = add(element) if adds else remove(element)
        self.write(profile_id, {"t": operation}, {"t": after} if after or tags else {})

    def write(self, profile_id, fields, expected):
        if profile_id in self.erased:
            with pytest.raises(ProfileErased):
                self.store.write(profile_id, fields, source="crm")
            return
        self.cursor = str(self.clock.ms)
        self.store.write(profile_id, fields, source="crm", cursors={"c": self.cursor})
        if expected or profile_id in self.present:
            merged = {**self.present.get(profile_id, {}), **expected}
            if merged.get("t") == []:
                del merged["t"]
            self.present = {**self.present, profile_id: merged}

    @rule(profile_id=PROFILES)
    def erase(self, profile_id):
        self.store.erase(profile_id)
        self.present = {key: value for key, value in self.present.items() if key != profile_id}
        self.erased |= {profile_id}

    @rule(profile_id=PROFILES)
    def revive(self, profile_id):
        self.store.revive(profile_id)
        if profile_id in self.erased:
            self.present = {**self.present, profile_id: {}}
            self.erased -= {profile_id}

    @rule(elapsed_ms=st.integers(1, 400), apart=st.booleans())
    def begin(self, elapsed_ms, apart):
        self.clock.ms += elapsed_ms
        if self.store.commits.waits_for_settlement:
            self.settle()
        if self.under_way is None:
            apart |= self.settling is not None
            self.under_way = self.store.begin_commit(apart=apart)
            self.promised = (self.present, self.erased, self.cursor)

    @rule()
    def finish(self):
        if self.under_way is not None:
            persist_growing(self.under_way, self.store.storage)
            self.store.finish_commit(self.under_way)
            self.under_way = None
            self.settling = self.store.commits.settling
            self.durable, self.durable_erased, self.durable_cursor = self.promised

    @rule()
    def settle(self):
        if self.settling is not None:
            self.settling.settle_growing(self.store.storage)
            self.store.finish_commit(self.settling)
            self.settling = None

    @rule()
    def fail_to_settle(self):
        if self.settling is not None:
            self.store.finish_commit(self.settling, StorageFull("full"))
            self.clock.ms += limits.FULL_RETRY_MS
            self.settling = None

    @rule()
    def fail(self):
        if self.under_way is not None:
            self.store.finish_commit(self.under_way, StorageFull("full"))
            self.clock.ms += limits.FULL_RETRY_MS
            self.under_way = None
            self.go_back()

    @rule(reaches_the_disk=st.booleans())
    def crash(self, reaches_the_disk):
        if reaches_the_disk and self.under_way is not None:
            persist_growing(self.under_way, self.store.storage)
            self.durable, self.durable_erased, self.durable_cursor = self.promised
        if reaches_the_disk and self.settling is not None:
            self.settling.settle_growing(self.store.storage)
        self.under_way = self.settling = None
        self.store = reopened(self.store, settings=self.settings)
        self.go_back()

    def go_back(self):
        self.present, self.erased = self.durable, self.durable_erased
        self.cursor = self.durable_cursor

    @rule()
    def checkpoint(self):
        if self.under_way is None and self.settling is None:
            self.store.commit(checkpoint=True)
            assert not self.store.documents.dirty
            self.durable, self.durable_erased = self.present, self.erased
            self.durable_cursor = self.cursor

    @invariant()
    def reads_are_what_was_written(self):
        if not hasattr(self, "store"):
            return
        read = {key: dict(value) for key, value in state(self.store).items()}
        for profile in read.values():
            if "t" in profile:
                profile["t"] = sorted(profile["t"])
        assert read == self.present
        assert self.store.cursor("c") == self.cursor
        assert self.store.digest().profiles == len(self.present)

    @invariant()
    def what_rests_is_sound(self):
        if hasattr(self, "store"):
            assert self.store.verify().is_sound


Crashes.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCrashes = Crashes.TestCase


@pytest.mark.parametrize("crash_after", range(0, 40, 3))
def test_a_crash_in_any_commit_of_a_checkpoint_loses_nothing(monkeypatch, crash_after):
    monkeypatch.setattr(limits, "CHECKPOINT_SLICE_DOCUMENTS", 3)
    monkeypatch.setattr(limits, "CHECKPOINT_INTERVAL_MS", 1)
    store = open_store()
    for number in range(crash_after):
        store.now_ms.ms += 1
        store.write(f"p{number % 11}", {"n": number, "t": add(number)}, source="crm")
        store.commit()
    again = reopened(store)
    assert again.digest() == store.digest()
    assert state(again) == state(store)
    assert again.replication.heads == store.replication.heads
    again.commit(checkpoint=True)
    assert again.verify().is_sound
    assert again.digest() == store.digest()


def test_a_recovered_store_goes_on_with_its_own_history():
    store = open_store()
    store.write("ann", {"x": 1}, source="crm")
    store.commit()
    again = reopened(store)
    again.write("ann", {"x": 2}, source="crm")
    again.commit()
    other = open_store(name="us")
    assert other.replication.receive_frames(frames(again), again.now_ms()) == 2
    assert state(other) == {"ann": {"x": 2}}


def test_what_was_seen_before_a_restart_is_a_cause_of_what_is_written_after():
    eu, us, ap = open_store(name="eu"), open_store(name="us"), open_store(name="ap")
    us.write("ann", {"plan": "gold"}, source="crm")
    us.commit()
    send(us, eu)
    eu = reopened(eu)
    eu.write("ann", {"note": "saw gold"}, source="cdp")
    eu.commit()
    own = [frame for frame in frames(eu) if frame not in frames(us)]
    assert ap.replication.receive_frames(own, ap.now_ms()) == 0  # its cause is not here yet
    assert ap.replication.receive_frames(frames(us), ap.now_ms()) == 2
    assert state(ap) == state(eu)


def test_a_clock_that_went_back_over_a_restart_makes_no_older_writes():
    store = open_store()
    store.write("ann", {"x": "before"}, source="crm")
    store.commit()
    clock = Clock()
    clock.ms -= 3_600_000
    again = reopened(store, now_ms=clock)
    again.write("ann", {"x": "after"}, source="crm")
    again.commit(checkpoint=True)
    third = reopened(again, now_ms=clock)
    assert dict(third.read("ann")) == {"x": "after"}
    third.write("ann", {"x": "later"}, source="crm")
    assert dict(third.read("ann")) == {"x": "later"}


@pytest.mark.parametrize("place", [0, 30, 50, -1])
def test_a_damaged_journal_record_is_found_at_opening(place):
    store = open_store()
    for number in range(3):
        store.write("ann", {"x": number}, source="crm")
        store.commit()
    tables = store.storage._tables
    record = bytearray(tables.journal[2])
    record[place] ^= 1
    tables.journal[2] = bytes(record)
    with pytest.raises(StorageCorrupt, match="journal record 2 is damaged"):
        reopened(store)


def test_totals_of_the_journal_are_the_same_after_a_restart(monkeypatch):
    monkeypatch.setattr(limits, "WAYPOINT_RECORDS", 3)
    store = open_store(settings=Settings(journal_bytes_max=500))
    for number in range(30):
        store.write("ann", {"x": number}, source="crm")
        store.commit(checkpoint=number % 4 == 0)
    store.commit()
    again = reopened(store, settings=Settings(journal_bytes_max=500))
    assert again.ledger.journal_bytes == store.ledger.journal_bytes
    assert again.ledger.journal_bytes == sum(map(len, journal(store)))
    assert again.ledger.first_position == store.ledger.first_position > 1
    assert again.ledger.floor == store.ledger.floor


@pytest.mark.parametrize("place", [5, 13, 30, 50, -1])
def test_a_journal_record_that_was_damaged_later_is_never_served(monkeypatch, place):
    monkeypatch.setattr(limits, "JOURNAL_CACHE_BYTES", 1)
    store = open_store()
    for number in range(4):
        store.write("ann", {"x": number}, source="crm")
        store.commit()
    tables = store.storage._tables
    record = bytearray(tables.journal[2])
    record[place] ^= 1
    tables.journal[2] = bytes(record)
    with pytest.raises(StorageCorrupt, match="journal record 2 is damaged"):
        store.ledger.records_after(0, 10_000)
    with pytest.raises(StorageCorrupt, match="journal record 2 is damaged"):
        store.changes()
    assert store.ledger.hash_at(store.replication.identity.origin, 3)


@pytest.mark.parametrize("kind", [b"CS", b"CV"])
@pytest.mark.parametrize("place", [2, 5, -1])
def test_a_damaged_note_of_a_snapshot_is_found_at_opening(kind, place):
    store = open_store()
    store.replication.snapshot_begun({}, SnapshotBegin({7: (3, bytes(16))}, {}, 0))
    store.replication.snapshot_chunk(SnapshotChunk("a", store.now_ms(), b"\x90"), store.now_ms())
    store.replication.snapshot_ended()
    commit = store.begin_commit()
    commit.batch.meta.pop("checkpoint", None)
    commit.persist(store.storage)
    tables = store.storage._tables
    [position] = [at for at, record in tables.journal.items() if record[:2] == kind]
    record = bytearray(tables.journal[position])
    record[place] ^= 1
    tables.journal[position] = bytes(record)
    with pytest.raises(StorageCorrupt, match=f"record {position} is damaged .a note"):
        reopened(store)
