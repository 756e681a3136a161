"""Stream sessions: which writes of which client are in the store, kept in the commit of the writes.

For every client of a write stream there is the number up to which its writes were handled, and the
results that it may not know yet. Both move with the writes themselves, so after any crash they say
exactly which writes the store has, and a client that sends writes again is answered, not obeyed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgpack

from crdtstore.engine.draft import Draft
from crdtstore.engine.drafting import Drafting
from crdtstore.errors import ReplicaBusy, SessionExpired
from crdtstore.storage.contract import Storage
from crdtstore.stream import bounds

_PREFIX: Final = "stream/"
_pack: Callable[[Any], bytes] = msgpack.Packer(datetime=True).pack


@dataclass(slots=True)
class StreamSession:
    """What the store knows of one client.

    ``results`` are packed items by the number of the last write that they are about, in order;
    those up to ``confirmed`` are gone. ``used_ms`` is when the client was last seen.
    """

    name: str
    used_ms: int
    handled: int = 0
    confirmed: int = 0
    results: dict[int, bytes] = field(default_factory=dict)

    def items(self) -> list[tuple[int, list[Any]]]:
        """Return the results that the client may lack: up to which number, and its items."""
        return [(last, msgpack.unpackb(packed)) for last, packed in self.results.items()]


class StreamSessions:
    """The sessions of one store, the longest idle first. What moves is undone with its commit."""

    def __init__(self, storage: Storage, drafting: Drafting, now_ms: int) -> None:
        self._drafting = drafting
        self._durable = storage.metas(_PREFIX)
        self._present = _sessions_of(self._durable, now_ms)

    def __len__(self) -> int:
        return len(self._present)

    def open(self, client_id: bytes, *, is_new: bool, confirmed: int, now_ms: int) -> StreamSession:
        """Return the session of a client, made if it is new; it is durable with the next commit.

        Raises SessionExpired if it is not known, or is behind what the client was told, ReplicaBusy
        if there are too many.
        """
        self._forget_idle(now_ms)
        session = self._present.get(client_id.hex())
        if session is None:
            if not is_new:
                raise SessionExpired(
                    "this replica does not know the client: it was not connected for an hour, "
                    "or the data was restored"
                )
            if len(self._present) >= bounds.STREAM_SESSIONS_MAX:
                raise ReplicaBusy(
                    f"the replica remembers {bounds.STREAM_SESSIONS_MAX:,} clients of the last "
                    "hour, and takes no more"
                )
            session = StreamSession(client_id.hex(), now_ms)
            self._present[session.name] = session
            self._write(session)
        elif session.handled < confirmed or (is_new and session.handled):
            raise SessionExpired(
                f"this replica has {session.handled:,} writes of the client, which knows results "
                f"of {confirmed:,}: the data was rolled back, or two clients have one id"
            )
        self.touch(session, now_ms)
        return session

    def touch(self, session: StreamSession, now_ms: int) -> None:
        """Take note that a client is there."""
        session.used_ms = now_ms
        self._present[session.name] = self._present.pop(session.name, session)

    def move(
        self,
        session: StreamSession,
        *,
        handled: int,
        confirmed: int,
        items: Sequence[Any],
        now_ms: int,
    ) -> None:
        """Take note of writes that were handled, and of their results, with the next commit."""
        assert session.confirmed <= confirmed <= session.handled <= handled
        meta = self._drafting.draft.meta
        session.handled, session.confirmed = handled, confirmed
        for last in list(session.results):
            if last > confirmed:
                break
            del session.results[last]
            meta[_results_name(session.name, last)] = None
        if items:
            session.results[handled] = packed = _pack(items)
            meta[_results_name(session.name, handled)] = packed
        self.touch(session, now_ms)
        self._write(session)

    def forget(self, session: StreamSession) -> None:
        """Drop the session of a client that does not come back."""
        self._present.pop(session.name, None)
        meta = self._drafting.draft.meta
        meta[_PREFIX + session.name] = None
        for last in session.results:
            meta[_results_name(session.name, last)] = None

    def is_present(self, session: StreamSession) -> bool:
        """Say whether a session still is what the store knows: no commit of it has failed."""
        return self._present.get(session.name) is session

    def _write(self, session: StreamSession) -> None:
        record = _pack([session.handled, session.confirmed])
        self._drafting.draft.meta[_PREFIX + session.name] = record

    def _forget_idle(self, now_ms: int) -> None:
        idle_since_ms = now_ms - bounds.STREAM_SESSION_IDLE_MS_MAX
        while self._present:
            session = next(iter(self._present.values()))
            if session.used_ms > idle_since_ms:
                return
            self.forget(session)

    def committed(self, draft: Draft) -> None:
        """Take note that a draft is durable."""
        for name, value in draft.meta.items():
            if name.startswith(_PREFIX):
                if value is None:
                    self._durable.pop(name, None)
                else:
                    self._durable[name] = value

    def commit_failed(self, now_ms: int) -> None:
        """Go back to what is durable; streams that were open must open their sessions again."""
        self._present = _sessions_of(self._durable, now_ms)


def _results_name(name: str, last: int) -> str:
    return f"{_PREFIX}{name}/{last:016x}"


def _sessions_of(records: dict[str, bytes], now_ms: int) -> dict[str, StreamSession]:
    """Return the sessions that storage keeps. All count as seen now: their clients may be back."""
    sessions: dict[str, StreamSession] = {}
    for name, packed in sorted(records.items()):
        client, _, last = name.removeprefix(_PREFIX).partition("/")
        if not last:
            handled, confirmed = msgpack.unpackb(packed)
            sessions[client] = StreamSession(client, now_ms, handled, confirmed)
        elif client in sessions:
            sessions[client].results[int(last, 16)] = packed
    return sessions
