"""Collaborative fields: the third kind of cell, whose join is the merge of Yjs.

The state of one is a Yjs document and, in the profile's document, a **trail** for each source and
origin that wrote to it: key ``t<field>|<source>|<origin>`` (``l`` for lists), cell ``(timestamp,
origin, number of edits)``. Trails are newest cells like others, so version, digest and explanation
of a profile see a text by its timestamps: Yjs bytes are not canonical. The document itself is held
beside the profile, in a row of its own, and costs its other fields nothing.

What a frame carries is an **edit**, a cell of four: ``(timestamp, origin, number, update)``, with
the Yjs update of that write. If ``number`` is not above the trail's, it only repeats older ones.
Frames of an origin come in order and after their causes, so a trail says that all edits of its slot
up to its timestamp are in the state. The state may be ahead of the trails (a repair brought more),
never behind. Every join is idempotent, as Yjs merges are. An edit of which a part was cut off,
because it is known here, has a fifth part: how much it brought and deleted as it was written.

Yjs identifies elements by (client, clock), so no two writers may share a client id. That of edits
made here is derived from origin and epoch. Where guests shared one: ``crdtstore.model.contests``.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias, TypeVar

import msgpack

from crdtstore.errors import InvalidValue, StorageCorrupt
from crdtstore.model.contests import (
    Contest,
    contest_of,
    overlap,
    settled,
    together,
    without_halves,
    without_torn,
)
from crdtstore.model.shared import CollaborationMissing, NativeFault, Run, Shared, Step
from crdtstore.model.text_history import Edit, newest_edits
from crdtstore.model.update_contents import LIST, TEXT
from crdtstore.model.update_parts import normal_form
from crdtstore.model.updates import (
    Clocks,
    Pairs,
    Update,
    advance,
    decode_clocks,
    decode_own,
    decode_update,
    encode_clocks,
    encode_update,
    fit,
    note_pairs,
    torn_characters,
)

_ROW_FORMAT: Final = 1
_TWO_HALVES: Final = re.compile(rb"[\xf0-\xf4][\x80-\xbf]{3}")
"""A character beyond the basic plane, in UTF-8."""

_CLIENT_BIT: Final = 1 << 52
"""Set in the ids that are derived here: stock Yjs clients draw theirs from 32 bits."""


_Read = TypeVar("_Read")


_Snapshot: TypeAlias = tuple[list[bytes], int, int, bool, bool, tuple[bytes, ...], tuple[Edit, ...]]


def client_of(origin: int, epoch: int) -> int:
    """Return the Yjs client as which an origin writes to the texts of an epoch: 53 bits."""
    name = origin.to_bytes(8, "big") + epoch.to_bytes(8, "big")
    digest = hashlib.blake2b(name, digest_size=8, person=b"crdtstore.yjs").digest()
    return int.from_bytes(digest, "big") & (_CLIENT_BIT - 1) | _CLIENT_BIT


class Text:
    """The state of one collaborative field, of kind "text" or "list", as it is in memory.

    ``parts`` are updates which together are the state: it is decoded only when it is needed.
    ``is_whole`` is False when some of it was lost: it cannot be read until a peer brings all of it,
    and what frames bring meanwhile is ``parked``.
    ``carries_all`` says that it has what came by no frame, so that the next local edit must bring
    the whole of it. ``changes`` counts what it was given; what rests is that of ``rested``.
    ``history`` has the newest edits, oldest first.
    """

    __slots__ = (
        "_clocks", "_drafted", "_pairs", "_shared", "_value", "carries_all", "changes", "history",
        "is_whole", "kind", "parked", "parts", "rested", "size_bytes",
    )  # fmt: skip

    def __init__(self, kind: str) -> None:
        assert kind in (TEXT, LIST), kind
        self.kind = kind
        self.parts: list[bytes] = []
        self.size_bytes = 0
        self.is_whole = True
        self.parked: tuple[bytes, ...] = ()
        self.carries_all = False
        self.history: tuple[Edit, ...] = ()
        self.changes = 0
        self.rested = 0
        self._shared: Shared | None = None
        self._clocks: Clocks | None = {}
        self._pairs: Pairs | None = {}
        self._drafted: bytes | None = None
        self._value: Any = None

    @property
    def is_readable(self) -> bool:
        """Whether all of it is here."""
        return self.is_whole and not self.parked

    # --- the state ----------------------------------------------------------------------------

    def _decoded(self, client: int = 0) -> Shared:
        """Return the decoded document; with ``client`` one in which edits are made as it.

        Raises StorageCorrupt if the text is not whole, or native code does not take it.
        """
        shared = self._shared
        if self._drafted is not None or (shared is not None and client not in (0, shared.client)):
            self.drop_decoded()
            shared = None
        if shared is None:
            if not self.is_readable:
                raise StorageCorrupt(
                    "a part of this text was lost; heal it from a peer: "
                    "crdtstore verify --repair PEER"
                )
            shared = Shared(self.kind, client or 1)
            try:
                for part in self.parts:
                    shared.apply(part)
            except NativeFault as error:
                self.lose()
                raise StorageCorrupt(f"this text cannot be decoded: {error}") from error
            self._shared = shared
        return shared

    def drop_decoded(self) -> None:
        """Give native memory back; the text is decoded again when it is needed."""
        self._shared = None
        self._drafted = None

    @property
    def clocks(self) -> Mapping[int, int]:
        """How much of every client is in the state; not to be changed. Raises StorageCorrupt."""
        if self._clocks is None:
            try:
                self._clocks = decode_clocks(self._decoded().state_vector())
            except CollaborationMissing:
                self._clocks = {}
                for part in self.parts:
                    advance(self._clocks, decode_own(part, self.kind))
        return self._clocks

    @property
    def pairs(self) -> Pairs:
        """Where characters of two halves stand; not to be changed."""
        if self._pairs is None:
            self._pairs = {}
            if any(_TWO_HALVES.search(part) for part in self.parts):
                for part in self.parts:
                    note_pairs(self._pairs, decode_own(part, self.kind))
        return self._pairs

    def take(self, raw: bytes, update: Update, given: Update | None = None) -> None:
        """Join an update that fits, as bytes and decoded; one that cannot yet is parked.

        ``given`` is what it was cut from, if that contradicts what is known.
        """
        if given is not None and self.is_readable:
            with suppress(StorageCorrupt):  # then it waits until a peer has healed the text
                if (contest := self.contest(given)) is not None:
                    self._settle(contest)
        self.changes += 1
        self._value = None
        if not self.is_readable:
            self.parked = (*self.parked, raw)
            return
        self.parts.append(raw)
        self.size_bytes += len(raw)
        if raw is self._drafted:
            self._drafted = None
        elif self._shared is not None:
            try:
                self._shared.apply(raw)
            except NativeFault:
                self.drop_decoded()
        if self._clocks is not None:
            advance(self._clocks, update)
        if self._pairs is not None:
            note_pairs(self._pairs, update)

    def contest(self, given: Update) -> Contest | None:
        """Return in what an update contradicts what is known here; None if in nothing.

        Raises StorageCorrupt.
        """
        first, pairs = overlap(given, self.clocks), self.pairs
        if not first and not any(torn_characters(given, pairs)):
            return None
        since = {c: clock - (clock in pairs.get(c, ())) for c, clock in first.items()}
        return contest_of(self._known_since({**self.clocks, **since}), given, pairs)

    def _settle(self, contest: Contest) -> None:
        """Do what a contest comes to, here as at all other replicas. Raises StorageCorrupt."""
        self.parts = [encode_update(settled(self._known_since({}), contest), self.kind)]
        self.size_bytes = len(self.parts[0])
        self.drop_decoded()
        self._value = self._pairs = None
        self.changes += 1

    def _known_since(self, clocks: Mapping[int, int]) -> Update:
        try:
            return decode_own(self.missing(clocks), self.kind)
        except CollaborationMissing:
            return together(decode_own(part, self.kind) for part in self.parts)

    def take_whole(self, raw: bytes, update: Update, history: tuple[Edit, ...]) -> None:
        """Join what a peer gave as (a part of) the whole; what was parked goes in if it fits now.

        It is written to storage anew in any case: what rests there may be damaged. Raises
        InvalidValue if it does not fit, StorageCorrupt if the text cannot be decoded.
        """
        self.changes += 1
        parked, self.parked = self.parked, ()
        if not self.is_whole:
            self.is_whole = True
            self.parts, self.size_bytes, self._clocks, self._pairs = [], 0, {}, {}
        if self._absorb(raw, update):
            self.carries_all = True
        self.history = newest_edits((*history, *self.history))
        waiting = list(parked)
        for raw_parked in parked:
            with suppress(InvalidValue):
                self._absorb(raw_parked, decode_update(raw_parked, self.kind))
                waiting.remove(raw_parked)
        self.parked = tuple(waiting)

    def _absorb(self, raw: bytes, given: Update) -> bool:
        """Join what a peer gave, known here or not; return whether anything of it was news."""
        contest = self.contest(given)
        if contest is not None:
            self._settle(contest)
        fresh = without_torn(without_halves(given, self.clocks))
        fitted = fit(fresh, self.clocks, self.pairs)
        if not fitted.is_empty:
            self.take(raw if fitted == given else encode_update(fitted, self.kind), fitted)
        return contest is not None or not fitted.is_empty

    def lose(self) -> None:
        """Take the text for damaged: a peer must bring all of it, and then its parts may fit."""
        self.drop_decoded()
        self.parked = (*self.parts, *self.parked)
        self.parts, self.size_bytes = [], 0
        self.is_whole, self._clocks, self._pairs = False, None, None
        self.changes += 1

    def snapshot(self) -> _Snapshot:
        """Return what ``restore`` needs to bring the text back to how it is now."""
        return (
            self.parts, len(self.parts), self.size_bytes, self.is_whole, self.carries_all,
            self.parked, self.history,
        )  # fmt: skip

    def restore(self, snapshot: _Snapshot) -> None:
        """Bring the text back to how it was."""
        (
            self.parts, length, self.size_bytes, self.is_whole, self.carries_all,
            self.parked, self.history,
        ) = snapshot  # fmt: skip
        del self.parts[length:]
        self.changes += 1
        self._value = None
        self._clocks = self._pairs = None
        self.drop_decoded()

    # --- editing and reading ------------------------------------------------------------------

    def edit(self, steps: list[Step], client: int) -> bytes:
        """Make steps as a client; return the update, which is in the text when it is taken.

        An edit that is not taken is forgotten. Raises StorageCorrupt or NativeFault.
        """
        shared = self._decoded(client)
        try:
            self._drafted = self._ordered(shared.edit(steps))
        except BaseException:
            self.drop_decoded()
            raise
        return self._drafted

    def join(self, update: bytes) -> bytes:
        """Join a client's update that fits, as an edit; return what of it is news.

        Like an edit it is in the text when it is taken. Raises StorageCorrupt or NativeFault.
        """
        shared = self._decoded()
        try:
            self._drafted = self._ordered(shared.join(update))
        except BaseException:
            self.drop_decoded()
            raise
        return self._drafted

    def _ordered(self, raw: bytes) -> bytes:
        """Return an update with its clients in order: native code has them in one by chance.

        Raises InvalidValue if it is one that peers would not take.
        """
        return encode_update(decode_update(raw, self.kind), self.kind)

    def encode(self) -> bytes:
        """Return the whole state as one update. Raises StorageCorrupt."""
        return self._read(Shared.encode)

    def missing(self, clocks: Mapping[int, int]) -> bytes:
        """Return what a peer with these clocks lacks, and all that is deleted."""
        state_vector = encode_clocks(clocks)
        return self._read(lambda shared: shared.missing(state_vector))

    @property
    def runs(self) -> list[Run]:
        """The texts and embeds of a text, with their formatting; the caller's own."""
        return self._read(Shared.runs)

    @property
    def value(self) -> Any:
        """The text as a string, or the items of a list; not to be changed."""
        if self._value is None or self._drafted is not None:
            self._value = self._read(Shared.text if self.kind == TEXT else Shared.items)
        return self._value

    def _read(self, read: Callable[[Shared], _Read]) -> _Read:
        try:
            return read(self._decoded())
        except NativeFault as error:
            self.drop_decoded()
            raise StorageCorrupt(f"this text cannot be read: {error}") from error

    # --- at rest ------------------------------------------------------------------------------

    def compact(self) -> None:
        """Replace the parts by one, if the text can be decoded: deleted characters go then.

        What Yjs clients wrote is brought into its normal form, and read from that: elements such as
        no honest client writes stand in another order where they came in another one.
        """
        if not self.is_readable:
            return
        try:
            has_guests = any(client < _CLIENT_BIT for client in self.clocks)
            if has_guests or len(self.parts) > 1:
                whole = self.encode()
                if has_guests:
                    whole = normal_form(whole, self.kind)
                    self._value = None
                    self.drop_decoded()
                self.parts, self.size_bytes = [whole], len(whole)
        except (StorageCorrupt, CollaborationMissing):
            self.drop_decoded()

    def to_row(self, epoch: int) -> bytes:
        """Return the bytes in which storage keeps the text."""
        return bytes(
            msgpack.packb(
                [
                    _ROW_FORMAT, epoch, self.is_whole, self.carries_all, self.parts, self.parked,
                    self.history,
                ]
            )
        )  # fmt: skip

    @classmethod
    def from_row(cls, kind: str, row: bytes) -> tuple[int, "Text"]:
        """Return epoch and text of a stored row, which storage has checked."""
        form, epoch, is_whole, carries_all, parts, parked, history = msgpack.unpackb(row)
        assert form == _ROW_FORMAT, form
        text = cls(kind)
        text.is_whole, text.carries_all = is_whole, carries_all
        text.parts, text.parked = parts, tuple(parked)
        text.size_bytes = sum(map(len, parts))
        text.history = tuple(Edit(*edit) for edit in history)
        text._clocks = text._pairs = None
        return epoch, text

    @classmethod
    def lost(cls, kind: str) -> "Text":
        """Return a text of which nothing is known but that there was something."""
        text = cls(kind)
        text.is_whole = False
        text._clocks = text._pairs = None
        return text
