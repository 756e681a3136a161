"""The benchmark of linking: what it computes, and that the document shows what it found."""

import json
from pathlib import Path

import pytest

from benchmarks import linking
from benchmarks.febrl import links_within, person_of, quality, read_set, true_links
from benchmarks.linking_report import DOCUMENT, MARKS, section

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("number", "records", "persons", "links"),
    [("1", 1_000, 500, 500), ("2", 5_000, 4_000, 1_934), ("3", 5_000, 2_000, 6_538),
     ("4", 10_000, 5_000, 5_000)],
)  # fmt: skip
def test_the_data_sets_are_those_of_febrl(
    number: str, records: int, persons: int, links: int
) -> None:
    found = read_set(number)
    assert len(found) == records
    assert len({person_of(record_id) for record_id in found}) == persons
    assert len(true_links(found)) == links


def test_quality_counts_pairs() -> None:
    true = links_within([("a", "b", "c"), ("d", "e")])
    assert true == {("a", "b"), ("a", "c"), ("b", "c"), ("d", "e")}
    found = quality({("a", "b"), ("d", "e"), ("c", "d")}, true)
    assert found == {"links": 3, "precision": 0.6667, "recall": 0.5, "f1": 0.5714}
    assert quality(set(), true) == {"links": 0, "precision": 1.0, "recall": 0.0, "f1": 0.0}


def test_the_smallest_set_is_linked(capsys: pytest.CaptureFixture[str]) -> None:
    before = MARKS.present(DOCUMENT)
    assert linking.main(["--smoke"]) == 0
    shown = capsys.readouterr().out
    latest = json.loads(linking.RESULTS.read_text("utf-8"))
    expected = section({**latest, "sets": {"1": latest["sets"]["1"]}})
    without_seconds = [line.rpartition("|")[0].rpartition("|")[0] for line in shown.splitlines()]
    assert without_seconds == [
        line.rpartition("|")[0].rpartition("|")[0] for line in (expected + "\n").splitlines()
    ]
    assert MARKS.present(DOCUMENT) == before


def test_the_document_shows_what_the_latest_run_found_and_nothing_else() -> None:
    result = json.loads(linking.RESULTS.read_text("utf-8"))
    assert list(result["sets"]) == list(linking.SETS)
    assert MARKS.present(DOCUMENT) == section(result)
