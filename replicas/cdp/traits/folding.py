"""Folding: traits are brought up to date with the event log, about once a second.

What comes is gathered by profile and trait, and held. A sweep goes through the slices of the
profiles and folds what each has gained into the partials of this replica. Partials and positions go
into one commit of the replica: after a crash each slice goes on where its partials end, so every
event counts exactly once. Between commits others have their turn.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from crdtstore import Replica, fold_in
from crdtstore.errors import InvalidInput, Refused, StorageCorrupt, StorageError
from replicas.cdp import limits
from replicas.cdp.errors import LogUnusable
from replicas.cdp.event_log import EventLog
from replicas.cdp.recent import events_after
from replicas.cdp.traits.definitions import Definition, TraitDefinitions
from replicas.cdp.traits.held import Held
from replicas.cdp.traits.matching import Rules
from replicas.cdp.traits.positions import (
    TrackNote,
    adjust,
    skip_former_life,
    unite_equal,
    unpack_note,
)

_NOTE: Final = "cdp/traits"

_log = logging.getLogger("replicas.cdp.traits.folding")


class Folding:
    """What folds the log of one replica into traits. ``trouble`` says what keeps it from going on.

    ``counters`` tell what became of events and profiles, ``unfit`` how often a property of a trait
    was of no use. ``past`` is the last event that was there at the start. Raises DefinitionInvalid
    if a definition does not fit what was folded so far.
    """

    def __init__(
        self,
        replica: Replica,
        log: EventLog,
        definitions: TraitDefinitions,
        *,
        source: str = "cdp",
    ) -> None:
        self.definitions = definitions
        self.counters: Counter[str] = Counter()
        self.unfit: Counter[str] = Counter()
        self.trouble = ""
        self.past = log.last_sequence
        self._replica = replica
        self._log = log
        self._source = source
        self._rules: dict[tuple[str, ...], Rules] = {}
        definitions.declared(replica.schema)
        self._note = unpack_note(None, log.id, replica.origin)
        self._held: Held | None = None
        self._partial_s = 0.0
        self._load()

    # --- how far it has come ------------------------------------------------------------------

    @property
    def needed_after(self) -> int:
        """The event after which the log is still needed."""
        tracks = self._working_tracks()
        return min((track.position for track in tracks), default=self._log.last_sequence)

    @property
    def position(self) -> int:
        """Up to where events are in the traits that are up to date."""
        tracks = self._working_tracks()
        return tracks[0].position if tracks else self._log.last_sequence

    @property
    def waiting_s(self) -> float:
        """How long it takes about to fold what came, as fast as the last sweep went."""
        held = self._held
        if held is None or not self.counters["events"]:
            return 0.0
        partials_per_event = self.counters["partials"] / self.counters["events"]
        unread = self._log.last_sequence - held.upto
        return (held.count + unread * partials_per_event) * self._partial_s

    def progress(self) -> dict[str, int]:
        """Return up to which event each trait was folded, by name."""
        return {
            name: track.position
            for track in self._note.tracks
            for name in sorted(track.marks)
            if name in self.definitions.by_name
        }

    def _working_tracks(self) -> list[TrackNote]:
        """Return the tracks with traits that are defined, the furthest first."""
        names = self.definitions.by_name
        return [track for track in self._note.tracks if not names.keys().isdisjoint(track.marks)]

    def _load(self) -> None:
        """Take up what is durable."""
        log, origin = self._log, self._replica.origin
        self._note = unpack_note(self._replica.notes.get(_NOTE), log.id, origin)
        self._held = None
        self._leave_former_life()
        adjust(self._note, self.definitions.by_name.values(), log.last_sequence)

    def _check_origin(self) -> None:
        if self._note.origin != self._replica.origin:
            self._held = None
            self._leave_former_life()

    def _leave_former_life(self) -> None:
        before = self.needed_after
        last = self._log.last_sequence
        if skip_former_life(self._note, self._replica.origin, last):
            self.counters["left_to_former_life"] += max(last - before, 0)
            _log.warning(
                "this replica was restored or copied: up to %d events of its log are left to its "
                "former life; a greater version of a trait folds them anew", max(last - before, 0),
            )  # fmt: skip

    # --- rounds -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Fold for ever; what the disk refuses now is tried again."""
        while True:
            begun_s = time.monotonic()
            try:
                is_behind = await self._round(begun_s)
                self.trouble = ""
            except (StorageError, LogUnusable) as error:
                self.trouble = str(error)
                _log.warning("traits wait: %s", error)
                self._load()
                is_behind = False
            passed_s = time.monotonic() - begun_s
            await asyncio.sleep(0 if is_behind else max(limits.FOLD_INTERVAL_S - passed_s, 0))

    async def _round(self, begun_s: float) -> bool:
        """Fold once; say whether the next round is due at once."""
        tracks = self._working_tracks()
        if len(tracks) == 1:
            await self._sweep(tracks[0], begun_s)
            return False
        return await self.fold_once() >= limits.BACKFILL_EVENTS_MAX

    async def fold_once(self) -> int:
        """Fold what came, and some of the past for new traits; return how many events it was."""
        self._check_origin()
        count = 0
        tracks = self._working_tracks()
        for place, track in enumerate(tracks):
            if place == 0:
                count += await self._advance(track, limits.FOLD_EVENTS_MAX)
            else:
                most = limits.BACKFILL_EVENTS_MAX
                count += await self._advance(track, most, until=tracks[0].position)
        unite_equal(self._note)
        return count

    async def _advance(self, track: TrackNote, most: int, until: int | None = None) -> int:
        """Fold the next events of a track, those up to ``until``; return how many there were."""
        held = self._held_of(track)
        count = await self._gather(held, most, until)
        await self._commit_due(track, held, range(limits.FOLD_SLICES))
        self._held = None
        return count

    async def _sweep(self, track: TrackNote, begun_s: float) -> None:
        """Go through all slices once, in a second or longer, and gather what comes meanwhile.

        If there is more to do than a second allows, each sweep takes longer, and what a trait
        gains in it is one partial still: the more there is to do, the less each event costs.
        """
        self._check_origin()
        held = self._held = self._held_of(track)
        step = limits.FOLD_SLICES // limits.FOLD_STEPS
        waiting: list[int] = []
        partials, idle_s = self.counters["partials"], 0.0
        for first in range(0, limits.FOLD_SLICES, step):
            early_s = begun_s + limits.FOLD_INTERVAL_S * first / limits.FOLD_SLICES
            early_s = max(early_s - time.monotonic(), 0)
            idle_s += early_s
            await asyncio.sleep(early_s)
            await self._gather(held, limits.FOLD_EVENTS_MAX)
            waiting += range(first, min(first + step, limits.FOLD_SLICES))
            is_last = waiting[-1] + 1 == limits.FOLD_SLICES
            waiting = await self._commit_due(track, held, waiting, is_last=is_last)
        partials = self.counters["partials"] - partials
        if partials >= limits.FOLD_PROFILES_MAX:
            self._partial_s = (time.monotonic() - begun_s - idle_s) / partials

    def _held_of(self, track: TrackNote) -> Held:
        held = self._held
        if held is None or held.track is not track:
            held = Held(track, self._rules_of(track))
        return held

    async def _gather(self, held: Held, most: int, until: int | None = None) -> int:
        """Hold what the next events add, up to one if it is given; return how many there were."""
        end = self._log.last_sequence if until is None else until
        known = max(held.track.positions) if until is None else until
        count = 0
        while count < most and held.upto < end and held.count < limits.GAINS_MAX:
            wanted = min(limits.FOLD_READ_MAX, most - count)
            events = await events_after(self._log, held.upto, wanted)
            is_end = len(events) < wanted
            if events and until is not None and events[-1][0] >= until:
                is_end = True
                events = [each for each in events if each[0] <= until]
            for first in range(0, len(events), limits.GATHERED_MAX):
                held.gather(events[first : first + limits.GATHERED_MAX], self.unfit)
                await asyncio.sleep(0)
            count += len(events)
            if is_end:
                held.upto = max(held.upto, known)  # what is missing up to there was forgotten
                break
        self.counters["events"] += count
        return count

    def _rules_of(self, track: TrackNote) -> Rules:
        names = tuple(sorted(track.marks.keys() & self.definitions.by_name.keys()))
        if names not in self._rules:
            self._rules = {names: Rules([self.definitions.by_name[name] for name in names])}
        return self._rules[names]

    # --- commits ------------------------------------------------------------------------------

    async def _commit_due(
        self, track: TrackNote, held: Held, waiting: Iterable[int], *, is_last: bool = True
    ) -> list[int]:
        """Fold the gains of slices, a few at a time; return those that are left for later.

        If these are not the last ones, what would be a small commit is left.
        """
        numbers: list[int] = []
        profiles = 0
        for number in waiting:
            if track.positions[number] < held.upto:
                numbers.append(number)
                profiles += len(held.slices[number])
            if profiles >= limits.FOLD_PROFILES_MAX:
                await self._commit(track, held, numbers)
                numbers, profiles = [], 0
        if numbers and is_last:
            await self._commit(track, held, numbers)
            numbers = []
        return numbers

    async def _commit(self, track: TrackNote, held: Held, numbers: Sequence[int]) -> None:
        positions = list(track.positions)
        for number in numbers:
            positions[number] = held.upto
        place = self._note.tracks.index(track)
        after = self._note.with_positions({place: positions})
        gatherers = held.rules.gatherers
        is_begun = False
        async with self._replica.notes.commit() as commit:
            for number in numbers:
                for profile_id, gains in held.take(number).items():
                    fields = {
                        name: _operation(
                            self.definitions.by_name[name], gatherers[name].finished(gain)
                        )
                        for name, gain in gains.items()
                    }
                    try:
                        self._write(commit.write, profile_id, fields)
                    except StorageError as error:
                        if not is_begun:
                            raise
                        self.counters[error.code] += 1  # what is written goes with its positions
                    is_begun = True
            commit.note(_NOTE, after.packed())
        track.positions = positions
        self.counters["commits"] += 1

    def _write(self, write: Any, profile_id: str, fields: dict[str, Any]) -> None:
        """Fold into the traits of a profile; what is refused is counted, and stops no other."""
        try:
            write(profile_id, fields, source=self._source)
            self.counters["partials"] += len(fields)
        except (Refused, StorageCorrupt) as error:
            self.counters[error.code] += 1
        except InvalidInput as error:
            if len(fields) == 1:
                self.counters[error.code] += 1
                _log.warning("%s of profile %s is not folded: %s", *fields, profile_id, error)
                return
            for name, operation in fields.items():
                self._write(write, profile_id, {name: operation})


def _operation(definition: Definition, payload: Any) -> Any:
    return fold_in(definition.fold, payload, options=definition.options, version=definition.version)
