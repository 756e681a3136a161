"""Forms: how vendors write values, and the one value that the store keeps for them.

| form     | the store keeps                  | vendors write                                     |
|----------|----------------------------------|---------------------------------------------------|
| text     | text                             | text                                              |
| lower    | text in small letters            | text, which some of them bring to small letters   |
| number   | an integer if it is whole, else a float | a number, or its digits as text            |
| boolean  | true or false                    | true or false, or these words as text             |
| date     | text, 2026-11-21                 | the same, or the milliseconds of its midnight     |
| datetime | a UTC datetime, to the millisecond | ISO 8601 with an offset, or milliseconds        |
| list     | texts                            | the texts with semicolons between, in order       |
"""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, NamedTuple

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class FormError(ValueError):
    """A value is not of the form that the mapping says."""


class Form(NamedTuple):
    """The two directions of a form."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


def datetime_from(raw: Any) -> datetime:
    """Return the UTC datetime that a vendor's text or milliseconds are, to the millisecond."""
    if type(raw) is int or (type(raw) is str and raw.lstrip("-").isdigit() and len(raw) > 8):
        return _EPOCH + timedelta(milliseconds=int(raw))
    text = str(raw)
    if len(text) > 5 and text[-5] in "+-" and text[-3] != ":":
        text = f"{text[:-2]}:{text[-2:]}"
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("it has no time zone")
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def ms_from(raw: Any) -> int:
    """Return the Unix milliseconds that a vendor's text or milliseconds are; raises ValueError."""
    return round((datetime_from(raw) - _EPOCH) / timedelta(milliseconds=1))


def text_from_ms(ms: int) -> str:
    """Return Unix milliseconds as vendors write them: 2026-11-21T08:00:00.000Z."""
    moment = _EPOCH + timedelta(milliseconds=ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03}Z"


def _text(raw: Any) -> str:
    if type(raw) is bool or not isinstance(raw, str | int | float):
        raise TypeError("it is not text")
    return str(raw)


def _lower(raw: Any) -> str:
    return _text(raw).lower()


def _number(raw: Any) -> int | float:
    if type(raw) is bool or not isinstance(raw, str | int | float):
        raise TypeError("it is not a number")
    if type(raw) is int:
        return raw
    number = float(raw)
    if not math.isfinite(number):
        raise ValueError("it is not finite")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _boolean(raw: Any) -> bool:
    if type(raw) is bool:
        return raw
    words = {"true": True, "false": False}
    if type(raw) is not str or raw.lower() not in words:
        raise ValueError("it is neither true nor false")
    return words[raw.lower()]


def _date(raw: Any) -> str:
    if type(raw) is int or (type(raw) is str and raw.lstrip("-").isdigit() and len(raw) > 8):
        return datetime_from(raw).date().isoformat()
    return date.fromisoformat(_text(raw)[:10]).isoformat()


def _write_datetime(value: Any) -> str:
    if not isinstance(value, datetime):
        raise TypeError("it is not a datetime")
    return text_from_ms(ms_from(value.isoformat()))


def _texts(raw: Any) -> list[str]:
    return sorted(filter(None, _text(raw).split(";")))


def _write_texts(value: Any) -> str:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TypeError("it is no list of texts")
    if any(";" in each for each in value):
        raise ValueError("a text has a semicolon")
    return ";".join(sorted(value))


FORMS: Final[Mapping[str, Form]] = MappingProxyType(
    {
        "text": Form(_text, _text),
        "lower": Form(_lower, _lower),
        "number": Form(_number, _number),
        "boolean": Form(_boolean, _boolean),
        "date": Form(_date, _date),
        "datetime": Form(datetime_from, _write_datetime),
        "list": Form(_texts, _write_texts),
    }
)
