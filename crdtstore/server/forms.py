"""Forms: how a body is written, JSON or msgpack, read strictly and bounded."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import msgpack

from crdtstore import limits
from crdtstore.packing import check_claims
from crdtstore.server.tagged import from_tagged, to_tagged


class MalformedBody(ValueError):
    """The bytes are not the one document that their media type promises."""


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write a body: bytes to a document and back, and how values of fields look in it.

    ``parse`` raises MalformedBody. ``value_in`` is applied to lists and maps of a field only.
    """

    media_type: str
    parse: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    value_in: Callable[[Any], Any]
    value_out: Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedBody(f"{name} is not JSON; numbers are finite")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise MalformedBody(f"a map has the key {twice!r} twice")
    return document


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False
)


def parse_json(body: bytes) -> Any:
    """Return the document of a JSON body: UTF-8, no NaN, no key twice, bounded containers."""
    if body.count(b"[") + body.count(b"{") > limits.CONTAINERS_PER_BODY_MAX:
        raise MalformedBody(
            f"more than {limits.CONTAINERS_PER_BODY_MAX:,} lists and maps in one body"
        )
    try:
        return _DECODER.decode(body.decode())
    except MalformedBody:
        raise
    except UnicodeDecodeError as error:
        raise MalformedBody(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise MalformedBody(f"{error.msg}, line {error.lineno} column {error.colno}") from None
    except ValueError:
        raise MalformedBody("a number has thousands of digits") from None
    except RecursionError:
        raise MalformedBody("lists and maps are nested too deeply") from None


def encode_json(document: Any) -> bytes:
    """Return the JSON bytes of a document."""
    return _ENCODER.encode(document).encode()


def parse_msgpack(body: bytes) -> Any:
    """Return the document of a msgpack body: text keys, none twice, bounded containers."""
    count = 0

    def one_more() -> None:
        nonlocal count
        count += 1
        if count > limits.CONTAINERS_PER_BODY_MAX:
            raise MalformedBody(
                f"more than {limits.CONTAINERS_PER_BODY_MAX:,} lists and maps in one body"
            )

    def listed(items: list[Any]) -> list[Any]:
        one_more()
        return items

    def mapped(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
        one_more()
        document = _unique_keys(pairs)
        for key in document:
            if type(key) is not str:
                raise MalformedBody("a map has a key that is not text")
        return document

    try:
        check_claims(body)
        return msgpack.unpackb(
            body,
            timestamp=3,
            strict_map_key=True,
            list_hook=listed,
            object_pairs_hook=mapped,
            ext_hook=_refuse_extension,
        )
    except MalformedBody:
        raise
    except UnicodeDecodeError:
        raise MalformedBody("a text is not UTF-8") from None
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise MalformedBody(str(error) or type(error).__name__) from None


def _refuse_extension(code: int, data: bytes) -> NoReturn:
    raise MalformedBody(f"msgpack extension type {code} is not a value")


def encode_msgpack(document: Any) -> bytes:
    """Return the msgpack bytes of a document; datetimes as timestamps (extension -1).

    A counter's sum can pass 64 bits, which msgpack cannot carry: it goes as the nearest float.
    """
    return msgpack.packb(document, datetime=True, default=float)  # type: ignore[no-any-return]


JSON: Final = Form("application/json", parse_json, encode_json, from_tagged, to_tagged)
MSGPACK: Final = Form("application/msgpack", parse_msgpack, encode_msgpack, _same, _same)
FORMS: Final = (JSON, MSGPACK)
