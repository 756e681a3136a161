"""Asking the service that runs with a configuration, at its own address, for its commands."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, Protocol

from replicas.embedding import limits
from replicas.embedding.errors import ServiceUnreachable


class Address(Protocol):
    """What of the configuration is needed: where the service listens, and its token."""

    @property
    def host(self) -> str:
        """The host that it listens on."""
        ...

    @property
    def port(self) -> int:
        """The port that it listens on."""
        ...

    @property
    def token(self) -> str | None:
        """The token of its API."""
        ...


def ask(address: Address, path: str, body: Any = None) -> Any:
    """Return the answer of a path, by POST if there is a body; raises ServiceUnreachable."""
    data = None if body is None else json.dumps(body).encode()
    try:
        return json.loads(b"".join(lines_of(address, path, data)))
    except ValueError:
        raise ServiceUnreachable(f"what answers at {address.port} is no such service") from None


def lines_of(address: Address, path: str, body: bytes | None = None) -> Iterator[bytes]:
    """Yield the lines of an answer as they come; raises ServiceUnreachable."""
    host = "127.0.0.1" if address.host in ("0.0.0.0", "::") else address.host
    where = f"{f'[{host}]' if ':' in host else host}:{address.port}"
    headers = {"Content-Type": "application/json"}
    if address.token:
        headers["Authorization"] = f"Bearer {address.token}"
    request = urllib.request.Request(f"http://{where}{path}", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=limits.ASKING_TIMEOUT_S) as answer:
            yield from answer
    except urllib.error.HTTPError as error:
        raise ServiceUnreachable(_told(error)) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        said = getattr(reason, "strerror", None) or reason
        raise ServiceUnreachable(
            f"no service answers at {where}: {said}; is it running? `run` starts it"
        ) from None


def _told(error: urllib.error.HTTPError) -> str:
    """Return what an answer says is wrong."""
    try:
        return str(json.load(error)["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"the service answered {error.code}"
