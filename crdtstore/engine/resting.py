"""Origins at rest: those that write no more, and whose frames have all left this journal.

Each replica decides for itself which they are. All that is left of one is its head: the sequence
and hash of its last frame. So old incarnations leave vectors, waypoints and gossip alone.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

from crdtstore.engine.number_maps import pack_numbers, unpack_numbers
from crdtstore.storage.contract import Storage
from crdtstore.sync.vector import Head

_PREFIX: Final = "resting/"
_BUCKET_SHIFT: Final = 55  # an origin has 63 bits, of which the upper 8 choose one of 256 records


class Resting:
    """The heads of origins at rest.

    They are stored in 256 records by the upper bits of the origin, so that one that comes or goes
    rewrites few others. ``digest`` is the XOR of the digests of all entries: 128 bits.
    """

    def __init__(self, storage: Storage) -> None:
        self.digest = 0
        self._heads: dict[int, Head] = {}
        for packed in storage.metas(_PREFIX).values():
            for origin, head in unpack_numbers(packed).items():
                self.put(origin, head)

    def __len__(self) -> int:
        return len(self._heads)

    def __contains__(self, origin: int) -> bool:
        return origin in self._heads

    def get(self, origin: int) -> Head | None:
        """Return the head of an origin at rest, None if it is not."""
        return self._heads.get(origin)

    def sequence(self, origin: int) -> int:
        """Return the sequence of an origin's last frame, 0 if it is not at rest."""
        head = self._heads.get(origin)
        return 0 if head is None else head[0]

    def items(self) -> Iterator[tuple[int, Head]]:
        """Yield every origin at rest with its head."""
        yield from self._heads.items()

    def put(self, origin: int, head: Head | None) -> None:
        """Have an origin at rest with this head; with None, not at rest."""
        before = self._heads.pop(origin, None)
        if before is not None:
            self.digest ^= entry_digest(origin, before)
        if head is not None:
            self._heads[origin] = head
            self.digest ^= entry_digest(origin, head)

    def packed(self, origins: set[int]) -> dict[str, bytes | None]:
        """Return the records in which some origins are stored, by name, as they are now."""
        buckets: dict[int, dict[int, Head]] = {origin >> _BUCKET_SHIFT: {} for origin in origins}
        if buckets:
            for origin, head in self._heads.items():
                if (bucket := buckets.get(origin >> _BUCKET_SHIFT)) is not None:
                    bucket[origin] = head
        return {
            f"{_PREFIX}{number:02x}": pack_numbers(bucket) if bucket else None
            for number, bucket in buckets.items()
        }


def entry_digest(origin: int, head: Head) -> int:
    """Return the digest of one entry: 128 bits."""
    content = origin.to_bytes(8, "big") + head[0].to_bytes(8, "big") + head[1]
    digest = hashlib.blake2b(content, digest_size=16, person=b"crdtstore.rest").digest()
    return int.from_bytes(digest, "big")
