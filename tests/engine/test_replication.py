"""Replication: frames and snapshots in and out, and what must not be accepted."""

import msgpack
import pytest

from crdtstore import limits
from crdtstore.errors import ClockSkew, FrameCorrupt, FrameForked, MessageInvalid
from crdtstore.settings import Settings
from crdtstore.sync.frame import NO_HASH, parse, seal, space_tag
from tests.engine.stores import frames, open_store, reopened, send, state

TAG = space_tag("default")
EVIL = 666


def written(store, *values, profile_id="ann"):
    for value in values:
        store.write(profile_id, {"x": value}, source="crm")
        store.commit()
    return frames(store)


# --- frames in ------------------------------------------------------------------------------------


def test_frames_come_again_without_harm():
    one, two = open_store(), open_store(name="us")
    written(one, 1, 2, 3)
    assert [send(one, two) for _ in range(3)] == [3, 0, 0]
    assert two.counters["frames_duplicate"] == 6
    assert two.digest().digest == one.digest().digest


def test_a_gap_is_left_open():
    one, two = open_store(), open_store(name="us")
    raws = written(one, 1, 2, 3)
    assert two.replication.receive_frames(raws[1:], two.now_ms()) == 0
    assert state(two) == {}
    assert send(one, two) == 3


def test_an_effect_waits_for_its_cause():
    one, two, three = (open_store(name=name) for name in ("eu", "us", "ap"))
    written(one, "cause")
    send(one, two)
    effect = written(two, "effect")[-1]
    now_ms = three.now_ms()
    assert three.replication.receive_frames([effect], now_ms) == 0
    assert three.replication.held_bytes == len(effect) + limits.HELD_FRAME_BYTES + 16
    assert state(three) == {}
    assert three.replication.receive_frames(frames(one), now_ms) == 2
    assert three.replication.held_bytes == 0
    assert state(three) == {"ann": {"x": "effect"}}


def test_a_frame_that_waited_and_proves_wrong_is_dropped_and_kept_for_inspection():
    one, two = open_store(), open_store(name="us")
    cause = written(one, 1)
    origin = one.replication.identity.origin
    wrong = seal(
        origin=EVIL, previous=(0, b"x" * 16), timestamp=two.now_ms() << 16,
        dependencies={origin: 1}, entries=[], tag=TAG,
    )  # fmt: skip
    two.replication.receive_frames([wrong.raw], two.now_ms())
    assert two.replication.receive_frames(cause, two.now_ms()) == 1
    assert state(two) == {"ann": {"x": 1}}
    assert two.counters["frames_refused"] == 1
    two.commit()
    [kept] = two.storage.metas("quarantine/").values()
    assert msgpack.unpackb(kept)[0::2] == ["frame-forked", wrong.raw]


def evil_frame(store, entry, **changes):
    parts = {
        "origin": EVIL, "previous": (0, NO_HASH), "timestamp": store.now_ms() << 16,
        "dependencies": {}, "entries": [msgpack.packb(entry)], "tag": TAG, **changes,
    }  # fmt: skip
    return seal(**parts).raw


STAMP = 1_700_000_000_000 << 16
KEY = f"{EVIL:016x}"
OTHER = f"{EVIL + 1:016x}"


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        ["ann", 0],
        ["ann", 0, {}, 0],
        ["", 0, {}],
        [7, 0, {}],
        ["x" * 256, 0, {}],
        ["ann", -1, {}],
        ["ann", True, {}],
        ["ann", limits.EPOCH_MAX + 1, {}],
        ["ann", 0, []],
        ["ann", 1, {"rx\x1fcrm": [STAMP, EVIL, 1]}],
        ["ann", 0, {"rx\x1fcrm": [STAMP + 1, EVIL, 1]}],
        ["ann", 0, {"rx\x1fcrm": [STAMP, EVIL + 1, 1]}],
        ["ann", 0, {"rx\x1fcrm": [STAMP, EVIL]}],
        ["ann", 0, {"rx\x1fcrm": [0, EVIL, 1]}],
        ["ann", 0, {"zx\x1fcrm": [STAMP, EVIL, 1]}],
        ["ann", 0, {f"cx\x1fcrm\x1f{KEY}": [STAMP, EVIL, "1"]}],
        ["ann", 0, {f"cx\x1fcrm\x1f{OTHER}": [STAMP, EVIL, 1]}],
        ["ann", 0, {f"sx\x1fcrm\x1f{KEY}\x1fta": [STAMP, STAMP + 1]}],
        ["ann", 0, {f"sx\x1fcrm\x1f{OTHER}\x1fta": [STAMP, 0]}],
        ["ann", 0, {f"dx\x1fcrm\x1f{OTHER}": [STAMP, 0]}],
        ["ann", 0, {"gx\x1fcrm": [STAMP, EVIL, False]}],
    ],
)
def test_a_frame_with_one_bad_write_is_refused_whole(entry):
    store = open_store()
    good = msgpack.packb(["bob", 0, {"rx\x1fcrm": [STAMP, EVIL, 1]}])
    raw = evil_frame(store, None, entries=[good, msgpack.packb(entry)])
    before = store.digest()
    with pytest.raises(FrameCorrupt):
        store.replication.receive_frames([raw], store.now_ms())
    assert store.digest() == before
    assert store.replication.quarantine.count == 1
    assert (
        store.replication.receive_frames([evil_frame(store, None, entries=[good])], store.now_ms())
        == 1
    )


def test_frames_before_a_bad_one_stay():
    one, two = open_store(), open_store(name="us")
    raws = written(one, 1, 2)
    damaged = raws[1][:-1] + bytes([raws[1][-1] ^ 1])
    with pytest.raises(FrameCorrupt):
        two.replication.receive_frames([raws[0], damaged, raws[1]], two.now_ms())
    assert state(two) == {"ann": {"x": 1}}
    assert send(one, two) == 1


def test_a_frame_of_another_space_is_refused():
    one, two = open_store(space="a"), open_store(name="us", space="b")
    with pytest.raises(FrameCorrupt, match="another space"):
        two.replication.receive_frames(written(one, 1), two.now_ms())


def test_a_history_begins_with_no_hash():
    store = open_store()
    with pytest.raises(FrameForked):
        store.replication.receive_frames(
            [evil_frame(store, ["a", 0, {}], previous=(0, b"x" * 16))], store.now_ms()
        )


@pytest.mark.parametrize(("ahead_ms", "is_taken"), [(1_000, True), (1_001, False)])
def test_a_frame_from_the_future_is_refused(ahead_ms, is_taken):
    store = open_store(settings=Settings(clock_skew_ms_max=1_000))
    raw = evil_frame(store, ["ann", 0, {}], timestamp=store.now_ms() + ahead_ms << 16)
    if is_taken:
        assert store.replication.receive_frames([raw], store.now_ms()) == 1
        return
    with pytest.raises(ClockSkew, match="1,001 ms ahead"):
        store.replication.receive_frames([raw], store.now_ms())
    store.now_ms.ms += 1
    assert store.replication.receive_frames([raw], store.now_ms()) == 1, "it is only early"


def test_the_newest_refused_frames_are_kept_and_no_more(monkeypatch):
    monkeypatch.setattr(limits, "QUARANTINE_MAX", 3)
    store = open_store()
    for number in range(8):
        raw = evil_frame(store, [number])
        with pytest.raises(FrameCorrupt):
            store.replication.receive_frames([raw], store.now_ms())
        store.commit()
    kept = [msgpack.unpackb(packed)[2] for packed in store.storage.metas("quarantine/").values()]
    assert sorted(kept) == sorted(evil_frame(store, [number]) for number in (5, 6, 7))
    assert store.replication.quarantine.count == reopened(store).replication.quarantine.count == 3


def test_a_local_write_after_a_frame_from_a_clock_ahead_is_newer():
    one, two = open_store(), open_store(name="us")
    one.now_ms.ms += 30_000
    written(one, "ahead")
    send(one, two)
    two.write("ann", {"x": "after"}, source="crm")
    two.commit()
    send(two, one)
    assert state(one) == state(two) == {"ann": {"x": "after"}}


# --- what is served -------------------------------------------------------------------------------


def test_what_we_have_is_what_is_durable():
    store = open_store()
    origin = store.replication.identity.origin
    written(store, 1)
    head = store.replication.heads[origin]
    store.write("ann", {"x": 2}, source="crm")
    commit = store.begin_commit()
    assert store.ledger.vector() == {origin: 2}
    assert store.replication.vector == {origin: 1}
    assert store.replication.heads == {origin: head}, "not left out while the next one is made"
    store.write("ann", {"x": 3}, source="crm")
    commit.persist(store.storage)
    store.finish_commit(commit)
    assert store.replication.heads[origin][0] == 2
    other = open_store(name="us")
    send(store, other)
    durable = other.replication.heads
    other.replication.receive_frames(written(store, 4), other.now_ms())
    assert other.replication.heads == durable
    other.commit()
    assert other.replication.heads[origin][0] == 3


def test_every_frame_s_hash_can_be_told_as_far_as_the_journal_reaches(monkeypatch):
    monkeypatch.setattr(limits, "WAYPOINT_RECORDS", 3)
    store = open_store(settings=Settings(journal_bytes_max=900))
    origin = store.replication.identity.origin
    hashes = {}
    for number in range(30):
        raw = written(store, number)[-1]
        hashes[number + 1] = parse(raw, TAG).hash
        store.commit(checkpoint=number % 5 == 4)
    floor = store.replication.floor[origin]
    assert 10 < floor < 30
    for sequence, digest in hashes.items():
        told = store.replication.hash_at(origin, sequence)
        assert told == (digest if sequence >= floor else None), sequence
    assert store.replication.hash_at(origin, 31) is None
    assert store.replication.hash_at(999, 1) is None


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_tail_of_any_vector_is_found(monkeypatch, is_restarted):
    monkeypatch.setattr(limits, "WAYPOINT_RECORDS", 3)
    monkeypatch.setattr(limits, "JOURNAL_CACHE_BYTES", 300)
    one, two = open_store(), open_store(name="us")
    for number in range(20):
        written(two, number, profile_id="bob")
        written(one, number)
        send(two, one)
    store = reopened(one) if is_restarted else one
    ours, theirs = one.replication.identity.origin, two.replication.identity.origin
    for wanted in ({ours: 0}, {ours: 7}, {theirs: 13}, {ours: 3, theirs: 18}, {ours: 20}, {5: 0}):
        position = store.replication.position_before(wanted)
        found = []
        while records := store.replication.records_after(position, 500):
            found += [parse(record, TAG) for _, record in records]
            position = records[-1][0]
        for origin, sequence in wanted.items():
            mine = [frame.sequence for frame in found if frame.origin == origin]
            last = store.replication.vector.get(origin, 0)
            assert mine[-(last - sequence) or len(mine) :] == list(range(sequence + 1, last + 1))


def test_what_was_trimmed_is_not_served(monkeypatch):
    monkeypatch.setattr(limits, "WAYPOINT_RECORDS", 2)
    store = open_store(settings=Settings(journal_bytes_max=500))
    origin = store.replication.identity.origin
    written(store, *range(20))
    store.commit(checkpoint=True)
    written(store, 20)
    floor = store.replication.floor[origin]
    assert floor > 1
    assert store.replication.position_before({origin: floor - 1}) is None
    assert store.replication.position_before({origin: floor}) is not None
    assert store.replication.position_before({origin: floor, 5: 0}) is not None


def test_an_old_journal_is_trimmed_by_its_age(monkeypatch):
    monkeypatch.setattr(limits, "WAYPOINT_RECORDS", 2)
    store = open_store(settings=Settings(journal_retention_ms=1_000))
    written(store, *range(10))
    store.commit(checkpoint=True)
    assert store.ledger.first_position == 1
    store.now_ms.ms += 5_000
    written(store, *range(10, 16))
    assert store.ledger.first_position > 5
    assert len(frames(store)) >= 6, "what is young stays"


def test_a_space_takes_so_many_origins_and_no_more(monkeypatch):
    monkeypatch.setattr(limits, "ORIGINS_MAX", 2)
    store = open_store()
    for number, name in enumerate(("us", "ap", "sa")):
        other = open_store(name=name)
        other.write(f"p{number}", {"x": 1}, source="crm")
        other.commit()
        if number < 2:
            assert send(other, store) == 1
            continue
        with pytest.raises(MessageInvalid, match="origin"):
            send(other, store)
    assert sorted(state(store)) == ["p0", "p1"]


def test_a_renamed_replica_is_known_by_its_new_name():
    store = open_store(name="eu")
    origin = store.replication.identity.origin
    renamed = reopened(store, name="europe")
    assert renamed.replication.names[origin] == "europe"
    renamed.replication.learn_names({origin: "hearsay"})
    assert renamed.replication.names[origin] == "europe"
    renamed.replication.learn_names({origin: "eu"}, at_first_hand=True)
    assert renamed.replication.names[origin] == "eu"
