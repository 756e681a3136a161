"""Contests: whatever guests write under whose ids, equal edits make equal texts."""

import random
from itertools import permutations

import pytest

from crdtstore.errors import InvalidValue
from crdtstore.model.contests import contest_of, together
from crdtstore.model.texts import Text
from crdtstore.model.update_contents import ANY, DELETED, STRING, UpdateAhead
from crdtstore.model.update_parts import normal_form
from crdtstore.model.updates import Block, Place, Update, decode_update, encode_update, fit

pytest.importorskip("pycrdt")

_WORDS = ("a", "bc", "😀", "x😀", "😁y", "def", "é😀z")


def _typed(client: int, word: str, clock: int = 0, left: Place | None = None) -> bytes:
    length = len(word.encode("utf-16-le")) >> 1
    block = Block(clock, length, STRING, left, None, word)
    return encode_update(Update({client: [block]}, {}), "text")


def _text_of(*updates: bytes, kind: str = "text") -> Text:
    text = Text(kind)
    for raw in updates:
        text.take_whole(raw, decode_update(raw, kind), ())
    text.compact()
    return text


def _states(*updates: bytes) -> set[tuple[bytes, str]]:
    texts = [_text_of(*order) for order in permutations(updates)]
    return {(normal_form(text.encode(), "text"), text.value) for text in texts}


def test_what_was_written_twice_alike_is_no_contest() -> None:
    one = decode_update(_typed(5, "hello 😀"), "text")
    longer = decode_update(_typed(5, "hello 😀, you"), "text")
    assert contest_of(one, longer, {}) is None
    assert contest_of(longer, one, {}) is None


def test_one_id_with_two_contents_is_deleted_wherever_they_differ() -> None:
    assert {value for _, value in _states(_typed(5, "hello"), _typed(5, "help!"))} == {"hel"}
    assert len(_states(_typed(5, "hello"), _typed(5, "wor"), _typed(5, "he"))) == 1


@pytest.mark.parametrize("other", ["a", "ab", "a😀", "😁", "abc"])
def test_a_character_of_which_a_half_is_contested_is_deleted_whole(other: str) -> None:
    assert len(_states(_typed(5, "😀z"), _typed(5, other))) == 1


def test_one_id_at_two_places_stands_behind_what_its_client_wrote() -> None:
    base = _typed(1, "base")
    one, other = (_typed(5, "xy", left=(1, place)) for place in (0, 2))
    assert _text_of(base, one, other).value == _text_of(base, other, one).value == "basexy"


def test_a_deletion_that_only_one_has_heard_of_is_no_contest() -> None:
    alive = decode_update(_typed(5, "hello"), "text")
    gone = Update({5: [Block(0, 5, DELETED, None, None, None)]}, {5: [(0, 5)]})
    assert contest_of(alive, gone, {}) is None
    assert contest_of(gone, alive, {}) is None
    unsaid = contest_of(alive, gone._replace(deleted={}), {})
    assert unsaid is not None
    assert unsaid.deleted == {5: [(0, 5)]}


def test_items_of_lists_are_contested_one_by_one() -> None:
    items = (b"\x77\x01a", b"\x77\x01b", b"\x77\x01c")
    updates = [
        encode_update(Update({5: [Block(0, 3, ANY, None, None, given)]}, {}), "list")
        for given in (items, (items[0], items[2], items[2]))
    ]
    for order in permutations(updates):
        assert _text_of(*order, kind="list").value == ["a", "c"]


def test_a_character_in_which_something_stands_is_deleted_as_where_that_was_taken() -> None:
    emoji, gone = _typed(5, "😀z"), encode_update(Update({}, {5: [(0, 2)]}), "text")
    within = _typed(7, "w", left=(5, 0))
    assert _text_of(emoji, gone, within).value == _text_of(emoji, within, gone).value == "zw"
    known = _text_of(emoji)
    both = Update(decode_update(within, "text").blocks, {5: [(0, 2)]})
    with pytest.raises(UpdateAhead):
        fit(both, known.clocks, known.pairs)
    with pytest.raises(InvalidValue):
        fit(both._replace(deleted={}), known.clocks, known.pairs)


def test_what_deletes_a_character_and_stands_in_it_goes_in_whether_that_is_known_or_not() -> None:
    base = _typed(1, "a😀z")
    within = Update({2: [Block(0, 1, STRING, (1, 1), (1, 2), "w")]}, {1: [(1, 2)]})
    known = _text_of(base, encode_update(within, "text"))
    whole = Update({**decode_update(base, "text").blocks, **within.blocks}, within.deleted)
    at_once = _text_of(encode_update(whole, "text"))
    assert known.value == at_once.value == "awz"
    assert normal_form(known.encode(), "text") == normal_form(at_once.encode(), "text")


def test_without_native_code_the_parts_tell_the_same() -> None:
    first, second = _typed(5, "he"), _typed(5, "llo", 2, (5, 1))
    updates = [decode_update(raw, "text") for raw in (first, second)]
    assert contest_of(together(updates), decode_update(_typed(5, "hello"), "text"), {}) is None


def _guests(chance: random.Random) -> list[list[bytes]]:
    """Return what guests write at each of some replicas: anything that the scan lets pass."""
    sides = []
    for _ in range(chance.choice((2, 2, 3))):
        clocks: dict[int, int] = {}
        edits: list[bytes] = []
        for _ in range(chance.randrange(1, 6)):
            client = chance.choice((1, 2, 3))
            known = [(c, k) for c, end in clocks.items() for k in range(end)]
            left, right = (chance.choice([None, *known]) for _ in range(2))
            clock = clocks.get(client, 0)
            word = chance.choice(_WORDS)
            length = len(word.encode("utf-16-le")) >> 1
            block = Block(clock, length, STRING, left, None if left == right else right, word)
            clocks[client] = clock + length
            deleted = {}
            if known and chance.random() < 0.3:
                place = chance.choice(known)
                deleted = {place[0]: [(place[1], 1)]}
            edits.append(encode_update(Update({client: [block]}, deleted), "text"))
        sides.append(edits)
    return sides


@pytest.mark.parametrize("seed", range(300))
def test_guests_who_take_ids_and_lie_about_places_part_no_replicas(seed: int) -> None:
    chance = random.Random(seed)
    sides = _guests(chance)
    given = []
    for edits in sides:
        text = Text("text")
        taken: list[bytes] = []
        for raw in edits:
            update = decode_update(raw, "text")
            try:
                fitted = fit(update, text.clocks, text.pairs)
            except InvalidValue:
                continue
            if not fitted.is_empty:
                news = text.join(encode_update(fitted, "text"))
                text.take(news, decode_update(news, "text"))
                taken.append(news)
        given.append(taken)
    states = set()
    for _ in range(6):
        queues = [list(taken) for taken in given]
        text = Text("text")
        while any(queues):
            queue = chance.choice([queue for queue in queues if queue])
            raw = queue.pop(0)
            text.take_whole(raw, decode_update(raw, "text"), ())
            if chance.random() < 0.2:
                text.compact()
        text.compact()
        states.add((normal_form(text.encode(), "text"), text.value))
    assert len(states) == 1
