"""Guests: Yjs clients in a simulation, each with a real document of its own, and hostile ones.

An honest guest edits while it is offline, comes to a replica, brings what it has and takes what it
lacks, goes, and comes to another one. What it brings goes the way of a websocket's updates: it is
scanned, fitted and joined, under the rules of ``crdtstore.collaboration.rooms``. It is told only
what is durable. When its profile is erased it begins anew, as a page that is loaded again.

A hostile guest sends changed and made-up bytes, writes under ids that others of its kind use at
other replicas at the same time, and lies about where it writes. What is refused changes nothing;
what is taken must make the same text everywhere, and costs nobody else an element.
"""

import random
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from crdtstore.errors import InvalidValue, ProfileErased, ProfileNotFound, Refused
from crdtstore.model.operations import JoinUpdate
from crdtstore.model.shared import load_library
from crdtstore.model.update_contents import ANY, LIST, STRING, TEXT, UpdateAhead
from crdtstore.model.updates import (
    Block,
    Update,
    decode_clocks,
    decode_update,
    encode_update,
    fit,
)
from crdtstore.schema import Schema
from crdtstore.store import Store
from crdtstore.testing.simulation.history import Broken, History
from crdtstore.testing.simulation.machine import Ticket, is_at_rest
from crdtstore.testing.simulation.texts import CUT, INSERT, elements_of

GUESTS_AT_ONCE: Final = 4
PROFILES: Final = 4
PAUSE_MS: Final = 150
SOURCE: Final = "web"

_HOSTILE_IDS: Final = (11, 12)
_OWN_CLIENTS_FROM: Final = 1 << 52
_FIRST_LETTER: Final = 0x10000
"""Guests write characters from here on, each once."""

_FIRST_PLAIN: Final = 0xE000
"""Hostile ones write private characters that have no halves."""


class Guest:
    """An honest Yjs client: its document, and the field that it edits."""

    def __init__(self, client: int, profile: str, field: str, kind: str, epoch: int) -> None:
        self.profile = profile
        self.field = field
        self.kind = kind
        self.epoch = epoch
        self._seen: set[Any] = set()
        pycrdt = load_library()
        self.document: Any = pycrdt.Doc(client_id=client)
        self.root: Any = self.document.get(kind, type=pycrdt.Text if kind == TEXT else pycrdt.Array)

    def look(self) -> set[Any]:
        """Take note of the elements that the document has; return those that it had, and lost."""
        present = set(str(self.root) if self.kind == TEXT else self.root.to_py() or ())
        present = {int(each) if type(each) is float else each for each in present}
        self._seen |= present
        return self._seen - present

    @property
    def clock(self) -> int:
        """How much the guest has written."""
        return decode_clocks(bytes(self.document.get_state())).get(self.document.client_id, 0)

    def edit(self, chance: random.Random, element: Any) -> None:
        """Edit the document, offline."""
        self._change(chance, element)
        self.look()

    def _change(self, chance: random.Random, element: Any) -> None:
        if self.kind == LIST:
            at = chance.randrange(len(self.root) + 1)
            if at < len(self.root) and chance.random() < 0.25:
                del self.root[at]
            else:
                self.root.insert(at, element)
            return
        text = str(self.root)
        at = chance.randrange(len(text) + 1)
        start = len(text[:at].encode())
        end = start + len(text[at : at + 1].encode())
        if at < len(text) and chance.random() < 0.25:
            del self.root[start:end]
        elif at < len(text) and chance.random() < 0.1:
            self.root.format(start, end, {"bold": True})
        else:
            self.root.insert(start, element)


class _Met(NamedTuple):
    """A field at a replica, as a guest meets it."""

    store: Store
    ticket: Ticket
    profile: str
    field: str


class Guests:
    """All guests of a run, with a stream of chance of their own."""

    def __init__(self, seed: int, history: History, schema: Schema) -> None:
        self._chance = random.Random(f"guests {seed}")
        self._history = history
        self._honest: list[Guest] = []
        self._hostile_elements: set[Any] = set()
        self._element_at: dict[tuple[int, int], Any] = {}
        self._number = 0
        kinds = {name: schema.kind_of(name) for name in schema.fields}
        self.fields = [(name, kind) for name, kind in kinds.items() if kind in (TEXT, LIST)]

    def choose(self, names: Sequence[str]) -> str:
        """Choose one of some replicas."""
        return self._chance.choice(names)

    def pause_ms(self) -> int:
        """Choose how long it is until the next guest comes."""
        return int(self._chance.expovariate(1 / PAUSE_MS))

    def act(self, store: Store, ticket: Ticket) -> str:
        """Let a guest come to a replica; return what was done, in words.

        Raises StorageError, and Broken if the store does what it must not.
        """
        chance = self._chance
        profile = f"p{int(PROFILES * chance.random() ** 2):02d}"
        field, kind = chance.choice(self.fields)
        met = _Met(store, ticket, profile, field)
        try:
            if chance.random() < 0.3:
                return self._intrude(met, str(kind))
            return self._visit(met, str(kind))
        except (ProfileErased, ProfileNotFound) as error:
            return f"guest: {error.code}"

    # --- honest ones --------------------------------------------------------------------------

    def _visit(self, met: _Met, kind: str) -> str:
        chance, store = self._chance, met.store
        if len(self._honest) < GUESTS_AT_ONCE or chance.random() < 0.05:
            epoch = store.texts.epoch(met.profile)
            guest = Guest(chance.getrandbits(32), met.profile, met.field, kind, epoch)
            self._honest = [*self._honest[-GUESTS_AT_ONCE + 1 :], guest]
        guest = chance.choice(self._honest)
        for _ in range(chance.randrange(3)):
            element, client = self._element(guest.kind), guest.document.client_id
            self._element_at[client, guest.clock] = element
            guest.edit(chance, element)
        if store.texts.epoch(guest.profile) != guest.epoch:
            self._honest.remove(guest)
            return "guest: its document is of another epoch"
        done = self._bring(guest, _Met(store, met.ticket, guest.profile, guest.field))
        if is_at_rest(store):
            clocks = bytes(guest.document.get_state())
            guest.document.apply_update(store.texts.missing(guest.profile, guest.field, clocks))
            guest.look()
            done += ", and takes"
        return done

    def _bring(self, guest: Guest, met: _Met) -> str:
        store = met.store
        known = store.texts.state_vector(met.profile, met.field)
        raw = bytes(guest.document.get_update(known))
        text = store.texts.text(met.profile, met.field)
        try:
            news = fit(decode_update(raw, guest.kind), text.clocks, text.pairs)
        except UpdateAhead:
            return "guest: waits for what it builds on"
        except InvalidValue as error:
            where = f"{met.profile}.{met.field}"
            raise Broken(f"{where}: an honest guest is refused: {error}") from None
        if any(client >= _OWN_CLIENTS_FROM for client in news.blocks):
            return "guest: waits for what a replica wrote"
        is_news = self._join(met, guest.kind, news, cuts=guest.look())
        return "guest: brings" if is_news else "guest: brings nothing"

    # --- hostile ones -------------------------------------------------------------------------

    def _intrude(self, met: _Met, kind: str) -> str:
        chance = self._chance
        text = met.store.texts.text(met.profile, met.field)
        clocks = dict(text.clocks)
        before = text.encode(), clocks
        choice = chance.random()
        if choice < 0.3:
            raw = chance.randbytes(chance.randrange(40))
        elif choice < 0.6 and self._honest:
            raw = _changed(bytes(chance.choice(self._honest).document.get_update()), chance)
        else:
            raw = self._lie(text.clocks, kind)
        try:
            news = fit(decode_update(raw, kind), text.clocks, text.pairs)
        except InvalidValue:
            if (text.encode(), dict(text.clocks)) != before:
                raise Broken(f"{met.profile}.{met.field} was changed by {raw.hex()}") from None
            return "hostile guest: refused"
        if choice < 0.6 or any(client >= _OWN_CLIENTS_FROM for client in news.blocks):
            return "hostile guest: what it changed is sound"
        if not self._join(met, kind, news):
            return "hostile guest: no news"
        return "hostile guest: taken"

    def _lie(self, clocks: Any, kind: str) -> bytes:
        """Return an update under a taken id, between any two elements."""
        chance = self._chance
        client = chance.choice(_HOSTILE_IDS)
        clock = clocks.get(client, 0)
        known = [(each, chance.randrange(end)) for each, end in clocks.items() if end]
        left, right = (chance.choice([None, *known]) for _ in range(2))
        self._number += 1
        if kind == TEXT:
            letter = chr(_FIRST_PLAIN + self._number)
            block = Block(clock, 1, STRING, left, right, letter)
        else:
            item = b"\x77" + bytes((len(str(self._number)) + 1,)) + f"h{self._number}".encode()
            block = Block(clock, 1, ANY, left, right, (item,))
        deleted = {}
        if chance.random() < 0.2 and client in clocks:
            deleted = {client: [(chance.randrange(clock), 1)]}
        return encode_update(Update({client: [block]}, deleted), kind)

    # --- what is noted ------------------------------------------------------------------------

    def _element(self, kind: str) -> Any:
        self._number += 1
        return chr(_FIRST_LETTER + self._number) if kind == TEXT else f"g{self._number}"

    def _join(self, met: _Met, kind: str, news: Update, cuts: set[Any] | None = None) -> bool:
        """Join what a guest brings, and note what comes of it; return whether it was news.

        An honest one tells what it cut, at any time: it may be brought together with that.
        """
        store, ticket, profile, field = met
        if news.is_empty:
            return False
        before = list(elements_of(store, profile, field))
        operation = JoinUpdate(kind, encode_update(news, kind))
        try:
            result = store.write(profile, {field: operation}, source=SOURCE)
        except Refused:
            return False
        after = list(elements_of(store, profile, field))
        noted: dict[str, Any] = {
            "ticket": ticket, "profile": profile, "field": field, "source": SOURCE,
            "epoch": store.documents.get(profile).epoch,
            "stamp": store.replication.healing.latest_timestamp,
        }  # fmt: skip
        fresh = [element for element in after if element not in before]
        if cuts is None:
            self._hostile_elements.update(fresh)
        for element in fresh:
            entry = self._history.add(what=INSERT, value=(element,), **noted)
            entry.is_at_mercy = element in self._hostile_elements  # its id is taken by others
        gone = {element for element in before if element not in after} | (cuts or set())
        gone |= self._cut_elsewhere(news)
        if gone and result.changed:
            self._history.add(what=CUT, value=tuple(sorted(gone, key=str)), **noted)
        return bool(result.changed)

    def _cut_elsewhere(self, news: Update) -> set[Any]:
        """Return the guests' elements that somebody cut, and that come as deleted ones.

        The replica where that was done may have lost it since: then this brings it back.
        """
        cut = {each for entry in self._history.entries if entry.what == CUT for each in entry.value}
        return {
            element
            for (client, clock), element in self._element_at.items()
            if element in cut
            and any(start <= clock < start + n for start, n in news.deleted.get(client, ()))
        }


def _changed(raw: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(raw))
    match chance.randrange(3):
        case 0:
            return (
                raw[:place] + bytes((raw[place] ^ (1 << chance.randrange(8)),)) + raw[place + 1 :]
            )
        case 1:
            return raw[:place]
    return raw[:place] + chance.randbytes(chance.randrange(1, 5)) + raw[place:]
