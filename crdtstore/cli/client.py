"""A small HTTP client for the command line: one request at a time, errors in one line."""

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode, urlsplit

from crdtstore import limits


class RequestFailed(Exception):
    """A request that did not lead to an answer of its kind; the text says why and what to do.

    ``status`` is what the server answered, 0 if it did not.
    """

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Client:
    """A client of one server."""

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise RequestFailed(f"{url!r} is no address; write it as in http://127.0.0.1:8401")
        self.url = url.rstrip("/")
        self._host = parts.hostname
        self._port = port
        self._is_secure = parts.scheme == "https"
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str, **query: object) -> Any:
        """Return the document at a path."""
        return self._document("GET", path, query, None, {})

    def post(self, path: str, body: Any, timeout_s: float = limits.CLIENT_TIMEOUT_S) -> Any:
        """Ask for something to be done, and return what it did."""
        return self._document("POST", path, {}, body, {}, timeout_s)

    def patch(self, path: str, body: Any, headers: Mapping[str, str]) -> Any:
        """Send a change, and return what it did."""
        return self._document("PATCH", path, {}, body, headers)

    def delete(self, path: str, **query: object) -> Any:
        """Ask for something to be taken away, and return what that did."""
        return self._document("DELETE", path, query, None, {})

    def download(self, path: str, file: BinaryIO, **query: object) -> None:
        """Write what is answered at a path into a file, as far as it comes."""
        connection = self._connect(limits.BACKUP_TIMEOUT_S)
        try:
            try:
                response = self._request(connection, "GET", path, query, None, {})
            except (OSError, http.client.HTTPException) as error:
                raise self._broken(error) from error
            while chunk := self._received(response):
                file.write(chunk)
        finally:
            connection.close()

    def _received(self, response: http.client.HTTPResponse) -> bytes:
        try:
            return response.read(limits.COPY_CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from error

    def lines(self, path: str, **query: object) -> Iterator[Any]:
        """Yield the documents of JSON lines, as they come."""
        connection = self._connect(None if query.get("follow") else limits.CLIENT_TIMEOUT_S)
        try:
            response = self._request(connection, "GET", path, query, None, {})
            while line := response.readline():
                if line.strip():
                    document = json.loads(line)
                    if "error" in document:
                        raise RequestFailed(str(document["error"].get("detail")))
                    yield document
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._broken(error) from error
        finally:
            connection.close()

    def _document(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: Any,
        headers: Mapping[str, str],
        timeout_s: float = limits.CLIENT_TIMEOUT_S,
    ) -> Any:
        connection = self._connect(timeout_s)
        try:
            response = self._request(connection, method, path, query, body, headers)
            return json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._broken(error) from error
        finally:
            connection.close()

    def _connect(self, timeout_s: float | None) -> http.client.HTTPConnection:
        if self._is_secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout_s, context=context
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)

    def _request(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: Any,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        present = {name: value for name, value in query.items() if value not in (None, "")}
        target = self._prefix + path + ("?" + urlencode(present) if present else "")
        sent = dict(self._headers, **headers)
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        connection.request(method, target, body=content, headers=sent)
        response = connection.getresponse()
        if response.status != 200:
            raise RequestFailed(self._explained(response), response.status)
        return response

    def _explained(self, response: http.client.HTTPResponse) -> str:
        try:
            detail = str(json.loads(response.read())["detail"])
        except (ValueError, KeyError, TypeError):
            detail = f"{self.url} answered {response.status} {response.reason}"
        if response.status == 401:
            return f"{detail}; the command takes it from --token-file or CRDTSTORE_TOKEN"
        return detail

    def _broken(self, error: Exception) -> RequestFailed:
        if isinstance(error, ConnectionRefusedError):
            return RequestFailed(
                f"nothing listens at {self.url}; start a server with: crdtstore serve, "
                "or name another with --url or CRDTSTORE_URL"
            )
        if isinstance(error, TimeoutError):
            return RequestFailed(f"{self.url} did not answer in time")
        return RequestFailed(f"{self.url} did not answer as a crdtstore server: {error}")


def profile_path(profile_id: str) -> str:
    """Return the path of a profile."""
    return "/v1/profiles/" + quote(profile_id, safe="")


def replica_path(name: str) -> str:
    """Return the path of another replica."""
    return "/v1/replicas/" + quote(name, safe="")
