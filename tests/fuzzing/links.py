"""Target: a peer that says anything. A real Exchange over a real Store, message after message."""

import random
from dataclasses import replace

import msgpack

from crdtstore import limits
from crdtstore.engine.commits import persist_growing
from crdtstore.errors import CrdtstoreError, FrameCorrupt
from crdtstore.links.exchange import Exchange
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.sync.frame import NO_HASH, decode_body, parse, split_frames
from crdtstore.sync.messages import Frames, Refuse, decode, encode
from tests.fuzzing.mutation import Mutation, joined, mutated_parts, mutated_tree, split
from tests.fuzzing.stores import check_sound, open_store
from tests.fuzzing.target import Broken, Target
from tests.fuzzing.wire import bodies, chunk_hash, entry_lists, framed, mutated_message
from tests.sync import examples
from tests.sync.examples import EU, STAMP, TAG, US, WALL_MS

MESSAGE, FRAME, CHUNK, DOCUMENTS, TIME, COMMIT, READ, REPAIR = range(8)
"""What a part of an input is: a message; the body of the peer's next frame; entries of a chunk or
of DOCUMENTS; so many quarters of a second; a commit; the peer reads; a repair is begun here."""

PARTS_MAX = 40
CHANGING = frozenset({b"\x02", b"\x09", b"\x10"})
"""Kinds of messages that may bring something: FRAMES, SNAPSHOT_CHUNK, DOCUMENTS."""

OUTGOING_BYTES_MAX = 16 * limits.MEBIBYTE + 2 * limits.MESSAGE_BYTES_MAX
"""What may wait for a peer that does not read: the bound, and what the last message asked for."""


class Conversation:
    """One link of a store that holds something, to a peer that the input plays."""

    def __init__(self) -> None:
        self.now_ms = WALL_MS + 1_000
        self.store = open_store(now_ms=lambda: self.now_ms)
        self.store.write("ann", {"email": "ann@example.org", "points": 1}, source="cdp")
        self.store.write("cleo", {"name": "Cleo"}, source="crm")
        self.store.commit(checkpoint=True)
        self.exchange = Exchange(self.store)
        self.number = self.exchange.open_link(outbound=True)
        self.link = self.exchange.links[self.number]
        self.sequence, self.hash = 0, NO_HASH

    def play(self, tag: int, part: bytes) -> None:
        """Do what one part of an input says."""
        match tag:
            case 1:
                raw = framed(part, sequence=self.sequence + 1, previous=self.hash)
                self.sequence, self.hash = self.sequence + 1, raw[-16:]
                self.hear(b"\x02" + raw)
            case 2 | 3:
                first = "ann" if tag == CHUNK else 2
                content = msgpack.packb([first, STAMP + (1 << 16), part])
                self.hear((b"\x09" if tag == CHUNK else b"\x10") + chunk_hash(content) + content)
            case 4:
                self.now_ms += 250 * (len(part) + 1)
                self.exchange.tick()
            case 5:
                self.commit()
            case 6:
                self.read()
            case 7:
                self.repair()
            case _:
                self.hear(part)
        self.check_bounds()

    def hear(self, data: bytes) -> None:
        """Give the store one message; it changes nothing unless it may."""
        vector, digest = self.store.ledger.vector(), self.store.digest().digest
        was_open = self.link.session.state == "open"
        self.exchange.receive(self.number, data)
        now = self.store.ledger.vector()
        if any(now.get(origin, 0) < sequence for origin, sequence in vector.items()):
            raise Broken("a vector went back")
        if self.store.digest().digest == digest:
            return
        if not was_open or data[:1] not in CHANGING:
            raise Broken(f"a message of kind {data[:1]!r} has changed a document")
        if data[:1] == b"\x02" and not _has_sound_frame(data):
            raise Broken("frames were applied of which none is sound")

    def read(self) -> None:
        """Take what the store has to say: messages that a peer can read."""
        for data in self.exchange.take_outgoing(self.number):
            if len(data) > limits.MESSAGE_BYTES_MAX:
                raise Broken(f"a message of {len(data):,} bytes is sent")
            message = decode(data, TAG)
            if isinstance(message, Refuse) and message.code not in CODES:
                raise Broken(f"a link is refused with the unknown code {message.code!r}")

    def commit(self) -> None:
        """Commit, as the replica does after messages."""
        commit = self.exchange.begin_commit()
        if commit is not None:
            persist_growing(commit, self.store.storage)
            self.exchange.finish_commit(commit)

    def repair(self) -> None:
        """Ask the peer for a repair, where that is allowed."""
        try:
            self.exchange.start_repair(self.number)
        except CrdtstoreError as error:
            if error.code not in ("peer-not-linked", "repair-under-way"):
                raise

    def check_bounds(self) -> None:
        """Check that nothing grows beyond its bound, whatever the peer says."""
        session, replication = self.link.session, self.store.replication
        for what, size, size_max in (
            ("held bytes", replication.held_bytes, limits.INBOX_BYTES_MAX),
            ("subscriptions", len(session.subscriptions), limits.ORIGINS_MAX),
            ("names", len(replication.names), limits.ORIGINS_MAX),
            ("heads", len(self.store.ledger.heads), limits.ORIGINS_MAX),
            ("quarantined", replication.quarantine.count, limits.QUARANTINE_MAX),
            ("outgoing bytes", session.outgoing_bytes, OUTGOING_BYTES_MAX),
        ):
            if size > size_max:
                raise Broken(f"{what}: {size:,}; the bound is {size_max:,}")


def _codes(kind: type[CrdtstoreError]) -> set[str]:
    return {kind.code}.union(*(_codes(below) for below in kind.__subclasses__()))


CODES = _codes(CrdtstoreError) | {"duplicate-link", "new-incarnation", "idle", "closing"}


def _has_sound_frame(data: bytes) -> bool:
    for raw in split_frames(data[1:]):
        try:
            decode_body(parse(raw, TAG))
        except FrameCorrupt:
            continue
        return True
    return False


def run(data: bytes) -> None:
    """Whatever a peer says, nothing but sound frames and documents changes anything."""
    conversation = Conversation()
    for tag, part in split(data, PARTS_MAX):
        conversation.play(tag, part)
    conversation.read()
    conversation.exchange.close_link(conversation.number)
    assert isinstance(conversation.store.storage, MemoryStorage)
    check_sound(conversation.store)


def examples_of_links() -> list[bytes]:
    """Conversations in which every kind of message comes when it may."""
    said = {name: encode(message, TAG) for name, (_, message) in examples.messages().items()}
    hello = said["hello"]
    plain = replace(
        examples.messages()["hello"][1], heads={}, floor={}, names={EU: ("eu", 1)}, resting=0,
        resting_digest=bytes(16),
    )  # fmt: skip
    eager = replace(plain, floor={US: 1})
    greeting = (MESSAGE, encode(plain, TAG))
    everything = [(MESSAGE, data) for data in said.values()]
    frames = [(FRAME, body) for body in bodies()]
    snapshot = [
        (MESSAGE, encode(eager, TAG)), (MESSAGE, said["snapshot-begin"]),
        *((CHUNK, entries) for entries in entry_lists()), (COMMIT, b""),
        (MESSAGE, said["snapshot-chunk"]), (MESSAGE, said["snapshot-end"]), (COMMIT, b""),
    ]  # fmt: skip
    asked = [
        greeting, (MESSAGE, said["compare"]), (READ, b""), (DOCUMENTS, entry_lists()[0]),
        (MESSAGE, said["fetch"]), (COMMIT, b""), (READ, b""),
    ]  # fmt: skip
    asking = [greeting, (REPAIR, b""), (READ, b""), (MESSAGE, said["differences"]), (READ, b"")]
    waiting = [greeting, (MESSAGE, encode(Frames((later(2), later(3))), TAG)), (TIME, b"...")]
    return [
        joined([(MESSAGE, hello), *everything]),
        joined([greeting, *frames, (READ, b""), (COMMIT, b""), (TIME, b"x" * 20), (READ, b"")]),
        joined(snapshot), joined(asked), joined(asking), joined(waiting),
        *(joined([greeting, part, (READ, b"")]) for part in everything),
    ]  # fmt: skip


def later(sequence: int) -> bytes:
    """Return a frame that must wait for those before it."""
    return framed(b"\x92\x90\x90", sequence=sequence)


MUTATIONS: dict[int, Mutation] = {
    MESSAGE: mutated_message,
    FRAME: mutated_tree,
    CHUNK: mutated_tree,
    DOCUMENTS: mutated_tree,
}


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Change one part of a conversation, or the order of its parts."""
    return mutated_parts(data, chance, MUTATIONS, PARTS_MAX)


LINK = Target("link", run, examples_of_links, mutated, input_bytes_max=32_768)
