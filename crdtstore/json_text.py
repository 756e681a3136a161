"""JSON texts from elsewhere, passed on as they are: every reader must be able to read them."""

import json
from typing import Final, NoReturn


def is_json(text: str) -> bool:
    """Say whether a text is one JSON value, as every other program reads it."""
    try:
        _DECODER.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)
