"""Links: which sightings are edits, which are echoes, and which are stale."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from replicas.crm.crm import RecordKey, Sighting
from replicas.crm.link import Known, Link, digest_of, weigh

KEY = RecordKey("Contact", "1")


def state(value: Any, at_ms: int, span_ms: int = 0) -> Sighting:
    return Sighting("state", KEY, at_ms, {"p": value}, span_ms=span_ms)


def change(value: Any, at_ms: int, *, is_own: bool = False) -> Sighting:
    return Sighting("change", KEY, at_ms, {"p": value}, is_own=is_own)


def news_of(link: Link, *sightings: Sighting) -> list[Any]:
    """Return the values that are news, in order, of some sightings."""
    return [value for one in sightings for value in weigh(link, one, one.values)[0].values()]


def sent(link: Link, value: Any, *, is_flying: bool = False) -> None:
    """Let a link be as after a value was sent."""
    known = link.known.setdefault("p", Known())
    known.sent, known.is_flying = digest_of(value), is_flying
    if not is_flying:
        known.value = digest_of(value)


def test_a_first_state_is_news_but_for_what_is_empty() -> None:
    assert news_of(Link("Contact"), state("a", 5)) == ["a"]
    assert news_of(Link("Contact"), state(None, 5), state("", 6)) == []


def test_what_is_seen_again_is_no_news() -> None:
    link = Link("Contact")
    assert news_of(link, state("a", 5), state("a", 5), change("a", 5), state("a", 6)) == ["a"]
    assert news_of(link, change("b", 7), change("b", 7), state("b", 7)) == ["b"]
    assert news_of(link, change(None, 8), change("b", 7)) == [None]


def test_a_stale_state_overwrites_nothing() -> None:
    link = Link("Contact")
    assert news_of(link, change("new", 9), state("old", 8)) == ["new"]
    assert news_of(link, state("newer", 10)) == ["newer"]


def test_a_state_within_the_same_second_may_be_newer() -> None:
    link = Link("Contact")
    assert news_of(link, change("a", 1700), state("b", 1000, span_ms=999)) == ["a", "b"]
    assert news_of(link, state("c", 500, span_ms=99)) == []


def test_an_edit_that_a_page_told_already_is_not_told_again_by_its_event() -> None:
    """The page was first, then our write, then the event, whose time is more exact."""
    link = Link("Contact")
    assert news_of(link, state("a", 1000, span_ms=999)) == ["a"]
    sent(link, "ours")
    assert news_of(link, change("a", 1400)) == []
    assert not link.known["p"].lacks(digest_of("ours"))
    assert news_of(link, change("b", 1500)) == ["b"]


def test_what_was_empty_at_first_is_not_cleared_by_an_older_state() -> None:
    link = Link("Contact")
    assert news_of(link, state(None, 1000)) == []
    sent(link, "ours")
    assert news_of(link, state(None, 900)) == []


def test_our_own_write_coming_back_is_no_edit() -> None:
    link = Link("Contact")
    assert news_of(link, state("a", 1)) == ["a"]
    sent(link, "ours")
    assert news_of(link, change("ours", 2, is_own=True), state("ours", 2)) == []
    assert not link.known["p"].lacks(digest_of("ours"))


def test_after_a_crash_what_was_sent_is_known_again() -> None:
    """Its outcome was never learned: the value that was sent is no edit, any other is."""
    for seen, news in (("ours", []), ("theirs", ["theirs"])):
        link = Link("Contact")
        news_of(link, state("a", 1))
        sent(link, "ours", is_flying=True)
        assert link.known["p"].lacks(digest_of("ours"))
        assert news_of(link, state(seen, 2)) == news
    assert link.known["p"].is_flying


def test_an_edit_that_we_overwrote_is_news_and_leads_to_another_write() -> None:
    link = Link("Contact")
    news_of(link, state("a", 1))
    sent(link, "ours")
    assert news_of(link, change("ours", 3, is_own=True)) == []
    assert news_of(link, change("theirs", 2)) == ["theirs"]
    assert link.known["p"].lacks(digest_of("theirs"))
    link = Link("Contact")
    news_of(link, state("a", 1))
    sent(link, "ours")
    assert news_of(link, change("theirs", 2)) == ["theirs"]
    echo = change("ours", 3, is_own=True)
    assert weigh(link, echo, echo.values) == ({}, True)
    assert link.known["p"].lacks(digest_of("theirs"))


def test_what_a_vendor_makes_of_our_value_is_not_sent_again() -> None:
    link = Link("Contact")
    sent(link, "Ann@Example.com")
    assert news_of(link, change("ann@example.com", 2, is_own=True)) == []
    assert not link.known["p"].lacks(digest_of("Ann@Example.com"))
    assert link.known["p"].lacks(digest_of("bob@example.com"))


def test_a_value_that_somebody_set_back_is_sent_again_if_another_survives() -> None:
    link = Link("Contact")
    sent(link, "ours")
    assert news_of(link, change("theirs", 2)) == ["theirs"]
    assert link.known["p"].lacks(digest_of("ours"))


def test_a_link_comes_back_as_it_was_packed() -> None:
    link = Link(
        "Contact", "003", "gone", 17, {"p": Known(b"1", 2, b"3", 4, 5, None, True), "q": Known()}
    )
    assert Link.unpack(link.pack()) == link
    assert b"Ann" not in Link("Contact", known={"p": Known(digest_of("Ann"))}).pack()


changes = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from("abc")), min_size=1, max_size=6,
    unique_by=lambda one: one[0],
)  # fmt: skip


@given(changes, st.data())
def test_changes_of_others_count_once_and_the_newest_stays(
    made: list[tuple[int, str]], data: st.DataObject
) -> None:
    """In any order, any number of times: the last news is the newest change."""
    told = data.draw(st.permutations([*made, *made]))
    link = Link("Contact")
    news = news_of(link, *(change(value, at_ms) for at_ms, value in told))
    newest = max(made)[1]
    assert link.known["p"].value == digest_of(newest)
    assert news[-1] == newest
    assert len(news) <= len(made)
