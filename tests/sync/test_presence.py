"""Presence: what is news, who is gone, and what is left out."""

import pytest

from crdtstore import limits
from crdtstore.sync.presence import Presences, is_state, presence_of

PLACE = ("ann", "note")
HERE, LINK, OTHER = -1, 1, 2


def test_what_is_newer_is_news_and_nothing_else() -> None:
    presences = Presences()
    assert presences.hear(PLACE, [(5, 1, "{}")], LINK, 0) == ((5, 1, "{}"),)
    assert presences.changes == 1
    assert presences.hear(PLACE, [(5, 1, "{}"), (5, 0, "[]")], OTHER, 0) == ()
    assert presences.hear(PLACE, [(5, 2, "[]"), (6, 1, None)], OTHER, 0) == ((5, 2, "[]"),)
    assert presences.present(PLACE) == ((5, 2, "[]"),)
    assert presences.changes == 2


def test_only_where_a_client_was_heard_of_may_say_that_it_is_gone_without_a_newer_clock() -> None:
    presences = Presences()
    presences.hear(PLACE, [(5, 3, "{}")], LINK, 0)
    assert presences.hear(PLACE, [(5, 3, None)], OTHER, 0) == ()
    assert presences.hear(PLACE, [(5, 3, None)], LINK, 0) == ((5, 3, None),)
    assert presences.present(PLACE) == ()
    assert presences.hear(PLACE, [(5, 3, None)], LINK, 0) == ()


def test_an_echo_does_not_bring_a_client_back() -> None:
    presences = Presences()
    presences.hear(PLACE, [(5, 3, "{}")], HERE, 0)
    presences.leave(HERE, 0)
    assert presences.hear(PLACE, [(5, 3, "{}")], OTHER, 0) == ()
    assert presences.hear(PLACE, [(5, 4, "{}")], OTHER, 0) == ((5, 4, "{}"),)


def test_a_lost_link_takes_with_it_whom_it_told_of_last() -> None:
    presences = Presences()
    presences.hear(PLACE, [(5, 1, "{}"), (6, 1, "{}"), (7, 1, "{}")], LINK, 0)
    presences.hear(PLACE, [(6, 2, "{}")], OTHER, 0)
    presences.hear(("bob", "note"), [(5, 1, "{}")], LINK, 0)
    gone = dict(presences.leave(LINK, 0))
    assert gone == {PLACE: ((5, 1, None), (7, 1, None)), ("bob", "note"): ((5, 1, None),)}
    assert presences.present(PLACE) == ((6, 2, "{}"),)
    assert dict(presences.everything()) == {PLACE: ((6, 2, "{}"),)}
    assert presences.leave(LINK, 0) == []


def test_the_silent_are_gone_and_then_forgotten() -> None:
    presences = Presences()
    presences.hear(PLACE, [(5, 1, "{}"), (6, 1, "{}")], LINK, 0)
    silent_ms = limits.PRESENCE_SILENT_MS_MAX
    presences.hear(PLACE, [(6, 2, "{}")], LINK, silent_ms - 1)
    assert presences.expire(silent_ms - 1) == []
    assert presences.expire(silent_ms) == [(PLACE, ((5, 1, None),))]
    assert len(presences) == 2
    presences.expire(4 * silent_ms)
    presences.expire(6 * silent_ms)
    assert len(presences) == 0


def test_a_crowd_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    presences = Presences()
    crowd = [(n, 1, "{}") for n in range(limits.PRESENCE_CLIENTS_PER_FIELD_MAX + 1)]
    assert len(presences.hear(PLACE, crowd, LINK, 0)) == limits.PRESENCE_CLIENTS_PER_FIELD_MAX
    monkeypatch.setattr(limits, "PRESENCE_CLIENTS_MAX", len(presences) + 1)
    assert len(presences.hear(("bob", "note"), crowd[:2], LINK, 0)) == 1
    assert presences.hear(("bob", "note"), [(0, 2, "{}")], LINK, 0), "known ones may change"


def test_a_state_is_json_of_a_bounded_length() -> None:
    assert is_state("{}")
    assert is_state('"' + "x" * (limits.PRESENCE_STATE_BYTES_MAX - 2) + '"')
    for state in ('"' + "é" * (limits.PRESENCE_STATE_BYTES_MAX // 2) + '"', "{", "NaN", "[" * 4000):
        assert not is_state(state)


@pytest.mark.parametrize(
    "fields",
    [
        ("", "note", ()),
        ("ann", "", ()),
        ("ann", "note", (1, 2)),
        ("ann", "note", None),
        ("ann", "note", (-1, 1, "{}")),
        ("ann", "note", (1, 2**53, "{}")),
        ("ann", "note", (True, 1, "{}")),
        ("ann", "note", (1, 1, b"{}")),
        ("ann", "note", (1, 1, "{")),
        ("ann", "note", (1, 1, None) * (limits.PRESENCE_CLIENTS_PER_MESSAGE + 1)),
    ],
)
def test_what_is_no_presence_is_refused(fields: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match=r"presence|client"):
        presence_of(*fields)
