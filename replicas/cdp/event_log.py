"""The event log: what was accepted, in the order of arrival, kept for a time or up to a size.

    log = EventLog("./eu/events")
    last = log.append(events)              # durable when it returns; what came before is dropped
    for sequence, event in log.read(after=0, limit=1_000): ...

It is a row of LMDB files, each closed for good when it is full. Retention removes whole files, and
an erasure writes those anew that hold events of the profile, so no bytes of them stay in a file.
Any thread may call anything; one append is written at a time, and reading waits for none.
"""

import fcntl
import os
import threading
import time
import uuid
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np

from replicas.cdp import limits
from replicas.cdp.errors import LogInUse, LogUnusable
from replicas.cdp.events import Entry, Event, pack_event
from replicas.cdp.recent import Recent
from replicas.cdp.seen import Seen, hash_of
from replicas.cdp.segment import (
    Segment,
    count_in,
    events_in,
    segment_path,
    segment_paths,
    subjects_in,
    sync_directory,
)
from replicas.cdp.timeline import Tail


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How much the log keeps: of events, and of message ids."""

    bytes_max: int = limits.LOG_BYTES_MAX
    age_s_max: float = limits.LOG_AGE_S_MAX
    segment_bytes_max: int = limits.SEGMENT_BYTES_MAX
    seen_count_max: int = limits.SEEN_COUNT_MAX
    seen_age_s_max: float = limits.SEEN_AGE_S_MAX


def now_ms() -> int:
    """Return the time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class EventLog:
    """The log in a directory, made if absent. Raises LogInUse or LogUnusable.

    ``id`` is its own, for cursors: those of another log mean nothing here. ``duplicates`` counts
    the events that were dropped because their message had been seen; ``recent`` are the newest.
    """

    def __init__(
        self,
        directory: str | Path,
        settings: LogSettings | None = None,
        *,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.directory = Path(directory)
        self.settings = settings or LogSettings()
        self.duplicates = 0
        self.recent = Recent(limits.RECENT_EVENTS_MAX, limits.RECENT_BYTES_MAX)
        self._clock = clock
        self._appending = threading.Lock()
        self._reading = threading.RLock()
        self._tending = threading.RLock()
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _locked(self.directory / "LOCK")
        except OSError as error:
            raise LogUnusable(f"{directory} cannot be used: {error.strerror}") from error
        self.id = _id_of(self.directory)
        for left_over in self.directory.glob("*.new*"):
            left_over.unlink()
        self._segments = [self._segment(path) for path in segment_paths(self.directory)]
        if not self._segments:
            self._begin(1)
        self._seen = self._seen_of_segments()
        bare = (segment.first for segment in self._segments if not segment.is_indexed)
        self._tail = Tail(after=next(bare) - 1)

    def _segment(self, path: Path) -> Segment:
        return Segment(path, bytes_max=self.settings.segment_bytes_max)

    def _begin(self, first: int) -> None:
        segment = self._segment(segment_path(self.directory, first))
        sync_directory(self.directory)
        with self._reading:
            self._segments.append(segment)

    def _seen_of_segments(self) -> Seen:
        settings = self.settings
        seen = Seen(settings.seen_count_max, int(settings.seen_age_s_max * 1000))
        newest: list[list[tuple[int, bytes]]] = []
        count = 0
        for segment in reversed(self._segments):
            newest.append(segment.messages())
            count += segment.last - segment.first + 1
            if count >= settings.seen_count_max:
                break
        for messages in reversed(newest):
            for at_ms, hashes in messages:
                seen.add(np.frombuffer(hashes, np.uint64).tolist(), at_ms)
        return seen

    # --- appending ----------------------------------------------------------------------------

    def append(self, events: Iterable[Event]) -> int:
        """Add events, durably, without those whose message was seen; return the last sequence."""
        return self.append_packed([Entry(each.message_id, pack_event(each)) for each in events])

    def append_packed(self, entries: Sequence[Entry]) -> int:
        """Add events by the ids of their messages, as ``pack_event`` made them."""
        with self._appending:
            hashes = [hash_of(each.message_id) for each in entries]
            fresh = self._seen.unseen(hashes)
            kept = list(compress(entries, fresh))
            self.duplicates += len(entries) - len(kept)
            if kept:
                new = list(compress(hashes, fresh))
                at_ms = self._clock()
                self._roll(at_ms)
                packed = [each.packed for each in kept]
                self._segments[-1].append(packed, np.array(new, np.uint64).tobytes(), at_ms)
                self._seen.add(new, at_ms)
                events = [each.event or each.packed for each in kept]
                first = self.last_sequence + 1 - len(kept)
                self.recent.add(first, events, sum(map(len, packed)))
            return self.last_sequence

    def _roll(self, at_ms: int) -> None:
        """Begin a new file if the present one is full, or old."""
        newest = self._segments[-1]
        age_ms_max = self.settings.age_s_max * 1000 / limits.SEGMENT_AGE_DIVISOR
        is_old = newest.first_ms and at_ms - newest.first_ms > age_ms_max
        if is_old or newest.size_bytes >= self.settings.segment_bytes_max:
            self._begin(newest.last + 1)

    # --- reading ------------------------------------------------------------------------------

    @property
    def last_sequence(self) -> int:
        """The sequence of the last event, 0 if there was none."""
        return self._segments[-1].last

    @property
    def first_sequence(self) -> int:
        """The sequence of the oldest event that is kept, or that of the next one."""
        return self._segments[0].first

    @property
    def size_bytes(self) -> int:
        """The bytes of all files."""
        with self._reading:
            return sum(segment.size_bytes for segment in self._segments)

    def read(self, after: int, limit: int) -> list[tuple[int, Event]]:
        """Return up to ``limit`` events after a sequence, in order, each with its own."""
        found: list[tuple[int, Event]] = []
        while len(found) < limit:
            blocks = self._blocks_after(after, limit - len(found))
            if not blocks:
                break
            for first, block in blocks:
                found += [each for each in events_in(first, block) if each[0] > after]
                after = first + count_in(block) - 1
        return found[:limit]

    def _blocks_after(self, after: int, count: int) -> list[tuple[int, bytes]]:
        """Return blocks of one file that have about so many events, none if there are none."""
        blocks: list[tuple[int, bytes]] = []
        with self._reading:
            for segment in self._segments[self._place_of(after + 1) :]:
                for first, block in segment.blocks_after(after):
                    blocks.append((first, block))
                    if first + count_in(block) > after + count:
                        break
                if blocks:
                    break
        return blocks

    def _place_of(self, sequence: int) -> int:
        """Return which file has an event, or would have it; the first for one that is gone."""
        place = bisect_right(self._segments, sequence, key=lambda segment: segment.first)
        return max(place - 1, 0)

    def timeline(
        self, profile_id: str, before: int | None = None, limit: int = 100
    ) -> list[tuple[int, Event]]:
        """Return the newest events of a profile, before one if it is given, the newest first."""
        limit = min(limit, limits.TIMELINE_MAX)
        found: list[tuple[int, Event]] = []
        with self._tending:
            self._catch_up()
            for sequence in self._sequences_of(hash_of(profile_id)):
                if before is None or sequence < before:
                    with self._reading:
                        event = self._segments[self._place_of(sequence)].event(sequence)
                    if event is not None and event.profile_id == profile_id:
                        found.append((sequence, event))
                    if len(found) == limit:
                        break
        return found

    def _sequences_of(self, profile_hash: int) -> Iterator[int]:
        """Yield where profiles with a hash have events, from the newest on."""
        yield from reversed(self._tail.sequences_of(profile_hash))
        for segment in reversed(self._segments):
            if segment.is_indexed:
                yield from reversed(segment.sequences_of(profile_hash))

    def _catch_up(self) -> None:
        """Learn whose the events are that came since, up to the end."""
        while blocks := self._blocks_after(self._tail.after, limits.READ_MAX):
            for first, block in blocks:
                after = self._tail.after
                subjects = [each for each in subjects_in(first, block) if each[0] > after]
                self._tail.add(subjects, first + count_in(block) - 1)

    # --- tending ------------------------------------------------------------------------------

    def tend(self, needed_after: int) -> int:
        """Index what is full and remove what is too old or too much; return how many files went.

        No event after ``needed_after`` is removed. To be called now and then.
        """
        with self._tending:
            self._catch_up()
            for segment in self._segments[:-1]:
                if not segment.is_indexed:
                    segment.write_index(*self._tail.take(segment.last))
            return self._expire(needed_after)

    def _expire(self, needed_after: int) -> int:
        count = 0
        oldest_ms = self._clock() - self.settings.age_s_max * 1000
        while len(self._segments) > 1 and (oldest := self._segments[0]).last <= needed_after:
            if oldest.last_ms >= oldest_ms and self.size_bytes <= self.settings.bytes_max:
                break
            with self._reading:
                self._segments.pop(0).remove()
            count += 1
        return count

    def forget(self, profile_ids: Collection[str] = (), sequences: Collection[int] = ()) -> int:
        """Remove the events of profiles, and others, with their bytes; return how many.

        Files that hold such events are written anew, one after the other.
        """
        wanted = frozenset(profile_ids)
        with self._tending:
            found: dict[Segment, set[int]] = {}
            for sequence, profile_id in self._candidates(wanted, sequences):
                segment = self._segments[self._place_of(sequence)]
                event = segment.event(sequence)
                if event is not None and profile_id in ("", event.profile_id):
                    found.setdefault(segment, set()).add(sequence)
            with self._appending:
                if self._segments[-1] in found:
                    self._begin(self.last_sequence + 1)
            for segment, own in found.items():
                new = segment.write_without(own)
                with self._reading:
                    segment.replace(new)
            if found:
                self.recent.clear()
        return sum(map(len, found.values()))

    def _candidates(
        self, profile_ids: Iterable[str], sequences: Iterable[int]
    ) -> Iterator[tuple[int, str]]:
        """Yield what may be an event of a profile, with its id; and the others, with ""."""
        for sequence in sequences:
            if self.first_sequence <= sequence <= self.last_sequence:
                yield sequence, ""
        self._catch_up()
        for profile_id in profile_ids:
            for sequence in self._sequences_of(hash_of(profile_id)):
                yield sequence, profile_id

    def forget_profile(self, profile_id: str) -> int:
        """Remove the events of one profile, and their bytes from all files; return how many."""
        return self.forget((profile_id,))

    def close(self) -> None:
        """Let the directory go; a second call does nothing."""
        with self._appending, self._tending, self._reading:
            for segment in self._segments:
                segment.close()
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1


def _id_of(directory: Path) -> str:
    """Return the id of the log in a directory, durable before anything is kept under it."""
    path, new = directory / "ID", directory / "ID.new"
    if not path.exists():
        with new.open("w", encoding="ascii") as file:
            file.write(uuid.uuid4().hex)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        sync_directory(directory)
    return path.read_text(encoding="ascii")


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise LogInUse(f"{path.parent} is open in another process") from None
    return descriptor
