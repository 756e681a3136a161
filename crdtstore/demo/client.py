"""Client: the HTTP calls of the demo to one replica, as any other program would make them."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import aiohttp

from crdtstore import limits
from crdtstore.demo.failure import DemoFailed

_MISSING: Final = 404
_ERASED: Final = 410


class Client:
    """One replica's HTTP API. Whatever goes wrong raises DemoFailed, which names the replica."""

    def __init__(self, session: aiohttp.ClientSession, name: str, url: str) -> None:
        self.name = name
        self.url = url
        self._session = session

    async def is_ready(self) -> bool:
        """Say whether the replica answers that it can be given work."""
        try:
            async with self._session.get(f"{self.url}/readyz") as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def write(self, writes: Sequence[dict[str, Any]]) -> list[list[str]]:
        """Send a batch; return the changed fields of each write. All must be accepted."""
        answer = await self._call("POST", "/v1/writes", json={"writes": writes})
        results = answer["results"]
        for write, result in zip(writes, results, strict=True):
            if "error" in result:
                raise DemoFailed(f"{self.name} refused {write}: {result['error'].get('detail')}")
        return [result["changed"] for result in results]

    async def status(self) -> dict[str, Any]:
        """Return how the replica is doing."""
        return await self._call("GET", "/v1/status")

    async def digest(self) -> dict[str, Any]:
        """Return number of profiles, digest and vector."""
        return await self._call("GET", "/v1/digest")

    async def person(self, profile_id: str) -> dict[str, Any]:
        """Return the person of a profile, with its golden record."""
        return await self._call("GET", f"/v1/persons/{profile_id}")

    async def person_found(self, identifier: str) -> dict[str, Any] | None:
        """Return the person that an identifier leads to; None if nobody holds it."""
        query = {"identifier": identifier}
        answer = await self._call("GET", "/v1/persons", _MISSING, params=query)
        return None if "id" not in answer else answer

    async def candidates(self, profile_id: str) -> list[dict[str, Any]]:
        """Return every candidate of every field of a profile's person, and the rule that chose."""
        answer = await self._call("GET", f"/v1/persons/{profile_id}/explain")
        candidates: list[dict[str, Any]] = answer["candidates"]
        return candidates

    async def decide(self, verb: str, *profile_ids: str) -> dict[str, Any]:
        """Have a steward merge or unmerge two profiles; return the person of the first."""
        return await self._call("POST", f"/v1/persons/{verb}", json={"profiles": profile_ids})

    async def erase_person(self, profile_id: str) -> str:
        """Erase the person of a profile; return the id of the erasure."""
        query = {"profile": profile_id, "source": "the person herself"}
        answer = await self._call("DELETE", "/v1/persons", params=query)
        return str(answer["id"])

    async def is_confirmed(self, erasure_id: str) -> bool:
        """Say whether all replicas have confirmed an erasure, as this one knows."""
        answer = await self._call("GET", f"/v1/erasures/{erasure_id}")
        return bool(answer["complete"])

    async def is_erased(self, profile_id: str) -> bool:
        """Say whether a profile is erased here."""
        answer = await self._call("GET", f"/v1/profiles/{profile_id}", _ERASED)
        return "fields" not in answer

    async def profiles(self) -> AsyncIterator[dict[str, Any]]:
        """Yield every golden record, in id order."""
        after: str | None = ""
        while after is not None:
            query = {"limit": str(limits.PAGE_PROFILES_MAX)} | ({"after": after} if after else {})
            page = await self._call("GET", "/v1/profiles", params=query)
            for profile in page["profiles"]:
                yield profile
            after = page["next"]

    async def _call(
        self, method: str, path: str, also: int = 200, **options: Any
    ) -> dict[str, Any]:
        """Return what is answered with 200, or with one other status that is expected."""
        try:
            async with self._session.request(method, self.url + path, **options) as response:
                document: dict[str, Any] = await response.json(content_type=None)
                if response.status not in (200, also):
                    raise DemoFailed(
                        f"{self.name} answered {response.status} to {method} {path}: "
                        f"{document.get('detail', document)}"
                    )
                return document
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            what = str(error) or type(error).__name__
            raise DemoFailed(f"{self.name} did not answer {method} {path}: {what}") from error
