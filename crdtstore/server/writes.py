"""Writes: from the bodies of requests to writes of the store, and POST /v1/writes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

from crdtstore import limits
from crdtstore.engine.writes import Write, WriteResult
from crdtstore.errors import CrdtstoreError, InvalidInput
from crdtstore.model.operations import from_json
from crdtstore.server.bodies import answer, checked_map, read_document, type_name
from crdtstore.server.forms import Form
from crdtstore.server.negotiation import answer_form
from crdtstore.server.parameters import query_of
from crdtstore.server.problems import Problem, document_of
from crdtstore.server.service import service_of

_WRITE_KEYS: Final = frozenset({"id", "source", "fields"})
_WRITE_OPTIONAL: Final = frozenset({"if_version"})
_BATCH_KEYS: Final = frozenset({"writes"})


async def post_writes(request: web.Request) -> web.StreamResponse:
    """Apply a batch: one result or error per item, in order; a bad item stops no other."""
    query_of(request, frozenset())
    answer_form(request)
    replica = service_of(request).replica
    async with read_document(request) as (document, form):
        items = _items_of(document)
        results: list[Any] = [None] * len(items)
        writes: list[Write] = []
        places: list[int] = []
        for place, item in enumerate(items):
            try:
                writes.append(write_of(item, form))
                places.append(place)
            except InvalidInput as error:
                results[place] = {"error": document_of(error)}
        if writes:
            async with bounded_wait():
                outcomes = await replica.write_many(writes)
            for place, outcome in zip(places, outcomes, strict=True):
                results[place] = result_document(outcome)
    return answer(request, {"results": results})


def write_of(item: Any, form: Form) -> Write:
    """Return the write that one item of a body means; raises InvalidInput."""
    item = checked_map(item, "a write", _WRITE_KEYS, _WRITE_OPTIONAL)
    profile_id, source, fields = item["id"], item["source"], item["fields"]
    if type(profile_id) is not str:
        raise InvalidInput(f"the id of a write is text, not a {type_name(profile_id)}")
    if type(source) is not str:
        raise InvalidInput(f"the source of a write is text, not a {type_name(source)}")
    if type(fields) is not dict:
        raise InvalidInput(f"the fields of a write are a map, not a {type_name(fields)}")
    if_version = item.get("if_version")
    if if_version is not None and type(if_version) is not str:
        raise InvalidInput(f"if_version is text, not a {type_name(if_version)}")
    if len(fields) > limits.FIELDS_PER_DOCUMENT_MAX:
        raise InvalidInput(
            f"a write has {len(fields):,} fields; "
            f"a profile has at most {limits.FIELDS_PER_DOCUMENT_MAX:,}"
        )
    for field, value in fields.items():
        kind = type(value)
        if kind is dict or kind is list:
            fields[field] = from_json(field, form.value_in(value))
    return Write(profile_id, source, fields, if_version)


def result_document(outcome: WriteResult | CrdtstoreError) -> dict[str, Any]:
    """Return the outcome of one write as the API answers it."""
    if isinstance(outcome, CrdtstoreError):
        return {"error": document_of(outcome)}
    return {"id": outcome.id, "version": outcome.version, "changed": outcome.changed}


@asynccontextmanager
async def bounded_wait() -> AsyncIterator[None]:
    """Wait for a write to be durable, but not for ever; raises the 503 problem."""
    try:
        async with asyncio.timeout(limits.REQUEST_TIMEOUT_S):
            yield
    except TimeoutError:
        raise Problem(
            503,
            "outcome-unknown",
            "It is not known whether the write was kept",
            f"the write was not durable within {limits.REQUEST_TIMEOUT_S:g} seconds; "
            "read the profile before you repeat it",
        ) from None


def _items_of(document: Any) -> list[Any]:
    items = checked_map(document, "the body", _BATCH_KEYS, frozenset())["writes"]
    if type(items) is not list:
        raise InvalidInput(f"writes is a list, not a {type_name(items)}")
    if len(items) > limits.WRITES_PER_BATCH_MAX:
        raise Problem(
            413,
            "batch-too-long",
            "The batch is too long",
            f"the batch has {len(items):,} writes; the limit is {limits.WRITES_PER_BATCH_MAX:,}",
            members={
                "size": len(items),
                "limit": limits.WRITES_PER_BATCH_MAX,
                "unit": "writes",
            },
        )
    return items
