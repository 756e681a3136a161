"""Listing: profile ids in order, of documents at rest and of those that are not yet."""

import heapq
from collections.abc import Iterator
from itertools import islice

from crdtstore import limits
from crdtstore.engine.documents import Documents
from crdtstore.errors import InvalidInput, ProfileErased, ProfileNotFound
from crdtstore.model.document import Document
from crdtstore.model.golden import resolve
from crdtstore.model.profile import Profile, TextReader
from crdtstore.names import OWN_IDS, check_profile_id
from crdtstore.schema import Schema
from crdtstore.storage.contract import Storage


def check_page(after: str, limit: int) -> None:
    """Check where a page begins, and how long it may be; raises InvalidInput."""
    if not 0 < limit <= limits.PAGE_PROFILES_MAX:
        raise InvalidInput(f"limit is a number from 1 to {limits.PAGE_PROFILES_MAX:,}")
    if after:
        check_profile_id(after)


def living_profiles(
    storage: Storage,
    documents: Documents,
    schema: Schema,
    texts: TextReader,
    after: str,
    limit: int,
) -> list[Profile]:
    """Return a page of golden records in the order of their ids; raises InvalidInput."""
    check_page(after, limit)
    living = living_documents(storage, documents, after, limit)
    return [
        resolve(profile_id, document, schema, texts)
        for profile_id, document in islice(living, limit)
    ]


def living_documents(
    storage: Storage, documents: Documents, after: str, page: int
) -> Iterator[tuple[str, Document]]:
    """Yield living documents in the order of their ids, reading about ``page`` at a time."""
    while True:
        profile_ids = _ids_after(storage, documents, after, page)
        if not profile_ids:
            return
        for profile_id in profile_ids:
            document = documents.get(profile_id)
            is_profile = not profile_id.startswith(OWN_IDS)
            if is_profile and not (document.is_erased or document.is_absent):
                yield profile_id, document
        after = profile_ids[-1]


def _ids_after(storage: Storage, documents: Documents, after: str, page: int) -> list[str]:
    records = storage.documents(after.encode(), limit=page, bytes_max=limits.JOURNAL_CACHE_BYTES)
    stored = [key.decode() for key, _ in records]
    last = stored[-1] if stored else None
    fresh = heapq.nsmallest(
        page,
        (
            profile_id
            for profile_id in documents.dirty
            if profile_id > after and (last is None or profile_id <= last)
        ),
    )
    if len(fresh) == page:
        stored = [profile_id for profile_id in stored if profile_id <= fresh[-1]]
    return sorted({*stored, *fresh})


def living_document(documents: Documents, profile_id: str) -> Document:
    """Return the document of a profile; raises InvalidName, ProfileNotFound or ProfileErased."""
    check_profile_id(profile_id)
    document = documents.get(profile_id)
    if document.is_absent:
        raise ProfileNotFound(profile_id)
    if document.is_erased:
        raise ProfileErased(profile_id)
    return document
