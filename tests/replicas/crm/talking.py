"""Conversations without a network: fed from lists of responses."""

import json
from typing import Any

from replicas.crm.conversation import Conversation, Pause, Request, Response, Result


def answer(body: Any, status: int = 200, **headers: str) -> Response:
    """Return a response with a JSON body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, named, json.dumps(body).encode())


def talk(
    conversation: Conversation[Result], *responses: Response
) -> tuple[Result, list[Request | Pause]]:
    """Run a conversation from responses; return its result and what it asked for, in order."""
    said: list[Request | Pause] = []
    waiting = list(responses)
    try:
        step = next(conversation)
        while True:
            said.append(step)
            if isinstance(step, Pause):
                step = conversation.send(Response(0))
            else:
                step = conversation.send(waiting.pop(0))
    except StopIteration as end:
        assert not waiting, "not all responses were asked for"
        result: Result = end.value
        return result, said
