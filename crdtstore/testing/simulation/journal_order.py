"""The order of a journal: no frame before its origin's previous one, none before its causes."""

from typing import Final

from crdtstore.engine.ledger import ADOPTION_MAGIC, Waypoint, frame_header, read_adoption_note
from crdtstore.store import Store
from crdtstore.sync.frame import Frame, decode_body
from crdtstore.sync.vector import Vector
from crdtstore.testing.simulation.history import Broken

_WHOLE: Final = 1 << 40


def check_journal_order(name: str, store: Store) -> None:
    """Read a whole journal, and check that it is in causal order; raises Broken.

    Records that count as trimmed, but are still there, are left out. An origin may have been at
    rest, and so in no vector, before a frame of it came, and may have come to rest again.
    """
    trimmed = store.storage.meta("trimmed")
    dropped: Vector = {} if trimmed is None else dict(Waypoint.unpack(0, trimmed).vector)
    vector = dict(dropped)
    for position, record in store.storage.journal(0, limit=_WHOLE, bytes_max=_WHOLE):
        header = frame_header(record)
        if header is None:
            if record[:2] == ADOPTION_MAGIC:
                for origin, head in read_adoption_note(record).items():
                    vector[origin] = max(head[0], vector.get(origin, 0))
            continue
        frame = Frame(header.origin, header.sequence, header.timestamp, b"", b"", record)
        what = f"{name}: record {position} is frame {header.sequence} of {header.origin:016x}"
        before = vector.get(header.origin, 0)
        if header.sequence <= dropped.get(header.origin, 0):
            continue
        rested = max(
            store.ledger.resting.sequence(header.origin),
            store.ledger.floor.get(header.origin, 0),
        )
        if before < rested or (before == 0 and trimmed is not None):
            before = max(before, header.sequence - 1)
        if header.sequence != before + 1:
            raise Broken(f"{what}, and comes after frame {before}")
        for origin, sequence in decode_body(frame)[0].items():
            rested = max(store.ledger.resting.sequence(origin), store.ledger.floor.get(origin, 0))
            if max(vector.get(origin, 0), rested) < sequence:
                raise Broken(f"{what}, and its cause, frame {sequence} of {origin:016x}, comes not")
        vector[header.origin] = header.sequence
