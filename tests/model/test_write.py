"""plan_write: what a source's operations mean for a document, and what is refused, exactly."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstore import limits
from crdtstore.errors import (
    InvalidInput,
    InvalidName,
    InvalidOperation,
    InvalidValue,
    KindConflict,
    LimitExceeded,
)
from crdtstore.model.cells import (
    counter_key,
    denial_key,
    grant_key,
    parse_key,
    register_key,
    set_key,
)
from crdtstore.model.document import Document, absorb, canonical_bytes, join
from crdtstore.model.operations import (
    EditSet,
    Increment,
    add,
    edit_set,
    grant,
    increment,
    remove,
    revoke,
    set_value,
)
from crdtstore.model.write import WriteContext, plan_write
from crdtstore.schema import Field, Schema

EU, US = 1, 2
DECLARED = Schema(
    fields={
        "email": Field("register"),
        "logins": Field("counter"),
        "tags": Field("set"),
        "mail": Field("consent"),
    }
)


class Author:
    """A replica of one document, with a clock; ``write`` plans and joins what it planned."""

    def __init__(self, origin=EU, schema=None, document=None, clock=0):
        self.origin, self.schema = origin, schema or Schema()
        self.document = document or Document()
        self.clock = clock

    def plan(self, fields, source="crm"):
        self.clock += 1
        context = WriteContext(self.document, self.schema, source, self.clock, self.origin)
        return plan_write(context, fields)

    def write(self, fields, source="crm"):
        before = canonical_bytes(self.document)
        delta, changed = self.plan(fields, source)
        assert canonical_bytes(self.document) == before, "planning changes nothing"
        absorb(self.document, self.document.epoch, delta, [])
        return changed

    def refuses(self, error, fields, match=None, source="crm"):
        before = canonical_bytes(self.document)
        with pytest.raises(error, match=match):
            self.plan(fields, source)
        assert canonical_bytes(self.document) == before

    def hear(self, other):
        self.document = join(self.document, other.document)
        self.clock = max(self.clock, other.clock)

    def has(self, field, element):
        return any(
            parse_key(key).field == field
            and parse_key(key).element == f"t{element}"
            and cell[0] > cell[1]
            for key, cell in self.document.cells.items()
            if key[0] == "s"
        )

    def is_denied(self, field):
        return any(
            cell[0] > cell[1]
            for key, cell in self.document.cells.items()
            if key[0] == "d" and parse_key(key).field == field
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


# --- what is no input -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "error", "reason"),
    [
        ({"": 1}, InvalidName, "field name"),
        ({" ": 1}, InvalidName, "field name"),
        ({"a\x1fb": 1}, InvalidName, "control"),
        ({"f" * 129: 1}, InvalidName, "128"),
        ({"\ud800": 1}, InvalidName, "surrogate"),
        ({1: 1}, InvalidName, "int"),
        ({"": add("x")}, InvalidName, "field name"),
        ({"f" * 129: increment()}, InvalidName, "128"),
        ({"x": float("nan")}, InvalidValue, "'x'.*finite"),
        ({"x": float("-inf")}, InvalidValue, "'x'.*finite"),
        ({"x": [1, float("nan")]}, InvalidValue, "finite"),
        ({"x": 2**63}, InvalidValue, "64 bits"),
        ({"x": -(2**63) - 1}, InvalidValue, "64 bits"),
        ({"x": {"a": 2**64}}, InvalidValue, "64 bits"),
        ({"x": "\ud800"}, InvalidValue, "surrogate"),
        ({"x": {"\ud800": 1}}, InvalidValue, "surrogate"),
        ({"x": {1: 1}}, InvalidValue, "map key"),
        ({"x": object()}, InvalidValue, "object is not a value"),
        ({"x": (1,)}, InvalidValue, "tuple is not a value"),
        ({"x": {1}}, InvalidValue, "set is not a value"),
        ({"x": datetime(2024, 1, 1)}, InvalidValue, "time zone"),
        ({"x": set_value(add("x"))}, InvalidValue, "EditSet is not a value"),
        ({"n": Increment("1")}, InvalidOperation, "str"),
        ({"n": Increment(True)}, InvalidOperation, "bool"),
        ({"n": Increment(None)}, InvalidOperation, "NoneType"),
        ({"n": Increment(2**63)}, InvalidValue, "64 bits"),
        ({"n": Increment(float("nan"))}, InvalidValue, "finite"),
        ({"t": add(None)}, InvalidValue, "element"),
        ({"t": add([1])}, InvalidValue, "not a list"),
        ({"t": remove({"a": 1})}, InvalidValue, "not a dict"),
        ({"t": add(object())}, InvalidValue, "element"),
        ({"t": add(float("nan"))}, InvalidValue, "element"),
        ({"t": add("\ud800")}, InvalidValue, "surrogate"),
        ({"t": edit_set(add=("a",), remove=("a",))}, InvalidOperation, "both"),
        ({"t": EditSet(add="vip")}, InvalidOperation, "tuple"),
        ({"t": EditSet(remove=5)}, InvalidOperation, "tuple"),
        ({"t": EditSet(add={"a": 1})}, InvalidOperation, "tuple"),
    ],
)
def test_wrong_input_is_refused_with_a_reason(fields, error, reason):
    author = Author()
    author.refuses(error, {"good": 1, **fields}, reason)
    assert author.document.is_absent


@given(
    st.dictionaries(
        st.text(max_size=5) | st.integers(),
        st.recursive(
            st.none() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes()
            | st.builds(EditSet, st.lists(st.none() | st.text() | st.floats()), st.just(()))
            | st.builds(Increment, st.integers() | st.floats() | st.text()),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
        max_size=4,
    )
)  # fmt: skip
def test_any_input_is_planned_or_refused_as_invalid(fields):
    author = Author()
    try:
        author.write(fields)
    except InvalidInput:
        assert author.document.is_absent


# --- limits ---------------------------------------------------------------------------------------


def test_a_value_at_its_limit_is_taken_and_one_byte_more_is_not():
    author = Author()
    size = limits.VALUE_BYTES_MAX
    for value in ("x" * size, b"x" * size, ["x" * (size - 4)]):
        author.write({"x": value})
        longer = value + value[:1] if type(value) is not list else [value[0] + "x"]
        author.refuses(LimitExceeded, {"x": longer}, "'x' has 65,537 bytes; the limit is 65,536")


def test_a_value_is_nested_so_deep_and_no_deeper():
    def nested(depth):
        return [nested(depth - 1)] if depth else 1

    author = Author()
    author.write({"x": nested(limits.VALUE_DEPTH_MAX - 1)})
    author.refuses(LimitExceeded, {"x": nested(limits.VALUE_DEPTH_MAX)}, "33 levels")


def test_an_element_is_so_long_and_no_longer():
    author = Author()
    author.write({"tags": add("x" * (limits.ELEMENT_BYTES_MAX - 3))})
    author.refuses(
        LimitExceeded, {"tags": add("x" * (limits.ELEMENT_BYTES_MAX - 2))}, "513 bytes.*512"
    )


def test_a_set_has_so_many_elements_and_no_more(monkeypatch):
    monkeypatch.setattr(limits, "ELEMENTS_PER_SET_MAX", 4)
    author = Author()
    author.refuses(LimitExceeded, {"tags": add(*"abcde")}, "'tags' has 5 elements.* 4")
    author.write({"tags": add(*"abcd")})
    author.refuses(LimitExceeded, {"tags": add("e")}, "5 elements")
    assert author.write({"tags": add("a")}, source="cdp") == ("tags",), "it has that one already"
    assert author.write({"other": add(*"abcd")}) == ("other",)
    assert author.write({"tags": edit_set(add=("e",), remove=("a",))}) == ("tags",)
    author.refuses(LimitExceeded, {"tags": add("a")}, "5 elements")


def test_a_set_that_grew_too_large_by_a_join_can_be_made_smaller(monkeypatch):
    monkeypatch.setattr(limits, "ELEMENTS_PER_SET_MAX", 3)
    eu, us = Author(EU), Author(US)
    eu.write({"tags": add(*"abc")})
    us.write({"tags": add(*"def")})
    eu.hear(us)
    eu.refuses(LimitExceeded, {"tags": add("g")}, "7 elements")
    assert eu.write({"tags": remove("a")}) == ("tags",)


def test_fields_of_a_profile_are_counted(monkeypatch):
    author = Author()
    author.write({f"f{number}": 1 for number in range(limits.FIELDS_PER_DOCUMENT_MAX)})
    author.refuses(LimitExceeded, {"new": 1}, "1,001 fields; the limit is 1,000")
    assert author.write({"f0": 2}) == ("f0",)
    assert author.write({"f0": 2}, source="cdp") == ("f0",)
    Author().refuses(LimitExceeded, {f"f{number}": 1 for number in range(1001)}, "1,001 fields")


def test_sources_of_a_profile_are_counted():
    author = Author()
    for number in range(limits.SOURCES_PER_DOCUMENT_MAX):
        author.write({"x": 1, "tags": add("a")}, source=f"s{number}")
    author.refuses(LimitExceeded, {"x": 1}, "65 sources; the limit is 64", source="new")
    author.refuses(LimitExceeded, {"tags": add("b")}, "sources", source="new")
    assert author.write({"x": 2}, source="s0") == ("x",)
    assert author.write({"tags": remove("a")}, source="new") == ("tags",), "it brings no source in"


@pytest.mark.parametrize(("start", "amount"), [(2**63 - 1, 1), (-(2**63), -1), (1e308, 1e308)])
def test_a_counter_does_not_overflow(start, amount):
    author = Author()
    author.write({"n": Increment(start)})
    author.refuses(InvalidValue, {"n": Increment(amount)}, "'n': the counter would overflow")
    assert author.document.cells[counter_key("n", "crm", EU)][2] == start
