"""Following Salesforce's change events over CometD, the Bayeux protocol on HTTP long polling.

    handshake -> subscribe, from our position -> connect, connect, connect ...

The vendor keeps events for three days. Each has a replay id, and the newest one is our position.
"""

import json
from typing import Any, Final

from replicas.crm.conversation import Conversation, Request, json_request
from replicas.crm.crm import Page, Sighting
from replicas.crm.errors import CrmAnswerInvalid, CrmUnavailable, PositionExpired
from replicas.crm.salesforce.answers import check
from replicas.crm.salesforce.changes import sightings_of
from replicas.crm.salesforce.settings import SalesforceSettings

CHANNEL: Final = "/data/ChangeEvents"
_NEW_EVENTS: Final = -1


class ChangeEvents:
    """The change events of one org. It keeps the session between two waits, and nothing else."""

    def __init__(self, settings: SalesforceSettings) -> None:
        self._settings = settings
        self._client_id = ""

    def follow(self, position: str) -> Conversation[Page]:
        """Wait for the next events after a position ("" for now); raises PositionExpired."""
        if not self._client_id:
            self._client_id = yield from self._subscribe(position)
        connect = {"channel": "/meta/connect", "clientId": self._client_id}
        connect["connectionType"] = "long-polling"
        try:
            messages = yield from self._say(connect, waits=True)
        except BaseException:
            self._client_id = ""
            raise
        sightings: list[Sighting] = []
        lost: dict[str, None] = {}
        for message in messages:
            if message.get("channel") == CHANNEL:
                data = message.get("data") or {}
                seen, overflowed = sightings_of(self._settings, data.get("payload") or {})
                sightings += seen
                if overflowed:
                    lost[overflowed] = None
                position = str((data.get("event") or {}).get("replayId", position))
            elif message.get("channel") == "/meta/connect":
                advice = (message.get("advice") or {}).get("reconnect", "retry")
                if not message.get("successful") or advice == "handshake":
                    self._client_id = ""
        return Page(sightings, position, True, lost=tuple(lost))

    def _subscribe(self, position: str) -> Conversation[str]:
        handshake: dict[str, Any] = {
            "channel": "/meta/handshake",
            "version": "1.0",
            "supportedConnectionTypes": ["long-polling"],
            "ext": {"replay": True},
        }
        (answer,) = yield from self._say(handshake)
        client_id = answer.get("clientId")
        if not answer.get("successful") or not isinstance(client_id, str):
            raise CrmUnavailable(f"the handshake for events failed: {answer.get('error')}")
        if position and not position.isdecimal():
            raise PositionExpired(f"{position!r} is no position of CometD")
        replay = {CHANNEL: int(position) if position else _NEW_EVENTS}
        subscribe = {
            "channel": "/meta/subscribe",
            "clientId": client_id,
            "subscription": CHANNEL,
            "ext": {"replay": replay},
        }
        answers = yield from self._say(subscribe)
        answer = next((one for one in answers if one.get("channel") == "/meta/subscribe"), {})
        if not answer.get("successful"):
            error = str(answer.get("error", "no answer"))
            if "replayId" in error:
                raise PositionExpired(f"events from {position} on are no longer kept: {error}")
            raise CrmUnavailable(f"the subscription to events failed: {error}")
        return client_id

    def _say(
        self, message: dict[str, Any], *, waits: bool = False
    ) -> Conversation[list[dict[str, Any]]]:
        request = json_request("POST", f"/cometd/{self._settings.api_version}", [message])
        if waits:
            request = Request(
                request.method, request.path, headers=request.headers, body=request.body, waits=True
            )
        response = yield request
        check(response, "a request for events")
        answer = response.json()
        if not isinstance(answer, list) or not all(isinstance(one, dict) for one in answer):
            raise CrmAnswerInvalid(f"events are no list of messages: {json.dumps(answer)[:80]}")
        return answer
