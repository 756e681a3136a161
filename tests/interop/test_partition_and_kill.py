"""Two stock Yjs clients at two replicas, and a client without a CRDT, through a cut and a kill."""

import random
import threading
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from crdtstore.model.delta import Delta, Insert, compose
from crdtstore.model.delta_forms import delta_of
from tests.faults.proxies import Proxied, Proxies
from tests.faults.switch import CALM, CUT
from tests.interop.node import NodeChild
from tests.patience import PATIENCE_S, wait_until
from tests.processes.servers import Server, wait_for_equal_digests

SCHEMA = '[fields.note]\nkind = "text"\n'
ROOM = "ann/note"
DELTA = "/v1/profiles/ann/texts/note/delta"
ROUNDS = 12


class Typist(threading.Thread):
    """A client without a CRDT: it types marks at its place, one after the other, and is patient."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.document: Delta = ()
        self.revision = ""
        self.acknowledged: list[str] = []
        self.uncertain: list[str] = []
        self.enough = threading.Event()
        self.errors: list[Any] = []

    def run(self) -> None:
        number = 0
        while not self.enough.wait(0.02):
            number += 1
            self.type(f"<o{number}>")

    def type(self, mark: str) -> None:
        """Insert a mark amid those that are here, and take over what others did meanwhile."""
        text = self.text
        place = text.find(">", len(text) // 2) + 1
        delta: list[dict[str, Any]] = [{"retain": place}] if place else []
        delta.append({"insert": mark})
        body = {"source": "typist", "revision": self.revision, "delta": delta}
        try:
            status, answer = self.server.ask("POST", DELTA, body)
        except (OSError, HTTPException):
            self.uncertain.append(mark)
            self.read_anew()
            return
        if status == 410:
            self.document, self.revision = delta_of(answer["delta"]), answer["revision"]
        elif status == 200:
            self.document = compose(self.document, delta_of(delta))
            self.document = compose(self.document, delta_of(answer["meanwhile"]))
            self.revision = answer["revision"]
            self.acknowledged.append(mark)
        elif status != 503:
            self.errors.append((status, answer))

    def read_anew(self) -> None:
        """Read the whole text, when the server is there again."""

        def is_there() -> bool:
            try:
                status, answer = self.server.ask("GET", DELTA)
            except (OSError, HTTPException):
                return False
            if status == 200:
                self.document, self.revision = delta_of(answer["delta"]), answer["revision"]
            return bool(status == 200)

        wait_until(is_there, "the server to come back")

    @property
    def text(self) -> str:
        return "".join(str(part.content) for part in self.document if isinstance(part, Insert))


def test_all_converge_through_a_partition_and_a_kill(tmp_path: Path) -> None:
    schema = tmp_path / "schema.toml"
    schema.write_text(SCHEMA)
    proxies = Proxies(random.Random(1))
    proxies.start()
    eu, us = (Proxied(name, tmp_path, proxies) for name in ("eu", "us"))
    for server in (eu, us):
        server.environment["CRDTSTORE_SCHEMA"] = str(schema)
    typist = Typist(us)
    try:
        with NodeChild("yjs_clients.mjs") as yjs:
            us.start()
            eu.start(us)
            _open(yjs, "ann", eu)
            _open(yjs, "bob", us)
            typist.start()
            _type(yjs, "a", "b")
            proxies.set_weather("eu", "us", CUT)
            _type(yjs, "c", "d")
            us.kill()
            _type(yjs, "e", "f")
            us.start()
            _until(lambda: yjs.ask("status", "bob")["synced"], "bob to come back")
            _type(yjs, "g", "h")
            assert yjs.ask("text", "ann") != yjs.ask("text", "bob")
            proxies.set_weather("eu", "us", CALM)
            _type(yjs, "i", "j")
            typist.enough.set()
            typist.join(PATIENCE_S)
            assert not typist.errors
            _converge(yjs, eu, us, typist)
            text = yjs.ask("text", "ann")
    finally:
        typist.enough.set()
        for server in (eu, us):
            server.end()
        proxies.close()
    typed = [f"<{letter}{n}>" for letter in "abcdefghij" for n in range(ROUNDS)]
    for mark in (*typed, *typist.acknowledged):
        assert text.count(mark) == 1, f"{mark} is {text.count(mark)} times in {text}"
    for mark in typist.uncertain:
        assert text.count(mark) <= 1, mark
    assert typist.acknowledged
    assert typist.uncertain, "the kill met an edit under way, or the next one"


def _open(yjs: NodeChild, name: str, server: Server) -> None:
    url = server.url.replace("http", "ws") + "/v1/collaboration"
    yjs.ask("open", name, url, ROOM)
    _until(lambda: yjs.ask("status", name)["synced"], f"{name} to be synced")


def _type(yjs: NodeChild, ann: str, bob: str) -> None:
    """Have both type marks at once, ann at the start and bob at the end."""
    for n in range(ROUNDS):
        yjs.ask("insert", "ann", 0, f"<{ann}{n}>")
        yjs.ask("append", "bob", f"<{bob}{n}>")
        threading.Event().wait(0.02)


def _converge(yjs: NodeChild, eu: Server, us: Server, typist: Typist) -> None:
    """Wait until the clients, the replicas and the typist have one text."""

    def is_one() -> bool:
        typist.read_anew()
        texts = [yjs.ask("text", name) for name in ("ann", "bob")]
        texts += [_note(server) for server in (eu, us)]
        return len({*texts, typist.text}) == 1

    _until(is_one, "one text everywhere")
    wait_for_equal_digests(eu, us)


def _note(server: Server) -> str:
    return str(server.ask("GET", "/v1/profiles/ann")[1]["fields"]["note"])


def _until(condition: Callable[[], Any], what: str) -> None:
    wait_until(lambda: bool(condition()), what)
