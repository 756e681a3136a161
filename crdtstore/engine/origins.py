"""Origins: the names of their replicas, when they were born, and which of them write no more.

A replica has one origin at a time. The one born last is the present one of its name; those before
it write no more, and neither do those of a replica that was removed. This is a judgement, and may
be wrong, as where two replicas share a name: an origin at rest that writes again wakes up.
"""

from collections.abc import Collection, Mapping

from crdtstore import limits
from crdtstore.engine.drafting import Drafting
from crdtstore.engine.number_maps import pack_numbers, unpack_numbers
from crdtstore.storage.contract import Storage
from crdtstore.sync.vector import Names


class Origins:
    """What is known of all origins that were heard of. ``names`` has the names alone."""

    def __init__(self, storage: Storage, drafting: Drafting) -> None:
        packed, packed_births = storage.meta("names"), storage.meta("births")
        self.names: dict[int, str] = {} if packed is None else unpack_numbers(packed)
        self._births = {} if packed_births is None else unpack_numbers(packed_births)
        self._drafting = drafting
        self._present: dict[str, tuple[int, int]] = {}
        self._note_present(self.names)

    def present(self) -> dict[str, int]:
        """Return the present origin of every replica that was heard of, by its name."""
        return {name: origin for name, (_, origin) in self._present.items()}

    def has_retired(self, origin: int, removed: Collection[str]) -> bool:
        """Say whether an origin writes no more: it has a successor, or its replica was removed."""
        name = self.names.get(origin)
        if name is None:
            return False
        return name in removed or self._present[name][1] != origin

    def named(self, origins: Collection[int]) -> Names:
        """Return names and births of some origins, as far as they are known."""
        return {
            origin: (self.names[origin], self._births.get(origin, 0))
            for origin in origins
            if origin in self.names
        }

    def learn(self, named: Names, *, at_first_hand: bool = False) -> None:
        """Take note of origins that are new, of births, and ``at_first_hand`` of changed names."""
        names = {
            origin: name
            for origin, (name, _) in named.items()
            if origin not in self.names or (at_first_hand and self.names[origin] != name)
        }
        origins_max = limits.ORIGINS_MAX + limits.RESTING_MAX
        if len(self.names.keys() | names.keys()) > origins_max:
            return
        births = {
            origin: born_ms
            for origin, (_, born_ms) in named.items()
            if born_ms > self._births.get(origin, 0)
        }
        if names or births:
            self._births.update(births)
            is_renamed = not self.names.keys().isdisjoint(names)
            self.names.update(names)
            if is_renamed:
                self._present.clear()
            self._note_present(self.names if is_renamed else names.keys() | births.keys())
            self._draft()

    def born(self, origin: int, name: str, now_ms: int) -> None:
        """Take note of our own present origin: it is born now, after all others of its name."""
        born_ms = self._births.get(origin, 0)
        if not born_ms or self.names.get(origin) != name:
            born_ms = max(now_ms, 1 + self._present.get(name, (0, 0))[0])
        self.learn({origin: (name, born_ms)}, at_first_hand=True)

    def forget(self, origins: Collection[int]) -> None:
        """Forget origins that never wrote, and will not."""
        for origin in origins:
            self.names.pop(origin, None)
            self._births.pop(origin, None)
        if origins:
            self._draft()

    def _note_present(self, origins: Collection[int]) -> None:
        for origin in origins:
            birth = self._births.get(origin, 0), origin
            name = self.names[origin]
            self._present[name] = max(birth, self._present.get(name, birth))

    def _draft(self) -> None:
        meta = self._drafting.draft.meta
        meta["names"], meta["births"] = pack_numbers(self.names), pack_numbers(self._births)


def without_births(names: Mapping[int, str]) -> Names:
    """Return names of origins whose births are not known."""
    return {origin: (name, 0) for origin, name in names.items()}
