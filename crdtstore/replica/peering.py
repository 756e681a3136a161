"""Peering: keeping a link to every configured peer, with backoff and jitter."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp

from crdtstore import limits
from crdtstore.errors import ConfigurationError
from crdtstore.links.exchange import QUIET_CODES, Exchange
from crdtstore.replica.link import LINK_PATH, Link, Websocket

_log = logging.getLogger("crdtstore.links")

_QUIET_CODES: Final = QUIET_CODES | {""}


@dataclass(slots=True)
class Peer:
    """A configured peer: its address, what became of the last attempt, and whom it led to.

    ``state`` is one of down, connecting, live, refused. ``number`` is the
    link's while there is one.
    """

    url: str
    state: str = "down"
    reason: str = ""
    origin: int = 0
    name: str = ""
    number: int | None = None


def check_peer_urls(urls: Sequence[str]) -> None:
    """Check the addresses of peers; raises ConfigurationError."""
    if isinstance(urls, str):
        raise ConfigurationError("peers is a list of addresses, not one text")
    for url in urls:
        scheme, separator, rest = url.partition("://")
        if scheme not in ("http", "https", "ws", "wss") or not separator or not rest.strip("/"):
            raise ConfigurationError(
                f"peer {url!r} is no address; write it as in http://127.0.0.1:8402"
            )


async def keep_linked(
    peer: Peer,
    exchange: Exchange,
    client: aiohttp.ClientSession,
    link_secret: str | None,
    links: set[Link],
    work: asyncio.Event,
) -> None:
    """Link to a peer, and again whenever the link ends, until cancelled."""
    delay_s = limits.RECONNECT_MIN_S
    while True:
        if peer.origin and exchange.is_linked_to(peer.origin):
            peer.state, peer.reason = "live", ""
            await asyncio.sleep(limits.GOSSIP_INTERVAL_MS / 1000)
            continue
        started = asyncio.get_running_loop().time()
        code = await _link_once(peer, exchange, client, link_secret, links, work)
        lasted_s = asyncio.get_running_loop().time() - started
        if code in _QUIET_CODES and lasted_s > limits.LINK_SOUND_S:
            delay_s = limits.RECONNECT_MIN_S
        await asyncio.sleep(delay_s * (0.5 + exchange.store.random_bits(16) / 2**17))
        delay_s = min(delay_s * 2, limits.RECONNECT_MAX_S)
        if code == "new-incarnation":
            delay_s = limits.RECONNECT_MIN_S


async def _link_once(
    peer: Peer,
    exchange: Exchange,
    client: aiohttp.ClientSession,
    link_secret: str | None,
    links: set[Link],
    work: asyncio.Event,
) -> str:
    """Connect, and serve the link until it ends; return the code of the reason."""
    peer.state = "connecting" if peer.state != "refused" else peer.state
    headers = {"Authorization": f"Bearer {link_secret}"} if link_secret else {}
    try:
        websocket = await client.ws_connect(
            peer.url.rstrip("/") + LINK_PATH,
            headers=headers,
            max_msg_size=limits.MESSAGE_BYTES_MAX + 1,
            compress=0,
            autoping=True,
            timeout=aiohttp.ClientWSTimeout(ws_close=limits.CLOSE_TIMEOUT_S),
        )
    except aiohttp.WSServerHandshakeError as error:
        hint = "; check the link secret" if error.status in (401, 403) else ""
        _note_down(peer, "refused", f"the peer answered {error.status} {error.message}{hint}")
        return "refused"
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        _note_down(peer, "down", f"cannot be reached: {error}")
        return "unreachable"
    link = Link(websocket, exchange, work, outbound=True)
    links.add(link)
    peer.number = link.number
    state = exchange.links[link.number]
    peer.state, peer.reason = "live", ""
    try:
        code = await link.run()
    finally:
        links.discard(link)
        peer.number = None
        if state.session.peer is not None:
            peer.origin, peer.name = state.session.peer.origin, state.session.peer.name
    if code in _QUIET_CODES:
        peer.state, peer.reason = "down", state.reason or "the connection was lost"
    else:
        _note_down(peer, "refused", state.reason)
    return code


async def serve_peer(
    websocket: Websocket, exchange: Exchange, links: set[Link], work: asyncio.Event
) -> None:
    """Serve a link that a peer opened, until it ends; one more than there may be is refused."""
    if len(links) >= limits.LINKS_MAX:
        _log.error("a link was refused: there are %d already", len(links))
        await websocket.close(code=aiohttp.WSCloseCode.TRY_AGAIN_LATER)
        return
    link = Link(websocket, exchange, work, outbound=False)
    links.add(link)
    try:
        await link.run()
    finally:
        links.discard(link)


def _note_down(peer: Peer, state: str, reason: str) -> None:
    if (peer.state, peer.reason) != (state, reason):
        _log.warning("peer %s %s", peer.url, reason)
    peer.state, peer.reason = state, reason
