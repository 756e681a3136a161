"""Erasure: the order to forget a person, as a document of its own that replicates like any other.

It names profiles, and traces of identifiers: keyed hashes, from which nobody reads the identifier.
Its cells are registers and sets of ordinary documents, so it joins, travels and rests as they do:

    kind, epoch, key     registers of who asked: what was named, the epoch to which profiles go,
                         and a check of the key that the traces were made with
    profiles, traces     sets; what one replica finds later is added
    state                a register for each replica, which has its name as source: how far it is
    lifted               a register: the identifiers may be written again

A suppressed identifier stays so until every erasure that has its trace is lifted.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from crdtstore.clock import datetime_of
from crdtstore.model.cells import (
    REGISTER,
    SET,
    Cells,
    decode_element,
    encode_element,
    parse_key,
    register_key,
    set_key,
)
from crdtstore.names import OWN_IDS

ERASURE_PREFIX: Final = f"{OWN_IDS}erasure/"
"""Beginning of the ids of documents that are erasures."""

HEARD: Final = "heard"
"""State of a replica that erased the profiles, and may still have old bytes of them somewhere."""

CONFIRMED: Final = "confirmed"
"""State of a replica that has nothing of them in any file of its data directory."""

TRACE_BYTES: Final = 16
_KEY_CHECK_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Receipt:
    """How far one replica is: ``state`` is "heard" or "confirmed", since ``timestamp``."""

    replica: str
    state: str
    timestamp: int

    @property
    def at(self) -> datetime:
        """Since when."""
        return datetime_of(self.timestamp)


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure as its document tells it. ``kind`` says what was named: "profile", "person" …

    ``epoch`` is where the named profiles go at least. ``traces`` are those of the identifiers that
    are suppressed, ``key_check`` tells with which key they were made. ``lifted_by`` is who lifted
    it, "" if nobody did.
    """

    id: str
    kind: str
    source: str
    timestamp: int
    epoch: int
    key_check: str
    profiles: frozenset[str]
    traces: frozenset[bytes]
    receipts: Mapping[str, Receipt]
    lifted_by: str

    @property
    def at(self) -> datetime:
        """When it was asked for."""
        return datetime_of(self.timestamp)


class Traces:
    """Keyed hashes of identifiers: the same on every replica of a space that has the same secret.

    ``check`` tells two keys apart, and nothing else about them.
    """

    def __init__(self, space: str, secret: str = "") -> None:
        content = f"{space}\x1f{secret}".encode()
        self._key = hashlib.blake2b(content, digest_size=32, person=b"crdtstore.trace").digest()
        check = hashlib.blake2b(self._key, digest_size=_KEY_CHECK_BYTES, person=b"crdtstore.check")
        self.check = check.hexdigest()

    def of(self, identifier: str) -> bytes:
        """Return the trace of an identifier: 128 bits."""
        return hashlib.blake2b(identifier.encode(), digest_size=TRACE_BYTES, key=self._key).digest()


def erasure_document_id(erasure_id: str) -> str:
    """Return the id of the document of an erasure."""
    return ERASURE_PREFIX + erasure_id


def request_cells(
    *, kind: str, epoch: int, key_check: str, source: str, timestamp: int, origin: int
) -> Cells:
    """Return the cells with which an erasure begins."""
    registers: dict[str, object] = {"kind": kind, "epoch": epoch, "key": key_check}
    return {
        register_key(field, source): (timestamp, origin, value)
        for field, value in registers.items()
    }


def named_cells(
    profiles: Iterable[str], traces: Iterable[bytes], *, source: str, timestamp: int, origin: int
) -> Cells:
    """Return the cells that name profiles and traces."""
    elements = [("profiles", encode_element(each)) for each in profiles]
    elements += [("traces", encode_element(each)) for each in traces]
    return {set_key(field, source, origin, element): (timestamp, 0) for field, element in elements}


def state_cells(replica: str, state: str, timestamp: int, origin: int) -> Cells:
    """Return the cell with which a replica says how far it is."""
    return {register_key("state", replica): (timestamp, origin, state)}


def lifting_cells(source: str, timestamp: int, origin: int) -> Cells:
    """Return the cell that lifts an erasure."""
    return {register_key("lifted", source): (timestamp, origin, True)}


def erasure_of(document_id: str, cells: Cells) -> Erasure:
    """Return the erasure that the cells of a document tell; what makes no sense is left out."""
    newest: dict[str, tuple[int, str, object]] = {}
    receipts: dict[str, Receipt] = {}
    named: dict[str, set[object]] = {"profiles": set(), "traces": set()}
    for key, cell in cells.items():
        parsed = parse_key(key)
        if parsed.letter == SET and parsed.field in named:
            named[parsed.field].add(decode_element(parsed.element))
        elif parsed.letter == REGISTER and parsed.field == "state":
            receipts[parsed.source] = Receipt(parsed.source, str(cell[2]), cell[0])
        elif parsed.letter == REGISTER:
            found = (cell[0], parsed.source, cell[2])
            newest[parsed.field] = max(newest.get(parsed.field, found), found, key=lambda x: x[:2])
    nothing: tuple[int, str, object] = (0, "", "")
    timestamp, source, kind = newest.get("kind", nothing)
    epoch = newest.get("epoch", nothing)[2]
    return Erasure(
        id=document_id.removeprefix(ERASURE_PREFIX),
        kind=str(kind),
        source=source,
        timestamp=timestamp,
        epoch=epoch if type(epoch) is int else 0,
        key_check=str(newest.get("key", nothing)[2]),
        profiles=frozenset(each for each in named["profiles"] if isinstance(each, str)),
        traces=frozenset(each for each in named["traces"] if isinstance(each, bytes)),
        receipts=receipts,
        lifted_by=newest.get("lifted", nothing)[1],
    )
