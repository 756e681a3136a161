"""Erasures: who is erased, what is suppressed, and when a replica confirms."""

from pathlib import Path
from typing import Any

import pytest

from crdtstore.engine.identifiers import INDEX_TAG
from crdtstore.errors import (
    InvalidName,
    PersonNotFound,
    ProfileErased,
    ProfileNotFound,
    StorageFull,
)
from crdtstore.identity_rules import IdentityRules
from crdtstore.model.operations import add, remove
from crdtstore.names import OWN_IDS
from crdtstore.person_errors import ErasureNotFound, IdentifierSuppressed, PersonAmbiguous
from crdtstore.schema import Schema
from crdtstore.settings import Settings
from crdtstore.store import Store
from tests.engine.stores import Clock, exchange, fail, frames, open_store, reopened

EMAIL = "email:ann@example.com"
RULES = Schema(identity=IdentityRules(blocked_values=("email:info@example.com",)))
AT_ONCE = Settings(erasure_grace_ms=0)


def store_of(name: str = "eu", **options: Any) -> Store:
    """Return a store with a person of two profiles, and another person."""
    store = open_store(name=name, schema=RULES, **options)
    store.write("crm-17", {"identifiers": add(EMAIL, "user_id:7"), "name": "Ann"}, source="crm")
    store.write("cdp-4", {"identifiers": add(EMAIL, "device_id:d"), "city": "Bonn"}, source="cdp")
    store.write("bob", {"identifiers": add("email:bob@example.com")}, source="crm")
    store.commit()
    return store


def states(store: Store, erasure_id: str) -> dict[str, str]:
    """Return the state of every replica by name."""
    return {each.replica: each.state for each in store.erasures.read(erasure_id).replicas}


def pair(**options: Any) -> tuple[Store, Store]:
    """Return two replicas that know each other, and the same two persons."""
    eu = store_of(**options)
    us = open_store(name="us", schema=RULES, **options)
    exchange(eu, us)
    return eu, us


def test_what_an_erasure_forbids_can_be_asked() -> None:
    store = store_of()
    assert not store.erasures.refuses("crm-17", [EMAIL])
    erasure = store.persons.erase("cdp-4", source="dpo")
    assert store.erasures.refuses("crm-17", [])
    assert store.erasures.refuses("new", ["user_id:8", EMAIL])
    assert not store.erasures.refuses("new", ["user_id:8"])
    assert not store.erasures.refuses("bob", ["email:bob@example.com"])
    store.erasures.lift(erasure.id, "dpo")
    assert not store.erasures.refuses("new", [EMAIL])
    assert store.erasures.refuses("crm-17", [])


def test_the_person_is_erased_with_all_its_profiles() -> None:
    store = store_of()
    erasure = store.persons.erase("cdp-4", source="dpo")
    assert (erasure.kind, erasure.source) == ("person", "dpo")
    assert erasure.profiles == ("cdp-4", "crm-17")
    assert erasure.suppressed == 3
    for profile_id in erasure.profiles:
        with pytest.raises(ProfileErased):
            store.read(profile_id)
    assert store.read("bob")
    with pytest.raises(PersonNotFound):
        store.persons.find("email", "ann@example.com")
    store.commit()
    assert store.profile_count == store.digest().profiles == store.verify().profiles == 1
    assert [profile.id for profile in store.profiles()] == ["bob"]
    assert store.verify().is_sound
    assert not any(change.id.startswith(OWN_IDS) for change in store.changes())


def test_what_would_bring_an_identifier_back_is_refused_and_does_not_name_it() -> None:
    store = store_of()
    store.persons.erase("crm-17")
    with pytest.raises(IdentifierSuppressed) as refused:
        store.write(
            "new", {"name": "Ann", "identifiers": add("email: ANN@example.com ")}, source="x"
        )
    assert "ann@example.com" not in str(refused.value).lower()
    assert store.documents.get("new").is_absent
    store.write("new", {"name": "Ann", "identifiers": add("email:bea@example.com")}, source="x")
    assert store.counters["writes_suppressed"] == 1


def test_what_others_hold_too_and_what_is_blocked_is_not_suppressed() -> None:
    store = store_of()
    shared = "phone:+4930901820"
    for profile_id in ("crm-17", "bob"):
        values = add(shared, "email:info@example.com")
        store.write(profile_id, {"identifiers": values}, source="crm")
    store.persons.not_match("crm-17", "bob")
    assert store.persons.erase("crm-17").suppressed == 3
    store.write("bob", {"identifiers": add(shared, "email:info@example.com")}, source="cdp")
    assert store.persons.read("bob").profiles == ("bob",)


def test_an_identifier_that_nobody_holds_here_is_suppressed() -> None:
    store = open_store()
    erasure = store.persons.erase_identifier("email", " Ann@Example.com")
    assert (erasure.kind, erasure.profiles, erasure.suppressed) == ("identifier", (), 1)
    with pytest.raises(IdentifierSuppressed):
        store.write("crm-17", {"identifiers": add(EMAIL)}, source="crm")


def test_an_identifier_of_several_persons_erases_nobody() -> None:
    store = store_of()
    store.write("bob", {"identifiers": add(EMAIL)}, source="crm")
    store.persons.not_match("crm-17", "bob")
    store.persons.not_match("cdp-4", "bob")
    with pytest.raises(PersonAmbiguous, match="bob") as ambiguous:
        store.persons.erase_identifier("email", "ann@example.com")
    assert sorted(ambiguous.value.persons) == ["bob", "crm-17"]
    assert store.erasures.count == 0
    with pytest.raises(PersonNotFound, match="blocked"):
        store.persons.erase_identifier("email", "info@example.com")
    with pytest.raises(ProfileNotFound):
        store.persons.erase("nobody")


def test_a_lifted_erasure_lets_identifiers_back_but_nothing_that_was_erased() -> None:
    store = store_of()
    one = store.persons.erase("crm-17")
    other = store.persons.erase_identifier("email", "ann@example.com")
    store.erasures.lift(one.id, "dpo")
    with pytest.raises(IdentifierSuppressed):
        store.write("new", {"identifiers": add(EMAIL)}, source="crm")
    assert store.erasures.lift(other.id, "dpo").lifted_by == "dpo"
    store.write("new", {"identifiers": add(EMAIL)}, source="crm")
    assert store.persons.find("email", "ann@example.com")[0].profiles == ("new",)
    with pytest.raises(ProfileErased):
        store.read("crm-17")
    again = reopened(store)
    assert again.erasures.count == 0  # nothing of it was durable
    store.commit()
    again = reopened(store)
    again.write("new", {"identifiers": add("user_id:7")}, source="crm")
    assert again.erasures.read(one.id).lifted_by == "dpo"
    with pytest.raises(ErasureNotFound):
        again.erasures.read("00")


def test_no_plain_identifier_is_in_what_replicates() -> None:
    store = store_of()
    before = len(frames(store))
    store.persons.erase("crm-17")
    store.commit()
    later = b"".join(frames(store)[before:]) if before < len(frames(store)) else b""
    documents = store.storage.documents(b"", limit=100, bytes_max=10**9)
    assert b"ann@" not in later + b"".join(record for _, record in documents)
    assert [key for key, _ in documents if key.startswith(OWN_IDS.encode())]


@pytest.mark.parametrize("word", ["write", "read", "erase", "explain"])
def test_documents_of_crdtstore_are_no_profiles(word: str) -> None:
    store = store_of()
    own = OWN_IDS + "erasure/" + store.persons.erase("crm-17").id
    options: dict[str, Any] = {"fields": {"kind": "x"}, "source": "x"} if word == "write" else {}
    with pytest.raises(InvalidName, match="keeps"):
        getattr(store, word)(own, **options)


def test_a_lone_replica_confirms_when_its_commit_returns() -> None:
    store = store_of(settings=AT_ONCE)
    erasure = store.persons.erase("crm-17")
    assert states(store, erasure.id) == {"eu": "unheard"}
    assert not store.erasures.read(erasure.id).is_complete
    store.commit()
    assert states(store, erasure.id) == {"eu": "confirmed"}
    assert store.erasures.read(erasure.id).is_complete
    assert not any(b"Ann" in raw or b"Bonn" in raw for raw in frames(store))
    assert states(reopened(store), erasure.id) == {"eu": "confirmed"}
    assert len(store.storage.index(INDEX_TAG, b"", limit=100)) == 1


def test_a_feed_that_is_read_keeps_the_journal_until_the_grace_is_over() -> None:
    clock = Clock()
    store = store_of(now_ms=clock, settings=Settings(erasure_grace_ms=60_000))
    store.changes()
    erasure = store.persons.erase("crm-17")
    store.commit()
    assert states(store, erasure.id) == {"eu": "cleaning"}
    assert any(b"Ann" in raw for raw in frames(store))
    clock.ms += 60_000
    store.commit()
    assert states(store, erasure.id) == {"eu": "confirmed"}
    assert not any(b"Ann" in raw for raw in frames(store))


def test_a_replica_goes_on_with_what_it_had_not_confirmed() -> None:
    clock = Clock()
    store = store_of(now_ms=clock, settings=Settings(erasure_grace_ms=60_000))
    store.changes()
    erasure = store.persons.erase("crm-17")
    store.commit()
    again = reopened(store, settings=AT_ONCE)
    again.commit()
    assert states(again, erasure.id) == {"eu": "confirmed"}


def test_both_replicas_erase_and_each_knows_who_has_confirmed() -> None:
    eu, us = pair()
    erasure = eu.persons.erase("crm-17")
    eu.commit()
    assert states(eu, erasure.id) == {"eu": "cleaning", "us": "unheard"}
    exchange(eu, us)
    for store in (eu, us):
        assert store.documents.get("crm-17").is_erased
        assert states(store, erasure.id) == {"eu": "confirmed", "us": "confirmed"}
        assert not any(b"Ann" in raw for raw in frames(store))
    assert eu.digest().digest == us.digest().digest


def test_a_replica_that_is_away_keeps_the_journal_until_the_grace_is_over() -> None:
    clock = Clock()
    eu, _ = pair(now_ms=clock)
    eu.write("crm-17", {"name": "Ann-Sophie"}, source="web")
    erasure = eu.persons.erase("crm-17")
    eu.commit()
    assert any(b"Ann-Sophie" in raw for raw in frames(eu))
    clock.ms += eu.settings.erasure_grace_ms
    eu.commit()
    assert states(eu, erasure.id) == {"eu": "confirmed", "us": "unheard"}
    assert not any(b"Ann-Sophie" in raw for raw in frames(eu))


@pytest.mark.parametrize("is_erasure_first", [True, False])
def test_a_profile_made_elsewhere_meanwhile_is_erased(is_erasure_first: bool) -> None:
    eu, away = pair()
    erasure = eu.persons.erase("crm-17")
    eu.commit()
    away.write("sms-1", {"identifiers": add(EMAIL, "user_id:8"), "name": "Annie"}, source="s")
    away.commit()
    exchange(*((eu, away) if is_erasure_first else (away, eu)))
    for store in (eu, away):
        assert store.documents.get("sms-1").is_erased
        assert "sms-1" in store.erasures.read(erasure.id).profiles
        assert store.erasures.read(erasure.id).is_complete
        assert not any(b"Annie" in raw for raw in frames(store))
        assert len(store.storage.index(INDEX_TAG, b"", limit=100)) == 1
    assert eu.digest().digest == away.digest().digest


def test_a_late_write_to_an_erased_profile_takes_the_receipt_back() -> None:
    clock = Clock()
    eu, away = pair(now_ms=clock)
    erasure = eu.persons.erase("crm-17")
    eu.commit()
    clock.ms += eu.settings.erasure_grace_ms
    eu.commit()
    assert states(eu, erasure.id)["eu"] == "confirmed"
    away.write("crm-17", {"name": "Ann-Sophie"}, source="web")
    away.commit()
    eu.replication.receive_frames(frames(away), clock.ms)
    eu.erasures.settle()
    assert eu.documents.get("crm-17").is_erased
    eu.commit()
    assert states(eu, erasure.id)["eu"] == "cleaning"
    clock.ms += eu.settings.erasure_grace_ms
    eu.commit()
    assert states(eu, erasure.id)["eu"] == "confirmed"
    assert not any(b"Ann-Sophie" in raw for raw in frames(eu))


def test_an_erasure_wins_over_a_revival_that_knew_of_an_older_one_only() -> None:
    clock = Clock()
    eu, us = pair(now_ms=clock)
    us.erase("crm-17")
    us.revive("crm-17")
    us.write("crm-17", {"name": "Ann again"}, source="crm")
    clock.ms += 1
    eu.erase("crm-17")
    for store in (eu, us):
        store.commit()
    exchange(us, eu)
    for store in (eu, us):
        with pytest.raises(ProfileErased):
            store.read("crm-17")


def test_who_revives_what_was_erased_has_it_alive_everywhere() -> None:
    eu, us = pair()
    eu.persons.erase("crm-17")
    exchange(eu, us)
    us.revive("crm-17")
    us.write("crm-17", {"name": "somebody else"}, source="crm")
    exchange(eu, us)
    assert eu.read("crm-17")["name"] == "somebody else"


def test_a_failed_commit_takes_the_erasure_back_whole() -> None:
    clock = Clock()
    store = store_of(now_ms=clock)
    fail(store, StorageFull("the disk is full"))
    erasure = store.persons.erase("crm-17")
    with pytest.raises(StorageFull):
        store.commit()
    assert store.read("crm-17")["name"] == "Ann"
    with pytest.raises(ErasureNotFound):
        store.erasures.read(erasure.id)
    again = store.persons.erase("crm-17")  # an erasure is taken at once, full or not
    store.commit()
    with pytest.raises(ProfileErased):
        store.read("crm-17")
    clock.ms += 2_000  # but its receipt waits for room
    store.commit()
    assert store.erasures.read(again.id).is_complete


def test_another_key_makes_other_traces_and_the_index_anew(tmp_path: Path) -> None:
    first = Settings(suppression_key="one")
    with open_store(tmp_path / "eu", settings=first) as store:
        store.write("p", {"identifiers": add(EMAIL)}, source="crm")
    keys = []
    for key in ("one", "two"):
        settings = Settings(suppression_key=key)
        with open_store(tmp_path / "eu", settings=settings) as store:
            assert store.persons.find("email", "ann@example.com")
            keys.append(store.storage.index(INDEX_TAG, b"", limit=9))
    assert keys[0] != keys[1]


def test_erasures_are_listed_in_pages() -> None:
    store = open_store()
    made = sorted(store.persons.erase_identifier("email", f"a{n}@x.org").id for n in range(5))
    page = store.erasures.present(limit=3)
    rest = store.erasures.present(after=page[-1].id)
    assert [each.id for each in page + rest] == made


def test_an_export_tells_every_cell() -> None:
    store = store_of()
    store.write("crm-17", {"identifiers": add("email:old@example.com")}, source="crm")
    store.write("crm-17", {"identifiers": remove("email:old@example.com")}, source="crm")
    store.persons.pin("cdp-4", "name", "Ann-Sophie")
    store.write("cdp-4", {"blob": b"\x00", "list": [1, b"\x01"]}, source="cdp")
    export = store.persons.export("cdp-4")
    assert export["fields"]["name"] == "Ann-Sophie"
    held = [(each["id"], cell) for each in export["profiles"] for cell in each["held"]]
    cells = sum(len(store.documents.get(each["id"]).cells) for each in export["profiles"])
    assert len(held) == cells
    told = {(profile, cell["field"], str(cell["value"])) for profile, cell in held}
    assert ("crm-17", "name", "Ann") in told
    assert ("crm-17", "identifiers", "email:old@example.com") in told
    assert ("cdp-4", "identity.pin.name", "Ann-Sophie") in told
    assert ("cdp-4", "list", "[1, {'bytes': 'AQ=='}]") in told
    (removed,) = [cell for _, cell in held if cell["value"] == "email:old@example.com"]
    assert removed["stands"] is False
    assert removed["replica"] == "eu"


def test_what_lost_unseen_is_exported_and_goes_with_the_person() -> None:
    eu, us = pair()
    eu.write("crm-17", {"name": "Annika"}, source="crm")
    us.write("crm-17", {"name": "Annelie"}, source="crm")
    for store in (eu, us):
        store.commit()
    exchange(eu, us)
    exported = [store.persons.export("crm-17")["conflicts"] for store in (eu, us)]
    assert [len(each) for each in exported] == [1, 1]
    assert exported[0][0]["value"] in ("Annika", "Annelie")
    eu.persons.erase("crm-17")
    exchange(eu, us)
    for store in (eu, us):
        assert len(store.conflict_log) == 0
        held = b"".join(store.storage.pinned_copy().chunks())
        assert b"Annika" not in held
        assert b"Annelie" not in held


def test_receipts_of_two_lives_are_no_conflict() -> None:
    eu, us = pair()
    eu.persons.erase("crm-17")
    exchange(eu, us)
    assert len(eu.conflict_log) == len(us.conflict_log) == 0


def test_a_replica_with_another_key_does_not_confirm() -> None:
    eu = store_of(settings=Settings(suppression_key="one"))
    us = open_store(name="us", schema=RULES, settings=Settings(suppression_key="two"))
    exchange(eu, us)
    erasure = eu.persons.erase("crm-17")
    exchange(eu, us)
    assert us.documents.get("crm-17").is_erased
    assert states(eu, erasure.id) == {"eu": "confirmed", "us": "cleaning"}
