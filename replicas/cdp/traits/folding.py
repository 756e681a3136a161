"""Folding: traits are brought up to date with the event log, about once a second.

A round reads what came after its positions, gathers it by profile and trait, and folds it into the
partials of this replica. Partials and positions go into one commit of the replica, slice by slice:
after a crash each slice goes on where its partials end, so every event counts exactly once. Between
commits others have their turn.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from crdtstore import Replica, fold_in
from crdtstore.errors import InvalidInput, Refused, StorageCorrupt, StorageError
from replicas.cdp import limits
from replicas.cdp.errors import LogUnusable
from replicas.cdp.event_log import EventLog
from replicas.cdp.events import Event
from replicas.cdp.traits.definitions import Definition, TraitDefinitions
from replicas.cdp.traits.matching import Rules
from replicas.cdp.traits.positions import (
    TrackNote,
    adjust,
    skip_former_life,
    slice_of,
    unite_equal,
    unpack_note,
)

_NOTE: Final = "cdp/traits"

_log = logging.getLogger("replicas.cdp.traits.folding")

Gathered = list[dict[str, dict[str, Any]]]
"""What is gathered: by slice, profile and trait."""


class Folding:
    """What folds the log of one replica into traits. ``trouble`` says what keeps it from going on.

    ``counters`` tell what became of events and profiles, ``unfit`` how often a property of a trait
    was of no use. Raises DefinitionInvalid if a definition does not fit what was folded so far.
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
        self._replica = replica
        self._log = log
        self._source = source
        self._rules: dict[tuple[str, ...], Rules] = {}
        definitions.declared(replica.schema)
        self._note = unpack_note(None, log.id, replica.origin)
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
        self._leave_former_life()
        adjust(self._note, self.definitions.by_name.values(), log.last_sequence)

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
            begun = time.monotonic()
            try:
                count = await self.fold_once()
                self.trouble = ""
            except (StorageError, LogUnusable) as error:
                self.trouble = str(error)
                _log.warning("traits wait: %s", error)
                self._load()
                count = 0
            is_behind = count >= limits.BACKFILL_EVENTS_MAX
            passed_s = time.monotonic() - begun
            await asyncio.sleep(0 if is_behind else max(limits.FOLD_INTERVAL_S - passed_s, 0))

    async def fold_once(self) -> int:
        """Fold what came, and some of the past for new traits; return how many events it was."""
        if self._note.origin != self._replica.origin:
            self._leave_former_life()
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
        gathered: Gathered = [{} for _ in range(limits.FOLD_SLICES)]
        rules = self._rules_of(track)
        last, count = track.position, 0
        while count < most:
            wanted = min(limits.FOLD_READ_MAX, most - count)
            events = await asyncio.to_thread(self._log.read, last, wanted)
            is_end = len(events) < wanted
            if until is not None:
                events = [each for each in events if each[0] <= until]
            if events:
                self._gather(rules, track.positions, events, gathered)
                count += len(events)
                last = events[-1][0]
            if is_end or (until is not None and last >= until):
                break
        if count < most:  # events at the end may have been forgotten
            last = max(last, *track.positions, until or 0)
        if last > track.position:
            await self._commit_slices(track, gathered, last)
        self.counters["events"] += count
        return count

    def _rules_of(self, track: TrackNote) -> Rules:
        names = tuple(sorted(track.marks.keys() & self.definitions.by_name.keys()))
        if names not in self._rules:
            self._rules = {names: Rules(self.definitions.by_name[name] for name in names)}
        return self._rules[names]

    def _gather(
        self,
        rules: Rules,
        positions: Sequence[int],
        events: Iterable[tuple[int, Event]],
        gathered: Gathered,
    ) -> None:
        rules_of = rules.of
        for sequence, event in events:
            matching = rules_of(event)
            if not matching:
                continue
            profile_id = event.profile_id
            number = slice_of(profile_id)
            if sequence <= positions[number]:
                continue
            if event.timestamp_ms > event.received_at_ms > 0:
                event = msgspec.structs.replace(event, timestamp_ms=event.received_at_ms)
            held: dict[str, Any] | None = gathered[number].get(profile_id)
            for rule in matching:
                if rule.condition is not None and not rule.condition(event):
                    continue
                value = None
                if rule.get is not None:
                    value = rule.get(event)
                    if value is None:
                        continue
                    value = rule.gatherer.taken(value)
                    if value is None:
                        self.unfit[rule.definition.name] += 1
                        continue
                name = rule.definition.name
                if held is None:
                    held = gathered[number][profile_id] = {}
                mine = held.get(name)
                if mine is None:
                    held[name] = rule.gatherer.begun(value, event)
                else:
                    held[name] = rule.gatherer.add(mine, value, event)

    # --- commits ------------------------------------------------------------------------------

    async def _commit_slices(self, track: TrackNote, gathered: Gathered, last: int) -> None:
        """Fold what was gathered into partials, a few slices at a time."""
        numbers: list[int] = []
        profiles = 0
        for number in range(limits.FOLD_SLICES):
            if track.positions[number] < last:
                numbers.append(number)
                profiles += len(gathered[number])
            if profiles >= limits.FOLD_PROFILES_MAX:
                await self._commit(track, gathered, numbers, last)
                numbers, profiles = [], 0
        if numbers:
            await self._commit(track, gathered, numbers, last)

    async def _commit(
        self, track: TrackNote, gathered: Gathered, numbers: Sequence[int], last: int
    ) -> None:
        positions = list(track.positions)
        for number in numbers:
            positions[number] = last
        place = self._note.tracks.index(track)
        after = self._note.with_positions({place: positions})
        gatherers = {
            rule.definition.name: rule.gatherer for rule in self._rules_of(track).all_rules
        }
        async with self._replica.notes.commit() as commit:
            for number in numbers:
                for profile_id, held in gathered[number].items():
                    fields = {
                        name: _operation(
                            self.definitions.by_name[name], gatherers[name].finished(gain)
                        )
                        for name, gain in held.items()
                    }
                    self._write(commit.write, profile_id, fields)
                gathered[number] = {}
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
