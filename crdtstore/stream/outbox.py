"""Outbox: the client's end of a write stream without I/O.

It numbers writes, gathers them into messages, keeps what is not answered, and takes results in.
After a lost connection it sends again what the replica has not handled, under the same numbers, so
that nothing is applied twice.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from crdtstore.errors import CrdtstoreError, MessageInvalid, SessionExpired, WritesRefused
from crdtstore.stream import bounds
from crdtstore.stream.entries import UnansweredWrite, profile_id_of, unanswered_write
from crdtstore.stream.messages import Hello, Results, Welcome, encode_writes
from crdtstore.stream.refusals import error_of


class Waiter(Protocol):
    """Who waits for the result of one write: a future of asyncio or of a thread."""

    def done(self) -> bool:
        """Say whether nobody waits any more."""
        ...

    def set_result(self, result: Any, /) -> None:
        """Give the version, or None to who waits for a flush."""
        ...

    def set_exception(self, exception: BaseException, /) -> None:
        """Give the error."""
        ...


@dataclass(slots=True)
class Batch:
    """Writes of one message, numbered from ``first``."""

    first: int
    entries: list[bytes]
    size_bytes: int

    @property
    def last(self) -> int:
        """The number of the last of them."""
        return self.first + len(self.entries) - 1


class Outbox:
    """The writes of one client that are not answered, in order.

    ``has_room`` says whether another write may be added: the replica's window is not full.
    ``handled`` is the number up to which all results are known.
    """

    def __init__(self, draw_client_id: Callable[[], bytes]) -> None:
        self._draw_client_id = draw_client_id
        self._client_id = draw_client_id()
        self._origin = 0
        self.handled = 0
        self._window_writes = bounds.STREAM_WINDOW_WRITES
        self._window_bytes = bounds.STREAM_WINDOW_BYTES
        self._size_bytes = 0
        self._next = 1
        self._sent: deque[Batch] = deque()
        self._ready: deque[Batch] = deque()
        self._open = Batch(1, [], 0)
        self._doubtful_to = 0
        self._waiters: dict[int, Waiter] = {}
        self._flushes: deque[tuple[int, Waiter]] = deque()
        self._refusals: list[tuple[str, CrdtstoreError]] = []
        self._refused = 0

    @property
    def is_empty(self) -> bool:
        """Whether every write is answered."""
        return self.handled == self._next - 1

    @property
    def has_room(self) -> bool:
        """Whether another write may be added."""
        return (
            self._next - 1 - self.handled < self._window_writes
            and self._size_bytes < self._window_bytes
        )

    @property
    def unanswered_count(self) -> int:
        """How many writes are not answered."""
        return self._next - 1 - self.handled

    def unanswered(self) -> list[UnansweredWrite]:
        """Return the writes that are not answered, in order."""
        batches = (*self._sent, *self._ready, self._open)
        return [
            unanswered_write(entry, was_sent=batch.first + place <= self._doubtful_to)
            for batch in batches
            for place, entry in enumerate(batch.entries)
        ]

    # --- from the user ------------------------------------------------------------------------

    def add(self, entry: bytes, waiter: Waiter | None = None) -> None:
        """Add a write; who waits for its result, which the entry must ask for, is told it."""
        batch = self._open
        if batch.entries and (
            batch.size_bytes + len(entry) > bounds.STREAM_BATCH_BYTES
            or len(batch.entries) >= bounds.STREAM_BATCH_WRITES_MAX
        ):
            self._ready.append(batch)
            self._open = batch = Batch(self._next, [], 0)
        batch.entries.append(entry)
        batch.size_bytes += len(entry)
        self._size_bytes += len(entry)
        if waiter is not None:
            self._waiters[self._next] = waiter
        self._next += 1

    def add_flush(self, waiter: Waiter) -> None:
        """Have somebody told when all that was added so far is answered.

        They get WritesRefused if writes that nobody waited for were refused since the last time.
        """
        self._flushes.append((self._next - 1, waiter))
        self._end_flushes()

    # --- to the replica -----------------------------------------------------------------------

    def hello(self) -> Hello:
        """Return the first message of a connection; what was sent over the last one is doubtful."""
        self._ready.extendleft(reversed(self._sent))
        self._sent.clear()
        return Hello(self._client_id, self._origin, self.handled)

    def take(self) -> bytes | None:
        """Return the next message to send, None if there is none now."""
        if self._ready:
            batch = self._ready.popleft()
        elif self._open.entries:
            batch = self._open
            self._open = Batch(self._next, [], 0)
        else:
            return None
        self._sent.append(batch)
        self._doubtful_to = max(self._doubtful_to, batch.last)
        return encode_writes(batch.first, self.handled, batch.entries)

    # --- from the replica ---------------------------------------------------------------------

    def welcome(self, welcome: Welcome) -> None:
        """Take the replica's answer to our hello; raises SessionExpired or MessageInvalid."""
        if self._origin and welcome.origin != self._origin:
            raise SessionExpired("another replica answers, or one whose data was restored")
        if welcome.handled > self._doubtful_to or welcome.handled < self.handled:
            raise MessageInvalid(
                f"the replica has handled {welcome.handled:,} writes, of {self._doubtful_to:,} "
                f"that were sent and {self.handled:,} that it has answered"
            )
        self._origin = welcome.origin
        self._window_writes = min(welcome.window_writes, bounds.STREAM_WINDOW_WRITES)
        self._window_bytes = min(welcome.window_bytes, bounds.STREAM_WINDOW_BYTES)
        self._skip_sent(welcome.handled)

    def _skip_sent(self, handled: int) -> None:
        """Do not send again what the replica has handled; its results come by themselves."""
        while self._ready and self._ready[0].first <= handled:
            batch = self._ready.popleft()
            if batch.last > handled:
                self._ready.appendleft(self._split(batch, handled))
            self._sent.append(batch)

    @staticmethod
    def _split(batch: Batch, last: int) -> Batch:
        """Cut a batch behind a number, and return what is behind."""
        kept = last - batch.first + 1
        rest = Batch(last + 1, batch.entries[kept:], sum(map(len, batch.entries[kept:])))
        del batch.entries[kept:]
        batch.size_bytes -= rest.size_bytes
        return rest

    def results(self, results: Results) -> None:
        """Take results in, and tell those who wait; raises MessageInvalid."""
        last_sent = self._sent[-1].last if self._sent else self.handled
        if not self.handled <= results.handled <= last_sent:
            raise MessageInvalid(
                f"there are results up to write {results.handled:,}; sent were "
                f"{last_sent:,}, and known {self.handled:,}"
            )
        for item in results.items:
            if self.handled < item[0] <= results.handled:
                self._tell(item)
        while self._sent and self._sent[0].first <= results.handled:
            batch = self._sent.popleft()
            if batch.last > results.handled:
                self._sent.appendleft(self._split(batch, results.handled))
            self._size_bytes -= batch.size_bytes
        self.handled = results.handled
        self._end_flushes()

    def _tell(self, item: Any) -> None:
        waiter = self._waiters.pop(item[0], None)
        error = error_of(*item[1:]) if len(item) == 4 else None
        if waiter is None:
            if error is not None:
                self._refused += 1
                if len(self._refusals) < bounds.REFUSALS_KEPT_MAX:
                    self._refusals.append((profile_id_of(self._entry(item[0])), error))
        elif not waiter.done():
            if error is None:
                waiter.set_result(item[1])
            else:
                waiter.set_exception(error)

    def _entry(self, number: int) -> bytes:
        batch = next(batch for batch in self._sent if batch.last >= number)
        return batch.entries[number - batch.first]

    def _end_flushes(self) -> None:
        while self._flushes and self._flushes[0][0] <= self.handled:
            _, waiter = self._flushes.popleft()
            if waiter.done():
                continue
            if self._refused:
                waiter.set_exception(WritesRefused(tuple(self._refusals), self._refused))
                self._refusals, self._refused = [], 0
            else:
                waiter.set_result(None)

    # --- endings ------------------------------------------------------------------------------

    def renew(self) -> bool:
        """Begin a new session after the old one expired, if no write is in doubt by it."""
        if self._doubtful_to > self.handled:
            return False
        self._client_id, self._origin = self._draw_client_id(), 0
        for batch in (*self._ready, self._open):
            batch.first -= self.handled
        self._waiters = {number - self.handled: each for number, each in self._waiters.items()}
        self._flushes = deque((number - self.handled, each) for number, each in self._flushes)
        self._next -= self.handled
        self.handled = self._doubtful_to = 0
        return True

    def fail(self, make_error: Callable[[], CrdtstoreError]) -> None:
        """Tell everybody who waits that the client has given up, each with an error of its own."""
        waiters = [*self._waiters.values(), *(waiter for _, waiter in self._flushes)]
        self._waiters.clear()
        self._flushes.clear()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(make_error())
