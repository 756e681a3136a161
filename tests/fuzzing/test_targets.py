"""Every target: its examples, its kept corpus, and what Hypothesis and mutations make of them.

This is the short form of ``make fuzz``, in which a coverage-guided fuzzer runs the same targets.
"""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdtstore.errors import FrameCorrupt, MessageInvalid
from crdtstore.sync.frame import HEADER_BYTES, frame_hash, parse
from crdtstore.sync.messages import decode
from tests.fuzzing import stored, wire
from tests.fuzzing.target import Broken, Target
from tests.fuzzing.targets import CORPUS, TARGETS, kept
from tests.sync.examples import TAG, first_frame, second_frame

SLOW = frozenset({"http", "caller"})
"""Targets that go through a socket: fewer examples of them."""

CORPUS_BYTES_MAX = 400_000


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_examples_hold(target: Target) -> None:
    examples = target.examples()
    assert examples
    for data in examples:
        assert len(data) <= target.input_bytes_max
        target.run(data)
        target.measured(data)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_the_kept_corpus_holds(target: Target) -> None:
    target.run(target.examples()[0])
    paths = kept(target.name)
    assert len(paths) > 3
    for path in paths:
        target.measured(path.read_bytes())


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_whatever_comes_of_an_example_holds(target: Target) -> None:
    sources = [*target.examples(), *(path.read_bytes() for path in kept(target.name))]

    @settings(max_examples=30 if target.name in SLOW else 150)
    @given(st.sampled_from(sources), st.integers(0, 2**32), st.integers(1, 4))
    def holds(data: bytes, seed: int, changes: int) -> None:
        chance = random.Random(seed)
        for _ in range(changes):
            data = target.mutated(data, chance)
        target.run(data[: target.input_bytes_max])

    holds()


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_any_bytes_hold(target: Target) -> None:
    @settings(max_examples=10 if target.name in SLOW else 50)
    @given(st.binary(max_size=300))
    def holds(data: bytes) -> None:
        target.run(data)

    holds()


def test_the_corpus_is_small_and_every_named_input_is_explained() -> None:
    paths = [path for target in TARGETS.values() for path in kept(target.name)]
    assert sum(path.stat().st_size for path in paths) < CORPUS_BYTES_MAX
    assert {path.name for path in CORPUS.iterdir()} == {"README.md", *TARGETS}
    explained = (CORPUS / "README.md").read_text("utf-8")
    for path in paths:
        if len(path.name) != 40:
            assert f"`{path.parent.name}/{path.name}`" in explained, path


# --- the checks bite ------------------------------------------------------------------------------


def test_a_target_finds_what_takes_too_much_memory_or_time() -> None:
    hungry = Target("hungry", lambda data: bytes(10 * len(data) << 20) and None, lambda: [b""])
    hungry.measured(b"")
    with pytest.raises(Broken, match="bytes took"):
        hungry.measured(b"x")
    slow = Target("slow", lambda data: sum(range(10**6)) and None, list, seconds_max=1e-6)
    with pytest.raises(Broken, match="1 bytes took"):
        slow.measured(b"x")


def test_a_target_finds_damage_that_makes_another_value(monkeypatch: pytest.MonkeyPatch) -> None:
    flip_in_meta = bytes((0, 1, 0, 0, 3, 3))
    stored.run_records(flip_in_meta)
    module = "crdtstore.storage.memory_tables.unsealed"
    monkeypatch.setattr(module, lambda place, record: record[:-8])
    found = 0
    for record in range(12):
        for place in range(0, 60, 3):
            try:
                stored.run_records(bytes((0, record, 0, 0, place, 3)))
            except Exception:
                found += 1
    assert found > 20


def test_a_target_finds_a_frame_that_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_header_only(content: bytes, tag: bytes) -> bytes:
        return frame_hash(content[:HEADER_BYTES], tag)

    wire.run_frame(wire.framed(bytes(200)))
    for module in ("crdtstore.sync.frame", "tests.fuzzing.wire"):
        monkeypatch.setattr(f"{module}.frame_hash", of_header_only)
    with pytest.raises(Broken, match="a changed frame was accepted"):
        wire.run_frame(b"".join(wire.framed(bytes((number,)) * 200) for number in range(9)))


# --- every change of a few good ones --------------------------------------------------------------


@pytest.mark.parametrize("raw", [first_frame().raw, second_frame().raw], ids=["first", "second"])
def test_a_frame_with_any_byte_changed_is_refused(raw: bytes) -> None:
    for place in range(len(raw)):
        for value in range(256):
            if value != raw[place]:
                with pytest.raises(FrameCorrupt):
                    parse(raw[:place] + bytes((value,)) + raw[place + 1 :], TAG)


@pytest.mark.parametrize("data", wire.messages(), ids=lambda data: str(data[0]))
def test_a_message_that_was_cut_short_is_refused(data: bytes) -> None:
    for size in range(len(data)):
        if data[0] == 2 and (size == 1 or data[1:size] == first_frame().raw):
            continue
        with pytest.raises((MessageInvalid, FrameCorrupt)):
            decode(data[:size], TAG)


def test_a_backup_with_any_bit_changed_is_refused() -> None:
    whole = stored.backups()[0]
    for place in range(1, len(whole)):
        for bit in range(8):
            changed = bytes((whole[place] ^ (1 << bit),))
            path = stored._folder() / "changed"
            path.write_bytes(whole[1:place] + changed + whole[place + 1 :])
            with pytest.raises(stored.REFUSALS):
                stored.check_backup(path)
