"""TOML: files that people write, read within bounds."""

import tomllib
from typing import Any

from crdtstore import limits


def parse_toml(text: str) -> dict[str, Any]:
    """Return the table that a TOML text is; raises ValueError, which says what is wrong.

    Integers are signed 64-bit, as TOML asks for; Python alone would take any.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise ValueError("tables and lists are nested too deeply") from None
    except ValueError:
        raise ValueError("a number has thousands of digits") from None
    waiting: list[object] = [table]
    while waiting:
        value = waiting.pop()
        if type(value) is dict:
            waiting.extend(value.values())
        elif type(value) is list:
            waiting.extend(value)
        elif type(value) is int and not limits.INTEGER_MIN <= value <= limits.INTEGER_MAX:
            raise ValueError("a whole number is beyond 64 bits")
    return table
