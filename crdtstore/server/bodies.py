"""Bodies: reading a request's document within its bounds, and writing an answer's."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import hdrs, web

from crdtstore import limits
from crdtstore.errors import InvalidInput
from crdtstore.server.forms import FORMS, Form, MalformedBody
from crdtstore.server.negotiation import answer_form
from crdtstore.server.problems import Problem, bad_request
from crdtstore.server.service import Admission, service_of

_FORM_OF: Final = {form.media_type: form for form in FORMS}
_FORM_NAMES: Final = " or ".join(_FORM_OF)


@asynccontextmanager
async def read_document(request: web.Request) -> AsyncIterator[tuple[Any, Form]]:
    """Read the document of a request; its bytes count as held until the block ends.

    Raises problems: 415 for another media type, 413 for too many bytes, 408 for a body that does
    not arrive, 400 for a malformed one, 503 when too much is held already.
    """
    form = _form_of(request)
    service = service_of(request)
    size = request.content_length
    if size is not None and size > limits.BODY_BYTES_MAX:
        raise _too_large(size)
    body = bytearray()
    try:
        await _read_bytes(request, body, service.admission)
        try:
            document = form.parse(bytes(body))
        except MalformedBody as error:
            raise bad_request(
                "malformed-body", f"The body is not {form.media_type}", str(error)
            ) from error
        yield document, form
    finally:
        service.admission.release(len(body))


async def refuse_body(request: web.Request) -> None:
    """Refuse a body where none is expected; raises the 400 problem."""
    if request.body_exists and await request.content.read(1):
        raise bad_request(
            "unexpected-body", "No body is expected here", "send this request without a body"
        )


def checked_map(
    document: object, what: str, required: frozenset[str], optional: frozenset[str]
) -> dict[str, Any]:
    """Return a document that is a map with these keys and no other; raises InvalidInput."""
    if type(document) is not dict:
        raise InvalidInput(f"{what} is a map, not a {type_name(document)}")
    if not required <= document.keys():
        missing = ", ".join(sorted(required - document.keys()))
        raise InvalidInput(f"{what} lacks {missing}")
    if len(document) > len(required) and not document.keys() <= required | optional:
        unknown = ", ".join(sorted(repr(key)[:80] for key in document.keys() - required - optional))
        allowed = ", ".join(sorted(required | optional))
        raise InvalidInput(f"{what} has the unknown key {unknown}; allowed: {allowed}")
    return document


def type_name(value: object) -> str:
    """Return the name by which a JSON writer knows the type of a value."""
    names = {
        "dict": "map",
        "str": "text",
        "NoneType": "null",
        "bool": "boolean",
        "int": "number",
        "float": "number",
    }
    return names.get(type(value).__name__, type(value).__name__)


def answer(
    request: web.Request,
    document: Any,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Return an answer with a document, in the form that the request accepts."""
    form = answer_form(request)
    return web.Response(
        status=status,
        body=form.encode(document),
        headers={
            hdrs.CONTENT_TYPE: form.media_type,
            hdrs.VARY: hdrs.ACCEPT,
            hdrs.CACHE_CONTROL: "no-store",
            **(headers or {}),
        },
    )


def _form_of(request: web.Request) -> Form:
    form = _FORM_OF.get(request.content_type) if hdrs.CONTENT_TYPE in request.headers else None
    if form is None:
        given = request.headers.get(hdrs.CONTENT_TYPE, "none")
        raise _unsupported(f"a body is {_FORM_NAMES}; its Content-Type is {given[:80]}")
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise _unsupported("bodies are read as they are, without a Content-Encoding")
    charset = request.charset
    if charset is not None and charset.lower() not in ("utf-8", "utf8"):
        raise _unsupported(f"text is UTF-8, not {charset[:80]}")
    return form


def _unsupported(detail: str) -> Problem:
    return Problem(
        415,
        "unsupported-media-type",
        "The media type is not understood",
        detail,
        headers={hdrs.ACCEPT: ", ".join(_FORM_OF)},
    )


async def _read_bytes(request: web.Request, body: bytearray, admission: Admission) -> None:
    """Read a body into ``body``, whose bytes are held."""
    try:
        async with asyncio.timeout(limits.BODY_TIMEOUT_S):
            while chunk := await request.content.readany():
                size = len(body) + len(chunk)
                if size > limits.BODY_BYTES_MAX:
                    raise _too_large(size)
                admission.hold(len(chunk), is_small=size <= limits.SMALL_BODY_BYTES)
                body += chunk
    except TimeoutError:
        raise Problem(
            408,
            "body-timeout",
            "The body did not arrive",
            f"the body took longer than {limits.BODY_TIMEOUT_S:g} seconds",
            headers={hdrs.CONNECTION: "close"},
        ) from None
    except (web.RequestPayloadError, ConnectionError) as error:
        raise bad_request("malformed-body", "The body cannot be read", str(error)[:200]) from None


def _too_large(size: int) -> Problem:
    return Problem(
        413,
        "body-too-large",
        "The body is too large",
        f"the body has {size:,} bytes or more; the limit is {limits.BODY_BYTES_MAX:,}",
        headers={hdrs.CONNECTION: "close"},
        members={"size": size, "limit": limits.BODY_BYTES_MAX, "unit": "bytes"},
    )
