"""Mark: where the last checkpoint started, and so where a recovery begins."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgpack

from crdtstore.sync.vector import Heads

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


class Mark(NamedTuple):
    """Where a checkpoint started: every record up to ``position`` is in the documents at rest."""

    position: int
    bytes_total: int
    timestamp: int
    heads: Heads

    def pack(self) -> bytes:
        """Return the bytes in which storage keeps a mark."""
        heads = [(origin, *head) for origin, head in sorted(self.heads.items())]
        return _pack([self.position, self.bytes_total, self.timestamp, heads])

    @classmethod
    def unpack(cls, packed: bytes | None) -> "Mark":
        """Return the mark that storage keeps, the very beginning if it has none."""
        if packed is None:
            return cls(0, 0, 0, {})
        position, bytes_total, timestamp, heads = msgpack.unpackb(packed, use_list=False)
        return cls(
            position, bytes_total, timestamp, {origin: (number, h) for origin, number, h in heads}
        )
