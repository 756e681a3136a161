"""Ports of the loopback address for servers that are started later, or killed and started again."""

import contextlib
import random
import socket
from collections import deque
from typing import Final

_FIRST: Final = 10_000
_LAST: Final = 20_000
"""Above the usual services; the demo draws its own above, and systems hand out those above that."""

_HELD_MAX: Final = 300
"""Some hundred file descriptors, of the 1,024 that a process has at least."""

_DRAWS: Final = 10_000

_held: deque[list[socket.socket]] = deque()


def free_port(count: int = 1) -> int:
    """Return a port that nobody uses, or the first of several in a row.

    Nobody else is given it as long as this process lives, so that it is there for a server that
    comes later or comes back. It is held by the same port of UDP, which no server here uses. Raises
    OSError if there is none.
    """
    for _ in range(_DRAWS):
        first = random.randrange(_FIRST, _LAST - count + 1)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            holding = []
            for port in range(first, first + count):
                holder = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
                holder.bind(("127.0.0.1", port))
                holding.append(holder)
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            stack.pop_all()
            _held.append(holding)
            if len(_held) > _HELD_MAX:
                for holder in _held.popleft():
                    holder.close()
            return first
    raise OSError(f"no {count} ports in a row are free from {_FIRST} to {_LAST - 1}")
