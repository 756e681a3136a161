"""Consent: which word counts, in whatever order the words of a device come."""

import itertools

import pytest

from replicas.cdp.consent import Consent, consents_in, counts
from replicas.cdp.errors import EventRefused


@pytest.mark.parametrize(
    ("is_granted", "at_ms", "standing", "expected"),
    [
        (False, 5, None, True),
        (True, 5, None, True),
        (False, 5, Consent(True, 5), True),
        (False, 4, Consent(True, 5), False),
        (True, 5, Consent(False, 5), False),
        (True, 6, Consent(False, 5), True),
        (False, 6, Consent(False, 5), True),
        (False, 5, Consent(False, 5), False),
        (True, 9, Consent(True, 5), False),
    ],
)
def test_the_table(is_granted: bool, at_ms: int, standing: Consent | None, expected: bool) -> None:
    assert counts(is_granted, at_ms, standing) is expected


def test_in_any_order_the_latest_word_stands_or_a_denial() -> None:
    words = [Consent(True, 1), Consent(False, 2), Consent(True, 3), Consent(False, 3)]
    for count in range(1, 5):
        for chosen in itertools.combinations(words, count):
            latest_ms = max(word.at_ms for word in chosen)
            denied = any(not word.is_granted and word.at_ms == latest_ms for word in chosen)
            for order in itertools.permutations(chosen):
                standing: Consent | None = None
                for word in order:
                    if counts(word.is_granted, word.at_ms, standing):
                        standing = word
                assert standing is not None
                if denied:
                    assert not standing.is_granted, order


@pytest.mark.parametrize(
    "given", [1, [], {"a": 1}, {"a": None}, {"": True}, {"\n": True}, {"x" * 65: True}]
)
def test_what_has_another_form_is_refused(given: object) -> None:
    with pytest.raises(EventRefused):
        consents_in({"consent": {"categoryPreferences": given}})


def test_what_says_nothing_says_nothing() -> None:
    assert consents_in({}) == {}
    assert consents_in({"consent": {}}) == {}
    assert consents_in({"consent": {"categoryPreferences": {"ads": True}}}) == {"ads": True}
