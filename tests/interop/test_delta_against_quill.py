"""Our algebra beside that of the npm package quill-delta, on the same histories."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crdtstore.model.delta import compose, invert, transform
from crdtstore.model.delta_forms import delta_of, operations_of
from tests.interop.node import NodeChild
from tests.model.deltas import Operations, changes, forks

Fork = tuple[Operations, Operations, Operations]

CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
many = settings(max_examples=100, suppress_health_check=CHECKS)


@pytest.fixture(scope="module")
def quill() -> Iterator[NodeChild]:
    with NodeChild("quill.mjs") as child:
        yield child


@many
@given(fork=forks())
def test_the_normal_form(quill: NodeChild, fork: Fork) -> None:
    for operations in fork:
        assert operations_of(delta_of(operations)) == quill.ask("normal", operations)


@many
@given(fork=forks(), data=st.data())
def test_composing(quill: NodeChild, fork: Fork, data: st.DataObject) -> None:
    document, first, _ = map(delta_of, fork)
    made = compose(document, first)
    assert operations_of(made) == quill.ask(
        "compose", operations_of(document), operations_of(first)
    )
    second = delta_of(data.draw(changes(sum(part.units for part in made))))
    both = compose(first, second)
    assert operations_of(both) == quill.ask("compose", operations_of(first), operations_of(second))


@many
@given(fork=forks(), is_first=st.booleans())
def test_transforming(quill: NodeChild, fork: Fork, is_first: bool) -> None:
    _, one, other = map(delta_of, fork)
    moved = transform(one, other, first_is_first=is_first)
    reference = quill.ask("transform", operations_of(one), operations_of(other), is_first)
    assert operations_of(moved) == reference


@many
@given(fork=forks())
def test_inverting(quill: NodeChild, fork: Fork) -> None:
    document, change, _ = map(delta_of, fork)
    undone = invert(change, document)
    reference = quill.ask("invert", operations_of(change), operations_of(document))
    assert operations_of(undone) == reference
