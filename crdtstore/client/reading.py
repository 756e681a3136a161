"""Reading: a profile over HTTP, as the same type and with the same errors as from a replica."""

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgpack

from crdtstore import limits
from crdtstore.client.pipeline import Pipeline
from crdtstore.errors import AccessDenied, CrdtstoreError, NotUnderstood, ReplicaUnreachable
from crdtstore.model.profile import FieldConflict, Profile
from crdtstore.model.values import to_cell_value
from crdtstore.stream.refusals import error_of

if TYPE_CHECKING:
    import aiohttp

_TYPE_PREFIX = "urn:crdtstore:error:"


async def read_profile(pipeline: Pipeline, profile_id: str) -> Profile:
    """Return the golden record that the replica has.

    Raises ProfileNotFound, ProfileErased, InvalidName, or ReplicaUnreachable.
    """
    import aiohttp
    from yarl import URL

    pipeline.check()
    assert pipeline.http is not None
    url = URL(f"{pipeline.url}/v1/profiles/{quote(profile_id, safe='')}", encoded=True)
    timeout = aiohttp.ClientTimeout(total=limits.CLIENT_TIMEOUT_S)
    headers = {"Accept": "application/msgpack"}
    try:
        async with pipeline.http.get(url, headers=headers, timeout=timeout) as response:
            if response.status != 200:
                raise await _problem(response, profile_id)
            document = msgpack.unpackb(await response.read(), timestamp=3)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ReplicaUnreachable(f"{pipeline.url} does not answer: {error}") from error
    except (ValueError, msgpack.UnpackException) as error:
        raise NotUnderstood(f"{pipeline.url} does not answer as a replica: {error}") from error
    values = {field: _cell_values(value) for field, value in document["fields"].items()}
    conflicts = tuple(
        FieldConflict(each["field"], tuple(each["kinds"]), each["declared"])
        for each in document.get("conflicts", ())
    )
    return Profile(document["id"], document["version"], values, conflicts)


def _cell_values(value: Any) -> Any:
    """Return a value as a profile holds it: a set as a list of scalars, the rest as in a cell."""
    is_nested = type(value) is list and any(type(part) in (list, dict) for part in value)
    return value if type(value) is list and not is_nested else to_cell_value(value, "a field")


async def _problem(response: "aiohttp.ClientResponse", profile_id: str) -> CrdtstoreError:
    """Return the error that an answer tells of."""
    if response.status in (401, 403):
        return AccessDenied(f"the replica answers {response.status}: the token is missing or wrong")
    try:
        problem = await response.json(content_type=None)
        code, detail = problem["type"].removeprefix(_TYPE_PREFIX), problem["detail"]
    except (ValueError, KeyError, TypeError):
        return NotUnderstood(f"the replica answers {response.status}, and no problem")
    return error_of(str(code), str(detail), {"profile_id": profile_id})
