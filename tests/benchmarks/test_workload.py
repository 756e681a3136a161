"""The workload is one for all, and says what must be found after it."""

import json
from pathlib import Path

from benchmarks.workload import FIELDS, FULL, SMOKE, Size, Workload, batches, profile_id

SIZE = Size(profiles=500, edits=2_000, latency_edits=7, conflict_profiles=10, wire_edits=11)


def test_a_seed_makes_one_workload() -> None:
    assert Workload(SIZE).edits == Workload(SIZE).edits
    assert Workload(SIZE).profiles == Workload(SIZE).profiles


def test_profiles_have_twelve_fields_that_differ_from_one_to_the_next() -> None:
    profiles = Workload(SIZE).profiles
    assert len(profiles) == len(dict(profiles)) == 500
    assert all(tuple(fields) == FIELDS and len(fields) == 12 for _, fields in profiles)
    assert len({fields["email"] for _, fields in profiles}) == 500


def test_edits_are_drawn_by_zipf() -> None:
    work = Workload(SIZE)
    counts: dict[str, int] = {}
    for profile, _, _ in work.edits[slice(*work.durable)]:
        counts[profile] = counts.get(profile, 0) + 1
    ranked = sorted(counts.values(), reverse=True)
    assert ranked[0] > 0.08 * SIZE.edits
    assert 1.3 < ranked[0] / ranked[1] < 3
    assert len(counts) > 250


def test_the_spans_follow_each_other_and_every_value_is_new() -> None:
    work = Workload(SIZE)
    spans = [work.durable, work.end_to_end, work.wire, work.latency]
    assert [span[0] for span in spans[1:]] == [span[1] for span in spans[:-1]]
    assert spans[-1][1] == len(work.edits)
    assert len({edit[2] for edit in work.edits}) == len(work.edits)


def test_after_is_the_last_value_of_every_field() -> None:
    work = Workload(SIZE)
    state = work.after(work.durable)
    assert state.keys() == dict(work.profiles).keys()
    profile, field, value = work.edits[work.durable[1] - 1]
    assert state[profile][field] == value
    edited = {edit[0] for edit in work.edits[slice(*work.durable)]}
    untouched = next(name for name, _ in work.profiles if name not in edited)
    assert state[untouched] == dict(work.profiles)[untouched]


def test_edits_are_dealt_evenly_and_each_profile_to_one_writer() -> None:
    work = Workload(SIZE)
    hands = work.dealt(work.durable, 4)
    assert sorted(edit for hand in hands for edit in hand) == sorted(
        work.edits[slice(*work.durable)]
    )
    owners = [{edit[0] for edit in hand} for hand in hands]
    assert sum(map(len, owners)) == len(set().union(*owners))
    assert max(map(len, hands)) < 1.02 * min(map(len, hands))
    places = {edit: place for place, edit in enumerate(work.edits)}
    assert all(list(map(places.get, hand)) == sorted(map(places.get, hand)) for hand in hands)


def test_a_share_keeps_something_to_do() -> None:
    assert FULL.scaled(1.0) == FULL
    assert FULL.scaled(0.2).profiles == 2_000
    assert SMOKE.scaled(0.05).conflict_profiles <= SMOKE.scaled(0.05).profiles
    assert SMOKE.scaled(0.05).edits > 0


def test_other_programs_read_the_same(tmp_path: Path) -> None:
    work = Workload(SIZE)
    work.save(tmp_path / "work.json")
    saved = json.loads((tmp_path / "work.json").read_text("utf-8"))
    assert [tuple(edit) for edit in saved["edits"]] == work.edits
    assert saved["profiles"][3] == [profile_id(3), dict(work.profiles)[profile_id(3)]]


def test_batches_keep_order_and_lose_nothing() -> None:
    edits = Workload(SIZE).edits[:25]
    assert [len(batch) for batch in batches(edits, 10)] == [10, 10, 5]
    assert [edit for batch in batches(edits, 10) for edit in batch] == edits
