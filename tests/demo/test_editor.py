"""The editor page of the demo, in a real browser: two panes at two replicas, one text."""

import asyncio
import os
import time
from pathlib import Path

import aiohttp
import pytest

from crdtstore.demo.editor import EditorServer
from crdtstore.demo.fleet import Fleet
from tests.demo.browser import Browser, browser_program
from tests.patience import PATIENCE_S

EU, US = "#eu textarea", "#us textarea"


class Panes:
    """The two panes as a person sees them."""

    def __init__(self, page: Browser) -> None:
        self.page = page

    async def shown(self, selector: str) -> str:
        return str(await self.page.evaluate(f"document.querySelector({selector!r}).value"))

    async def until(self, expression: str, what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not await self.page.evaluate(expression):
            if time.monotonic() > deadline:
                state = [await self.shown(EU), await self.shown(US)]
                raise AssertionError(f"waited in vain for {what}: {state}")
            await asyncio.sleep(0.05)

    async def until_both_show(self, text: str) -> None:
        same = "document.querySelector('#{}').value === {!r}"
        for site in ("eu textarea", "us textarea"):
            await self.until(same.format(site, text), f"{text!r} at {site}")


def test_two_panes_at_two_replicas_converge(tmp_path: Path) -> None:
    browser_program()

    async def main() -> None:
        async with Fleet(tmp_path) as fleet:
            await fleet.start()
            server = EditorServer(fleet)
            await server.start()
            try:
                async with Browser(server.url) as page:
                    await _play(Panes(page), server.url)
            finally:
                await server.stop()

    asyncio.run(main())


async def _play(panes: Panes, url: str) -> None:
    page = panes.page
    with_bob = "document.querySelector('#eu .people')?.textContent === 'with Bob'"
    with_ann = "document.querySelector('#us .people')?.textContent === 'with Ann'"
    await panes.until(with_bob, "Bob at eu")
    await panes.until(with_ann, "Ann at us")

    await page.click(EU)
    await page.type("Call on Monday")
    await panes.until_both_show("Call on Monday")
    await page.click(US)
    await page.evaluate("document.querySelector('#us textarea').setSelectionRange(0, 0)")
    await page.type("Ann: ")
    await panes.until_both_show("Ann: Call on Monday")
    await page.evaluate("document.querySelector('#us textarea').setSelectionRange(5, 9)")
    await page.click("#us [data-mark=highlight]")
    marked = "document.querySelector('#eu .mirror mark')?.textContent === 'Call'"
    await panes.until(marked, "the highlight at eu")
    carets = "document.querySelector('#eu .caret')?.dataset.name === 'Bob'"
    await panes.until(carets, "Bob's cursor at eu")

    await page.click("#line")
    await panes.until("document.body.classList.contains('cut')", "the cut")
    await panes.until("document.querySelector('#eu .people')?.textContent === 'alone'", "no Bob")
    await page.click(EU)
    await page.evaluate("document.querySelector('#eu textarea').setSelectionRange(99, 99)")
    await page.type(", at ten")
    await page.click(US)
    await page.evaluate("document.querySelector('#us textarea').setSelectionRange(0, 3)")
    await page.type("Bob")
    assert await panes.shown(EU) == "Ann: Call on Monday, at ten"
    await panes.until("editors[1].revision && !editors[1].flight", "an answer at us")
    assert await panes.shown(US) == "Bob: Call on Monday"

    await page.click("#line")
    await panes.until_both_show("Bob: Call on Monday, at ten")
    await panes.until(with_bob, "Bob to be back at eu")
    if folder := os.environ.get("SCREENSHOTS"):
        await page.screenshot(Path(folder) / "editor.png")


def test_pages_of_other_sites_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        server = EditorServer(Fleet(tmp_path))
        await server.start()
        try:
            async with aiohttp.ClientSession() as session:
                for headers, status in (
                    ({}, 200),
                    ({"Host": "evil.example.com"}, 403),
                    ({"Origin": "http://evil.example.com"}, 403),
                ):
                    async with session.get(server.url, headers=headers) as answer:
                        assert answer.status == status
                async with session.get(server.url + "eu/../../secret") as answer:
                    assert answer.status == 404
        finally:
            await server.stop()

    asyncio.run(main())


@pytest.mark.parametrize("name", ["editor.html", "editor.js"])
def test_the_page_needs_no_network(name: str) -> None:
    text = Path("crdtstore/demo/data", name).read_text("utf-8")
    assert "http:" not in text
    assert "https:" not in text
