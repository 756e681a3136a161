"""Handlers of listings: pages of profiles, all or those that a filter asks for, and counts."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgpack
from aiohttp import hdrs, web

from crdtstore import limits
from crdtstore.server.bodies import answer
from crdtstore.server.forms import JSON, Form
from crdtstore.server.negotiation import answer_form
from crdtstore.server.parameters import after_of, flag_of, limit_of, query_of
from crdtstore.server.profiles import profile_document
from crdtstore.server.service import service_of

_QUERY_NAMES = frozenset({"where", "order", "explain"})


async def list_profiles(request: web.Request) -> web.StreamResponse:
    """Answer a page of living profiles: in id order, or those of a filter, or in an order."""
    query = query_of(request, frozenset({"after", "limit"}) | _QUERY_NAMES)
    limit = limit_of(query, limits.PAGE_PROFILES_DEFAULT, limits.PAGE_PROFILES_MAX)
    form = answer_form(request)
    if _QUERY_NAMES & query.keys():
        return await _answer_query(request, query, limit, form)
    after = after_of(query)
    replica = service_of(request).replica
    pieces: list[bytes] = []
    size, is_last = 0, False
    while len(pieces) < limit and size < limits.PAGE_BYTES_MAX and not is_last:
        wanted = min(limits.PAGE_SLICE_PROFILES, limit - len(pieces))
        profiles = replica.profiles(after=after, limit=wanted)
        is_last = len(profiles) < wanted
        for profile in profiles:
            piece = form.encode(profile_document(profile, form))
            if pieces and size + len(piece) > limits.PAGE_BYTES_MAX:
                size, is_last = limits.PAGE_BYTES_MAX, False
                break
            pieces.append(piece)
            size += len(piece)
            after = profile.id
        await asyncio.sleep(0)
    return _page(pieces, {"next": None if is_last else after}, form)


async def count_profiles(request: web.Request) -> web.StreamResponse:
    """Answer how many living profiles there are, or how many a filter asks for."""
    query = query_of(request, frozenset({"where", "explain"}))
    is_explained = flag_of(query, "explain")
    counted = await service_of(request).replica.queries.count(query.get("where", ""))
    plan = {"plan": asdict(counted.plan)} if is_explained else {}
    return answer(request, {"count": counted.count, **plan})


async def _answer_query(
    request: web.Request, query: Mapping[str, str], limit: int, form: Form
) -> web.StreamResponse:
    is_explained = flag_of(query, "explain")
    order = query.get("order", "")
    after = query.get("after", "") if order else after_of(query)
    page = await service_of(request).replica.queries.page(
        query.get("where", ""), order=order, after=after, limit=limit
    )
    pieces: list[bytes] = []
    for number, profile in enumerate(page.profiles, 1):
        pieces.append(form.encode(profile_document(profile, form)))
        if number % limits.PAGE_SLICE_PROFILES == 0:
            await asyncio.sleep(0)
    ending: dict[str, Any] = {"next": page.next}
    if is_explained:
        ending["plan"] = {**asdict(page.plan), "indexes": list(page.plan.indexes)}
    return _page(pieces, ending, form)


def _page(pieces: list[bytes], ending: Mapping[str, Any], form: Form) -> web.Response:
    """Return {"profiles": [...], "next": ...} around profiles that are encoded already."""
    if form is JSON:
        body = b'{"profiles":[%b],%b' % (b",".join(pieces), form.encode(dict(ending))[1:])
    else:
        packer = msgpack.Packer()
        head = packer.pack_map_header(1 + len(ending)) + packer.pack("profiles")
        members = [part for item in ending.items() for part in map(form.encode, item)]
        body = b"".join([head, packer.pack_array_header(len(pieces)), *pieces, *members])
    return web.Response(
        body=body,
        headers={
            hdrs.CONTENT_TYPE: form.media_type,
            hdrs.VARY: hdrs.ACCEPT,
            hdrs.CACHE_CONTROL: "no-store",
        },
    )
