"""The web pages about traits: their definitions, the values of a person, and where these come from.

| Path                               | Answer                                                     |
|------------------------------------|------------------------------------------------------------|
| /cdp/traits                        | definitions, and how far each was folded                   |
| /cdp/profiles/{id}/traits          | the values of the person of a profile, as they are now     |
| /cdp/profiles/{id}/traits/{name}   | the partials of one of them, by profile and replica        |
"""

import time
from typing import Any, Final

import msgspec
from aiohttp import hdrs, web

from crdtstore import Replica
from crdtstore.errors import ProfileErased, ProfileNotFound
from replicas.cdp.errors import DefinitionInvalid
from replicas.cdp.event_log import EventLog
from replicas.cdp.traits.folding import Folding
from replicas.cdp.traits.reading import trait_account, trait_values

_HEADERS: Final = {hdrs.CONTENT_TYPE: "application/json", hdrs.CACHE_CONTROL: "no-store"}


class TraitPages:
    """The pages about the traits of a service."""

    def __init__(self, replica: Replica, log: EventLog, folding: Folding) -> None:
        self._replica = replica
        self._log = log
        self._folding = folding

    def add_to(self, app: web.Application) -> None:
        """Add the pages to an application that has not started."""
        app.router.add_get("/cdp/traits", self.traits)
        app.router.add_get("/cdp/profiles/{id:[^/]+}/traits", self.values)
        app.router.add_get("/cdp/profiles/{id:[^/]+}/traits/{name}", self.account)

    async def traits(self, request: web.Request) -> web.Response:
        """Answer the definitions, and up to which event of the log each was folded."""
        progress = self._folding.progress()
        listed = [
            {
                "name": name,
                "version": definition.version,
                "fold": definition.fold,
                "options": definition.options,
                "kind": definition.kind,
                "events": definition.events,
                "property": definition.property_path,
                "where": definition.where,
                "unit": definition.unit,
                "description": definition.description,
                "folded": progress[name],
                "unfit": self._folding.unfit[name],
            }
            for name, definition in sorted(self._folding.definitions.by_name.items())
        ]
        log = self._log
        return _json({"first": log.first_sequence, "last": log.last_sequence, "traits": listed})

    async def values(self, request: web.Request) -> web.Response:
        """Answer the values of all traits of the person of a profile."""
        profile_id = request.match_info["id"]
        definitions = self._folding.definitions
        try:
            now_ms = time.time_ns() // 1_000_000
            values = trait_values(self._replica, definitions, profile_id, now_ms)
        except (ProfileNotFound, ProfileErased) as error:
            return _json({"code": error.code, "detail": str(error)}, 404)
        return _json({"id": profile_id, "at_ms": now_ms, "traits": values})

    async def account(self, request: web.Request) -> web.Response:
        """Answer the partials of one trait of the person of a profile."""
        profile_id, name = request.match_info["id"], request.match_info["name"]
        try:
            account = trait_account(self._replica, self._folding.definitions, profile_id, name)
        except (ProfileNotFound, ProfileErased, DefinitionInvalid) as error:
            return _json({"code": error.code, "detail": str(error)}, 404)
        return _json({"id": profile_id, "name": name, "partials": account})


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, headers=_HEADERS)
