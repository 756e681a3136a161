"""FEBRL: records of persons with errors in them, and the true links between them."""

import csv
import gzip
import io
import re
from collections.abc import Collection, Iterable
from itertools import combinations
from pathlib import Path
from typing import Final

from benchmarks.processes import ROOT

DATA: Final = ROOT / "benchmarks" / "data"
_DEMO: Final = ROOT / "crdtstore" / "demo" / "data"
_FILES: Final[dict[str, tuple[Path, ...]]] = {
    "1": (DATA / "febrl1.csv.gz",),
    "2": (DATA / "febrl2.csv.gz",),
    "3": (DATA / "febrl3.csv.gz",),
    "4": (_DEMO / "febrl4a.csv.gz", _DEMO / "febrl4b.csv.gz"),
}

Link = tuple[str, str]
"""Two records of one person, the less id first."""


def read_set(number: str) -> dict[str, dict[str, str]]:
    """Return the records of data set 1, 2, 3 or 4 by id; fields that are empty are left out."""
    records = {}
    for path in _FILES[number]:
        text = gzip.decompress(path.read_bytes()).decode()
        for row in csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True):
            stripped = {name: value.strip() for name, value in row.items()}
            record_id = stripped.pop("rec_id")
            records[record_id] = {name: value for name, value in stripped.items() if value}
    return records


def person_of(record_id: str) -> str:
    """Return the number of the person that a record is of, by the data set itself."""
    match = re.fullmatch(r"rec-(\d+)-(?:org|dup-\d+)", record_id)
    assert match is not None, record_id
    return match[1]


def true_links(record_ids: Iterable[str]) -> set[Link]:
    """Return all pairs of records that are of one person."""
    groups: dict[str, list[str]] = {}
    for record_id in record_ids:
        groups.setdefault(person_of(record_id), []).append(record_id)
    return links_within(groups.values())


def links_within(groups: Iterable[Collection[str]]) -> set[Link]:
    """Return all pairs of records of the same group."""
    return {(one, other) for group in groups for one, other in combinations(sorted(group), 2)}


def quality(found: set[Link], true: set[Link]) -> dict[str, float]:
    """Return precision, recall and F1 of links, with their number."""
    right = len(found & true)
    precision = right / len(found) if found else 1.0
    recall = right / len(true)
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    figures = {"precision": precision, "recall": recall, "f1": f1}
    return {"links": len(found), **{name: round(value, 4) for name, value in figures.items()}}
