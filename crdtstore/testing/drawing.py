"""Drawing what writers take: values for the fields of a schema, and arguments for functions."""

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from crdtstore.engine.writes import Write
from crdtstore.model.operations import (
    EditSet,
    add,
    edit_set,
    grant,
    increment,
    insert_items,
    insert_text,
    remove,
    revoke,
)
from crdtstore.schema import Schema
from crdtstore.testing import partials, strategies

Values = Mapping[str, SearchStrategy[Any]]
"""Strategies of your own, by the name of a field or of a writer's argument."""

NO_VALUES: Final[Values] = MappingProxyType({})
PROFILE_IDS: Final = ("ann", "bob")
_SOURCES: Final = ("crm", "web")
_PIECES: Final[Mapping[str, Sequence[Any]]] = MappingProxyType(
    {"text": ("a", "é", "😀", "two words "), "list": (0, "a", None, [1, {"k": 2.5}])}
)
_VALUES: Final = st.one_of(st.integers(0, 9), st.sampled_from("abc"), strategies.values())


@st.composite
def writes(
    draw: st.DrawFn,
    schema: Schema | None = None,
    *,
    values: Values = NO_VALUES,
    sources: Sequence[str] = (),
    profile_ids: Sequence[str] = PROFILE_IDS,
) -> Write:
    """Writes that fit a schema: values for registers, operations for the other kinds of field.

    ``values`` replaces what is drawn for a field: the value of a register, the amount of a counter,
    the operation on a trait, the element of a set, what is inserted at the start of a text or list.
    ``sources`` are those of the schema by default, or two if it has none.
    """
    schema = schema or Schema()
    fields = [*dict.fromkeys([*schema.fields, *schema.group_of_field])] or list(strategies.FIELDS)
    chosen = draw(st.lists(st.sampled_from(fields), min_size=1, max_size=3, unique=True))
    return Write(
        id=draw(st.sampled_from(profile_ids)),
        source=draw(st.sampled_from(list(sources or schema.sources or _SOURCES))),
        fields={name: draw(_of_field(schema, name, values)) for name in chosen},
    )


def _of_field(schema: Schema, name: str, values: Values) -> SearchStrategy[Any]:
    """What a write may do to a field."""
    kind = schema.kind_of(name)
    own = values.get(name)
    if kind == "counter":
        amounts = st.integers(-9, 9) if own is None else own
        return amounts.map(increment)
    if kind == "trait":
        return partials.foldings() if own is None else own
    if kind == "set":
        elements = st.sampled_from("abc") if own is None else own
        return st.one_of(
            elements.map(add),
            elements.map(remove),
            st.tuples(elements, elements).map(_exchange),
        )
    if kind == "consent":
        return st.sampled_from([grant(), revoke()])
    if kind in ("text", "list"):
        pieces = st.sampled_from(_PIECES[kind]) if own is None else own
        return pieces.map(partial(insert_text if kind == "text" else insert_items, 0))
    return _VALUES if own is None else own


def _exchange(elements: tuple[Any, Any]) -> EditSet:
    one, other = elements
    return add(one) if repr(one) == repr(other) else edit_set(add=(one,), remove=(other,))


def arguments(
    writer: Any, schema: Schema, values: Values, profile_ids: Sequence[str]
) -> SearchStrategy[dict[str, Any]]:
    """What a writer may be called with, besides its replica.

    In this order: the strategy that ``values`` has for its name; for ``profile_id`` one of the
    ids; a value of the field that is so called; whatever its annotation says; its default.
    """
    drawn: dict[str, SearchStrategy[Any]] = {}
    for name, parameter in list(inspect.signature(writer, eval_str=True).parameters.items())[1:]:
        if name in values:
            drawn[name] = values[name]
        elif name == "profile_id":
            drawn[name] = st.sampled_from(list(profile_ids))
        elif schema.kind_of(name) == "register":
            drawn[name] = _VALUES
        elif parameter.annotation is not parameter.empty:
            drawn[name] = st.from_type(parameter.annotation)
        elif parameter.default is parameter.empty:
            raise TypeError(
                f"writer {writer.__name__}: nothing says how to draw {name!r}; "
                f"give a strategy: values = {{{name!r}: ...}}"
            )
    return st.fixed_dictionaries(drawn).map(lambda some: {name: some[name] for name in drawn})
