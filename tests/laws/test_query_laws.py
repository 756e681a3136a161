"""A law: whatever was written, and wherever it lies, a query answers as the plain way does."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crdtstore import Field, Schema, add, increment, remove
from crdtstore.errors import Refused
from crdtstore.schema import maximum, source_priority
from tests.engine.indexed import answered, check_keys
from tests.engine.stores import open_store, reopened, send
from tests.query.oracle import wanted

SCHEMA = Schema(
    fields={
        "a": Field(indexed=True, policy=source_priority("crm")),
        "b": Field(indexed=True, policy=maximum()),
        "s": Field("set", indexed=True),
        "n": Field("counter", indexed=True),
        "free": Field(),
    }
)
UNINDEXED = Schema(
    fields={name: Field(field.kind, field.policy) for name, field in SCHEMA.fields.items()}
)
TEXTS = st.text(st.sampled_from('aé\x00"\\ z'), max_size=3)
SCALARS = st.integers(-3, 3) | st.sampled_from([0.5, 2**60, 1.5e300]) | TEXTS | st.booleans()
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.none()
FIELDS = st.sampled_from(["a", "b", "s", "n", "free"])
ELEMENTS = st.integers(-2, 2) | TEXTS


def literal(value: Any) -> str:
    """Return a value as a filter writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\u{ord(each):04x}" for each in value) + '"'
    return repr(value)


COMPARISONS = (
    st.builds("{} {} {}".format, FIELDS, st.sampled_from(["eq", "ne"]), SCALARS.map(literal))
    | st.builds(
        "{} {} {}".format,
        FIELDS,
        st.sampled_from(["gt", "ge", "lt", "le"]),
        (st.integers(-3, 3) | TEXTS).map(literal),
    )
    | st.builds("{} {} {}".format, FIELDS, st.sampled_from(["co", "sw", "ew"]), TEXTS.map(literal))
    | st.builds("{} pr".format, FIELDS)
)
FILTERS = st.recursive(
    COMPARISONS,
    lambda inner: (
        st.builds("({} and {})".format, inner, inner)
        | st.builds("({} or {})".format, inner, inner)
        | st.builds("not ({})".format, inner)
    ),
    max_leaves=5,
)
ORDERS = st.just("") | st.builds("{}{}".format, st.sampled_from(["", "-"]), FIELDS)
PROFILES = st.sampled_from(["p", "q", "r", "pp", "é"])
WRITES = st.one_of(
    st.tuples(PROFILES, st.fixed_dictionaries({}, optional={"a": VALUES, "b": VALUES,
                                                            "free": VALUES})),
    st.tuples(PROFILES, st.builds(lambda each: {"s": add(each)}, ELEMENTS)),
    st.tuples(PROFILES, st.builds(lambda each: {"s": remove(each)}, ELEMENTS)),
    st.tuples(PROFILES, st.builds(lambda each: {"n": increment(each)}, st.integers(1, 3))),
    st.tuples(PROFILES, st.sampled_from(["erase", "revive", "commit", "rest", "crash"])),
)  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=150)
@given(
    st.lists(st.tuples(WRITES, st.sampled_from(["crm", "cdp"]), st.booleans()), max_size=20),
    st.lists(st.tuples(FILTERS, ORDERS), min_size=1, max_size=5),
    st.sampled_from([1, 2, 100]),
)
def test_indexes_never_change_an_answer(
    history: list[Any], queries: list[tuple[str, str]], limit: int
) -> None:
    eu, us = open_store(name="eu", schema=SCHEMA), open_store(name="us", schema=SCHEMA)
    for (profile_id, what), source, is_eu in history:
        store = eu if is_eu else us
        try:
            match what:
                case "erase":
                    store.erase(profile_id)
                case "revive":
                    store.revive(profile_id)
                case "commit" | "rest":
                    store.commit(checkpoint=what == "rest")
                case "crash" if is_eu:
                    eu = reopened(eu, schema=SCHEMA)
                case dict():
                    store.write(profile_id, what, source=source)
        except Refused:
            continue
        where, order = queries[0]
        store = eu if is_eu else us
        assert answered(store, where, order, limit) == wanted(store, where, order)
    for one, other in ((eu, us), (us, eu)):
        one.commit()
        send(one, other)
    plain = reopened(us, schema=UNINDEXED)
    for where, order in queries:
        expected = wanted(us, where, order)
        assert answered(eu, where, order, limit) == expected
        assert answered(us, where, order, limit) == expected
        assert answered(plain, where, order, limit) == expected
        assert eu.queries.count(where).count == len(expected)
    for store in (eu, us):
        store.commit(checkpoint=True)
        check_keys(store)
