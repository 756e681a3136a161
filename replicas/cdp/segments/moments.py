"""Moments and lengths of time, as definitions and golden records say them."""

import re
from datetime import UTC, datetime, time
from datetime import date as Date
from typing import Final

from replicas.cdp import limits

_LENGTH: Final = re.compile(r"([1-9][0-9]{0,6}) (minute|hour|day|week)s?")
_DATE_LIKE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_UNIT_MS: Final = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "week": 604_800_000}


def length_ms(text: str) -> int:
    """Return the milliseconds of "30 days"; raises ValueError, which says what is wrong."""
    match = _LENGTH.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no length of time: write it as '30 days' or '12 hours'")
    found_ms = int(match[1]) * _UNIT_MS[match[2]]
    if found_ms > limits.SEGMENT_WINDOW_DAYS_MAX * _UNIT_MS["day"]:
        raise ValueError(f"{text!r} is more than {limits.SEGMENT_WINDOW_DAYS_MAX:,} days")
    return found_ms


def moment_ms(value: object) -> int | None:
    """Return the moment of a time, or of a text that says one, None for anything else.

    What says no time zone is UTC, and a date is its midnight.
    """
    if isinstance(value, str):
        if not _DATE_LIKE.match(value):
            return None
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, Date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        return None
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)
