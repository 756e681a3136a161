"""Attacks on the link endpoint: peers that read nothing, and peers that send what nobody should."""

import os
import random
import struct
import threading
import time

import msgpack

from crdtstore import Store
from crdtstore.sync.messages import Gossip, Want, encode
from tests.faults.ground import Ground
from tests.faults.raw import BINARY, TAG, TEXT, RawLink, frame_length, hello
from tests.faults.siege import Siege, besiege
from tests.patience import PATIENCE_S, wait_until

DEAF_LINKS = 24
MANY_LINKS = 200


def deaf_peers(ground: Ground) -> None:
    """Peers that want everything and read nothing, while a lot is written."""
    besiege(ground, _deafen, memory_mib_max=160.0)


def _deafen(siege: Siege) -> None:
    origin = int(siege.eu.ask("GET", "/v1/status")[1]["origin"], 16)
    links = [RawLink(siege.eu, receive_bytes=4_096) for _ in range(DEAF_LINKS)]
    for number, link in enumerate(links):
        assert link.status == 101
        link.send(hello(1_000 + number))
        link.send(encode(Want({origin: 0}), TAG))
    wait_until(lambda: siege.live_links() > DEAF_LINKS, "the deaf to be linked", siege.eu.log)
    for number in range(60):
        writes = [
            {"id": f"attack-{number}-{index}", "source": "bulk", "fields": {"t": "x" * 20_000}}
            for index in range(20)
        ]
        assert siege.eu.ask("POST", "/v1/writes", {"writes": writes})[0] == 200
    siege.ground.tally.worst("MB written meanwhile", 60 * 20 * 20_000 / 1e6)
    wait_until(lambda: siege.live_links() == 1, "the deaf to be cut", siege.eu.log)
    for link in links:
        link.close()


def hostile_bytes(ground: Ground) -> None:
    """Garbage, bombs, depth, vectors of a million, frames that are not what their hash says."""
    besiege(ground, _send_hostile_bytes, memory_mib_max=96.0)


def hostile_messages(chance: random.Random, directory: str) -> dict[str, bytes]:
    """Return messages that must be refused, by what is wrong with each."""
    deep = b"\x91" * 200_000 + b"\xc0"
    million = msgpack.packb([1] * 1_000_000)
    sound = _a_frame(directory)
    flipped = bytearray(sound)
    flipped[len(flipped) // 2] ^= 1
    foreign = msgpack.packb([n for origin in range(1, 6_000) for n in (origin, 1)])
    return {
        "garbage": chance.randbytes(50_000),
        "empty": b"",
        "unknown kind": b"\x63" + chance.randbytes(100),
        "text of binary": b"\x03" + chance.randbytes(500),
        "deep nesting": b"\x03" + deep,
        "deep frame": b"\x02" + deep,
        "array that claims 4 billion": b"\x03\xdd\xff\xff\xff\xff",
        "text that claims 4 GB": b"\x03\x93\xdb\xff\xff\xff\xff",
        "map that claims 4 billion": b"\x03\xdf\xff\xff\xff\xff",
        "empty arrays": b"\x03" + msgpack.packb([[]] * 900_000),
        "a vector of a million": b"\x03\x93" + million + b"\x00\x90",
        "a vector of 6,000": b"\x04\x91" + foreign,
        "a wrong hash": b"\x02" + bytes(flipped),
        "half a frame": b"\x02" + sound[: len(sound) // 2],
        "a chunk with a wrong hash": b"\x09" + os.urandom(16) + msgpack.packb(["a", 1, b"\x90"]),
        "an extension type": b"\x03" + msgpack.packb(msgpack.ExtType(5, bytes(1_000))),
    }


def _a_frame(directory: str) -> bytes:
    with Store.open(f"{directory}/stranger", name="stranger") as store:
        store.write("attack-frame", {"text": "x" * 1_000}, source="attack")
        store.commit()
        return store.replication.records_after(0, 1 << 20)[0][1]


def _send_hostile_bytes(siege: Siege) -> None:
    ground = siege.ground
    directory = ground.directory / f"stranger-{ground.tally.times}"
    before = siege.log().count("link closed")
    for greets in (True, False):
        for what, message in hostile_messages(ground.chance, str(directory)).items():
            link = RawLink(siege.eu)
            if greets:
                link.send(hello(2_000))
            link.send(message)
            refusal = link.refusal()
            assert refusal in ("message-invalid", "frame-corrupt"), (what, refusal)
            ground.tally.count("messages refused")
    assert siege.log().count("link closed") - before >= 30, "every refusal is logged"
    assert siege.metric("crdtstore_frames_refused_total") >= 1
    for first, opcode, claimed in (
        (0xC0, BINARY, None), (0x80, TEXT, None), (0x80, 5, None), (0x00, 0, None),
        (0x80, BINARY, 1 << 62), (0x80, BINARY, 1 << 31), (0x00, BINARY, 1 << 40),
    ):  # fmt: skip
        link = RawLink(siege.eu)
        link.send(hello(2_000))
        size = len(BOMB) if claimed is None else claimed
        link.send_raw(bytes((first | opcode,)) + frame_length(size) + bytes(4) + BOMB)
        assert link.refusal() in ("websocket 1002", "websocket 1007", "websocket 1009")
        ground.tally.count("websocket frames refused")
    _fragments(siege)


BOMB = struct.pack(">I", 0xEDC10101) + bytes(300_000)


def _fragments(siege: Siege) -> None:
    """Send one message in endless parts: it must not be gathered beyond its limit."""
    link = RawLink(siege.eu)
    link.send(hello(2_001))
    link.send(bytes(60_000), first=0)
    for _ in range(400):
        link.send(bytes(60_000), opcode=0, first=0)
    assert link.refusal() == "websocket 1009"


def names_without_end(ground: Ground) -> None:
    """A peer that gossips ever new names and origins, each message within its limits."""
    besiege(ground, _gossip_names, memory_mib_max=96.0)


def _gossip_names(siege: Siege) -> None:
    link = RawLink(siege.eu)
    link.send(hello(3_000))
    name = "n" * 60
    for part in range(40):
        origins = range(10_000 + part * 5_000, 10_000 + (part + 1) * 5_000)
        message = Gossip({}, time.time_ns() // 1_000_000, dict.fromkeys(origins, name))
        link.send(encode(message, TAG))
    link.send(encode(Gossip({}, 0, {}), TAG))
    time.sleep(1.0)
    link.close()


def many_links(ground: Ground) -> None:
    """200 links at once: those beyond the bound are refused, the sound one is served on."""
    besiege(ground, _crowd, memory_mib_max=96.0)


def _crowd(siege: Siege) -> None:
    links: list[RawLink] = []

    def open_some(first: int) -> None:
        for number in range(first, first + 25):
            link = RawLink(siege.eu)
            link.send(hello(4_000 + number))
            links.append(link)

    threads = [threading.Thread(target=open_some, args=(at,)) for at in range(0, MANY_LINKS, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    statuses = [link.status for link in links]
    assert len(statuses) == MANY_LINKS
    assert statuses.count(101) == 63, "64 links, and one is the sound one"
    assert statuses.count(503) == MANY_LINKS - 63
    siege.ground.tally.count("refused", statuses.count(503))
    for link in links:
        link.close()
    wait_until(lambda: siege.live_links() == 1, "the crowd to go", siege.eu.log)
