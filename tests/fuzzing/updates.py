"""Target: Yjs updates from outside, scanned, and what passes the scan joined to a text.

What is refused changes nothing. What is accepted goes in whole: it can be read, encoded, loaded
again, and joined in another order; nothing that was there is lost, and the next edit is not either.
"""

import random

from crdtstore.errors import InvalidValue
from crdtstore.model.edits import plan_list, plan_text
from crdtstore.model.texts import Text, client_of
from crdtstore.model.update_parts import normal_form, split_update
from crdtstore.model.updates import decode_update, encode_update, fit
from tests.fuzzing.target import Broken, Target
from tests.fuzzing.update_grammar import (
    REPRODUCERS,
    lying_update,
    mutated_update,
    nested,
    real_updates,
)

OWN = client_of(1, 0)
KINDS = ("text", "list")
EVERY = 0x80


def edited(text: Text, word: str, client: int = OWN) -> None:
    """Insert a word at the start of a text, or as the first item of a list."""
    if text.kind == "text":
        steps = plan_text(text.runs, [{"insert": word}], "character", "it")
    else:
        steps = plan_list(text.value, [{"at": 0, "insert": [word]}], "it")
    raw = text.edit(steps, client)
    text.take(raw, decode_update(raw, text.kind))


def prepared(kind: str, is_live: bool) -> Text:
    """Return a text: an empty one, or one with an own edit and one of another client."""
    text = Text(kind)
    if is_live:
        raw = real_updates(kind)[0]
        text.take(raw, decode_update(raw, kind))
        edited(text, "own")
    return text


def run_update(data: bytes) -> None:
    """Give one update to an empty or a live text or list, as the first byte says, or to all."""
    flags, raw = (data[0], data[1:]) if data else (0, b"")
    for each in range(4) if flags & EVERY else (flags & 3,):
        _run(each, raw)


def _run(flags: int, raw: bytes) -> None:
    kind = KINDS[flags & 1]
    text = prepared(kind, bool(flags & 2))
    before = text.encode(), dict(text.clocks)
    try:
        update = fit(decode_update(raw, kind), text.clocks, text.pairs)
    except InvalidValue:
        if (text.encode(), dict(text.clocks)) != before:
            raise Broken("a refused update changed the text") from None
        return
    if OWN in update.blocks:
        return
    fitted = encode_update(update, kind)
    if decode_update(fitted, kind) != update:
        raise Broken("an update is encoded as another one")
    news = text.join(fitted)
    text.take(news, decode_update(news, kind))
    text.value  # noqa: B018
    if kind == "text":
        text.runs  # noqa: B018
    state = normal_form(text.encode(), kind)
    other = Text(kind)
    for part in split_update(text.encode(), kind, 64):
        other.take_whole(part, decode_update(part, kind), ())
    if normal_form(other.encode(), kind) != state or dict(other.clocks) != dict(text.clocks):
        raise Broken("a text that was loaded again is another one")
    late = prepared(kind, bool(flags & 2))
    late.take_whole(fitted, decode_update(fitted, kind), ())
    if normal_form(late.encode(), kind) != state:
        raise Broken("what is news of an update is not all of it")
    edited(text, "after")
    if "after" not in text.value:
        raise Broken("an edit after it was lost")


def examples() -> list[bytes]:
    """Real updates of both kinds for empty and live texts."""
    return [
        bytes((place | live,)) + raw
        for place, kind in enumerate(KINDS)
        for live in (0, 2)
        for raw in (real_updates(kind)[0], real_updates(kind)[-1])
    ]


def corpus() -> dict[str, bytes]:
    """Return the inputs with names that the kept corpus holds: every known reproducer."""
    named = {name: bytes.fromhex(digits) for name, digits in REPRODUCERS.items()}
    named["items-nested-3000-deep"] = nested(3_000)
    return {name: bytes((EVERY,)) + raw for name, raw in named.items()}


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Change an input: its update, or a new one by the grammar."""
    flags = chance.randrange(4) if chance.random() < 0.1 or not data else data[0]
    if chance.random() < 0.3:
        return bytes((flags,)) + lying_update(chance, KINDS[flags & 1])
    return bytes((flags,)) + mutated_update(data[1:] or b"\x00", chance)


UPDATE = Target("update", run_update, examples, mutated, seconds_max=2.0)
