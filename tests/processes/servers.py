"""Real `crdtstore serve` processes on loopback, to be killed."""

import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.ports import free_port
from tests.patience import PATIENCE_S, wait_until

ROOT = Path(__file__).parents[2]


class Server:
    """One replica process: start it, ask it, stop it or kill it, start it again."""

    def __init__(self, name: str, directory: Path, log: Path) -> None:
        self.name = name
        self.directory = directory
        self.log = log
        self.port = free_port()
        self.host = "127.0.0.1"
        self.url = f"http://{self.host}:{self.port}"
        self.token: str | None = None
        self.module = "crdtstore.cli"
        self.environment: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *peers: "Server") -> "Server":
        command = [*self.prefix(), sys.executable, "-m", self.module, "serve"]
        command += ["--name", self.name, "--data", str(self.directory), "--listen", self.listen()]
        for peer in peers:
            command += ["--peer", self.peer_url(peer)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, **self.environment, "PYTHONPATH": str(ROOT)},
            )
        wait_until(self.answers, f"{self.name} to answer", self.log)
        return self

    def prefix(self) -> list[str]:
        """Return the words of a command that runs the server."""
        return []

    def listen(self) -> str:
        """Return where the server listens."""
        return f"{self.host}:{self.port}"

    def peer_url(self, peer: "Server") -> str:
        """Return the address by which the server reaches a peer."""
        return peer.url

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            return bool(self.ask("GET", "/healthz")[0] == 200)
        except OSError:
            return False

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S)
        try:
            data = None if body is None else json.dumps(body)
            headers = {} if body is None else {"Content-Type": "application/json"}
            if self.token is not None:
                headers["Authorization"] = f"Bearer {self.token}"
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            content = response.read()
            is_json = "json" in response.headers.get("Content-Type", "")
            return response.status, json.loads(content) if is_json and content else content
        finally:
            connection.close()

    def digest(self) -> dict[str, Any]:
        status, digest = self.ask("GET", "/v1/digest")
        assert status == 200, digest
        return dict(digest)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def end(self) -> None:
        """Kill the server if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


def wait_for_equal_digests(*servers: Server) -> dict[str, Any]:
    def are_equal() -> bool:
        digests = [server.digest() for server in servers]
        return all(digest == digests[0] for digest in digests)

    wait_until(are_equal, "equal digests", servers[0].log)
    return servers[0].digest()
