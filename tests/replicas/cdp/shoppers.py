"""Shoppers who come to two regions, and clients that send what they do, with a ledger of it."""

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import aiohttp

from replicas.cdp.events import Event
from tests.replicas.cdp.service import AUTH
from tests.replicas.cdp.traits.events import drawn_events
from tests.replicas.cdp.traits.plain import DAY_MS

SHOPPERS = 10
REGIONS = ("eu", "us")
_VISITS = 60
"""When shoppers come, each 8 hours for 20 days: of more than 100 sessions old ones are closed."""
_APART_MS = DAY_MS // 3
_VISIT_MS = 1_200_000
_GIVES_UP = 0.1
_REPEATS = 0.15
_TIMEOUT_S = 5.0


class Ledger:
    """What was sent where: each message by its id, and those that were acknowledged."""

    def __init__(self) -> None:
        self.sent: dict[str, tuple[str, Event]] = {}
        self.acknowledged: set[str] = set()

    def note(self, region: str, event: Event) -> Event:
        """Remember an event that will be sent."""
        assert event.message_id not in self.sent, "message ids are of one event"
        self.sent[event.message_id] = region, event
        return event


class Client:
    """Sends events to one region as public clients do: again, until they are acknowledged.

    Now and then it gives up after one attempt, sends again what was acknowledged long ago, or has
    an event twice in a batch.
    """

    def __init__(
        self, region: str, url: str, ledger: Ledger, session: aiohttp.ClientSession, seed: int
    ) -> None:
        self._region = region
        self._url = f"{url}/v1/batch"
        self._ledger = ledger
        self._session = session
        self._name = f"{region}-{seed}"
        self._chance = random.Random(self._name)
        self._number = 0
        self._old: list[dict[str, Any]] = []

    async def introduce(self) -> None:
        """Say of each shopper who it is on this region's device, and grant consent."""
        events = []
        for number in range(SHOPPERS):
            traits = {"email": f"u{number}@example.com", "lastName": f"Last{number}"}
            events.append(self._event(number, "identify", traits=traits, consent=True))
        await self._send(events, gives_up=False)

    async def deny(self, number: int) -> None:
        """Withdraw a shopper's consent."""
        await self._send([self._event(number, "track", consent=False)], gives_up=False)

    async def is_refused(self, number: int) -> bool:
        """Send an event of a shopper who was erased; say whether it is refused as such."""
        item = {"type": "track", "event": "Order Completed", "userId": f"u{number}"}
        async with self._session.post(self._url, json={"batch": [item]}, headers=AUTH) as answer:
            said = await answer.json()
        return [each["code"] for each in said["errors"]] == ["suppressed"]

    async def send_for_ever(self) -> None:
        """Send batches of what shoppers do, until cancelled."""
        while True:
            count = self._chance.randrange(1, 40)
            drawn = drawn_events(
                self._chance, count, first=self._number, profiles=SHOPPERS,
                prefix=f"{self._name} drawn ",
            )  # fmt: skip
            self._number += count
            events = [self._moved(event) for event in drawn if event.kind != "identify"]
            await self._send(events, gives_up=self._chance.random() < _GIVES_UP)
            await asyncio.sleep(self._chance.uniform(0, 0.02))

    def _moved(self, drawn: Event) -> Event:
        """Return a drawn event as one of a shopper, of the last days, on a phone or signed in."""
        number = int(drawn.profile_id.removeprefix("p"))
        is_signed_in = self._chance.random() < 0.5
        properties = {**drawn.properties, "message": drawn.message_id}
        event = Event(
            drawn.kind, drawn.message_id, f"u{number}", drawn.name,
            user_id=f"u{number}" if is_signed_in else "",
            anonymous_id="" if is_signed_in else f"{self._region}-phone-{number}",
            properties=properties, context=drawn.context,
            timestamp_ms=self._visited_ms(),
        )  # fmt: skip
        return self._ledger.note(self._region, event)

    def _visited_ms(self) -> int:
        """Return a moment of one of the last visits."""
        visit_ms = self._chance.randrange(_VISITS) * _APART_MS
        return _now_ms() - visit_ms - self._chance.randrange(_VISIT_MS)

    def _event(
        self, number: int, kind: str, *, consent: bool, traits: dict[str, Any] | None = None
    ) -> Event:
        self._number += 1
        message_id = f"{self._name} {kind} {self._number}"
        event = Event(
            kind, message_id, f"u{number}", "" if kind == "identify" else "Consent Updated",
            user_id=f"u{number}", anonymous_id=f"{self._region}-phone-{number}",
            properties={**(traits or {}), "message": message_id},
            context={"consent": {"categoryPreferences": {"ads": consent}}},
            timestamp_ms=_now_ms(),
        )  # fmt: skip
        return self._ledger.note(self._region, event)

    async def _send(self, events: list[Event], *, gives_up: bool) -> None:
        items = [_item_of(event) for event in events]
        if items and self._chance.random() < _REPEATS:
            items.append(self._chance.choice(items))
            items += self._chance.sample(self._old, min(5, len(self._old)))
        while not await self._is_acknowledged(items):
            if gives_up:
                return
            await asyncio.sleep(0.05)
        self._ledger.acknowledged.update(item["messageId"] for item in items)
        self._old = (items + self._old)[:200]

    async def _is_acknowledged(self, items: list[dict[str, Any]]) -> bool:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        try:
            async with self._session.post(
                self._url, json={"batch": items}, headers=AUTH, timeout=timeout
            ) as answer:
                if answer.status in (429, 503):
                    return False
                said = await answer.json()
                assert answer.status == 200, said
                assert said["success"], said
                return True
        except (aiohttp.ClientError, TimeoutError):
            return False


def _item_of(event: Event) -> dict[str, Any]:
    """Return an event in the form of the specification."""
    name = {"event": event.name} if event.kind == "track" else {"name": event.name}
    content = "traits" if event.kind == "identify" else "properties"
    ids = {"userId": event.user_id, "anonymousId": event.anonymous_id}
    return {
        "type": event.kind,
        "messageId": event.message_id,
        "timestamp": datetime.fromtimestamp(event.timestamp_ms / 1000, UTC).isoformat(),
        "context": event.context,
        content: event.properties,
        **name,
        **{key: value for key, value in ids.items() if value},
    }


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)
