"""Dead letters: what could not be done and needs somebody, with the reason and what to do."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import msgpack

from replicas.crm import limits

_pack: Callable[[Any], bytes] = msgpack.Packer().pack

ADVICE: Final = {
    "retry": "the CRM was busy with this record for long: it is tried again by itself, after "
    "longer and longer waits",
    "conflict": "another record stands in the way: merge the records named, or change one of them, "
    "then retry",
    "permanent": "the CRM does not take the record as it is: correct the value or the CRM's rule "
    "that the code names, then retry",
    "vanished": "its values were taken back here: if its person asked to be forgotten, erase the "
    "person; then, or if it was deleted for another reason, drop this letter",
    "refused": "the store does not take what the CRM says: correct it in the CRM, or revive the "
    "profile if it was erased; it is read again by itself",
}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What could not be done, in which direction, and why.

    It holds names of properties, not values; but a vendor's ``message`` may quote one.
    ``direction`` is ``out`` for what was not written to the CRM, ``in`` for what the store refused.
    ``result`` is the class of the reason, a key of ``ADVICE``.
    """

    key: str
    direction: str
    profile_id: str
    object: str
    record_id: str
    result: str
    code: str
    message: str
    properties: tuple[str, ...] = ()
    other_ids: tuple[str, ...] = ()
    attempts: int = 1
    at_ms: int = 0

    @property
    def advice(self) -> str:
        """What to do about it."""
        return ADVICE[self.result]

    def again_ms(self, resend_after_s: float) -> int | None:
        """Return when it is tried again by itself, None if never: somebody must do something."""
        if self.result != "retry" or self.direction != "out":
            return None
        wait_s = min(resend_after_s * 2.0 ** min(self.attempts, 20), limits.RESEND_MAX_S)
        return self.at_ms + round(wait_s * 1000)

    def after(self, before: "DeadLetter") -> "DeadLetter":
        """Return this letter, counted on from an earlier one about the same."""
        return replace(self, attempts=before.attempts + 1)

    def pack(self) -> bytes:
        """Return the bytes in which a note keeps the letter."""
        return _pack([getattr(self, name) for name in self.__slots__])

    @classmethod
    def unpack(cls, packed: bytes) -> "DeadLetter":
        """Return the letter that a note keeps."""
        return cls(*msgpack.unpackb(packed, use_list=False))
