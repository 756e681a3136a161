"""The event log: order, repetitions, restarts, retention, timelines, and what is forgotten."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicas.cdp.errors import LogInUse
from replicas.cdp.event_log import EventLog, LogSettings
from replicas.cdp.events import Event, pack_event, unpack_event

SMALL = LogSettings(segment_bytes_max=256 * 1024)
DAY_MS = 86_400_000


def event(number: int, profile: str = "ann", text: str = "") -> Event:
    return Event(
        kind="track",
        message_id=f"message {number}",
        profile_id=profile,
        name="Order Completed",
        properties={"number": number, "text": text},
        timestamp_ms=number,
    )


def numbers(log: EventLog, after: int = 0, limit: int = 100_000) -> list[int]:
    return [each.properties["number"] for _, each in log.read(after, limit)]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    log = EventLog(tmp_path / "events", SMALL)
    yield log
    log.close()


def test_an_event_comes_back_as_it_was() -> None:
    one = event(1, text="Grüße")
    assert unpack_event(pack_event(one)) == one
    with pytest.raises(ValueError, match="cannot be kept"):
        pack_event(Event("track", "a", "b", properties={"number": 1 << 70}))


def test_events_are_read_in_the_order_of_arrival(log: EventLog) -> None:
    assert log.append([]) == 0
    assert log.append(map(event, range(1, 701))) == 700
    for number in range(701, 710):
        log.append([event(number)])
    assert numbers(log) == list(range(1, 710))
    assert numbers(log, after=255, limit=3) == [256, 257, 258]
    assert numbers(log, after=704, limit=4) == [705, 706, 707, 708]
    assert [sequence for sequence, _ in log.read(706, 10)] == [707, 708, 709]
    assert log.read(709, 10) == []
    assert log.read(5_000, 10) == []


def test_an_event_that_comes_again_counts_once(log: EventLog, tmp_path: Path) -> None:
    log.append([event(1), event(2), event(1)])
    assert log.append([event(2), event(3)]) == 3
    log.close()
    log = EventLog(tmp_path / "events", SMALL)
    assert log.append([event(1), event(4), event(3)]) == 4
    assert log.duplicates == 2
    assert numbers(log) == [1, 2, 3, 4]
    log.close()


def test_the_window_of_message_ids_is_bounded(tmp_path: Path) -> None:
    settings = LogSettings(seen_count_max=32_000, seen_age_s_max=60.0)
    now = [1_000]
    log = EventLog(tmp_path / "events", settings, clock=lambda: now[0])
    for start in range(0, 70_000, 10_000):
        log.append(map(event, range(start, start + 10_000)))
    assert log.append([event(69_999), event(50_000)]) == 70_000, "still remembered"
    assert log.append([event(0)]) == 70_001, "forgotten: more came since than are remembered"
    now[0] += 61_000
    log.append([event(100_000), event(100_001)])
    now[0] += 61_000
    log.append([event(100_002)])
    assert log.append([event(69_999)]) == 70_005, "forgotten: it is too old"
    log.close()


def test_events_are_spread_over_files_and_all_found(log: EventLog, tmp_path: Path) -> None:
    for start in range(0, 200, 5):
        some = range(start, start + 5)
        log.append(event(number, profile=f"p{number % 7}", text="x" * 10_000) for number in some)
    assert len(list((tmp_path / "events").glob("*.events"))) > 5
    assert numbers(log) == list(range(200))
    assert numbers(log, after=100, limit=50) == list(range(100, 150))
    expected = [number for number in range(199, -1, -1) if number % 7 == 3]
    for _ in range(2):
        assert [each.properties["number"] for _, each in log.timeline("p3")] == expected
        log.tend(needed_after=0)
    newest = log.timeline("p3", limit=2)
    older = log.timeline("p3", before=newest[-1][0], limit=2)
    assert [each.properties["number"] for _, each in (*newest, *older)] == expected[:4]
    assert log.timeline("nobody") == []


def test_a_timeline_outlives_a_restart(log: EventLog, tmp_path: Path) -> None:
    for start in range(0, 100, 5):
        some = range(start, start + 5)
        log.append(event(number, profile=f"p{number % 3}", text="x" * 10_000) for number in some)
    log.tend(needed_after=0)
    log.close()
    log = EventLog(tmp_path / "events", SMALL)
    log.append([event(100, profile="p1")])
    found = [each.properties["number"] for _, each in log.timeline("p1")]
    assert found == [100, *(number for number in range(99, -1, -1) if number % 3 == 1)]
    log.close()


def test_old_files_go_by_size_and_by_age_but_not_before_they_were_read(tmp_path: Path) -> None:
    now = [1_000]
    settings = LogSettings(bytes_max=1 << 20, segment_bytes_max=256 * 1024, age_s_max=86_400)
    log = EventLog(tmp_path / "events", settings, clock=lambda: now[0])
    for start in range(0, 300, 5):
        log.append(event(number, text="x" * 10_000) for number in range(start, start + 5))
    assert log.tend(needed_after=0) == 0
    assert log.first_sequence == 1
    assert log.tend(needed_after=300) > 0
    assert log.size_bytes <= settings.bytes_max
    assert numbers(log) == list(range(log.first_sequence - 1, 300)), "from the oldest that is left"
    now[0] += 2 * DAY_MS
    log.append([event(300)])
    log.tend(needed_after=301)
    assert numbers(log) == [300]
    log.close()
    log = EventLog(tmp_path / "events", settings, clock=lambda: now[0])
    assert numbers(log) == [300]
    log.close()


def test_nothing_of_a_forgotten_profile_stays_in_any_file(log: EventLog, tmp_path: Path) -> None:
    secret = uuid.uuid4().hex
    for start in range(0, 120, 4):
        log.append(
            event(number, profile="ann", text=secret * 99)
            if number % 10 == 0
            else event(number, profile="bob", text="x" * 9_999)
            for number in range(start, start + 4)
        )
    log.tend(needed_after=0)
    log.append([event(120, profile="ann", text=secret), event(121, profile="bob")])
    directory = tmp_path / "events"
    assert any(secret.encode() in path.read_bytes() for path in directory.iterdir())
    assert log.forget_profile("ann") == 13
    assert not any(secret.encode() in path.read_bytes() for path in directory.iterdir())
    assert log.timeline("ann") == []
    expected = [number for number in range(122) if number % 10 and number != 120]
    assert numbers(log) == expected
    assert log.append([event(122), event(11)]) == 123, "sequences and message ids stay"
    log.close()
    log = EventLog(directory, SMALL)
    assert numbers(log) == [*expected, 122]
    assert log.forget_profile("nobody") == 0
    log.close()


def test_one_process_has_the_log(log: EventLog, tmp_path: Path) -> None:
    with pytest.raises(LogInUse, match="another process"):
        EventLog(tmp_path / "events")
