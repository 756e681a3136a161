"""Traits: what is folded in, what reads of it, and what becomes of versions and origins."""

import math
import random

import msgpack
import pytest

from crdtstore import limits
from crdtstore.errors import InvalidOperation, InvalidValue, KindConflict, LimitExceeded
from crdtstore.model.cells import check_cells, trait_key
from crdtstore.model.folds import FOLDS
from crdtstore.model.golden import explain, resolve
from crdtstore.model.operations import fold_in, from_json
from crdtstore.model.quantiles import payload_of
from crdtstore.model.theta import THETA_WHOLE, Theta, encode
from crdtstore.model.traits import partial_of, trait_at
from crdtstore.model.values import OPAQUE_EXT_CODE, pack
from crdtstore.schema import Field, Schema
from tests.model.author import EU, US, Author

SCHEMA = Schema(fields={"orders": Field("trait")})
DAY_MS = 86_400_000


def value(author, field="orders"):
    return resolve("ann", author.document, author.schema).get(field)


def folded(*operations):
    """Return what operations of one author, one after the other, read as."""
    author = Author(schema=SCHEMA)
    for operation in operations:
        author.write({"orders": operation})
    return value(author)


def test_each_origin_keeps_a_partial_and_readers_see_all():
    eu, us = Author(EU, SCHEMA), Author(US, SCHEMA)
    eu.write({"orders": fold_in("count", 2)})
    eu.write({"orders": fold_in("count", 1)})
    us.write({"orders": fold_in("count", 4)})
    eu.hear(us)
    us.hear(eu)
    us.hear(eu)
    assert value(eu) == value(us) == 7
    accounts = explain("ann", eu.document, SCHEMA, {EU: "eu", US: "us"}, "orders")
    assert {(c.replica, c.value[3], c.survives, c.rule) for c in accounts} == {
        ("eu", 3, True, "trait: a partial of it"),
        ("us", 4, True, "trait: a partial of it"),
    }


def test_a_new_origin_begins_with_nothing_and_counts_nothing_twice():
    before = Author(EU, SCHEMA)
    before.write({"orders": fold_in("count", 5)})
    restored = Author(US, SCHEMA, before.document, before.clock)
    restored.write({"orders": fold_in("count", 1)})
    assert partial_of(restored.document.cells[trait_key("orders", "crm", US)][2]).payload == 1
    before.hear(restored)
    assert value(before) == value(restored) == 6


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([fold_in("count", 2), fold_in("count", 3)], 5),
        ([fold_in("sum", 1999, options=[2]), fold_in("sum", -500, options=[2])], 14.99),
        ([fold_in("sum", 7, options=[0])], 7),
        ([fold_in("average", [300, 2], options=[2]), fold_in("average", [0, 1], options=[2])], 1.0),
        ([fold_in("minimum", 5, options=[1]), fold_in("minimum", -5, options=[1])], -0.5),
        ([fold_in("maximum", 5, options=[0]), fold_in("maximum", -5, options=[0])], 5),
        ([fold_in("first", [9, "b", "late"]), fold_in("first", [3, "a", "early"])], "early"),
        ([fold_in("last", [9, "b", "late"]), fold_in("last", [9, "c", "later"])], "later"),
        ([fold_in("unique_list", ["b", "c"]), fold_in("unique_list", ["a", "b"])], ["a", "b", "c"]),
        ([fold_in("unique_list", [True, 1.5, 1, "1"][:1])], [True]),
    ],
    ids=repr,
)
def test_what_is_folded_in_reads_as(operations, expected):
    got = folded(*operations)
    assert (got, type(got)) == (expected, type(expected))


def test_the_most_frequent_value_is_the_first_in_the_alphabet_of_those_that_were_often_enough():
    def seen(**counts):
        return fold_in("most_frequent", [[k, n] for k, n in sorted(counts.items())], options=[2])

    assert folded(seen(a=1, b=1)) is None
    assert folded(seen(a=1, b=1), seen(b=1)) == "b"
    assert folded(seen(a=1, b=2), seen(a=1)) == "a"


def test_values_beyond_the_bound_are_left_out_rarest_first():
    words = [f"w{number:03}" for number in range(limits.TRAIT_VALUES_MAX)]
    often = fold_in("most_frequent", [[word, 2] for word in words], options=[1])
    rare = fold_in("most_frequent", [["a", 1]], options=[1])
    author = Author(schema=SCHEMA)
    author.write({"orders": often})
    assert author.write({"orders": rare}) == ()
    listed = Author(schema=SCHEMA)
    listed.write({"orders": fold_in("unique_list", words)})
    listed.write({"orders": fold_in("unique_list", ["a"])})
    assert value(listed) == ["a", *words[:-1]]


def test_a_sum_stops_at_the_ends_of_64_bits():
    great = fold_in("sum", limits.INTEGER_MAX, options=[0])
    assert folded(great, great) == limits.INTEGER_MAX


def test_a_window_reads_all_its_buckets_and_is_folded_at_a_time():
    options = [DAY_MS, 7, "count", []]

    def on(day, count):
        return fold_in("windows", [[day, count]], options=options)

    record = folded(on(10, 1), on(16, 2), on(12, 4))
    assert record == {
        "fold": "windows", "options": options, "payload": [[10, 1], [12, 4], [16, 2]],
    }  # fmt: skip
    at_noon = DAY_MS // 2
    assert trait_at(record, 16 * DAY_MS + at_noon) == 7
    assert trait_at(record, 17 * DAY_MS) == 6
    assert trait_at(record, 22 * DAY_MS + at_noon) == 2
    assert trait_at(record, 23 * DAY_MS) is None
    assert trait_at(folded(on(10, 1), on(30, 1)), 30 * DAY_MS) == 1
    assert trait_at(5, 0) == 5


def test_sessions_of_two_origins_are_joined_where_the_gap_is_small():
    def visit(start, end, events):
        return fold_in("sessions", [[0, 0, 0], [[start, end, events]]], options=[30])

    eu, us = Author(EU, SCHEMA), Author(US, SCHEMA)
    eu.write({"orders": visit(0, 10, 2)})
    eu.write({"orders": visit(50, 60, 2)})
    assert value(eu)["sessions"] == 2
    us.write({"orders": visit(30, 35, 1)})
    us.hear(eu)
    assert value(us) == {
        "sessions": 1, "events": 5, "duration_ms": 60, "last_started_ms": 0, "last_ended_ms": 60,
    }  # fmt: skip


def test_many_sessions_are_settled_and_still_counted(monkeypatch):
    monkeypatch.setattr(limits, "TRAIT_SESSIONS_MAX", 3)
    author = Author(schema=SCHEMA)
    for number in range(10):
        start = 1_000 * number
        one = [[0, 0, 0], [[start, start + 5, 2]]]
        author.write({"orders": fold_in("sessions", one, options=[30])})
    assert value(author)["sessions"] == 10
    assert (value(author)["events"], value(author)["duration_ms"]) == (20, 50)
    assert len(partial_of(next(iter(author.document.cells.values()))[2]).payload[1]) == 3


@pytest.mark.parametrize("ranks", [[5_000, 9_500], [0, 10_000, 9_990]])
def test_quantiles_are_within_their_accuracy(ranks):
    chance = random.Random(7)
    amounts = [chance.choice([-1, 1, 1, 1]) * chance.lognormvariate(3, 2) for _ in range(5_000)]
    amounts += [0.0] * 50
    fold, options = FOLDS["quantiles"], [10, *ranks]
    payload = payload_of(amounts[0], 10)
    for amount in amounts[1:]:
        payload = fold.unite(payload, payload_of(amount, 10), options)
    fold.check(payload, options)
    amounts.sort()
    for rank, (name, got) in zip(ranks, fold.value(payload, options).items(), strict=True):
        assert name == f"p{rank / 100:g}"
        exact = amounts[rank * (len(amounts) - 1) // 10_000]
        assert math.isclose(got, exact, rel_tol=0.0101)


def test_many_buckets_of_quantiles_lose_the_least_amounts(monkeypatch):
    monkeypatch.setattr(limits, "TRAIT_QUANTILE_BUCKETS_MAX", 4)
    fold, options = FOLDS["quantiles"], [10, 0, 10_000]
    payload = payload_of(1, 10)
    for exponent in range(8):
        payload = fold.bounded(
            fold.unite(payload, payload_of(10.0**exponent, 10), options), options
        )
    assert sum(count for _, count in payload[2]) == 9
    assert len(payload[2]) == 4
    assert math.isclose(fold.value(payload, options)["p100"], 1e7, rel_tol=0.0101)


def test_a_newer_version_starts_anew_and_an_older_one_is_too_late():
    author, other = Author(EU, SCHEMA), Author(US, SCHEMA)
    author.write({"orders": fold_in("count", 5)})
    other.write({"orders": fold_in("count", 5)})
    author.write({"orders": fold_in("sum", 1, options=[0], version=2)})
    author.refuses(InvalidOperation, {"orders": fold_in("count", 1)}, "too late")
    author.hear(other)
    assert value(author) == 1
    rules = {c.rule for c in explain("ann", author.document, SCHEMA, {}, "orders")}
    assert "outdated: another version of this trait counts" in rules
    author.refuses(
        InvalidOperation, {"orders": fold_in("count", 1, version=2)}, "takes a greater version"
    )


def test_folding_in_what_is_there_already_is_no_news():
    author = Author(schema=SCHEMA)
    assert author.write({"orders": fold_in("unique_list", ["a"])}) == ("orders",)
    assert author.write({"orders": fold_in("unique_list", ["a"])}) == ()


@pytest.mark.parametrize(
    "operation",
    [
        fold_in("median", 1),
        fold_in(7, 1),
        fold_in("count", -1),
        fold_in("count", True),
        fold_in("count", 1.5),
        fold_in("count", 2**63),
        fold_in("count", 1, options=[1]),
        fold_in("count", 1, version=0),
        fold_in("count", 1, options=None),
        fold_in("sum", 1),
        fold_in("sum", 1, options=[10]),
        fold_in("sum", 1.5, options=[2]),
        fold_in("average", [1, 0], options=[2]),
        fold_in("last", [1, 2, "a"]),
        fold_in("last", [1, "a", None]),
        fold_in("last", [1, "a", "\ud800"]),
        fold_in("last", [1, "a", math.inf]),
        fold_in("last", [1, "a", "x" * 257]),
        fold_in("unique_list", ["b", "a"]),
        fold_in("unique_list", ["a", "a"]),
        fold_in("unique_list", [[]]),
        fold_in("unique_list", ("a",)),
        fold_in("most_frequent", [["a", 0]], options=[2]),
        fold_in("unique_count", b"", options=[5]),
        fold_in("unique_count", b"", options=[13]),
        fold_in("quantiles", [[], 0, [[1, 1], [1, 1]]], options=[10, 5_000]),
        fold_in("quantiles", [[], 0], options=[10, 5_000]),
        fold_in("quantiles", [[], 0, []], options=[10]),
        fold_in("quantiles", [[], 0, []], options=[10, 10_001]),
        fold_in("sessions", [[0, 0, 0], [[5, 4, 1]]], options=[30]),
        fold_in("sessions", [[0, 0, 0], [[0, 4, 1], [5, 6, 1]]], options=[30]),
        fold_in("windows", [[1, 1]], options=[1, 401, "count", []]),
        fold_in("windows", [[1, 1]], options=[1, 2, "windows", []]),
        fold_in("windows", [[1, 1]], options=[1, 2, [], []]),
        fold_in("windows", [[1, 1], [9, 1]], options=[1, 2, "count", []]),
        fold_in("windows", [[1, -1]], options=[1, 2, "count", []]),
    ],
    ids=repr,
)
def test_what_cannot_be_folded_in_is_refused(operation):
    Author(schema=SCHEMA).refuses(InvalidOperation, {"orders": operation}, "field 'orders'")


def test_a_partial_that_grows_beyond_its_limit_is_refused():
    words = [f"{number:03}" + "x" * 240 for number in range(150)]
    options = [DAY_MS, 3, "unique_list", []]
    author = Author(schema=SCHEMA)
    author.write({"orders": fold_in("windows", [[1, words]], options=options)})
    author.refuses(
        LimitExceeded, {"orders": fold_in("windows", [[2, words]], options=options)}, "65,536"
    )


def test_a_trait_is_no_register():
    Author(schema=SCHEMA).refuses(KindConflict, {"orders": 5}, "declared as a trait")
    author = Author()
    author.write({"orders": 5})
    author.refuses(KindConflict, {"orders": fold_in("count", 1)}, "is a register")


KEY = trait_key("orders", "cdp", 255)


def opaque(*parts):
    return msgpack.ExtType(OPAQUE_EXT_CODE, pack(parts))


def test_a_sound_partial_of_a_peer_is_accepted():
    check_cells({KEY: (1, 255, opaque(1, "count", [], 3))}, 9)


def test_definitions_that_take_turns_are_told_apart():
    sound = [opaque(1, "count", [], 3), opaque(2, "sum", [2], -3), opaque(2, "sum", [0], 7)]
    for partial in sound * 2:
        check_cells({KEY: (1, 255, partial)}, 9)
        for other in (opaque(1, "count", [], -3), opaque(3, "sum", [10], 1)):
            with pytest.raises(InvalidValue):
                check_cells({KEY: (1, 255, other)}, 9)


def test_definitions_that_are_forgotten_are_learned_again(monkeypatch):
    monkeypatch.setattr(limits, "TRAIT_DEFINITIONS_REMEMBERED", 10)
    author = Author(schema=SCHEMA)
    for version in range(1, 50):
        author.write({"orders": fold_in("count", 1, version=version)})
        key = trait_key(f"orders{version}", "cdp", 255)
        check_cells({key: (1, 255, opaque(version, "count", [], 3))}, 9)


def test_options_that_a_caller_changes_later_are_those_of_its_writes():
    author = Author(schema=SCHEMA)
    options = [2]
    author.write({"orders": fold_in("sum", 100, options=options)})
    options[0] = 0
    author.refuses(InvalidOperation, {"orders": fold_in("sum", 100, options=options)}, "greater")
    author.write({"orders": fold_in("sum", 100, options=(2,))})
    assert value(author) == 2


@pytest.mark.parametrize(
    "operation",
    [
        fold_in("first", [9, "b", "late"]),
        fold_in("minimum", 9, options=[0]),
        fold_in("unique_count", encode(Theta(THETA_WHOLE, (5,))), options=[5]),
        fold_in("most_frequent", [], options=[1]),
    ],
)
def test_what_changes_nothing_is_no_news(operation):
    author = Author(schema=SCHEMA)
    author.write({"orders": operation})
    assert author.write({"orders": operation}) == ()


@pytest.mark.parametrize(
    "cell",
    [
        (1, 254, opaque(1, "count", [], 3)),
        (1, 255, opaque(1, "count", [], -3)),
        (1, 255, opaque(1, "counts", [], 3)),
        (1, 255, opaque(1, ["count"], [], 3)),
        (1, 255, opaque(0, "count", [], 3)),
        (1, 255, opaque(1, "count", [], 3, 4)),
        (1, 255, opaque()),
        (1, 255, "count"),
        (1, 255, 3),
        (1, 255, None),
        (1, 255, b"count"),
        (1, 255, msgpack.ExtType(2, pack((1, "count", [], 3)))),
        (1, 255, msgpack.ExtType(1, pack((1, "count", [], 3)) + b"\0")),
        (1, 255, msgpack.ExtType(1, pack((1, "count", [], 3))[:-1] + b"\xcc\x03")),
        (1, 255, msgpack.ExtType(1, b"\x94\xcc\x01" + pack((1, "count", [], 3))[2:])),
        (1, 255, msgpack.ExtType(1, b"\xdc\x00\x04" + pack((1, "count", [], 3))[1:])),
        (1, 255, msgpack.ExtType(1, pack((1, "count", [], 3))[:-1])),
        (1, 255, msgpack.ExtType(1, pack((1, "count", [], msgpack.ExtType(1, b"\x03"))))),
        (1, 255, msgpack.ExtType(1, b"\xdd\xff\xff\xff\xff")),
        (1, 255, msgpack.ExtType(1, b"\x91" * 2_000)),
        (1, 255, opaque(1, "unique_list", [], ["x" * 256] * 300)),
        (1, 0),
    ],
    ids=repr,
)
def test_a_partial_that_no_writer_makes_is_refused_whole(cell):
    with pytest.raises(InvalidValue):
        check_cells({KEY: cell}, 9)


def test_json_folds_in():
    body = {"fold_in": {"fold": "count", "payload": 3, "version": 2}}
    assert from_json("orders", body) == fold_in("count", 3, options=[], version=2)
    for wrong in (3, {"fold": "count"}, {"fold": "count", "payload": 3, "more": 1}):
        with pytest.raises(InvalidOperation, match="fold_in takes a map"):
            from_json("orders", {"fold_in": wrong})
    with pytest.raises(InvalidOperation, match="cannot be one operation"):
        from_json("orders", {"fold_in": body["fold_in"], "increment": 1})
