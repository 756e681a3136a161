"""Policies of one's own: what the function is shown, what it may return, and what explain says."""

import pickle
import random
from datetime import UTC, datetime

import pytest

from crdtstore import Candidate, Field, Group, Schema, Store
from crdtstore.errors import PolicyFailed, SchemaError
from crdtstore.schema import Policy, custom, recency
from crdtstore.storage.memory_storage import MemoryStorage

AT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def verified(candidates):
    """Keep what is marked as verified, the newest of such."""
    return max(candidates, key=lambda one: ("verified" in str(one.value), one.recency))


def most_complete(candidates):
    """Keep the address with the most parts."""
    return max(candidates, key=lambda one: (len(one.value), one.recency))


def store_of(policy, group=()):
    schema = Schema(groups={"address": Group(group, policy)} if group else {})
    if not group:
        schema = Schema(fields={"email": Field(policy=policy)})
    moment = iter(range(1_700_000_000_000, 1_800_000_000_000))
    return Store.open(
        MemoryStorage(),
        name="eu",
        schema=schema,
        now_ms=lambda: next(moment),
        random_bits=random.Random(1).getrandbits,
    )


def test_it_chooses_the_value_of_the_profile_and_explain_names_it():
    store = store_of(custom("verified", verified, version=3))
    store.write("ann", {"email": "ann@verified.example"}, source="crm")
    store.write("ann", {"email": "ann@new.example"}, source="cdp")
    assert store.read("ann")["email"] == "ann@verified.example"
    first, second = store.explain("ann")
    assert (first.source, first.survives) == ("crm", True)
    assert (second.source, second.survives) == ("cdp", False)
    assert first.rule == second.rule == "verified: own policy, version 3, among 2"


def test_it_is_shown_candidates_newest_first_with_nothing_decided():
    shown = []
    store = store_of(
        custom("watching", lambda candidates: shown.append(candidates) or candidates[0])
    )
    store.write("ann", {"email": {"home": [1, True]}}, source="crm")
    store.write("ann", {"email": None}, source="web")
    assert store.read("ann")["email"] == {"home": [1, True]}
    assert shown == [], "one candidate is no question"
    store.write("ann", {"email": 2}, source="cdp")
    assert store.read("ann")["email"] == 2
    (candidates,) = shown
    assert [one.source for one in candidates] == ["cdp", "crm"]
    newest, oldest = candidates
    origin = store.replication.identity.origin
    assert oldest == Candidate(
        field="email",
        kind="register",
        source="crm",
        value={"home": [1, True]},
        timestamp=oldest.timestamp,
        origin=origin,
        replica="",
        survives=False,
        rule="",
        profile_id="ann",
    )
    assert newest.recency > oldest.recency == (oldest.timestamp, origin, "crm", "ann")
    assert oldest.at < newest.at
    assert oldest.at.replace(second=0, microsecond=0) == AT.replace(second=0)


def test_a_forgotten_tie_goes_to_the_newest():
    store = store_of(
        custom("longest_text", lambda candidates: max(candidates, key=lambda c: len(c.value)))
    )
    for source, text in (("web", "ab"), ("cdp", "cd"), ("crm", "e")):
        store.write("ann", {"email": text}, source=source)
    assert store.read("ann")["email"] == "cd"


def test_it_does_not_reach_what_is_stored_through_a_value():
    def greedy(candidates):
        for candidate in candidates:
            candidate.value.clear()
        return candidates[0]

    store = store_of(custom("greedy", greedy))
    store.write("ann", {"email": ["a"]}, source="crm")
    store.write("ann", {"email": ["b"]}, source="cdp")
    assert store.read("ann")["email"] == store.read("ann")["email"] == ["b"]


def test_in_a_group_a_value_is_the_map_of_the_members():
    store = store_of(custom("most_complete", most_complete), group=("city", "street", "zip"))
    store.write("ann", {"city": "Bonn", "zip": "53111"}, source="crm")
    store.write("ann", {"city": "Köln", "street": None}, source="cdp")
    assert dict(store.read("ann")) == {"city": "Bonn", "zip": "53111"}
    rules = {(one.source, one.survives, one.rule) for one in store.explain("ann", "city")}
    rule = "group address: most_complete: own policy, version 1, among 2"
    assert rules == {("crm", True, rule), ("cdp", False, rule)}


@pytest.mark.parametrize("returned", [None, "ann@new.example", 0])
def test_what_is_no_candidate_is_refused_at_reading_and_harms_nothing(returned):
    store = store_of(custom("lazy", lambda candidates: returned))
    store.write("ann", {"email": "ann@old.example"}, source="crm")
    store.write("ann", {"email": "ann@new.example", "name": "Ann"}, source="cdp")
    text = rf"policy 'lazy' returned {returned!r} for 'email' of profile 'ann'; it returns one of"
    with pytest.raises(PolicyFailed, match=text):
        store.read("ann")
    with pytest.raises(PolicyFailed, match=text):
        store.explain("ann")
    store.commit(checkpoint=True)
    assert store.verify().is_sound
    assert store.explain("ann", "name")[0].value == "Ann"


def test_what_the_function_raises_passes_with_a_note_of_the_place():
    store = store_of(custom("strict", lambda candidates: candidates[9]))
    store.write("ann", {"email": 1}, source="crm")
    store.write("ann", {"email": 2}, source="cdp")
    with pytest.raises(IndexError) as caught:
        store.read("ann")
    assert caught.value.__notes__ == ["in policy 'strict', for 'email' of profile 'ann'"]


def test_name_and_version_stand_for_the_function_in_the_digest():
    def digest(policy):
        return Schema(fields={"email": Field(policy=policy)}).digest

    one = custom("verified", verified)
    assert digest(one) == digest(custom("verified", most_complete))
    others = [one, custom("verified", verified, version=2), custom("complete", verified), recency()]
    assert len({digest(policy) for policy in others}) == 4


def test_it_is_a_plain_value():
    schema = Schema(fields={"email": Field(policy=custom("verified", verified, version=2))})
    copy = pickle.loads(pickle.dumps(schema))
    assert copy == schema
    assert copy.digest == schema.digest
    assert hash(copy.fields["email"].policy) == hash(schema.fields["email"].policy)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: custom("recency", verified), "'recency' is a policy that there is; call your own"),
        (lambda: custom("", verified), "a policy of your own: .*visible character"),
        (lambda: custom(3, verified), "a policy of your own: .*is text, not a int"),
        (lambda: custom("verified", "f"), "verified: is a function of candidates, not 'f'"),
        (lambda: custom("verified", verified, version=0), "version is a number from 1, not 0"),
        (lambda: custom("verified", verified, version=True), "from 1, not True"),
        (lambda: Policy("x", ("a",), choose=verified, version=1), "takes no option 'sources'"),
        (lambda: Policy("recency", version=1), "recency: takes no option 'version'"),
        (
            lambda: Schema.from_toml("[fields.email]\npolicy = 'verified'"),
            "fields.email: 'verified' is no survivorship policy; there are recency.*"
            "One of your own is a function, which a schema takes in Python: "
            "see crdtstore.schema.custom",
        ),
    ],
)  # fmt: skip
def test_a_policy_that_cannot_be_is_refused(make, text):
    with pytest.raises(SchemaError, match=text):
        make()
