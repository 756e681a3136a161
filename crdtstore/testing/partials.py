"""Hypothesis strategies for partials of traits: what a few events, alike and not, fold into."""

from collections.abc import Mapping
from functools import cache, reduce
from types import MappingProxyType
from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from crdtstore.model import theta
from crdtstore.model.folds import FOLDS, IN_WINDOWS, Options, Payload
from crdtstore.model.operations import FoldIn
from crdtstore.model.quantiles import payload_of
from crdtstore.model.traits import Partial, folded_in
from crdtstore.model.values import CellValue

_AMOUNTS: Final = st.sampled_from([0, 1, 2, -3, 1_999, 2**53 + 1]) | st.integers(-9, 99)
_VALUES: Final = st.sampled_from(["a", "b", "é", 1, 1.5, True, "x" * 250])
_TIMES: Final = st.sampled_from([0, 5, 10, 11, 500]) | st.integers(0, 1_000)
_HASHES: Final = st.integers(1, 90) | st.integers(1, theta.THETA_WHOLE - 1)

_OPTIONS: Final[Mapping[str, SearchStrategy[Options]]] = MappingProxyType(
    {
        "sum": st.sampled_from([[0], [2]]),
        "average": st.just([2]),
        "minimum": st.just([0]),
        "maximum": st.just([2]),
        "most_frequent": st.sampled_from([[1], [2]]),
        "unique_count": st.just([5]),
        "quantiles": st.sampled_from([[10, 5_000], [200, 0, 9_500]]),
        "sessions": st.just([10]),
    }
)
_ATOMS: Final[Mapping[str, SearchStrategy[Payload]]] = MappingProxyType(
    {
        "count": st.integers(0, 5),
        "sum": _AMOUNTS,
        "average": st.tuples(_AMOUNTS, st.integers(1, 3)).map(list),
        "minimum": _AMOUNTS,
        "maximum": _AMOUNTS,
        "first": st.tuples(_TIMES, st.sampled_from("ab"), _VALUES).map(list),
        "last": st.tuples(_TIMES, st.sampled_from("ab"), _VALUES).map(list),
        "most_frequent": st.tuples(_VALUES, st.integers(1, 3)).map(lambda pair: [list(pair)]),
        "unique_list": _VALUES.map(lambda value: [value]),
        "unique_count": _HASHES.map(lambda n: theta.encode(theta.Theta(theta.THETA_WHOLE, (n,)))),
        "sessions": st.tuples(_TIMES, st.integers(0, 4)).map(
            lambda pair: [[0, 0, 0], [[pair[0], pair[0] + pair[1], 1]]]
        ),
    }
)


@cache
def options_of(fold: str) -> SearchStrategy[Options]:
    """Options of a fold."""
    if fold == "windows":
        return st.sampled_from(sorted(IN_WINDOWS)).flatmap(
            lambda inner: options_of(inner).map(lambda options: [100, 3, inner, options])
        )
    return _OPTIONS.get(fold, st.just([])).map(list)


def payloads(fold: str, options: Options) -> SearchStrategy[Payload]:
    """What a few events fold into."""
    few = st.lists(_atoms(fold, options), min_size=1, max_size=6)
    return few.map(
        lambda atoms: FOLDS[fold].bounded(
            reduce(lambda one, other: FOLDS[fold].unite(one, other, options), atoms), options
        )
    )


def _atoms(fold: str, options: Options) -> SearchStrategy[Payload]:
    if fold == "quantiles":
        amounts = st.sampled_from([0.0, 0.01, 1.0, 1.5, -2.0, 1e9, 5e-324, 1.7e308])
        return amounts.map(lambda amount: payload_of(amount, options[0]))
    if fold == "windows":
        bucket = st.tuples(st.integers(-2, 4), _atoms(options[2], options[3]))
        return bucket.map(lambda pair: [list(pair)])
    return _ATOMS[fold]


@st.composite
def partials(draw: st.DrawFn, fold: str | None = None) -> Partial:
    """A partial of some definition: of three versions, most often of the first."""
    name = draw(st.sampled_from(sorted(FOLDS))) if fold is None else fold
    options = draw(options_of(name))
    version = draw(st.sampled_from([1, 1, 1, 2, 3]))
    return Partial(version, name, options, draw(payloads(name, options)))


def partial_cells() -> SearchStrategy[CellValue]:
    """What a cell of a trait may hold."""
    return partials().map(lambda partial: folded_in(None, partial, "an example"))


def foldings(fold: str = "count") -> SearchStrategy[FoldIn]:
    """Operations that fold something in; all of one definition, as writers of one field have."""
    options: Options = [2] if fold == "sum" else []
    return payloads(fold, options).map(lambda payload: FoldIn(fold, payload, options))
