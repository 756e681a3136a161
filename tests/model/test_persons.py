"""Persons of small worlds: who is one, who is not, and what is said of it."""

from crdtstore import IdentityRules, TypeRules, limits
from crdtstore.model.cells import encode_element, register_key, set_key
from crdtstore.model.identity import ProfileIdentity, identifiers_in, identity_of
from crdtstore.model.persons import DroppedLink, persons_of

DAY = 86_400_000 << 16
RULES = IdentityRules()


def profile(profile_id: str, *texts: str, since: int = 1, **edges: set[str]) -> ProfileIdentity:
    found = {name: frozenset(edges.get(name, ())) for name in ("match", "not_match")}
    return ProfileIdentity(profile_id, dict.fromkeys(texts, since), **found)


def groups(*world: ProfileIdentity, rules: IdentityRules = RULES) -> list[str]:
    return ["".join(person.profiles) for person in persons_of(world, rules)]


def test_profiles_that_share_an_identifier_are_one_person() -> None:
    world = (
        profile("a", "email:x@y.z"), profile("b", "email:x@y.z", "phone:+1"),
        profile("c", "phone:+1"), profile("d", "email:other@y.z"), profile("e"),
    )  # fmt: skip
    assert groups(*world) == ["abc", "d", "e"]


def test_the_id_is_of_the_profile_that_is_known_for_longest() -> None:
    (person,) = persons_of(
        [profile("a", "email:x", since=9), profile("c", "email:x", since=2)], RULES
    )
    assert person.id == "c"
    tied = [profile("b", "email:x"), profile("a", "email:x"), profile("0", match=set())]
    assert [person.id for person in persons_of(tied, RULES)] == ["0", "a"]


def test_the_link_of_the_lowest_priority_goes() -> None:
    """A family shares a telephone; each has a user id of their own."""
    world = [
        profile("a", "user_id:1", "phone:+1", since=1),
        profile("b", "user_id:2", "phone:+1", since=2),
        profile("c", "user_id:2", "email:c@x", since=3),
    ]
    one, other = persons_of(world, RULES)
    assert (one.profiles, other.profiles) == (("a",), ("b", "c"))
    dropped = DroppedLink("phone:+1", "b", "a", "a person has at most 1 values of user_id")
    assert one.dropped == other.dropped == (dropped,)


def test_the_older_link_of_one_priority_stays() -> None:
    rules = IdentityRules(types={"email": TypeRules(2)})
    world = [
        profile("a", "email:1", "phone:+1", since=5),
        profile("b", "email:2", "phone:+1", since=3),
        profile("c", "email:3", "phone:+1", since=4),
    ]
    assert groups(*world, rules=rules) == ["a", "bc"]


def test_a_window_counts_what_was_taken_within_it() -> None:
    rules = IdentityRules(types={"email": TypeRules(1, window_days=30)})
    close = [profile("a", "email:1", "phone:+1", since=DAY),
             profile("b", "email:2", "phone:+1", since=30 * DAY)]  # fmt: skip
    apart = [close[0], profile("b", "email:2", "phone:+1", since=31 * DAY)]
    assert groups(*close, rules=rules) == ["a", "b"]
    assert groups(*apart, rules=rules) == ["ab"]
    (link,) = persons_of(close, rules)[0].dropped
    assert link.reason == "a person has at most 1 values of email in 30 days"


def test_a_value_that_was_taken_earlier_elsewhere_counts_from_then() -> None:
    """A profile that brings no new value may bring an old one into the window of another."""
    rules = IdentityRules(types={"email": TypeRules(1, window_days=30)})
    world = [
        profile("a", "email:1", "user_id:1", since=DAY),
        profile("b", "email:2", "user_id:1", since=90 * DAY),
        profile("c", "email:2", since=DAY),
    ]
    assert groups(*world[:2], rules=rules) == ["ab"]
    assert groups(*world, rules=rules) == ["ab", "c"]


def test_blocked_identifiers_link_nobody_and_are_told() -> None:
    one, other = persons_of([profile("a", "user_id:null"), profile("b", "user_id:null")], RULES)
    assert one.dropped == (DroppedLink("user_id:null", "a", "", "blocked"),)
    assert other.dropped == (DroppedLink("user_id:null", "b", "", "blocked"),)


def test_overloaded_identifiers_link_nobody_and_are_told() -> None:
    world = [profile("a", "phone:+1"), profile("b", "phone:+1")]
    one, _ = persons_of(world, RULES, {"phone:+1"})
    assert one.profiles == ("a",)
    assert f"{limits.IDENTIFIER_PROFILES_MAX:,} profiles" in one.dropped[0].reason


def test_a_match_needs_both_ends_and_may_exceed_a_limit() -> None:
    one, other = profile("a", "user_id:1", match={"b"}), profile("b", "user_id:2", match={"a"})
    assert groups(one, other) == ["ab"]
    assert groups(one, profile("b", "user_id:2")) == ["a", "b"]


def test_a_match_unites_persons_whole() -> None:
    world = (
        profile("a", "user_id:1", "email:x"), profile("b", "email:x", match={"d"}),
        profile("c", "user_id:2", "phone:+1"), profile("d", "phone:+1", match={"b"}),
    )  # fmt: skip
    assert groups(*world) == ["abcd"]
    assert groups(*world, profile("e", "user_id:3", "phone:+1", since=9)) == ["abcd", "e"]


def test_not_match_is_stronger_than_anything() -> None:
    one = profile("a", "user_id:1", match={"b"}, not_match={"b"})
    other = profile("b", "user_id:1", match={"a"})
    persons = persons_of([one, other], RULES)
    assert [person.profiles for person in persons] == [("a",), ("b",)]
    assert {link.identifier for link in persons[0].dropped} == {"identity.match", "user_id:1"}
    assert {link.reason for link in persons[0].dropped} == {"not_match"}


def test_not_match_parts_two_and_the_others_stay_together() -> None:
    world = [profile("a", "email:x", not_match={"b", "c"}), profile("b", "email:x"),
             profile("c", "email:x")]  # fmt: skip
    assert groups(*world) == ["a", "bc"]
    world[0] = profile("a", "email:x", not_match={"c"}, since=1)
    assert groups(*world) == ["ab", "c"]


def test_a_person_is_capped_and_the_report_says_so() -> None:
    rules = IdentityRules(profiles_max=3)
    world = [profile(name, "email:x", since=n + 1) for n, name in enumerate("abcde")]
    persons = persons_of(world, rules)
    assert ["".join(person.profiles) for person in persons] == ["abc", "de"]
    assert persons[0].dropped[0].reason == "a person has at most 3 profiles"
    rules = IdentityRules(identifiers_max=3)
    world = [profile("a", "email:x", "email:1", "email:2"), profile("b", "email:x", "phone:+1")]
    assert groups(*world, rules=rules) == ["a", "b"]
    world = [profile("a", *(f"x_id:{n}" for n in range(9)), "email:x"), profile("b", "email:x")]
    assert groups(*world, rules=rules) == ["ab"]


def test_a_profile_is_never_taken_apart() -> None:
    world = [profile("a", "user_id:1", "user_id:2"), profile("b", "user_id:2")]
    assert groups(*world) == ["ab"]
    assert groups(*world, profile("c", "user_id:2", "user_id:3")) == ["ab", "c"]


def test_what_the_cells_say() -> None:
    cells = {
        register_key("name", "crm"): (5, 1, "Ann"),
        set_key("identifiers", "crm", 1, encode_element("email:x")): (7, 0),
        set_key("identifiers", "cdp", 2, encode_element("email:x")): (4, 0),
        set_key("identifiers", "crm", 1, encode_element("email:gone")): (4, 4),
        set_key("identifiers", "crm", 1, encode_element("no identifier")): (4, 0),
        set_key("identifiers", "crm", 1, encode_element(7)): (4, 0),
        set_key("identifiers2", "crm", 1, encode_element("email:y")): (4, 0),
        set_key("identity.match", "steward", 1, encode_element("q")): (4, 0),
        set_key("identity.match", "steward", 1, encode_element("p")): (4, 0),
        set_key("identity.not_match", "steward", 1, encode_element("r")): (4, 0),
        set_key("identity.not_match", "steward", 1, encode_element("s")): (4, 4),
    }
    assert identity_of("p", cells) == ProfileIdentity(
        "p", {"email:x": 4}, frozenset({"q"}), frozenset({"r"})
    )
    assert identifiers_in(cells) == {"email:x"}
