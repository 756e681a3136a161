"""The newest events in memory: the same as those in the files, whatever comes and is forgotten."""

import asyncio
import random
from pathlib import Path
from typing import Any

from replicas.cdp import limits
from replicas.cdp.event_log import EventLog
from replicas.cdp.events import Entry, Event, pack_event
from replicas.cdp.recent import events_after


def entry(number: int, *, is_at_hand: bool) -> Entry:
    event = Event("track", f"m{number}", f"p{number % 5}", properties={"number": number})
    return Entry(event.message_id, pack_event(event), event if is_at_hand else None)


def test_what_is_in_memory_is_what_is_in_the_files(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(limits, "RECENT_EVENTS_MAX", 60)
    log = EventLog(tmp_path / "events")
    chance = random.Random(8)
    read_from_memory = read_from_files = 0
    for step in range(300):
        first = chance.randrange(step * 3 + 1)  # some were seen before, and are dropped
        new = range(first, first + chance.randrange(12))
        log.append_packed([entry(each, is_at_hand=chance.random() < 0.7) for each in new])
        if chance.random() < 0.03:
            log.forget_profile(f"p{chance.randrange(5)}")
        after = max(log.last_sequence - chance.randrange(100), 0)
        limit = chance.randrange(1, 40)
        found = log.recent.after(after, limit)
        assert asyncio.run(events_after(log, after, limit)) == log.read(after, limit)
        if found is None:
            read_from_files += 1
        else:
            read_from_memory += 1
            assert found == log.read(after, limit)
    log.close()
    assert read_from_memory > 50
    assert read_from_files > 50


def test_memory_is_bounded_by_the_size_of_events(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(limits, "RECENT_BYTES_MAX", 50_000)
    log = EventLog(tmp_path / "events")
    for number in range(30):
        log.append([Event("track", f"m{number}", "p", properties={"text": "x" * 10_000})])
    assert log.recent.after(26, 10) == log.read(26, 10)
    assert log.recent.after(20, 10) is None
    log.append([Event("track", "large", "p", properties={"text": "x" * 60_000})])
    assert log.recent.after(30, 10) is None
    assert [sequence for sequence, _ in log.read(30, 10)] == [31]
    log.close()
