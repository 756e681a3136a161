"""Editor: a page with two panes, each at another replica, in which one note is written.

The page knows this server alone, on loopback: what it asks of a replica is carried there and back,
HTTP and websockets, so a browser needs to trust one address. It is plain HTML and JavaScript out of
this package, and needs no network.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final

import aiohttp
from aiohttp import hdrs, web

from crdtstore.demo.fleet import Fleet

SITES: Final = ("eu", "us")
"""The replicas of the two panes."""

_DATA: Final = files("crdtstore.demo") / "data"
_FILES: Final = {"": ("editor.html", "text/html"), "editor.js": ("editor.js", "text/javascript")}
_CARRIED: Final = (hdrs.CONTENT_TYPE,)
_HOST: Final = "127.0.0.1"


class EditorServer:
    """Serves the page over a fleet that runs: ``await start()``, then ``await stop()``."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._runner: web.AppRunner | None = None
        self._client: aiohttp.ClientSession | None = None
        self.url = ""

    async def start(self) -> None:
        """Listen on a free port of loopback; ``url`` is then where the page is."""
        app = web.Application(middlewares=[_own_pages_only])
        app.router.add_get("/{name:|editor.js}", _page)
        app.router.add_post("/cut", self._cut)
        app.router.add_post("/mend", self._mend)
        app.router.add_route("*", "/{site:eu|us}/{path:v1/.+}", self._carry)
        self._client = aiohttp.ClientSession()
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, _HOST, 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://{_HOST}:{port}/"

    async def stop(self) -> None:
        """Stop listening."""
        if self._client is not None:
            await self._client.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _cut(self, request: web.Request) -> web.StreamResponse:
        for name in SITES:
            self._fleet.cut(name)
        return web.Response(status=204)

    async def _mend(self, request: web.Request) -> web.StreamResponse:
        for name in SITES:
            self._fleet.mend(name)
        return web.Response(status=204)

    async def _carry(self, request: web.Request) -> web.StreamResponse:
        """Carry one request, or one websocket, to the replica that its path begins with."""
        assert self._client is not None
        site, path = request.match_info["site"], request.match_info["path"]
        address = f"{self._fleet.clients[site].url}/{path}"
        if request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
            return await self._carry_websocket(request, f"{address}?{request.query_string}")
        headers = {name: request.headers[name] for name in _CARRIED if name in request.headers}
        try:
            async with self._client.request(
                request.method, address, headers=headers, data=await request.read()
            ) as answer:
                return web.Response(
                    status=answer.status,
                    body=await answer.read(),
                    content_type=answer.content_type,
                )
        except aiohttp.ClientError:
            return web.json_response({"detail": f"{site} cannot be reached"}, status=502)

    async def _carry_websocket(self, request: web.Request, address: str) -> web.StreamResponse:
        assert self._client is not None
        near = web.WebSocketResponse()
        await near.prepare(request)
        with contextlib.suppress(aiohttp.ClientError):
            async with self._client.ws_connect(address) as far:
                ways = [
                    asyncio.create_task(_pump(near, far)),
                    asyncio.create_task(_pump(far, near)),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
        await near.close()
        return near


async def _page(request: web.Request) -> web.StreamResponse:
    name, media_type = _FILES[request.match_info["name"]]
    text = (_DATA / name).read_text("utf-8")
    return web.Response(text=text, content_type=media_type, headers={"Cache-Control": "no-store"})


async def _pump(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    target: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
) -> None:
    """Carry messages one way until an end closes."""
    with contextlib.suppress(ConnectionError):
        async for message in source:
            if message.type is aiohttp.WSMsgType.BINARY:
                await target.send_bytes(message.data)


@web.middleware
async def _own_pages_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse what a web page of another site asks, or a name that leads here (DNS rebinding)."""
    own = f"http://{_HOST}:{request.url.port}"
    if request.headers.get(hdrs.HOST) != own.removeprefix("http://"):
        raise web.HTTPForbidden
    if request.headers.get(hdrs.ORIGIN, own) != own:
        raise web.HTTPForbidden
    return await handler(request)
