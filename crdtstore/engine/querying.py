"""Querying: pages of golden records that a filter asks for, in an order, and their number.

A page in the order of ids goes, whichever comes first, through the ids that conditions with few
index keys have in common, through the keys of a condition on one value, or through all profiles. A
page in the order of a field sorts what few keys lead to, goes through the index of that field, or
sorts all. Whatever the way, every profile is looked at as it is then, and the answer is the same.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from crdtstore import limits
from crdtstore.engine.commits import Committing
from crdtstore.engine.documents import Documents
from crdtstore.engine.erasures import Erasures
from crdtstore.engine.index_reading import (
    Found,
    IndexReading,
    Steps,
    is_of_each_once,
    is_of_single_places,
)
from crdtstore.engine.listing import check_page
from crdtstore.model.document import Document
from crdtstore.model.golden import resolve
from crdtstore.model.profile import Profile, TextReader
from crdtstore.query import bounds
from crdtstore.query.filters import Filter, fields_of, parse_filter, parse_order
from crdtstore.query.matching import Matcher, matcher_of
from crdtstore.query.places import END_OF_PLACES, place_end, place_of
from crdtstore.query.reading import FieldReader
from crdtstore.query.refusals import InvalidFilter, QueryTooBroad
from crdtstore.query.spans import Access, plan_of, walk_spans
from crdtstore.schema import Schema
from crdtstore.storage.contract import Storage

_CHECK_BYTES: Final = 4
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """How a query was answered.

    ``way`` is "index" (ids from indexes), "order" (the index of the order gone through), "scan"
    (all profiles) or "totals" (nothing was read). ``indexes`` are the fields whose indexes were
    read; ``keys_read`` and ``profiles_read`` count what was.
    """

    way: str
    indexes: tuple[str, ...]
    keys_read: int
    profiles_read: int


@dataclass(frozen=True, slots=True)
class QueryPage:
    """A page of golden records. ``next`` goes into ``after`` for what follows; None at the end.

    A page may be short, or empty, and have a ``next``: so many profiles were looked at in vain.
    """

    profiles: tuple[Profile, ...]
    next: str | None
    plan: QueryPlan


@dataclass(frozen=True, slots=True)
class QueryCount:
    """How many profiles there are that a filter asks for."""

    count: int
    plan: QueryPlan


class Querying:
    """Answers queries of one store, each as a generator that pauses after every slice of work."""

    def __init__(
        self,
        storage: Storage,
        documents: Documents,
        committing: Committing,
        erasures: Erasures,
        schema: Schema,
        texts: TextReader,
    ) -> None:
        self.schema = schema
        self.texts = texts
        self._storage = storage
        self._erasures = erasures
        self._documents = documents
        self._committing = committing

    def page(self, where: str, order: str, after: str, limit: int) -> Steps[QueryPage]:
        """Return a page; raises InvalidFilter, InvalidInput, QueryTooBroad or StorageCorrupt."""
        check_page("" if order else after, limit)
        asked = _Asked(self, where, order)
        if order:
            return asked.ordered(after, limit)
        return asked.by_id(after, limit)

    def count(self, where: str) -> Steps[QueryCount]:
        """Return how many living profiles a filter asks for; raises as ``page`` does."""
        return _Asked(self, where, "").counted()

    def reading(self) -> IndexReading:
        """Return what reads for one query."""
        return IndexReading(self._storage, self._documents, self._committing.indexes)

    def living(self) -> int:
        """Return the number of living profiles."""
        return self._committing.living() - self._erasures.count

    def peek(self, profile_id: str) -> Document:
        """Return a document, for reading."""
        return self._documents.peek(profile_id)

    @property
    def indexed(self) -> frozenset[str]:
        """The fields whose indexes stand."""
        indexes = self._committing.indexes
        return frozenset(indexes.prefixes if indexes.is_trusted else ())

    @property
    def is_doubted(self) -> bool:
        """Whether index keys may be wrong, so that only the profiles tell."""
        return self._committing.indexes.is_doubted


class _Asked:
    """One query, being answered."""

    def __init__(self, querying: Querying, where: str, order: str) -> None:
        self._querying = querying
        self._wanted: Filter | None = parse_filter(where) if where else None
        self._order, self._is_down = parse_order(order) if order else ("", False)
        self._check = _check_of(where, order)
        fields = fields_of(self._wanted) if self._wanted is not None else frozenset()
        self._fields = FieldReader(querying.schema, fields | {self._order}, querying.texts)
        self._matches: Matcher = lambda record: True
        if self._wanted is not None:
            self._matches = matcher_of(self._wanted)
        kinds = {field: querying.schema.kind_of(field) or "register" for field in querying.indexed}
        self._plan = plan_of(self._wanted, kinds)
        self._reading = querying.reading()

    # --- in the order of ids ------------------------------------------------------------------

    def by_id(self, after: str, limit: int) -> Steps[QueryPage]:
        """Return a page in the order of ids."""
        collected = yield from self._reading.collected(
            self._plan.accesses, bounds.COLLECTED_KEYS_MAX
        )
        single = next((each for each in self._plan.accesses if is_of_single_places(each)), None)
        way, used = "index", self._plan.accesses[:0]
        found: Iterator[Found | None]
        if collected is not None:
            ids, used = collected
            found = self._reading.documents(sorted(each for each in ids if each > after))
        elif single is not None:
            used, found = (single,), self._reading.in_order(single, after)
        else:
            way, found = "scan", self._reading.all_documents(after)
        page = _Filling(limit, self._querying)
        for each in found:
            if each is None:
                yield
                if self._reading.profiles_read >= bounds.PAGE_LOOKS_MAX and page.last_seen:
                    return self._page(page, page.last_seen, way, used)
                continue
            profile_id, document = each
            page.last_seen = profile_id
            if self._is_wanted(profile_id, document) and page.is_full_with(profile_id, document):
                return self._page(page, profile_id, way, used)
        return self._page(page, None, way, used)

    # --- in the order of a field --------------------------------------------------------------

    def ordered(self, after: str, limit: int) -> Steps[QueryPage]:
        """Return a page in the order of a field, then of ids; or all of it backwards."""
        start = _cursor_key(after, self._check) if after else b""
        has_index = self._order in self._querying.indexed
        keys_max = bounds.ORDERED_KEYS_MAX if has_index else bounds.COLLECTED_KEYS_MAX
        collected = yield from self._reading.collected(self._plan.accesses, keys_max)
        if collected is None and has_index:
            return (yield from self._walked(start, limit))
        way, used = "index", self._plan.accesses[:0]
        if collected is not None:
            ids, used = collected
            found = self._reading.documents(list(ids))
        else:
            way, found = "scan", self._reading.all_documents()
        best: list[bytes] = []
        for each in found:
            if each is None:
                yield
                if self._reading.profiles_read > bounds.SORTED_PROFILES_MAX:
                    raise QueryTooBroad(
                        f"more than {bounds.SORTED_PROFILES_MAX:,} profiles would have to be "
                        f"sorted by {self._order!r}; have the field indexed, or ask for fewer"
                    )
                if len(best) > 4 * limit + bounds.SLICE_KEYS:
                    best = self._best(best, limit)
                continue
            profile_id, document = each
            record = self._fields.read(profile_id, document.cells)
            key = place_of(record.get(self._order)) + profile_id.encode()
            is_ahead = not start or (key < start if self._is_down else key > start)
            if is_ahead and self._matches(record):
                best.append(key)
        best = self._best(best, limit)
        page = _Filling(limit, self._querying)
        for key in best:
            profile_id = key[place_end(key, 0) :].decode()
            document = self._querying.peek(profile_id)
            if self._is_at(key, profile_id, document) and page.is_full_with(profile_id, document):
                return self._page(page, _cursor_of(key, self._check), way, used)
        return self._page(page, None, way, used)

    def _best(self, keys: list[bytes], limit: int) -> list[bytes]:
        return sorted(keys, reverse=self._is_down)[:limit]

    def _walked(self, start: bytes, limit: int) -> Steps[QueryPage]:
        """Return a page by going through the index of the order."""
        spans = walk_spans(self._order, self._plan)
        used = (Access(spans),)
        page = _Filling(limit, self._querying)
        for span in reversed(spans) if self._is_down else spans:
            lower, upper = span.lower, span.upper
            if start and self._is_down:
                upper = min(upper, start)
            elif start:
                lower = max(lower, start + b"\x00")
            for keys in self._reading.keys(self._order, lower, upper, is_down=self._is_down):
                yield
                for number, key in enumerate(keys, 1):
                    profile_id = key[place_end(key, 0) :].decode()
                    document = self._querying.peek(profile_id)
                    self._reading.profiles_read += 1
                    if self._is_at(key, profile_id, document) and page.is_full_with(
                        profile_id, document
                    ):
                        return self._page(page, _cursor_of(key, self._check), "order", used)
                    if self._reading.profiles_read >= bounds.PAGE_LOOKS_MAX:
                        return self._page(page, _cursor_of(key, self._check), "order", used)
                    if number % bounds.SLICE_PROFILES == 0:
                        yield
        return self._page(page, None, "order", used)

    def _is_at(self, key: bytes, profile_id: str, document: Document) -> bool:
        """Say whether a profile is wanted, and stands where an index key says."""
        if document.is_erased or document.is_absent:
            return False
        record = self._fields.read(profile_id, document.cells)
        place = place_of(record.get(self._order))
        return key == place + profile_id.encode() and self._matches(record)

    # --- counting -----------------------------------------------------------------------------

    def counted(self) -> Steps[QueryCount]:
        """Return how many profiles are wanted."""
        accesses = self._plan.accesses
        if self._wanted is None:
            return QueryCount(self._querying.living(), QueryPlan("totals", (), 0, 0))
        is_doubted = self._querying.is_doubted  # then a profile may have two keys in one span
        if len(accesses) == 1 and is_of_each_once(accesses[0]) and not is_doubted:
            return (yield from self._counted_keys(accesses[0]))
        collected = yield from self._reading.collected(accesses, bounds.COUNTED_KEYS_MAX)
        if collected is None:
            found = self._reading.all_documents()
            return (yield from self._counted_documents(0, found, "scan", ()))
        ids, used = collected
        is_whole = self._plan.is_whole and len(used) == len(accesses) and not is_doubted
        count = sum(ids.values()) if is_whole else 0
        doubtful = [each for each, is_exact in ids.items() if not (is_whole and is_exact)]
        found = self._reading.documents(doubtful)
        return (yield from self._counted_documents(count, found, "index", used))

    def _counted_keys(self, access: Access) -> Steps[QueryCount]:
        """Return the count that the keys of one span tell, with looks at the profiles if needed."""
        (span,) = access.spans
        is_told = span.is_exact and self._plan.is_whole
        count = 0
        for keys in self._reading.keys(span.field, span.lower, span.upper):
            if is_told:
                count += len(keys)
                yield
                continue
            ids = [key[place_end(key, 0) :].decode() for key in keys]
            for each in self._reading.documents(ids):
                if each is None:
                    yield
                else:
                    count += self._is_wanted(*each)
        return QueryCount(count, self._told("index", (access,)))

    def _counted_documents(
        self, count: int, found: Iterator[Found | None], way: str, used: tuple[Access, ...]
    ) -> Steps[QueryCount]:
        for each in found:
            if each is not None:
                count += self._is_wanted(*each)
                continue
            yield
            if way == "scan" and self._reading.profiles_read > bounds.COUNTED_PROFILES_MAX:
                raise QueryTooBroad(
                    f"more than {bounds.COUNTED_PROFILES_MAX:,} profiles would have to be looked "
                    "at to count; have a field of the filter indexed"
                )
        return QueryCount(count, self._told(way, used))

    # --- inside -------------------------------------------------------------------------------

    def _is_wanted(self, profile_id: str, document: Document) -> bool:
        if self._wanted is None:
            return True
        return self._matches(self._fields.read(profile_id, document.cells))

    def _page(
        self, page: "_Filling", after: str | None, way: str, used: tuple[Access, ...]
    ) -> QueryPage:
        return QueryPage(tuple(page.profiles), after, self._told(way, used))

    def _told(self, way: str, used: tuple[Access, ...]) -> QueryPlan:
        fields = {field for access in used for field in access.fields}
        reading = self._reading
        return QueryPlan(way, tuple(sorted(fields)), reading.keys_read, reading.profiles_read)


class _Filling:
    """A page being filled, up to a number of profiles and of bytes."""

    def __init__(self, limit: int, querying: Querying) -> None:
        self.profiles: list[Profile] = []
        self.last_seen = ""
        self._limit = limit
        self._schema, self._texts = querying.schema, querying.texts
        self._size_bytes = 0

    def is_full_with(self, profile_id: str, document: Document) -> bool:
        """Add a profile; say whether the page is full now."""
        self.profiles.append(resolve(profile_id, document, self._schema, self._texts))
        self._size_bytes += document.size_bytes
        return len(self.profiles) >= self._limit or self._size_bytes >= limits.PAGE_BYTES_MAX


def finished(steps: Steps[_T]) -> _T:
    """Return what a generator returns, without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: _T = end.value
            return value


def _check_of(where: str, order: str) -> bytes:
    """Return the bytes by which a cursor is known to be of this query."""
    text = f"{where}\x00{order}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=_CHECK_BYTES, person=b"crdtstore.cursor").digest()


def _cursor_of(key: bytes, check: bytes) -> str:
    return base64.urlsafe_b64encode(check + key).decode().rstrip("=")


def _cursor_key(cursor: str, check: bytes) -> bytes:
    """Return the key after which a cursor goes on; raises InvalidFilter."""
    if len(cursor) <= bounds.QUERY_CURSOR_BYTES_MAX:
        try:
            packed = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
            key = packed[_CHECK_BYTES:]
            is_ours = packed[:_CHECK_BYTES] == check and key < END_OF_PLACES
            if is_ours and key[place_end(key, 0) :].decode():
                return key
        except (binascii.Error, ValueError, IndexError):
            pass
    raise InvalidFilter("after is no cursor of this filter and order: begin again without it")
