"""Gathering: what some events add to a trait, before it is folded into the replica's partial.

Each fold has a gatherer: ``begun`` makes what holds the first value, ``add`` takes one more into
it, ``finished`` makes the payload of it that the store's operation ``fold_in`` takes.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

from crdtstore.traits import (
    INTEGER_MAX,
    INTEGER_MIN,
    TRAIT_SESSIONS_MAX,
    TRAIT_VALUE_BYTES_MAX,
    TRAIT_VALUES_MAX,
    bucket_of,
)
from replicas.cdp import limits
from replicas.cdp.errors import DefinitionInvalid
from replicas.cdp.events import Event


class Gatherer(Protocol):
    """What gathers values of one fold. A value is what ``taken`` made of a property."""

    def taken(self, value: Any) -> Any:
        """Return a property's value in the form that is gathered; None if it is unfit."""
        ...

    def begun(self, value: Any, event: Event) -> Any:
        """Return what holds one value."""
        ...

    def add(self, held: Any, value: Any, event: Event) -> Any:
        """Return what holds one value more: the same object, or another."""
        ...

    def finished(self, held: Any) -> Any:
        """Return the payload of what is held."""
        ...


class _Whole:
    """Values are taken as they are, and payloads are what was held."""

    def taken(self, value: Any) -> Any:
        return value

    def finished(self, held: Any) -> Any:
        return held


class _Count(_Whole):
    def begun(self, value: Any, event: Event) -> Any:
        return 1

    def add(self, held: Any, value: Any, event: Event) -> Any:
        return held + 1


class _Amounts(_Whole):
    """Numbers, as whole numbers of the last decimal."""

    def __init__(self, decimals: int) -> None:
        self._scale = 10**decimals
        self._most: float = limits.AMOUNT_MAX

    def taken(self, value: Any) -> Any:
        if type(value) is float:
            if not -self._most <= value <= self._most:  # not for NaN either
                return None
            return round(value * self._scale)
        if type(value) is not int or not -self._most <= value <= self._most:
            return None
        return value * self._scale

    def begun(self, value: Any, event: Event) -> Any:
        return value


class _Sum(_Amounts):
    def add(self, held: Any, value: Any, event: Event) -> Any:
        return held + value

    def finished(self, held: Any) -> Any:
        return max(INTEGER_MIN, min(held, INTEGER_MAX))


class _Extreme(_Amounts):
    """One amount, which is as large as a partial can hold: times in milliseconds fit."""

    def __init__(self, decimals: int) -> None:
        super().__init__(decimals)
        self._most = INTEGER_MAX // self._scale


class _Minimum(_Extreme):
    def add(self, held: Any, value: Any, event: Event) -> Any:
        return value if value < held else held


class _Maximum(_Extreme):
    def add(self, held: Any, value: Any, event: Event) -> Any:
        return value if value > held else held


class _Average(_Sum):
    def begun(self, value: Any, event: Event) -> Any:
        return [value, 1]

    def add(self, held: Any, value: Any, event: Event) -> Any:
        held[0] += value
        held[1] += 1
        return held

    def finished(self, held: Any) -> Any:
        return [super().finished(held[0]), held[1]]


class _Values(_Whole):
    """Texts, numbers and booleans that a partial can tell apart."""

    def taken(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            size = len(value) if value.isascii() else len(value.encode())
            return value if size <= TRAIT_VALUE_BYTES_MAX else None
        if kind is int:
            is_small = INTEGER_MIN <= value <= INTEGER_MAX
            return value if is_small else None
        if kind is float:
            return value if value - value == 0 else None
        return value if kind is bool else None


class _First(_Values):
    def begun(self, value: Any, event: Event) -> Any:
        return [event.timestamp_ms, event.message_id[: limits.TIE_CHARACTERS_MAX], value]

    def add(self, held: Any, value: Any, event: Event) -> Any:
        other = self.begun(value, event)
        return other if other[:2] < held[:2] else held


class _Last(_First):
    def add(self, held: Any, value: Any, event: Event) -> Any:
        other = self.begun(value, event)
        return other if other[:2] > held[:2] else held


class _MostFrequent(_Values):
    def begun(self, value: Any, event: Event) -> Any:
        return {_order(value): [value, 1]}

    def add(self, held: Any, value: Any, event: Event) -> Any:
        place = _order(value)
        pair = held.get(place)
        if pair is not None:
            pair[1] += 1
        elif len(held) < TRAIT_VALUES_MAX:
            held[place] = [value, 1]
        return held

    def finished(self, held: Any) -> Any:
        return [held[place] for place in sorted(held)]


class _UniqueList(_Values):
    def begun(self, value: Any, event: Event) -> Any:
        return {_order(value): value}

    def add(self, held: Any, value: Any, event: Event) -> Any:
        held[_order(value)] = value
        return held

    def finished(self, held: Any) -> Any:
        return [held[place] for place in sorted(held)[:TRAIT_VALUES_MAX]]


class _UniqueCount:
    def __init__(self, log2: int) -> None:
        try:
            import datasketches
        except ImportError as error:
            raise DefinitionInvalid(
                "unique_count needs the library datasketches: pip install crdtstore[cdp]"
            ) from error
        self._log2 = log2
        self._new_sketch: Any = datasketches.update_theta_sketch

    def taken(self, value: Any) -> Any:
        if type(value) is bool:
            return None
        if type(value) is int and not INTEGER_MIN <= value <= INTEGER_MAX:
            return None
        return value if type(value) in (str, int, float) and value == value else None

    def begun(self, value: Any, event: Event) -> Any:
        return {_order(value): value}

    def add(self, held: Any, value: Any, event: Event) -> Any:
        held[_order(value)] = value
        return held

    def finished(self, held: Any) -> Any:
        sketch = self._new_sketch(self._log2)
        for value in held.values():
            sketch.update(value)
        return sketch.compact().serialize()


class _Quantiles:
    def __init__(self, accuracy_per_mille: int) -> None:
        self._accuracy = accuracy_per_mille

    def taken(self, value: Any) -> Any:
        is_number = type(value) in (int, float)
        return value if is_number and -limits.AMOUNT_MAX <= value <= limits.AMOUNT_MAX else None

    def begun(self, value: Any, event: Event) -> Any:
        return self.add([{}, 0, {}], value, event)

    def add(self, held: Any, value: Any, event: Event) -> Any:
        if abs(value) < limits.QUANTILE_AMOUNT_MIN:
            held[1] += 1
            return held
        side = held[2] if value > 0 else held[0]
        index = bucket_of(abs(value), self._accuracy)
        side[index] = side.get(index, 0) + 1
        return held

    def finished(self, held: Any) -> Any:
        below, zeros, above = held
        return [_listed(below), zeros, _listed(above)]


class _Sessions(_Whole):
    def __init__(self, gap_ms: int) -> None:
        self._gap_ms = gap_ms

    def begun(self, value: Any, event: Event) -> Any:
        return [event.timestamp_ms]

    def add(self, held: Any, value: Any, event: Event) -> Any:
        held.append(event.timestamp_ms)
        return held

    def finished(self, held: Any) -> Any:
        sessions: list[list[int]] = []
        for at_ms in sorted(held):
            if sessions and at_ms - sessions[-1][1] <= self._gap_ms:
                sessions[-1][1:] = [at_ms, sessions[-1][2] + 1]
            else:
                sessions.append([at_ms, at_ms, 1])
        settled = sessions[:-TRAIT_SESSIONS_MAX]
        ended = [len(settled), sum(s[2] for s in settled), sum(s[1] - s[0] for s in settled)]
        return [ended, sessions[len(settled) :]]


class _Windows:
    def __init__(self, width_ms: int, count: int, inner: Gatherer) -> None:
        self._width_ms = width_ms
        self._count = count
        self._inner = inner
        self.taken = inner.taken

    def begun(self, value: Any, event: Event) -> Any:
        return {event.timestamp_ms // self._width_ms: self._inner.begun(value, event)}

    def add(self, held: Any, value: Any, event: Event) -> Any:
        number = event.timestamp_ms // self._width_ms
        bucket = held.get(number)
        if bucket is None:
            held[number] = self._inner.begun(value, event)
        else:
            held[number] = self._inner.add(bucket, value, event)
        return held

    def finished(self, held: Any) -> Any:
        oldest = max(held) - self._count
        return [
            [number, self._inner.finished(held[number])]
            for number in sorted(held)
            if number > oldest
        ]


def gatherer_of(fold: str, options: Sequence[Any]) -> Gatherer:
    """Return what gathers for a fold with its options; raises DefinitionInvalid."""
    if fold == "windows":
        width_ms, count, inner, inner_options = options
        return _Windows(width_ms, count, gatherer_of(inner, inner_options))
    if fold in _WITH_OPTION:
        gatherer: Gatherer = _WITH_OPTION[fold](options[0])
        return gatherer
    return _PLAIN[fold]


_PLAIN: Final[Mapping[str, Gatherer]] = MappingProxyType(
    {
        "count": _Count(),
        "first": _First(),
        "last": _Last(),
        "most_frequent": _MostFrequent(),
        "unique_list": _UniqueList(),
    }
)
_WITH_OPTION: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "sum": _Sum,
        "average": _Average,
        "minimum": _Minimum,
        "maximum": _Maximum,
        "unique_count": _UniqueCount,
        "quantiles": _Quantiles,
        "sessions": _Sessions,
    }
)


def _order(value: Any) -> tuple[str, Any]:
    return type(value).__name__, value


def _listed(side: Mapping[int, int]) -> list[list[int]]:
    return [[index, side[index]] for index in sorted(side)]
