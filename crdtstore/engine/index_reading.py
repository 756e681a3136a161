"""Reading indexes: keys at rest with those of documents in memory laid over them, in slices.

Everything here is a generator that yields None where the event loop may go on with other work, and
returns what it found. What was written meanwhile is seen, as far as it lies ahead.
"""

from collections.abc import Generator, Iterator
from heapq import merge
from typing import TypeAlias, TypeVar

from crdtstore.engine.documents import Documents
from crdtstore.engine.indexes import Indexes
from crdtstore.model.document import Document, from_record
from crdtstore.names import OWN_IDS
from crdtstore.query import bounds
from crdtstore.query.places import ELEMENT, profile_of
from crdtstore.query.reading import PREFIX_BYTES
from crdtstore.query.spans import Access, Span
from crdtstore.storage.contract import Storage

_T = TypeVar("_T")
Steps: TypeAlias = Generator[None, None, _T]
Found: TypeAlias = tuple[str, Document]


class IndexReading:
    """Reads the indexes and documents of a store for one query, and counts what it read."""

    def __init__(self, storage: Storage, documents: Documents, indexes: Indexes) -> None:
        self.keys_read = 0
        self.profiles_read = 0
        self._storage = storage
        self._documents = documents
        self._indexes = indexes

    # --- keys ---------------------------------------------------------------------------------

    def keys(
        self, field: str, lower: bytes, upper: bytes, *, is_down: bool = False
    ) -> Iterator[list[bytes]]:
        """Yield slices of a field's keys between two places, without their prefix, in order."""
        prefix = self._indexes.prefixes[field]
        lower, upper = prefix + lower, prefix + upper
        while lower < upper:
            if self._is_behind():
                yield []
                continue
            found, edge = self._slice(lower, upper, is_down)
            yield [key[PREFIX_BYTES:] for key in found]
            if not edge:
                return
            lower, upper = (lower, edge) if is_down else (edge + b"\x00", upper)

    def _is_behind(self) -> bool:
        """Make some keys of documents that changed; say if there are more of them."""
        fresh = self._indexes.fresh
        assert fresh is not None
        return fresh.catch_up(self._documents.dirty, bounds.SLICE_FRESH)

    def _slice(self, lower: bytes, upper: bytes, is_down: bool) -> tuple[list[bytes], bytes]:
        """Return the next keys, and the one up to which all were seen; b"" if all there are."""
        fresh = self._indexes.fresh
        assert fresh is not None
        size = bounds.SLICE_KEYS
        stored = self._storage.index_range(lower, upper, limit=size, is_down=is_down)
        new = fresh.between(lower, upper, size, is_down=is_down)
        edges = [keys[-1] for keys in (stored, new) if len(keys) == size]
        edge = (max(edges) if is_down else min(edges)) if edges else b""
        found = stored
        if len(fresh):
            holds = fresh.holds
            found = [key for key in stored if not holds(profile_of(key, PREFIX_BYTES))] + new
            if edge:
                found = [key for key in found if (key >= edge if is_down else key <= edge)]
            found.sort(reverse=is_down)
        self.keys_read += len(found)
        return found, edge

    # --- ids ----------------------------------------------------------------------------------

    def collected(
        self, accesses: tuple[Access, ...], keys_max: int
    ) -> Steps[tuple[dict[str, bool], tuple[Access, ...]] | None]:
        """Return the ids to which all accesses lead that have few enough keys, and these accesses.

        Those of one value come first: they have the fewest, as a rule.

        With each id it says whether all of these are exact about it. None if there is no such one.
        """
        common: dict[str, bool] | None = None
        used: list[Access] = []
        for access in sorted(accesses, key=lambda access: not is_of_single_places(access)):
            if common is not None and len(common) <= bounds.SLICE_PROFILES:
                break
            ids = yield from self._ids(access, keys_max)
            if ids is None:
                continue
            used.append(access)
            if common is None:
                common = ids
            else:
                common = {each: common[each] and ids[each] for each in common if each in ids}
        return None if common is None else (common, tuple(used))

    def _ids(self, access: Access, keys_max: int) -> Steps[dict[str, bool] | None]:
        ids: dict[str, bool] = {}
        count = 0
        for span in access.spans:
            for keys in self.keys(span.field, span.lower, span.upper):
                for key in keys:
                    profile_id = profile_of(key, 0)
                    ids[profile_id] = span.is_exact or ids.get(profile_id, False)
                count += len(keys)
                if count > keys_max:
                    return None
                yield
        return ids

    def in_order(self, access: Access, after: str) -> Iterator[Found | None]:
        """Yield the documents to which spans of one place each lead, in the order of their ids."""
        is_last = False
        while not is_last:
            while self._is_behind():
                yield None
            slices = [self._first(span, after) for span in access.spans]
            ends = [end for _, end in slices if end]
            is_last, after = not ends, min(ends, default="")
            ids = {each for found, _ in slices for each in found if is_last or each <= after}
            yield from self.documents(sorted(ids))

    def _first(self, span: Span, after: str) -> tuple[list[str], str]:
        """Return the first ids of a span above an id, and the one up to which all were seen."""
        prefix = self._indexes.prefixes[span.field]
        lower = prefix + span.lower + (after.encode() + b"\x00" if after else b"")
        found, edge = self._slice(lower, prefix + span.upper, False)
        ids = [profile_of(key, PREFIX_BYTES) for key in found]
        return ids, profile_of(edge, PREFIX_BYTES) if edge else ""

    # --- documents ----------------------------------------------------------------------------

    def documents(self, profile_ids: list[str]) -> Iterator[Found | None]:
        """Yield the living documents of profiles."""
        size = bounds.SLICE_BYTES
        for number, profile_id in enumerate(profile_ids, 1):
            document = self._documents.peek(profile_id)
            self.profiles_read += 1
            size -= document.size_bytes
            if not (document.is_erased or document.is_absent):
                yield profile_id, document
            if number % bounds.SLICE_PROFILES == 0 or size < 0:
                size = bounds.SLICE_BYTES
                yield None
        yield None

    def all_documents(self, after: str = "") -> Iterator[Found | None]:
        """Yield the living documents of all profiles above an id, in the order of their ids."""
        parts: list[list[str]] = []
        ids = [profile_id for profile_id in self._documents.dirty if profile_id > after]
        for start in range(0, len(ids), bounds.SORTED_IDS):
            parts.append(sorted(ids[start : start + bounds.SORTED_IDS]))
            yield None
        fresh = merge(*parts)
        following = next(fresh, None)
        dirty, size = self._documents.dirty, bounds.SLICE_PROFILES
        end: str | None = after
        while end is not None:
            records = self._storage.documents(
                end.encode(), limit=size, bytes_max=bounds.SLICE_BYTES
            )
            end = records[-1][0].decode() if records else None
            new: list[str] = []
            while following is not None and (end is None or following <= end) and len(new) < size:
                new.append(following)
                following = next(fresh, None)
            if len(new) == size:
                end = new[-1]
            stored = {key.decode(): record for key, record in records}
            present = {*new, *(each for each in stored if end is None or each <= end)}
            for profile_id in sorted(present):
                document = dirty.get(profile_id)
                if document is None and profile_id in stored:
                    document = from_record(profile_id, stored[profile_id])
                elif document is None:
                    document = self._documents.peek(profile_id)
                self.profiles_read += 1
                is_profile = not profile_id.startswith(OWN_IDS)
                if is_profile and not (document.is_erased or document.is_absent):
                    yield profile_id, document
            yield None


def is_of_single_places(access: Access) -> bool:
    """Say whether each span of an access is of one place: then it is in the order of the ids."""
    return bool(access.spans) and all(span.is_one for span in access.spans)


def is_of_each_once(access: Access) -> bool:
    """Say whether the spans of an access lead to each profile once."""
    if len(access.spans) == 1:
        span = access.spans[0]
        return span.is_one or span.upper <= ELEMENT
    return False
