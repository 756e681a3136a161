"""Parameters: what a request says in its path, its query and its conditional headers."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from aiohttp import hdrs, web

from crdtstore import limits
from crdtstore.errors import InvalidInput
from crdtstore.names import check_field_name, check_name, check_profile_id
from crdtstore.server.problems import bad_request

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ETAG: Final = re.compile(r'\s*(W/)?"([\x21\x23-\x7e]*)"\s*(?:,|$)')

ANY_VERSION: Final = "*"


def profile_id_of(request: web.Request, *, segments_after: int = 0) -> str:
    """Return the profile id in the path: one segment, percent-decoded as UTF-8.

    ``segments_after`` is how many segments follow it. Raises InvalidName, or the 400 problem for
    escapes that are none.
    """
    profile_id = segment_of(request, -1 - segments_after)
    check_profile_id(profile_id)
    return profile_id


def replica_name_of(request: web.Request) -> str:
    """Return the replica's name that ends the path; raises InvalidName, or the 400 problem."""
    name = segment_of(request, -1)
    check_name(name, "a replica name", limits.REPLICA_NAME_BYTES_MAX)
    return name


def place_of(request: web.Request) -> tuple[str, str]:
    """Return profile id and field that end the path; raises InvalidName, or the 400 problem."""
    profile_id, field = segment_of(request, -2), segment_of(request, -1)
    check_profile_id(profile_id)
    check_field_name(field)
    return profile_id, field


def text_field_of(request: web.Request, *, segments_after: int = 0) -> str:
    """Return the field's name in the path; raises InvalidName, or the 400 problem."""
    field = segment_of(request, -1 - segments_after)
    check_field_name(field)
    return field


def conflict_id_of(request: web.Request, *, segments_after: int = 0) -> str:
    """Return the id of a conflict in the path, whatever it looks like; raises the 400 problem."""
    return segment_of(request, -1 - segments_after)


def segment_of(request: web.Request, place: int) -> str:
    """Return one segment of the path, percent-decoded as UTF-8; raises the 400 problem."""
    segment = request.raw_path.partition("?")[0].split("/")[place]
    if _BAD_ESCAPE.search(segment):
        raise _bad_path("a % in the path is not followed by two hexadecimal digits")
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise _bad_path("what the path names is not UTF-8") from None


def query_of(request: web.Request, allowed: frozenset[str]) -> Mapping[str, str]:
    """Return the query; raises InvalidInput for a parameter that is unknown or comes twice."""
    query = request.query
    for name in query:
        if name not in allowed:
            names = ", ".join(sorted(allowed)) or "none"
            raise InvalidInput(f"unknown query parameter {name[:80]!r}; allowed: {names}")
        if len(query.getall(name)) > 1:
            raise InvalidInput(f"query parameter {name!r} is given twice")
    for text in query.values():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidInput("the query is not UTF-8") from None
    return query


def limit_of(query: Mapping[str, str], default: int, maximum: int) -> int:
    """Return the ``limit`` parameter, 1 to ``maximum``; raises InvalidInput."""
    text = query.get("limit")
    if text is None:
        return default
    if text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= maximum:
        return int(text)
    raise InvalidInput(f"limit is a whole number from 1 to {maximum:,}, not {text[:40]!r}")


def number_of(query: Mapping[str, str], name: str, maximum: int) -> int:
    """Return a parameter that is a number from 0 (the default); raises InvalidInput."""
    text = query.get(name, "0")
    if (
        text.isascii()
        and text.isdigit()
        and len(text) <= len(str(maximum))
        and int(text) <= maximum
    ):
        return int(text)
    raise InvalidInput(f"{name} is a whole number from 0 to {maximum:,}, not {text[:40]!r}")


def flag_of(query: Mapping[str, str], name: str) -> bool:
    """Return a parameter that is ``true`` or ``false`` (the default); raises InvalidInput."""
    text = query.get(name, "false")
    if text not in ("true", "false"):
        raise InvalidInput(f"{name} is true or false, not {text[:40]!r}")
    return text == "true"


def cursor_of(request: web.Request, query: Mapping[str, str]) -> str:
    """Return where the change feed begins: Last-Event-ID before ``since``; "" is the start."""
    cursor = request.headers.get("Last-Event-ID") or query.get("since", "")
    if len(cursor.encode("utf-8", "surrogateescape")) > limits.CURSOR_TEXT_BYTES_MAX:
        raise InvalidInput(f"a cursor has at most {limits.CURSOR_TEXT_BYTES_MAX} bytes")
    return cursor


def after_of(query: Mapping[str, str]) -> str:
    """Return the profile id after which a page begins; "" is the start. Raises InvalidName."""
    after = query.get("after", "")
    if after:
        check_profile_id(after)
    return after


def field_of(query: Mapping[str, str]) -> str | None:
    """Return the ``field`` parameter, None for all fields; raises InvalidName."""
    field = query.get("field")
    if field is not None:
        check_field_name(field)
    return field


def etag_of(version: str) -> str:
    """Return the entity tag of a version."""
    return f'"{version}"'


def expected_versions(request: web.Request) -> tuple[str, ...] | None:
    """Return the versions of If-Match, or ("*",); None without it.

    A weak tag never matches, and is left out. Raises the 400 problem for what is no tag.
    """
    tags = _tags_of(request, hdrs.IF_MATCH)
    if tags is None:
        return None
    return tuple(tag for is_weak, tag in tags if not is_weak)


def unwanted_versions(request: web.Request) -> tuple[str, ...] | None:
    """Return the versions of If-None-Match, or ("*",); None without it. Weak tags match too."""
    tags = _tags_of(request, hdrs.IF_NONE_MATCH)
    return None if tags is None else tuple(tag for _, tag in tags)


def is_unchanged(request: web.Request, version: str) -> bool:
    """Say whether If-None-Match names this version, so that the answer is 304."""
    tags = unwanted_versions(request)
    return tags is not None and (version in tags or ANY_VERSION in tags)


def _tags_of(request: web.Request, header: str) -> list[tuple[bool, str]] | None:
    """Return (is weak, tag) of each entity tag (RFC 9110, 8.8.3) in a header; None without it."""
    lines = request.headers.getall(header, None)
    if lines is None:
        return None
    text = ",".join(lines)
    if text.strip() == ANY_VERSION:
        return [(False, ANY_VERSION)]
    tags: list[tuple[bool, str]] = []
    position = 0
    while position < len(text) or not tags:
        match = _ETAG.match(text, position)
        if match is None:
            raise bad_request(
                "malformed-header",
                f"{header} is malformed",
                f'{header} takes a version in double quotes, as the ETag has it: "0-1f"; or *',
            )
        tags.append((match[1] is not None, match[2]))
        position = match.end()
    return tags


def _bad_path(detail: str) -> Exception:
    return bad_request("malformed-path", "The path is malformed", detail)
