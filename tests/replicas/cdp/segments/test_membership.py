"""What is written about a person's segments: enough, no more, and never undone by two at once."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from replicas.cdp.segments.membership import MembershipEdit, planned_edits

PROFILES = ("a", "b", "c")
NAMES = ("vip", "new", "lost")
PRESENT = st.dictionaries(
    st.sampled_from(PROFILES), st.frozensets(st.sampled_from(NAMES)), min_size=1
)


def applied(
    present: Mapping[str, frozenset[str]], edits: list[MembershipEdit]
) -> dict[str, frozenset[str]]:
    result = dict(present)
    for edit in edits:
        old = result.get(edit.profile_id, frozenset())
        result[edit.profile_id] = old.union(edit.add).difference(edit.remove)
    return result


@given(PRESENT, st.frozensets(st.sampled_from(NAMES[:2])), st.sampled_from(PROFILES))
def test_the_person_is_where_it_belongs_and_counted_once(
    present: dict[str, frozenset[str]], wanted: frozenset[str], person: str
) -> None:
    managed = NAMES[:2]
    after = applied(present, planned_edits(person, present, wanted, managed))
    for name in managed:
        holders = [profile for profile, found in after.items() if name in found]
        assert len(holders) == (name in wanted)
    for profile, found in present.items():
        assert ("lost" in found) == ("lost" in after[profile]), "it is somebody else's"
    assert planned_edits(person, after, wanted, managed) == []


@given(
    PRESENT,
    st.frozensets(st.sampled_from(PROFILES), min_size=1),
    st.frozensets(st.sampled_from(PROFILES), min_size=1),
)
def test_two_regions_that_see_different_parts_leave_one_holder(
    present: dict[str, frozenset[str]], one: frozenset[str], other: frozenset[str]
) -> None:
    edits = []
    for seen in (one, other):
        view = {profile: found for profile, found in present.items() if profile in seen}
        wanted = frozenset().union(*view.values())
        edits += planned_edits(min(seen), view, wanted, NAMES)
    after = applied(present, edits)
    assert frozenset().union(*after.values()) == frozenset().union(*present.values())
