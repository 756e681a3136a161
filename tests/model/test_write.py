"""plan_write: what a source's operations mean for a document, and what is refused, exactly."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstore.errors import (
    KindConflict,
)
from crdtstore.model.cells import (
    counter_key,
    denial_key,
    grant_key,
    register_key,
    set_key,
)
from crdtstore.model.operations import (
    EditSet,
    Increment,
    add,
    grant,
    increment,
    remove,
    revoke,
    set_value,
)
from crdtstore.schema import Field, Schema
from tests.model.author import EU, US, Author

DECLARED = Schema(
    fields={
        "email": Field("register"),
        "logins": Field("counter"),
        "tags": Field("set"),
        "mail": Field("consent"),
    }
)


# --- every operation ------------------------------------------------------------------------------


def test_each_operation_makes_the_cells_of_its_kind():
    author = Author(clock=9)
    delta, changed = author.plan(
        {
            "email": "a@b.c",
            "note": set_value({"add": ["x"]}),
            "logins": increment(3),
            "tags": add("vip", 7),
            "mail": revoke(),
            "news": grant(),
        }
    )
    assert delta[register_key("email", "crm")] == (10, EU, "a@b.c")
    assert delta[register_key("note", "crm")][2].code == 1
    assert delta[counter_key("logins", "crm", EU)] == (10, EU, 3)
    assert delta[set_key("tags", "crm", EU, "tvip")] == (10, 0)
    assert delta[set_key("tags", "crm", EU, "p07")] == (10, 0)
    assert delta[denial_key("mail", "crm", EU)] == (10, 0)
    assert delta[grant_key("news", "crm")] == (10, EU, True)
    assert len(delta) == 7
    assert changed == ("email", "note", "logins", "tags", "mail", "news")


def test_a_counter_keeps_one_running_sum_per_source_and_origin():
    author = Author()
    for amount in (5, -2, 0.5):
        author.write({"logins": Increment(amount)})
    author.write({"logins": increment()}, source="cdp")
    cells = author.document.cells
    assert cells[counter_key("logins", "crm", EU)][2] == 3.5
    assert cells[counter_key("logins", "cdp", EU)][2] == 1
    other = Author(US, document=author.document, clock=author.clock)
    other.write({"logins": increment(7)})
    assert other.document.cells[counter_key("logins", "crm", US)][2] == 7


def test_clearing_keeps_the_cell_so_that_an_older_value_cannot_come_back():
    author = Author()
    author.write({"email": "a"})
    assert author.write({"email": None}) == ("email",)
    assert author.document.cells[register_key("email", "crm")] == (2, EU, None)
    assert author.write({"email": None}) == ()


def test_nothing_to_write_is_nothing_written():
    author = Author()
    assert author.plan({}) == ({}, ())
    assert author.plan({"tags": EditSet(), "logins": Increment(0), "x": None}) == ({}, ())


# --- no-ops ---------------------------------------------------------------------------------------

MOMENT = datetime(2024, 2, 29, tzinfo=UTC)
TYPED = [
    0, 1, True, False, 1.0, 0.0, -0.0, "", "1", b"", b"1", [], {}, [1], [1.0], [True], {"a": 1},
    {"a": 1.0}, MOMENT, [MOMENT], None, 2**63 - 1, -(2**63), 1e300, "😀", ["😀"],
]  # fmt: skip


@pytest.mark.parametrize("value", TYPED, ids=repr)
@pytest.mark.parametrize("then", TYPED, ids=repr)
def test_only_the_same_value_of_the_same_type_is_a_no_op(value, then):
    author = Author()
    author.write({"x": "something else"})
    author.write({"x": value})
    is_same = repr(value) == repr(then)
    assert author.write({"x": then}) == (() if is_same else ("x",))


def test_another_source_saying_the_same_is_no_repetition():
    author = Author()
    author.write({"email": "a", "tags": add("vip")})
    assert author.write({"email": "a", "tags": add("vip")}, source="cdp") == ("email", "tags")
    assert author.write({"email": "a", "tags": add("vip")}, source="cdp") == ()
    assert author.write({"email": "a", "tags": add("vip")}) == ()


def test_a_part_that_changes_leaves_out_the_part_that_does_not():
    author = Author()
    author.write({"email": "a", "name": "n", "tags": add("x")})
    delta, changed = author.plan({"email": "b", "name": "n", "tags": add("x", "y")})
    assert changed == ("email", "tags")
    assert set(delta) == {register_key("email", "crm"), set_key("tags", "crm", EU, "ty")}


def test_removing_what_is_not_there_and_granting_what_is_granted_are_no_ops():
    author = Author()
    author.write({"tags": add("x"), "mail": grant()})
    assert author.write({"tags": remove("y"), "mail": grant()}) == ()
    author.write({"tags": remove("x")})
    assert author.write({"tags": remove("x")}) == ()


def test_elements_are_type_exact():
    author = Author()
    author.write({"tags": add(1, 1.0, True, "1", b"1", 0.0, -0.0)})
    assert len(author.document.cells) == 7
    author.write({"tags": remove(1)})
    standing = [key for key, cell in author.document.cells.items() if cell[0] > cell[1]]
    assert len(standing) == 6
    assert set_key("tags", "crm", EU, "p01") not in standing


# --- add wins, deny wins --------------------------------------------------------------------------


def test_an_add_that_the_remover_had_not_seen_survives():
    eu, us = Author(EU), Author(US)
    eu.write({"tags": add("vip")})
    us.hear(eu)
    us.write({"tags": remove("vip")})
    eu.write({"tags": add("vip")}, source="cdp")
    eu.hear(us)
    us.hear(eu)
    assert eu.has("tags", "vip")
    assert us.has("tags", "vip")
    us.write({"tags": remove("vip")})
    eu.hear(us)
    assert not eu.has("tags", "vip")


def test_a_remove_takes_out_the_claims_of_all_sources_and_origins_that_it_saw():
    eu, us = Author(EU), Author(US)
    eu.write({"tags": add("vip")})
    us.write({"tags": add("vip")}, source="cdp")
    us.hear(eu)
    assert us.write({"tags": remove("vip")}) == ("tags",)
    eu.hear(us)
    assert not eu.has("tags", "vip")


def test_an_element_comes_back_by_adding_it_again_even_at_once():
    author = Author()
    for _ in range(3):
        author.write({"tags": add("x")})
        author.write({"tags": remove("x")})
    assert author.write({"tags": add("x")}) == ("tags",)
    assert author.has("tags", "x")
    assert len(author.document.cells) == 1


def test_a_revocation_that_the_granter_had_not_seen_stands():
    eu, us = Author(EU), Author(US)
    eu.write({"mail": revoke()})
    us.hear(eu)
    eu.write({"mail": revoke()}, source="cdp")
    assert us.write({"mail": grant()}) == ("mail",)
    assert not us.is_denied("mail")
    us.hear(eu)
    assert us.is_denied("mail")
    us.write({"mail": grant()})
    eu.hear(us)
    assert not eu.is_denied("mail")


def test_revoking_again_stands_against_a_grant_that_saw_only_the_first():
    """Therefore a repeated revocation is no no-op, though it changes nothing that is read here."""
    eu, us = Author(EU), Author(US)
    eu.write({"mail": revoke()})
    us.hear(eu)
    us.write({"mail": grant()})
    assert eu.write({"mail": revoke()}) == ("mail",)
    us.hear(eu)
    assert us.is_denied("mail")
    assert len(eu.document.cells) == 1, "and it takes no more room"


STEP = st.tuples(
    st.sampled_from([0, 1, 2]),
    st.sampled_from(["add", "remove", "revoke", "grant", "hear"]),
    st.sampled_from(["crm", "cdp"]),
    st.sampled_from([0, 1, 2]),
)


@given(st.lists(STEP, max_size=30))
def test_exactly_the_claims_that_no_remover_saw_stand(steps):
    """An oracle of sets: every replica knows claims and what was marked; nothing else counts."""
    authors = [Author(number + 1) for number in range(3)]
    claims = [{"add": set(), "revoke": set()} for _ in authors]
    marked = [{"add": set(), "revoke": set()} for _ in authors]
    operations = {"add": ("tags", add("x")), "remove": ("tags", remove("x")),
                  "revoke": ("mail", revoke()), "grant": ("mail", grant())}  # fmt: skip
    for number, (who, verb, source, whom) in enumerate(steps):
        author = authors[who]
        if verb == "hear":
            author.hear(authors[whom])
            for kind in ("add", "revoke"):
                claims[who][kind] |= claims[whom][kind]
                marked[who][kind] |= marked[whom][kind]
            continue
        field, operation = operations[verb]
        changed = author.write({field: operation}, source=source)
        if verb in ("add", "revoke"):
            if changed:
                claims[who][verb].add(number)
        else:
            kind = "add" if verb == "remove" else "revoke"
            marked[who][kind] |= claims[who][kind]
    for author, mine, gone in zip(authors, claims, marked, strict=True):
        assert author.has("tags", "x") == bool(mine["add"] - gone["add"])
        assert author.is_denied("mail") == bool(mine["revoke"] - gone["revoke"])


# --- kinds ----------------------------------------------------------------------------------------

OPERATIONS = {"email": "x", "logins": increment(), "tags": add("x"), "mail": grant()}


@pytest.mark.parametrize("field", OPERATIONS)
@pytest.mark.parametrize("other", OPERATIONS)
@pytest.mark.parametrize("is_declared", [True, False])
def test_an_operation_fits_its_own_kind_only(field, other, is_declared):
    author = Author(schema=DECLARED if is_declared else None)
    author.write(OPERATIONS)
    if field == other:
        author.write({field: OPERATIONS[other]})
    else:
        reason = "declared as" if is_declared else "of this profile is"
        author.refuses(KindConflict, {field: OPERATIONS[other]}, reason)
        author.refuses(KindConflict, {field: OPERATIONS[other]}, reason, source="cdp")


def test_clearing_is_a_register_s_operation():
    author = Author(schema=DECLARED)
    author.refuses(KindConflict, {"tags": None}, "declared as a set")
    author.refuses(KindConflict, {"mail": set_value(None)}, "declared as a consent")


def test_a_field_that_was_declared_later_takes_its_declared_kind_only():
    author = Author()
    author.write({"logins": 5})
    author.schema = DECLARED
    author.refuses(KindConflict, {"logins": 6}, "declared as a counter")
    author.refuses(KindConflict, {"logins": 5}, "declared as a counter")
    assert author.write({"logins": increment()}) == ("logins",)


def test_one_bad_field_keeps_the_good_ones_out():
    author = Author(schema=DECLARED)
    author.refuses(KindConflict, {"name": "n", "logins": "many"})
    assert author.document.cells == {}
