"""What is held of events between the log and a commit: gains, by slice, profile and trait."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from replicas.cdp import limits
from replicas.cdp.events import Event
from replicas.cdp.traits.matching import Rules
from replicas.cdp.traits.positions import TrackNote, slice_of

Gains = dict[str, dict[str, Any]]
"""What a slice gains: by profile and trait."""


class Held:
    """The gains of a track by the events up to ``upto``, but those that its slices have.

    ``slices`` are the gains, ``count`` is how many there are, of a profile and trait each.
    """

    def __init__(self, track: TrackNote, rules: Rules) -> None:
        self.track = track
        self.rules = rules
        self.upto = track.position
        self.slices: list[Gains] = [{} for _ in range(limits.FOLD_SLICES)]
        self.count = 0
        self._by_profile: Gains = {}
        self._positions = list(track.positions)
        self._uneven_upto = max(track.positions)

    def take(self, number: int) -> Gains:
        """Return the gains of a slice, and hold them no longer."""
        gains = self.slices[number]
        if gains:
            self.slices[number] = {}
            for profile_id, held in gains.items():
                del self._by_profile[profile_id]
                self.count -= len(held)
        return gains

    def gather(self, events: Iterable[tuple[int, Event]], unfit: Counter[str]) -> None:
        """Hold what events add, which are those after ``upto``; count values of no use."""
        rules_of, by_profile, uneven_upto = self.rules.of, self._by_profile, self._uneven_upto
        for sequence, event in events:
            self.upto = sequence
            matching = rules_of(event)
            if not matching:
                continue
            profile_id = event.profile_id
            if sequence <= uneven_upto and sequence <= self._positions[slice_of(profile_id)]:
                continue
            if event.timestamp_ms > event.received_at_ms > 0:
                event = msgspec.structs.replace(event, timestamp_ms=event.received_at_ms)
            gains = by_profile.get(profile_id)
            for name, condition, get, gatherer in matching:
                if condition is not None and not condition(event):
                    continue
                value = None
                if get is not None:
                    value = get(event)
                    if value is None:
                        continue
                    value = gatherer.taken(value)
                    if value is None:
                        unfit[name] += 1
                        continue
                if gains is None:
                    gains = by_profile[profile_id] = {}
                    self.slices[slice_of(profile_id)][profile_id] = gains
                mine = gains.get(name)
                if mine is None:
                    gains[name] = gatherer.begun(value, event)
                    self.count += 1
                else:
                    gains[name] = gatherer.add(mine, value, event)
