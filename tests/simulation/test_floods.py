"""Peers that say a great deal of little: nothing grows, and no message takes long."""

import gc
import time

import msgpack

from crdtstore import limits
from crdtstore.links.exchange import Exchange
from crdtstore.sync.frame import NO_HASH, frame_hash, seal
from crdtstore.sync.messages import (
    Frames,
    Gossip,
    Hello,
    SnapshotBegin,
    SnapshotEnd,
    SnapshotRequest,
    Trimmed,
    Want,
    encode,
)  # fmt: skip
from crdtstore.sync.vector import Vector
from tests.engine.stores import WALL_MS, open_store
from tests.sync.examples import EU, STAMP, TAG

MESSAGES = 1_000


class Flood:
    """An open link to a store, from a peer that takes nothing of what it is sent."""

    def __init__(self) -> None:
        self.store = open_store(name="us")
        self.exchange = Exchange(self.store)
        self.number = self.exchange.open_link(outbound=False)
        self.link = self.exchange.links[self.number]
        self.say(Hello("default", "eu", EU, 7, "", WALL_MS, 0, {}, {}, {}))
        self.exchange.take_outgoing(self.number)

    def say(self, message) -> float:
        """Give the store a message; return the seconds of work that it took.

        Python looks for no garbage meanwhile: that takes as long as all tests have objects.
        """
        data = encode(message, TAG)
        gc.disable()
        started = time.thread_time()
        try:
            self.exchange.receive(self.number, data)
        finally:
            gc.enable()
        return time.thread_time() - started


def early_frame(origin: int, dependencies: Vector) -> bytes:
    return seal(
        origin=origin, previous=(0, NO_HASH), timestamp=STAMP, dependencies=dependencies,
        entries=[], tag=TAG,
    ).raw  # fmt: skip


def test_a_peer_that_wants_ever_new_origins_is_refused():
    flood = Flood()
    for number in range(10):
        first = 1 + number * 4_000
        flood.say(Want(dict.fromkeys(range(first, first + 4_000), 0)))
        assert len(flood.link.session.subscriptions) <= limits.ORIGINS_MAX
    assert flood.link.reason_code == "message-invalid"


def test_a_peer_that_asks_and_does_not_read_is_refused(monkeypatch):
    monkeypatch.setattr(limits, "OUTGOING_BYTES_MAX", 1_000)
    flood = Flood()
    flood.store.ledger.floor = {7: 5}
    for _ in range(MESSAGES):
        flood.say(Want({7: 0}))  # answered by TRIMMED each time
        assert flood.link.session.outgoing_bytes <= 1_100
    assert flood.link.reason_code == "message-invalid"
    assert "reads" in flood.link.reason


def test_a_peer_that_asks_for_one_snapshot_after_the_other_is_refused():
    flood = Flood()
    for _ in range(2):
        flood.say(SnapshotRequest(""))
    assert flood.link.reason_code == "message-invalid"


def test_frames_of_many_origins_that_wait_take_no_time():
    flood = Flood()
    seconds = []
    for part in range(4):
        first = 1 + 2_000 * part
        frames = [early_frame(origin, {EU: 9}) for origin in range(first, first + 2_000)]
        seconds.append(flood.say(Frames(tuple(frames))))
        flood.link.session.release(1 << 30)
    assert max(seconds) < 8 * min(seconds) + 0.2, seconds


def test_dependencies_of_frames_that_wait_count_as_what_they_take():
    flood = Flood()
    dependencies = dict.fromkeys(range(1, 5_000), 1)
    replication = flood.store.replication
    raw = early_frame(77, dependencies)
    replication.receive_frames([raw], WALL_MS)
    assert replication.held_bytes >= len(raw) + 16 * len(dependencies)


def test_a_frame_depends_on_no_more_origins_than_there_may_be():
    body = msgpack.packb([list(range(1, 2 * limits.ORIGINS_MAX + 3)), []])
    flood = Flood()
    header = early_frame(77, {})[:44] + len(body).to_bytes(4, "big")
    raw = header + body + frame_hash(header + body, TAG)
    flood.say(Frames((raw,)))
    assert flood.link.reason_code == "frame-corrupt"


def test_gossip_of_ever_new_origins_leaves_nothing_behind():
    flood = Flood()
    for number in range(5):
        first = 1 + number * 5_000
        names = {origin: f"r{origin}" for origin in range(first, first + 5_000)}
        flood.say(Gossip(dict.fromkeys(range(first, first + 5_000), 1), WALL_MS, names))
        flood.exchange.take_outgoing(flood.number)
        assert len(flood.store.replication.names) <= limits.ORIGINS_MAX
    assert len(flood.exchange._interest._providers) <= limits.ORIGINS_MAX + 1


def test_a_snapshot_brings_no_more_origins_than_there_may_be():
    count = limits.ORIGINS_MAX
    flood = Flood()
    head = (1, bytes(16))
    for first in (1, 1 + count):
        flood.say(Trimmed())
        flood.say(SnapshotBegin(dict.fromkeys(range(first, first + count), head), {}, 0))
        flood.say(SnapshotEnd())
        flood.store.commit()
    assert len(flood.store.ledger.heads) <= limits.ORIGINS_MAX
    assert flood.link.reason_code == "message-invalid"
