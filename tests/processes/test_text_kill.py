"""A server that is killed while its texts are edited: every edit is there, once, and in order."""

import threading
from collections.abc import Callable

from crdtstore import SyncClient, insert_items, insert_text
from tests.patience import PATIENCE_S, wait_until
from tests.processes.servers import Server

ROUNDS = 3


class Editor(threading.Thread):
    """Writes one character after the other to the start of a text, and counts in a list."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.written = 0
        self.enough = threading.Event()

    def run(self) -> None:
        with SyncClient(self.server.url) as client:
            while not self.enough.is_set():
                fields = {
                    "notes": insert_text(0, chr(0x1F300 + self.written)),
                    "tasks": insert_items(0, self.written),
                }
                assert client.write("ann", fields, source="crm")
                self.written += 1


def test_kills_lose_and_repeat_no_edit(server: Callable[[str], Server]) -> None:
    eu = server("eu").start()
    editor = Editor(eu)
    editor.start()
    for _ in range(ROUNDS):
        seen = editor.written
        wait_until(lambda seen=seen: editor.written >= seen + 20, "edits", eu.log)
        eu.kill()
        eu.start()
    editor.enough.set()
    editor.join(PATIENCE_S)
    assert not editor.is_alive()
    fields = eu.ask("GET", "/v1/profiles/ann")[1]["fields"]
    count = editor.written
    assert count >= 20 * ROUNDS
    assert fields["notes"] == "".join(chr(0x1F300 + number) for number in reversed(range(count)))
    assert fields["tasks"] == list(reversed(range(count)))
    history = eu.ask("GET", "/v1/profiles/ann/texts/notes/history")[1]["edits"]
    assert [edit["inserted"] for edit in history] == [2] * min(count, 200)
