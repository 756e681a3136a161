"""Durations as people write them: ``45s``, ``30m``, ``12h``, ``30d``."""

from typing import Any, Final

from replicas.cdp.errors import DefinitionInvalid

_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def duration_ms(text: Any, what: str) -> int:
    """Return the milliseconds that a text says; raises DefinitionInvalid."""
    digits = text[:-1] if type(text) is str else ""
    if not (digits.isascii() and digits.isdigit() and len(digits) < 8 and text[-1] in _UNIT_MS):
        raise DefinitionInvalid(f"{what} is a duration as 45s, 30m, 12h or 30d, not {text!r}")
    milliseconds = int(digits) * _UNIT_MS[text[-1]]
    if not milliseconds:
        raise DefinitionInvalid(f"{what} is longer than nothing")
    return milliseconds
