"""The table of identifiers in docs/persons.md is that of the recorded results."""

import json

from benchmarks.identifiers_report import DOCUMENT, MARKS, RESULTS, section


def test_the_document_shows_what_was_recorded_and_nothing_else() -> None:
    result = json.loads(RESULTS.read_text("utf-8"))
    assert MARKS.present(DOCUMENT) == section(result)


def test_what_was_recorded_holds_the_promises() -> None:
    """A person of 50 profiles in under 2 ms; memory that a million more identifiers do not grow."""
    parts = json.loads(RESULTS.read_text("utf-8"))["parts"]
    assert parts["persons"]["50 profiles"]["read_ms"] < 2
    largest = parts["identifiers"]["2,000,000 identifiers"]
    growth_mib = largest["anonymous_mib_peak"] - largest["anonymous_mib_peak_of_first_half"]
    assert growth_mib < 0.1 * largest["anonymous_mib_peak"]
    smallest = parts["identifiers"]["10,000 identifiers"]
    assert largest["read_us"] < 2 * smallest["read_us"]
