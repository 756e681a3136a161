"""Messages on a wire, in words: for traces and for counting what happened."""

from typing import Final

KINDS: Final = {
    1: "HELLO", 2: "FRAMES", 3: "GOSSIP", 4: "WANT", 5: "PRUNE", 6: "CREDIT",
    7: "SNAPSHOT_REQUEST", 8: "SNAPSHOT_BEGIN", 9: "SNAPSHOT_CHUNK", 10: "TRIMMED",
    11: "SNAPSHOT_END", 12: "REFUSE", 13: "COMPARE", 14: "DIFFERENCES", 15: "FETCH",
    16: "DOCUMENTS",
}  # fmt: skip
"""The first byte of a message, and its name in ``docs/protocol.md``."""


def kind_of(message: bytes) -> str:
    """Return the name of a message's kind."""
    return KINDS.get(message[0], "UNKNOWN") if message else "EMPTY"


def described(message: bytes) -> str:
    """Return a message in a few words."""
    return f"{kind_of(message)} ({len(message):,} bytes)"
