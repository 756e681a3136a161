"""Folds: how partials of a trait unite, and what they come to.

A trait is a value that is folded from many events, at many replicas. Each replica keeps a partial
of its own, and readers unite them: a fold is a commutative monoid. All numbers are whole, so that a
sum is the same in every order and however the events were divided; ``decimals`` says where the
point is.

| fold          | options                                 | payload                              |
|---------------|-----------------------------------------|--------------------------------------|
| count         |                                         | how many                             |
| sum           | decimals                                | the sum                              |
| average       | decimals                                | the sum, how many                    |
| minimum       | decimals                                | the least                            |
| maximum       | decimals                                | the greatest                         |
| first, last   |                                         | time in ms, a text for ties, value   |
| most_frequent | how often it must be                    | (value, how often) in order          |
| unique_list   |                                         | values in order                      |
| unique_count  | base-2 logarithm of the hashes kept     | a theta sketch                       |
| quantiles     | accuracy per mille, ranks per myriad    | see ``crdtstore.model.quantiles``    |
| sessions      | gap in ms                               | see ``crdtstore.model.sessions``     |
| windows       | width of a bucket in ms, how many,      | (number of the bucket, payload)      |
|               | fold and options of what is in a bucket | in order                             |

``unite`` alone is associative and commutative. ``bounded`` makes what a writer keeps small: it is
applied by writers, never by readers, so that all readers see the same.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

from crdtstore import limits
from crdtstore.errors import InvalidValue
from crdtstore.model import quantiles, sessions, theta
from crdtstore.model.amounts import added, check_amount, check_count, check_list
from crdtstore.model.scalars import check_scalar, check_scalars, place_of
from crdtstore.model.values import Value, pack

Payload: TypeAlias = Any
Options: TypeAlias = list[Any]


class Fold(Protocol):
    """One way to fold. ``check_options`` and ``check`` raise InvalidValue.

    ``never_grows`` says that ``bounded`` leaves every payload as it is.
    """

    never_grows: bool

    def check_options(self, options: Options) -> None:
        """Check the options of a partial."""
        ...

    def check(self, payload: Payload, options: Options) -> None:
        """Check a payload from elsewhere, with options that were checked."""
        ...

    def unite(self, one: Payload, other: Payload, options: Options) -> Payload:
        """Return the payload that has both: ``one`` itself if that is known to have all."""
        ...

    def bounded(self, payload: Payload, options: Options) -> Payload:
        """Return what a writer keeps of a payload."""
        ...

    def value(self, payload: Payload, options: Options) -> Value:
        """Return what a reader sees; None if there is nothing to see."""
        ...


class _Plain:
    """A fold without options, whose payload never grows."""

    never_grows = True

    def check_options(self, options: Options) -> None:
        check_list(options, 0, "the options of a fold")

    def bounded(self, payload: Payload, options: Options) -> Payload:
        return payload


class _Count(_Plain):
    def check(self, payload: Payload, options: Options) -> None:
        check_count(payload)

    def unite(self, one: Payload, other: Payload, options: Options) -> Payload:
        return added(one, other)

    def value(self, payload: Payload, options: Options) -> Value:
        number: int = payload
        return number


class _Amounts(_Plain):
    """A fold of amounts with decimals."""

    def check_options(self, options: Options) -> None:
        check_list(options, 1, "the options of a fold of amounts")
        _check_between(options[0], 0, limits.TRAIT_DECIMALS_MAX, "decimals")

    def check(self, payload: Payload, options: Options) -> None:
        check_amount(payload)

    def value(self, payload: Payload, options: Options) -> Value:
        return _in_units(payload, options)


class _Sum(_Amounts):
    def unite(self, one: Payload, other: Payload, options: Options) -> Payload:
        return added(one, other)


class _Minimum(_Amounts):
    def unite(self, one: Payload, other: Payload, options: Options) -> Payload:
        return min(one, other)


class _Maximum(_Amounts):
    def unite(self, one: Payload, other: Payload, options: Options) -> Payload:
        return max(one, other)


class _Average(_Amounts):
    def check(self, payload: Payload, options: Options) -> None:
        check_list(payload, 2, "an average")
        check_amount(payload[0])
        check_count(payload[1], 1)

    def unite(self, one: Payload, other: Payload, options: Options) -> Payload:
        return [added(one[0], other[0]), added(one[1], other[1])]

    def value(self, payload: Payload, options: Options) -> Value:
        average: float = payload[0] / (payload[1] * 10 ** options[0])
        return average


class _First(_Plain):
    def check(self, payload: Payload, options: Options) -> None:
        check_list(payload, 3, "the first or last value")
        check_amount(payload[0])
        if type(payload[1]) is not str:
            raise InvalidValue("what decides between values of one time is text")
        check_scalar(payload[1])
        check_scalar(payload[2])

    def unite(self, one: Payload, other: Payload, options: Options) -> Payload:
        if one[0] != other[0]:
            return one if one[0] < other[0] else other
        return min(one, other, key=_moment)

    def value(self, payload: Payload, options: Options) -> Value:
        value: Value = payload[2]
        return value


class _Last(_First):
    def unite(self, one: Payload, other: Payload, options: Options) -> Payload:
        if one[0] != other[0]:
            return one if one[0] > other[0] else other
        return max(one, other, key=_moment)


class _MostFrequent:
    never_grows = False

    def check_options(self, options: Options) -> None:
        check_list(options, 1, "the options of most_frequent")
        check_count(options[0], 1)

    def check(self, payload: Payload, options: Options) -> None:
        _check_listed(payload, limits.TRAIT_VALUES_MAX)
        for pair in payload:
            check_list(pair, 2, "a value and its count")
            check_count(pair[1], 1)
        check_scalars([pair[0] for pair in payload])

    def unite(self, one: Payload, other: Payload, options: Options) -> Payload:
        counts = {place_of(pair[0]): pair for pair in one}
        for value, count in other:
            place = place_of(value)
            mine = counts.get(place)
            counts[place] = [value, count if mine is None else added(mine[1], count)]
        return [counts[place] for place in sorted(counts)]

    def bounded(self, payload: Payload, options: Options) -> Payload:
        """Leave out the rarest values: of these, the last ones."""
        if len(payload) <= limits.TRAIT_VALUES_MAX:
            return payload
        kept = sorted(payload, key=lambda pair: (-pair[1], place_of(pair[0])))
        return sorted(kept[: limits.TRAIT_VALUES_MAX], key=lambda pair: place_of(pair[0]))

    def value(self, payload: Payload, options: Options) -> Value:
        """Return the value that is most frequent; of several, the first in the alphabet."""
        often = [pair for pair in payload if pair[1] >= options[0]]
        if not often:
            return None
        value: Value = min(often, key=lambda p: (-p[1], str(p[0]), place_of(p[0])))[0]
        return value


class _UniqueList(_Plain):
    never_grows = False

    def check(self, payload: Payload, options: Options) -> None:
        _check_listed(payload, limits.TRAIT_VALUES_MAX)
        check_scalars(payload)

    def unite(self, one: Payload, other: Payload, options: Options) -> Payload:
        by_place = {place_of(value): value for value in one}
        by_place.update((place_of(value), value) for value in other)
        if len(by_place) == len(one):
            return one
        return [by_place[place] for place in sorted(by_place)]

    def bounded(self, payload: Payload, options: Options) -> Payload:
        return payload[: limits.TRAIT_VALUES_MAX]

    def value(self, payload: Payload, options: Options) -> Value:
        return list(payload)


class _UniqueCount:
    never_grows = False

    def check_options(self, options: Options) -> None:
        check_list(options, 1, "the options of unique_count")
        _check_between(options[0], 5, limits.TRAIT_HASHES_LOG2_MAX, "the logarithm of hashes kept")

    def check(self, payload: Payload, options: Options) -> None:
        theta.check(payload, 2 << options[0])  # one that is being updated holds nearly so many

    def unite(self, one: Payload, other: Payload, options: Options) -> Payload:
        packed = theta.encode(theta.united(theta.decode(one), theta.decode(other), 1 << options[0]))
        return one if packed == one else packed

    def bounded(self, payload: Payload, options: Options) -> Payload:
        if theta.size_of(payload) <= 1 << options[0]:
            return payload
        return theta.encode(theta.united(theta.decode(payload), theta.NOTHING, 1 << options[0]))

    def value(self, payload: Payload, options: Options) -> Value:
        return theta.decode(payload).estimate


class _Quantiles:
    never_grows = False

    def check_options(self, options: Options) -> None:
        quantiles.check_options(options)

    def check(self, payload: Payload, options: Options) -> None:
        quantiles.check(payload)

    def unite(self, one: Payload, other: Payload, options: Options) -> Payload:
        return quantiles.united(one, other)

    def bounded(self, payload: Payload, options: Options) -> Payload:
        return quantiles.bounded(payload)

    def value(self, payload: Payload, options: Options) -> Value:
        return quantiles.value(payload, options)


class _Sessions:
    never_grows = False

    def check_options(self, options: Options) -> None:
        check_list(options, 1, "the options of sessions")
        check_count(options[0], 1)

    def check(self, payload: Payload, options: Options) -> None:
        sessions.check(payload, options[0])

    def unite(self, one: Payload, other: Payload, options: Options) -> Payload:
        return sessions.united(one, other, options[0])

    def bounded(self, payload: Payload, options: Options) -> Payload:
        return sessions.bounded(payload)

    def value(self, payload: Payload, options: Options) -> Value:
        return sessions.value(payload)


class _Windows:
    """A fold in buckets of time. Its value are the buckets: only a reader knows what time it is."""

    never_grows = False

    def check_options(self, options: Options) -> None:
        check_list(options, 4, "the options of windows")
        check_count(options[0], 1)
        _check_between(options[1], 1, limits.TRAIT_BUCKETS_MAX, "how many buckets a window has")
        if options[2] not in IN_WINDOWS:
            raise InvalidValue("a window is of a fold that cannot be in windows")
        FOLDS[options[2]].check_options(options[3])

    def check(self, payload: Payload, options: Options) -> None:
        _check_listed(payload, options[1])
        inner = FOLDS[options[2]]
        check_inner, inner_options = inner.check, options[3]
        newest = limits.INTEGER_MIN - 1
        for bucket in payload:
            if type(bucket) is not list or len(bucket) != 2:
                raise InvalidValue("a bucket of a window is a list of number and payload")
            number = bucket[0]
            if type(number) is not int or not newest < number <= limits.INTEGER_MAX:
                raise InvalidValue("the buckets of a window are not in order, or have no number")
            newest = number
            check_inner(bucket[1], inner_options)
        if payload and payload[0][0] <= payload[-1][0] - options[1]:
            raise InvalidValue("a window has buckets that are too old for it")

    def unite(self, one: Payload, other: Payload, options: Options) -> Payload:
        inner = FOLDS[options[2]]
        if one and len(other) == 1 and other[0][0] >= one[-1][0]:
            return self._appended(one, other[0], options)
        buckets = dict(one)
        for number, payload in other:
            mine = buckets.get(number)
            buckets[number] = payload if mine is None else inner.unite(mine, payload, options[3])
        oldest = max(buckets, default=0) - options[1]
        return [[number, buckets[number]] for number in sorted(buckets) if number > oldest]

    def _appended(self, one: Payload, newest: Payload, options: Options) -> Payload:
        """Return a window with one more bucket at its end, or more in its last one."""
        number, payload = newest
        if number == one[-1][0]:
            united = FOLDS[options[2]].unite(one[-1][1], payload, options[3])
            return [*one[:-1], [number, united]]
        oldest = number - options[1]
        return [*(bucket for bucket in one if bucket[0] > oldest), newest]

    def bounded(self, payload: Payload, options: Options) -> Payload:
        inner = FOLDS[options[2]]
        if inner.never_grows:
            return payload
        return [[number, inner.bounded(bucket, options[3])] for number, bucket in payload]

    def value(self, payload: Payload, options: Options) -> Value:
        return {"fold": "windows", "options": options, "payload": payload}


FOLDS: Final[Mapping[str, Fold]] = MappingProxyType(
    {
        "count": _Count(),
        "sum": _Sum(),
        "average": _Average(),
        "minimum": _Minimum(),
        "maximum": _Maximum(),
        "first": _First(),
        "last": _Last(),
        "most_frequent": _MostFrequent(),
        "unique_list": _UniqueList(),
        "unique_count": _UniqueCount(),
        "quantiles": _Quantiles(),
        "sessions": _Sessions(),
        "windows": _Windows(),
    }
)
"""All folds. A partial of another one is refused, as a cell of an unknown kind is."""

IN_WINDOWS: Final = frozenset(FOLDS) - {"windows", "sessions"}
"""The folds that a bucket may hold."""


def value_in_window(payload: Payload, options: Options, now_ms: int) -> Value:
    """Return what a window comes to at a time; None if nothing is in it.

    Its last bucket is the one of that time; what is stamped later counts too, for clocks differ.
    """
    width_ms, count, name, inner_options = options
    inner = FOLDS[name]
    oldest = now_ms // width_ms - count
    united = None
    for number, bucket in payload:
        if number > oldest:
            united = bucket if united is None else inner.unite(united, bucket, inner_options)
    return None if united is None else inner.value(united, inner_options)


def _in_units(amount: int, options: Options) -> Value:
    return amount / 10 ** options[0] if options[0] else amount


def _moment(payload: Payload) -> tuple[int, str, bytes]:
    return payload[0], payload[1], pack(payload[2])


def _check_listed(payload: Payload, most: int) -> None:
    if type(payload) is not list or len(payload) > most:
        raise InvalidValue(f"a partial is no list, or has more than {most:,} items")


def _check_between(number: object, least: int, most: int, subject: str) -> None:
    if type(number) is not int or not least <= number <= most:
        raise InvalidValue(f"{subject} is a whole number from {least} to {most}")
