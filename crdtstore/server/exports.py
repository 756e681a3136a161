"""The export over HTTP: written whole, beside the data, and then sent."""

import importlib.util

from aiohttp import web

from crdtstore.errors import InvalidInput
from crdtstore.export.files import FORMATS
from crdtstore.server.negotiation import OCTETS, accepted
from crdtstore.server.parameters import query_of
from crdtstore.server.problems import Problem
from crdtstore.server.sending import send_file
from crdtstore.server.service import service_of


async def get_export(request: web.Request) -> web.StreamResponse:
    """Answer the golden records of all profiles as one file; they are written one by one."""
    form = query_of(request, frozenset({"format"})).get("format", "parquet")
    if form not in FORMATS:
        raise InvalidInput(f"format is one of {', '.join(FORMATS)}, not {form[:40]!r}")
    if form != "jsonl" and importlib.util.find_spec("pyarrow") is None:
        raise Problem(
            501,
            "analytics-not-installed",
            "pyarrow is not installed",
            "the server lacks the extra 'analytics', which has pyarrow; ask for format=jsonl",
        )
    accepted(request, (OCTETS,))
    service = service_of(request)
    async with service.exporting:
        file = await service.replica.queries.export_nameless(form)
    with file:
        return await send_file(request, service, file, f"profiles.{form}")
