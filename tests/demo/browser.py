"""A real browser without a screen, driven over the protocol of its developer tools."""

import asyncio
import base64
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import aiohttp
import pytest

from tests.patience import PATIENCE_S

_PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--remote-debugging-port=0", "--window-size=1200,700",
)  # fmt: skip


def browser_program() -> str:
    """Return the program of a browser; skips if there is none."""
    for name in _PROGRAMS:
        if found := shutil.which(name):
            return found
    pytest.skip("chromium is not installed")


class Browser:
    """One page of a headless browser: ``async with Browser(url) as page``."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._program = browser_program()
        self._number = 0
        self._profile = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)

    async def __aenter__(self) -> "Browser":
        folder = Path(self._profile.name)
        self._process = subprocess.Popen(
            [self._program, *_FLAGS, f"--user-data-dir={folder}", self._url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._session = aiohttp.ClientSession()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            page = await self._find(folder / "DevToolsActivePort")
            if page is not None:
                break
            assert time.monotonic() < deadline, "the browser does not start"
            await asyncio.sleep(0.1)
        self._socket = await self._session.ws_connect(page, max_msg_size=0)
        await self._call("Runtime.enable")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, 10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._profile.cleanup()

    async def evaluate(self, expression: str) -> Any:
        """Return what a JavaScript expression gives on the page."""
        answer = await self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def click(self, selector: str) -> None:
        """Click on an element, as a mouse does."""
        place = await self.evaluate(
            f"(() => {{ const r = document.querySelector({selector!r}).getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self._call(
                "Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left",
                clickCount=1,
            )  # fmt: skip

    async def type(self, text: str) -> None:
        """Type text where the focus is, key by key."""
        for character in text:
            await self._call("Input.dispatchKeyEvent", type="keyDown", text=character)
            await self._call("Input.dispatchKeyEvent", type="keyUp")

    async def screenshot(self, path: Path) -> None:
        """Write a picture of the page."""
        answer = await self._call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(answer["data"]))

    async def _find(self, active: Path) -> str | None:
        """Return the address of the page's debugger, None as long as there is none."""
        assert self._process.poll() is None, "the browser ended"
        try:
            port = active.read_text().split()[0]
            async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [page for page in await answer.json() if page["type"] == "page"]
        except (OSError, IndexError, aiohttp.ClientError):
            return None
        return str(pages[0]["webSocketDebuggerUrl"]) if pages else None

    async def _call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        number = self._number
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await self._socket.receive_json()
                if answer.get("id") == number:
                    assert "error" not in answer, answer
                    return answer["result"]
