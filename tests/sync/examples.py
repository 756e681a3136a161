"""The frame and the messages whose bytes ``vectors.json`` fixes."""

import json
from pathlib import Path
from typing import Any

import msgpack

from crdtstore.sync.frame import NO_HASH, Frame, seal, space_tag
from crdtstore.sync.messages import (
    Credit,
    Frames,
    Gossip,
    Hello,
    Message,
    Prune,
    Refuse,
    Resting,
    SnapshotBegin,
    SnapshotChunk,
    SnapshotEnd,
    SnapshotRequest,
    Trimmed,
    Want,
)
from crdtstore.sync.presence import Presence
from crdtstore.sync.ranges import Fingerprint, Range
from crdtstore.sync.repair_messages import LAST, Compare, Differences, Documents, Fetch

EU = 0x0123456789ABCDEF
US = 0x1122334455667788
WALL_MS = 1_700_000_000_000
STAMP = WALL_MS << 16
TAG = space_tag("default")
VECTORS = Path(__file__).with_name("vectors.json")


def packed_write(profile_id: str, epoch: int, cells: dict[str, Any]) -> bytes:
    return bytes(msgpack.packb([profile_id, epoch, cells], datetime=True))


def first_frame() -> Frame:
    """The first frame of origin EU: an e-mail address and an erasure."""
    return seal(
        origin=EU,
        previous=(0, NO_HASH),
        timestamp=STAMP + 1,
        dependencies={},
        entries=[
            packed_write("ann", 0, {"remail\x1fcrm": [STAMP, EU, "ann@example.com"]}),
            packed_write("bob", 1, {}),
        ],
        tag=TAG,
    )


def second_frame() -> Frame:
    """The second frame of EU, after two frames of US: every kind of cell."""
    cells = {
        f"clogins\x1fcrm\x1f{EU:016x}": [STAMP + 2, EU, 3],
        f"stags\x1fcrm\x1f{EU:016x}\x1ftvip": [STAMP + 2, 0],
        f"stags\x1fcdp\x1f{US:016x}\x1fp07": [STAMP, STAMP],
        f"dmail\x1fcrm\x1f{EU:016x}": [STAMP + 2, 0],
        "gnews\x1fcrm": [STAMP + 2, EU, True],
        f"pspent\x1fcrm\x1f{EU:016x}": [STAMP + 2, EU, _partial(1, "sum", [2], 1999)],
        "raddress\x1fcrm": [STAMP + 2, EU, msgpack.ExtType(1, msgpack.packb(["Bonn"]))],
    }
    return seal(
        origin=EU,
        previous=first_frame().head,
        timestamp=STAMP + 2,
        dependencies={US: 2},
        entries=[packed_write("zoë", 2, cells)],
        tag=TAG,
    )


def _partial(*parts: Any) -> msgpack.ExtType:
    return msgpack.ExtType(1, msgpack.packb(parts))


def messages() -> dict[str, tuple[str, Message]]:
    """Every kind of message, by name, with what it says."""
    one, two = first_frame(), second_frame()
    entries = msgpack.packb([["ann", 0, {"remail\x1fcrm": [STAMP, EU, "ann@example.com"]}]])
    hello = Hello(
        space="default", name="eu", origin=EU, nonce=7, schema="5c4e", clock_ms=WALL_MS,
        profiles=2, heads={US: (2, bytes(range(16))), EU: two.head}, floor={US: 1},
        names={US: ("us", WALL_MS - 1), EU: ("eu", WALL_MS)}, removed=("old",),
        resting=1, resting_digest=bytes(range(16, 32)),
    )  # fmt: skip
    return {
        "hello": ("Replica eu has two frames of itself and of us; frame 1 of us is gone.", hello),
        "frames": ("Both frames of eu, end to end.", Frames((one.raw, two.raw))),
        "gossip": ("All up to EU 2 and US 2 is durable; US is called us; replica old was removed.",
                   Gossip({EU: 2, US: 2}, WALL_MS, {US: ("us", WALL_MS)}, ("old",))),
        "resting": ("That is all that is at rest: US, up to 2.",
                    Resting({US: (2, bytes(range(16)))}, {US: ("us", WALL_MS)}, True)),
        "want": ("Send frames of EU from 3 on and of US from 1 on.", Want({EU: 2, US: 0})),
        "prune": ("Send no more frames of US.", Prune((US,))),
        "credit": ("You may send 1 MiB more.", Credit(1 << 20)),
        "snapshot-request": ("Send all documents after ann.", SnapshotRequest("ann")),
        "snapshot-begin": ("Two profiles follow, which contain US up to 2.",
                           SnapshotBegin({US: (2, bytes(range(16)))}, {US: ("us", WALL_MS)}, 2)),
        "snapshot-chunk": ("The first chunk: one document; all up to ann were sent.",
                           SnapshotChunk("ann", STAMP, entries, 1)),
        "trimmed": ("The frames that you want are gone.", Trimmed()),
        "snapshot-end": ("There was no document to send.", SnapshotEnd(0)),
        "compare": ("What eu has up to bob, and from there on: two documents, none.",
                    Compare(((Range("", "bob"), Fingerprint(2, 0x0F << 120)),
                             (Range("bob", ""), Fingerprint(0, 0))))),
        "differences": ("The first range differs, in two parts; so does the second, by one id.",
                        Differences({0: [("ann", Fingerprint(0, 0)),
                                         ("bob", Fingerprint(40, 0xF0 << 120))]},
                                    {1: [("zoë", 1)]})),
        "fetch": ("Send ann and zoë.", Fetch(("ann", "zoë"))),
        "presence": ("Of ann's note: client 5 is there, client 6 has left.",
                     Presence("ann", "note", ((5, 1, '{"user":{"name":"Zoë"}}'), (6, 4, None)))),
        "documents": ("All that was fetched.", Documents(LAST, STAMP, entries)),
        "refuse": ("The link is closed: the spaces differ.",
                   Refuse("wrong-space", "one link carries one space")),
    }  # fmt: skip


def stored() -> dict[str, bytes]:
    """The bytes of ``vectors.json`` by name."""
    content = json.loads(VECTORS.read_text(encoding="utf-8"))
    return {vector["name"]: bytes.fromhex(vector["hex"]) for vector in content["vectors"]}
