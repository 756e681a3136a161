"""Definitions: what is wrong is told with its place, and what is right means what it says."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from crdtstore import Field, Schema, Store
from crdtstore.errors import ConfigurationError
from crdtstore.traits import fold_in
from replicas.cdp.segments.conditions import condition_of
from replicas.cdp.segments.definitions import SegmentDefinitions, with_segments
from replicas.cdp.segments.errors import SegmentInvalid, SegmentUnknown

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
DAY_MS = 86_400_000
RECORD: dict[str, Any] = {
    "plan": "gold",
    "age": 30,
    "score": 1.0,
    "vip": True,
    "tags": ["a", "b"],
    "newsletter": True,
    "calls": False,
    "identifiers": ["email:ann@example.com", "user_id:7"],
    "seen": NOW.replace(day=11),
    "renews": "2026-11-25",
    "last_order_ms": NOW_MS - 10 * DAY_MS,
    "visits": {"sessions": 3, "events": 40},
    "sizes": {"p50": 10.0, "p99.9": 99.0},
    "orders_7d": {
        "fold": "windows",
        "options": [DAY_MS, 7, "count", []],
        "payload": [[NOW_MS // DAY_MS - 9, 5], [NOW_MS // DAY_MS - 6, 2], [NOW_MS // DAY_MS, 1]],
    },
}


def holds(table: dict[str, Any]) -> bool:
    return condition_of(table, "x").holds(RECORD, NOW_MS)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"field": "plan", "eq": "gold"}, True),
        ({"field": "plan", "eq": "Gold"}, False),
        ({"field": "plan", "ne": "gold"}, False),
        ({"field": "nothing", "ne": "gold"}, True),
        ({"field": "score", "eq": 1}, True),
        ({"field": "vip", "eq": 1}, False),
        ({"field": "vip", "eq": True}, True),
        ({"field": "age", "ge": 18, "lt": 31}, True),
        ({"field": "age", "ge": 18, "lt": 30}, False),
        ({"field": "age", "gt": "18"}, False),
        ({"field": "plan", "sw": "go", "ew": "ld", "co": "ol"}, True),
        ({"field": "plan", "in": ["silver", "gold"]}, True),
        ({"field": "plan", "in": ["silver"]}, False),
        ({"field": "tags", "eq": "b"}, True),
        ({"field": "tags", "eq": "c"}, False),
        ({"field": "nothing", "pr": False}, True),
        ({"field": "plan", "pr": False}, False),
        ({"trait": "age", "le": 30}, True),
        ({"trait": "orders_7d", "eq": 3}, True),
        ({"trait": "orders_7d", "ge": 4}, False),
        ({"trait": "visits.sessions", "ge": 3}, True),
        ({"trait": "visits.events", "lt": 40}, False),
        ({"trait": "visits.pages", "pr": False}, True),
        ({"trait": "age.years", "pr": True}, False),
        ({"trait": "sizes.p99.9", "gt": 98}, True),
        ({"trait": "last_order_ms", "within_last": "10 days"}, True),
        ({"trait": "last_order_ms", "within_last": "9 days"}, False),
        ({"field": "vip", "within_last": "10 days"}, False),
        ({"consent": "newsletter", "is": "granted"}, True),
        ({"consent": "newsletter", "is": "unknown"}, False),
        ({"consent": "calls", "is": "denied"}, True),
        ({"consent": "post", "is": "unknown"}, True),
        ({"consent": "post", "is": "denied"}, False),
        ({"identifier": "email"}, True),
        ({"identifier": "email", "ew": "@example.com"}, True),
        ({"identifier": "email", "ew": "@example.org"}, False),
        ({"identifier": "phone"}, False),
        ({"identifier": "phone", "pr": False}, True),
        ({"identifier": "mail"}, False),
        ({"field": "seen", "within_last": "9 days"}, False),
        ({"field": "seen", "within_last": "10 days"}, True),
        ({"field": "seen", "older_than": "1 week"}, True),
        ({"field": "renews", "within_next": "4 days"}, True),
        ({"field": "renews", "within_next": "3 days"}, False),
        ({"field": "plan", "within_last": "3 days"}, False),
        ({"field": "seen", "lt": date(2026, 11, 12)}, True),
        ({"field": "renews", "eq": date(2026, 11, 25)}, True),
        ({"all": [{"field": "age", "eq": 30}, {"field": "plan", "eq": "tin"}]}, False),
        ({"any": [{"field": "age", "eq": 30}, {"field": "plan", "eq": "tin"}]}, True),
        ({"none": [{"field": "age", "eq": 31}, {"field": "plan", "eq": "tin"}]}, True),
        ({"none": [{"field": "age", "eq": 30}, {"field": "plan", "eq": "tin"}]}, False),
    ],
)
def test_a_condition_means_what_it_says(table: dict[str, Any], expected: bool) -> None:
    assert holds(table) is expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[segments.a]", "segments.a: has one of all, any, none"),
        ("[segments.a]\nall = []", "segments.a.all: is a list of at least one"),
        ("[segments.a]\nall = [3]", "segments.a.all[0]: a condition is a table"),
        ("[segments.a]\nall = [{eq = 3}]", "segments.a.all[0]: a condition has one of"),
        ('[segments.a]\nall = [{field="x"}]', "segments.a.all[0]: nothing is said about field"),
        ('[segments.a]\nall = [{field="x", is=3}]', "segments.a.all[0]: 'is' is no operator"),
        ('[segments.a]\nall = [{field="x", within_last="soon"}]', "no length of time"),
        ('[segments.a]\nall = [{field="x", within_last="9000 weeks"}]', "more than 3,660 days"),
        ('[segments.a]\nall = [{consent="x", eq=true}]', "is = granted, denied or unknown"),
        (
            '[segments.a]\nany = [{field="x", pr=true}, {none=[{field="y", co=3}]}]',
            "segments.a.any[1].none[0]: co compares with a text",
        ),
        ('[segments.a]\nall = [{field="x", eq=1}]\nany = []', "segments.a: has one of"),
        ('[segments.a]\nal = [{field="x", eq=1}]', "'al' is none of all, any, none"),
        ('[segments."a b"]\nall = [{field="x", eq=1}]', "a name has letters"),
        ('[segments.a]\nall = [{field="segments", eq="b"}]', "which segments decide"),
        ("[segment.a]", "segment: is not known here"),
        ("segments = 3", "is a table of at most 500"),
        ("[", "is not TOML"),
        ('[segments.a]\nall = [{all=[{field="x", eq=1}], x=1}]', "'x' stands beside all"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(SegmentInvalid) as caught:
        SegmentDefinitions.parse(text)
    assert told in str(caught.value)


def test_bounds_of_definitions() -> None:
    with pytest.raises(SegmentInvalid, match="has 201 conditions"):
        condition_of({"all": [{"field": "x", "eq": 1}] * 201}, "x")
    deep: dict[str, Any] = {"field": "x", "eq": 1}
    for _ in range(17):
        deep = {"all": [deep]}
    with pytest.raises(SegmentInvalid, match="groups deep"):
        condition_of(deep, "x")


def test_a_file_is_named_in_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "segments.toml"
    with pytest.raises(ConfigurationError, match="cannot read"):
        SegmentDefinitions.load(path)
    path.write_text("[segments.a]\nall = [{}]")
    with pytest.raises(SegmentInvalid, match=r"segments.toml: segments.a.all\[0\]"):
        SegmentDefinitions.load(path)
    path.write_text('[segments.a]\nall = [{field="x", eq=1}]')
    definitions = SegmentDefinitions.load(path)
    assert definitions.get("a").name == "a"
    with pytest.raises(SegmentUnknown):
        definitions.get("b")


def test_a_verdict_tells_when_it_may_turn_and_not_later() -> None:
    definitions = SegmentDefinitions.parse(
        """
        [segments.active]
        all = [{ field = "seen", within_last = "30 days" }]
        [segments.lost]
        all = [{ field = "seen", older_than = "60 days" }]
        [segments.soon]
        all = [{ field = "seen", within_next = "2 days" }]
        """
    )
    record = {"seen": NOW}
    now_ms = NOW_MS - 10 * DAY_MS
    seen = []
    while True:
        verdict = definitions.judge(record, now_ms)
        seen.append(((now_ms - NOW_MS) / DAY_MS, sorted(verdict.segments)))
        if verdict.due_ms is None:
            break
        for between in (now_ms + 1, (now_ms + verdict.due_ms) // 2, verdict.due_ms - 1):
            if now_ms < between < verdict.due_ms:
                assert definitions.judge(record, between).segments == verdict.segments
        now_ms = verdict.due_ms
    days = [round(day, 3) for day, _ in seen]
    names = [found for _, found in seen]
    assert days == [-10, -2, 0, 0, 30, 60]
    assert names == [[], ["soon"], ["active", "soon"], ["active"], [], ["lost"]]


def test_windows_end_by_time_alone() -> None:
    definitions = SegmentDefinitions.parse(
        """
        [segments.often]
        all = [{ trait = "orders_7d", ge = 3 }]
        [segments.lately]
        all = [{ trait = "orders_7d", pr = true }]
        [segments.gone]
        none = [{ trait = "orders_7d", pr = true }]
        """
    )
    midnight_ms = NOW_MS // DAY_MS * DAY_MS
    now_ms, seen = NOW_MS, []
    while True:
        verdict = definitions.judge(RECORD, now_ms)
        seen.append(((now_ms - midnight_ms) / DAY_MS, sorted(verdict.segments)))
        if verdict.due_ms is None:
            break
        assert definitions.judge(RECORD, verdict.due_ms - 1).segments == verdict.segments
        now_ms = verdict.due_ms
    assert seen == [(0.5, ["lately", "often"]), (1, ["lately"]), (7, ["gone"])]


def test_the_digest_tells_other_definitions() -> None:
    one, same, other = (
        SegmentDefinitions.parse(f'[segments.a]\nall = [{{field="x", {said}}}]')
        for said in ("ge=1, lt=3", "lt=3, ge=1", "ge=1, lt=4")
    )
    assert one.digest == same.digest != other.digest
    assert one.fields == {"x"}


def test_the_schema_gets_an_indexed_set() -> None:
    schema = with_segments(Schema(fields={"segments": Field("set"), "age": Field()}))
    assert schema.fields["segments"].indexed
    with pytest.raises(ConfigurationError, match="segments are a set"):
        with_segments(Schema(fields={"segments": Field()}))
    with pytest.raises(ConfigurationError, match="lack 'cdp'"):
        with_segments(Schema(sources=("crm",)))


def test_a_trait_in_a_window_counts_what_is_in_it(tmp_path: Path) -> None:
    definitions = SegmentDefinitions.parse('[segments.a]\nall = [{ trait = "orders", ge = 2 }]')
    with Store.open(tmp_path / "eu", name="eu") as store:
        for day, count in ((100, 2), (101, 1), (105, 2)):
            operation = fold_in("windows", [[day, count]], options=[DAY_MS, 7, "count", []])
            store.write("ann", {"orders": operation}, source="cdp")
        record = store.read("ann")
        seen, now_ms = [], 105 * DAY_MS
        while True:
            verdict = definitions.judge(record, now_ms)
            seen.append((now_ms // DAY_MS, sorted(verdict.segments)))
            if verdict.due_ms is None:
                break
            now_ms = verdict.due_ms
    assert seen == [(105, ["a"]), (107, ["a"]), (108, ["a"]), (112, [])]
