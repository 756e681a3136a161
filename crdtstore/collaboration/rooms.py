"""Coediting: the Yjs clients at work on the collaborative fields of a running replica.

Each client is a **member** of the room of its field. What the field takes, from this client or
another, from a program or a peer, is told to all of them when it is durable, and so to the client
it came from: that is how it learns that its update was kept. Presence goes to members and peers.

A client may go on with what it wrote offline or at another replica, under an id that it had then;
but not under one of another client that is here, nor under one that belongs to an origin. An update
that stands beside something that this replica does not have yet is asked for again, until peers
have brought it.
"""

import asyncio
from collections import deque
from typing import Final

from crdtstore import limits
from crdtstore.collaboration.fields import ReplicaTexts
from crdtstore.collaboration.trials import TrialsBusy
from crdtstore.engine.text_watches import TextWatch
from crdtstore.errors import (
    CrdtstoreError,
    InvalidValue,
    LimitExceeded,
    MessageInvalid,
    ProfileErased,
    Refused,
    ReplicaClosed,
)
from crdtstore.group_commit import GroupCommit
from crdtstore.links.presence import PresenceLinks
from crdtstore.model.texts import Text
from crdtstore.model.update_contents import UpdateAhead
from crdtstore.model.updates import (
    EMPTY_UPDATE,
    Clocks,
    Pairs,
    decode_update,
    encode_update,
    fit,
)
from crdtstore.model.updates import Update as Decoded
from crdtstore.store import Store
from crdtstore.sync.presence import Place
from crdtstore.sync.y_protocol import (
    Awareness,
    Client,
    Denied,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    Update,
    decode,
    encode,
)

_OWN_CLIENTS_FROM: Final = 1 << 52


class ClientTooSlow(Refused):
    """A Yjs client does not read what it is sent."""

    code = "client-too-slow"


class TextBegunAnew(Refused):
    """What a Yjs client has is of an epoch of the profile that was erased."""

    code = "text-begun-anew"


class Member:
    """One Yjs client at one field.

    ``number`` is the one by which presence knows its connection, ``announced`` are the ids under
    which it is present. ``asks_at_s`` is when it is to be asked again, None if it need not be.
    """

    def __init__(self, room: "Room", source: str, number: int) -> None:
        self.room = room
        self.source = source
        self.number = number
        self.announced: set[int] = set()
        self.asks_at_s: float | None = None
        self.patience_s = limits.ASK_AGAIN_MIN_S
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._error: CrdtstoreError | None = None

    def send(self, data: bytes) -> None:
        """Queue a message; a client for which too much waits is given up."""
        if self._error is not None:
            return
        self._queue.append(data)
        self._queued_bytes += len(data)
        if self._queued_bytes > limits.COLLABORATOR_QUEUE_BYTES:
            self.end(
                ClientTooSlow(
                    f"{self._queued_bytes:,} bytes wait for this client; it may connect anew"
                )
            )
        self._wake.set()

    def end(self, error: CrdtstoreError) -> None:
        """End the membership by an error that the client is told."""
        if self._error is None:
            self._error = error
            self._queue.clear()
        self._wake.set()

    async def outgoing(self) -> list[bytes]:
        """Wait for messages to be sent, and return them; raises the error that ends it."""
        while not self._queue and self._error is None:
            self._wake.clear()
            await self._wake.wait()
        if self._error is not None:
            raise self._error
        messages = list(self._queue)
        self._queue.clear()
        self._queued_bytes = 0
        return messages


class Room:
    """The clients at one field, in one epoch of its profile, and what they were told."""

    def __init__(self, place: Place, watch: TextWatch, epoch: int) -> None:
        self.place = place
        self.watch = watch
        self.epoch = epoch
        self.members: set[Member] = set()
        self.present: dict[int, int] = {}

    def end(self, error: CrdtstoreError) -> None:
        """End all memberships by an error."""
        for member in self.members:
            member.end(error)


class Coediting:
    """The rooms of one replica. ``run`` it while the replica runs."""

    def __init__(
        self, store: Store, commits: GroupCommit, presence: PresenceLinks, texts: ReplicaTexts
    ) -> None:
        self._store = store
        self._commits = commits
        self._presence = presence
        self._texts = texts
        self._watches = store.documents.texts.watches
        self._rooms: dict[Place, Room] = {}
        self._presence_seen = 0
        self._presence_told_s = 0.0
        self._reading = asyncio.Lock()
        self._joining: set[asyncio.Task[None]] = set()
        self._stirred = asyncio.Event()

    @property
    def members(self) -> int:
        """How many clients there are."""
        return sum(len(room.members) for room in self._rooms.values())

    # --- coming and going ---------------------------------------------------------------------

    def enter(self, profile_id: str, field: str, *, source: str, epoch: int = 0) -> Member:
        """Let a client in: it is sent our question for what it has, and who is there.

        ``epoch`` is the one of the profile in which the client's document began. Raises
        ProfileErased, TextBegunAnew, KindConflict or StorageCorrupt.
        """
        place = profile_id, field
        present = self._texts.epoch(profile_id)
        if epoch != present:
            raise TextBegunAnew(
                f"the texts of this profile began anew in epoch {present}; connect with an empty "
                f"document and epoch={present}"
            )
        kind = self._texts.kind(profile_id, field)
        room = self._rooms.get(place)
        if room is None or room.watch.has_ended:
            room = Room(place, self._watches.open(profile_id, kind[0] + field), present)
        self._rooms[place] = room
        member = Member(room, source, self._presence.connect())
        room.members.add(member)
        self._stirred.set()
        self._ask(member)
        if here := self._presence.present(place):
            member.send(encode(Awareness(here)))
        return member

    def leave(self, member: Member) -> None:
        """Take note that a client is gone."""
        room = member.room
        room.members.discard(member)
        if not room.members:
            self._watches.close(room.watch)
            if self._rooms.get(room.place) is room:
                del self._rooms[room.place]
        self._presence.leave(member.number, self._store.now_ms())
        self._stirred.set()

    # --- what a client says -------------------------------------------------------------------

    async def receive(self, member: Member, data: bytes) -> None:
        """Act on one message of a client; returns when that is done, and durable.

        Raises MessageInvalid, InvalidInput, Refused or StorageError: they end the membership.
        """
        place = member.room.place
        if self._texts.epoch(place[0]) != member.room.epoch:
            raise ProfileErased(place[0])
        match decode(data):
            case SyncStep1(state_vector):
                try:
                    update = self._texts.missing(*place, state_vector)
                except InvalidValue as error:
                    raise MessageInvalid(str(error)) from error
                await self._commits.durable()
                member.send(encode(SyncStep2(update)))
            case SyncStep2(update) | Update(update):
                if update != EMPTY_UPDATE:
                    await self._join(member, update)
            case Awareness(clients):
                self._announce(member, clients)
            case QueryAwareness():
                member.send(encode(Awareness(self._presence.present(place))))
            case Denied():
                raise MessageInvalid("a client cannot deny access")

    async def _join(self, member: Member, raw: bytes) -> None:
        """Take over what of an update is news, if it can be, and wait until it is durable."""
        room = member.room
        text = self._store.texts.text(*room.place)
        try:
            update = await self._decoded(raw, text)
            text = self._store.texts.text(*room.place)
            news = fit(update, text.clocks, text.pairs)
        except UpdateAhead:
            self._ask_again(member)
            return
        except InvalidValue as error:
            raise MessageInvalid(str(error)) from error
        if not all(self._may_write_as(member, client) for client in news.blocks):
            self._ask_again(member)
        elif not news.is_empty:
            taking = self._texts.apply_update(
                *room.place, update, source=member.source, epoch=room.epoch
            )
            joining = asyncio.create_task(taking, name="crdtstore-yjs-update")
            self._joining.add(joining)
            joining.add_done_callback(self._joined)
            try:
                await asyncio.shield(joining)  # a client that goes must not take the worker along
            except TrialsBusy:
                self._ask_again(member)
                return
            member.patience_s = limits.ASK_AGAIN_MIN_S

    def _joined(self, joining: "asyncio.Task[None]") -> None:
        """Take note that an update was joined or refused; its client may have gone meanwhile."""
        self._joining.discard(joining)
        if not joining.cancelled():
            joining.exception()

    async def _decoded(self, raw: bytes, text: Text) -> Decoded:
        """Return the parts of an update; large ones are read beside all else, one at a time.

        Of those only what is news is left, and that has room in a frame. Raises InvalidValue, or
        LimitExceeded.
        """
        if len(raw) <= limits.SMALL_UPDATE_BYTES:
            return decode_update(raw, text.kind)
        async with self._reading:
            clocks = dict(text.clocks)
            pairs = {client: set(own) for client, own in text.pairs.items()}
            return await asyncio.to_thread(_news_of, raw, text.kind, clocks, pairs)

    def _may_write_as(self, member: Member, client: int) -> bool:
        """Say whether a member may bring what was written under a Yjs client's id now."""
        via = self._presence.via(member.room.place, client)
        return client < _OWN_CLIENTS_FROM and via in (None, member.number)

    def _ask_again(self, member: Member) -> None:
        """Ask a client again for all that we lack, later: what its update needs is on its way."""
        if member.asks_at_s is None:
            member.asks_at_s = asyncio.get_running_loop().time() + member.patience_s
            member.patience_s = min(2 * member.patience_s, limits.ASK_AGAIN_MAX_S)

    def _announce(self, member: Member, clients: tuple[Client, ...]) -> None:
        """Take over a client's own presence; stock clients repeat that of all others."""
        place = member.room.place
        for client in clients:
            is_elsewhere = self._presence.via(place, client[0]) not in (None, member.number)
            is_known = client[0] in member.announced
            if is_elsewhere or (not is_known and len(member.announced) >= limits.ANNOUNCED_MAX):
                continue
            now_ms = self._store.now_ms()
            if self._presence.announce(place, (client,), member.number, now_ms):
                member.announced.add(client[0])
        self._stirred.set()

    # --- what clients are told ----------------------------------------------------------------

    async def run(self) -> None:
        """Tell all members what is news, until cancelled."""
        while True:
            committed = self._commits.committed
            await self._moment(committed)
            self._tell_presence()
            self._ask_late()
            self._tell_updates()

    async def _moment(self, committed: asyncio.Event) -> None:
        """Wait until there may be news: after a commit, a client's presence, or a while."""
        if not self._rooms:
            await self._stirred.wait()
        waits = [
            asyncio.ensure_future(committed.wait()),
            asyncio.ensure_future(self._stirred.wait()),
        ]
        try:
            await asyncio.wait(
                waits, timeout=limits.COEDITING_LOOK_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for wait in waits:
                wait.cancel()
        self._stirred.clear()

    def _tell_updates(self) -> None:
        """Tell what the fields took, which is durable, and end what was erased."""
        for room in list(self._rooms.values()):
            updates, is_behind = room.watch.take()
            if room.watch.has_ended:
                room.end(ProfileErased(room.place[0]))
            elif is_behind:
                room.end(ClientTooSlow("too much happened at once; connect anew for all of it"))
            for update in updates:
                _send_all(room, encode(Update(update)))

    def _tell_presence(self) -> None:
        now_s = asyncio.get_running_loop().time()
        is_early = now_s - self._presence_told_s < limits.PRESENCE_PAUSE_S
        if is_early or self._presence.changes == self._presence_seen:
            return
        self._presence_told_s = now_s
        self._presence_seen = self._presence.changes
        for room in self._rooms.values():
            present = self._presence.present(room.place)
            news = [one for one in present if room.present.get(one[0], -1) < one[1]]
            here = {client for client, _, _ in present}
            gone = [(c, clock, None) for c, clock in room.present.items() if c not in here]
            room.present = {client: clock for client, clock, _ in present}
            if news or gone:
                _send_all(room, encode(Awareness((*news, *gone))))

    def _ask_late(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for room in self._rooms.values():
            for member in room.members:
                if member.asks_at_s is not None and member.asks_at_s <= now_s:
                    member.asks_at_s = None
                    self._ask(member)

    def _ask(self, member: Member) -> None:
        """Ask a client for all that we lack; its membership ends if the field cannot be read."""
        try:
            member.send(encode(SyncStep1(self._texts.state_vector(*member.room.place))))
        except CrdtstoreError as error:
            member.end(error)

    def close(self) -> None:
        """End all memberships: the replica closes."""
        for room in self._rooms.values():
            room.end(ReplicaClosed("the replica is closing"))


def _news_of(raw: bytes, kind: str, clocks: Clocks, pairs: Pairs) -> Decoded:
    """Return what of an update is news; raises InvalidValue, or LimitExceeded if it is too much."""
    news = fit(decode_update(raw, kind), clocks, pairs)
    size = len(encode_update(Decoded(news.blocks, {}), kind))
    if size > limits.WRITE_BYTES_MAX:
        raise LimitExceeded("what an update brings", size, limits.WRITE_BYTES_MAX, "bytes")
    return news


def _send_all(room: Room, data: bytes) -> None:
    for member in room.members:
        member.send(data)
