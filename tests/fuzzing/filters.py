"""The target of filters: parsed, planned, and held against records of every sort."""

from crdtstore.query.filters import fields_of, parse_filter
from crdtstore.query.matching import matcher_of
from crdtstore.query.places import ELEMENT, element_places, place_of
from crdtstore.query.refusals import InvalidFilter
from crdtstore.query.spans import plan_of
from tests.fuzzing.target import Broken, Target
from tests.fuzzing.texts import check_length, mutated_text


def run_filter(data: bytes) -> None:
    """A text is a filter that any record can be held against, or it is refused with its place."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        wanted = parse_filter(text)
    except InvalidFilter as error:
        check_length(error, data)
        if not 0 <= error.position <= len(text):
            raise Broken(f"position {error.position} of {len(text)}") from error
        return
    kinds = dict.fromkeys(fields_of(wanted), "register")
    plan = plan_of(wanted, kinds)
    matches = matcher_of(wanted)
    for value in (None, 1, 1.5, True, text, [text, 2], b"x", {"a": 1}):
        record = {} if value is None else dict.fromkeys(kinds, value)
        if not matches(record):
            continue
        for access in plan.accesses:
            places = [place_of(value), *(ELEMENT + each for each in element_places(value))]
            keys = [place + b"id" for place in places]
            if not any(span.lower <= key < span.upper for span in access.spans for key in keys):
                raise Broken(f"no span of {access} leads to {value!r}")


def filters() -> list[bytes]:
    """Filters with every operator."""
    return [
        b'age ge 30 and (city eq "Lyon" or city sw "P") and not (email pr)',
        b'a co "x" or b ew "y" and c ne null or d lt -1.5e3 and e le 2',
        b'f gt "2026-11-20T12:00:00Z" and f le "z"',
        b'"first name" eq "\\u00e9" and vip eq true',
    ]


FILTER = Target("filter", run_filter, filters, mutated_text)
