"""Queries of a store: ``store.queries.page('age ge 30')``, ``store.queries.count('vip eq true')``.

The filter language is in ``crdtstore.query.filters``, what its operators mean in
``crdtstore.query.matching``, and the order of values in ``crdtstore.query.places``.
"""

from collections.abc import Iterator

from crdtstore.engine.commits import Committing
from crdtstore.engine.documents import Documents
from crdtstore.engine.erasures import Erasures
from crdtstore.engine.index_reading import Steps
from crdtstore.engine.querying import QueryCount, Querying, QueryPage, finished
from crdtstore.model.profile import Profile, TextReader
from crdtstore.schema import Schema
from crdtstore.storage.contract import Storage


class Queries:
    """The queries of one store. They see what was written so far, durable or not."""

    def __init__(
        self,
        storage: Storage,
        documents: Documents,
        committing: Committing,
        erasures: Erasures,
        schema: Schema,
        texts: TextReader,
    ) -> None:
        self._querying = Querying(storage, documents, committing, erasures, schema, texts)

    def page(
        self, where: str = "", *, order: str = "", after: str = "", limit: int = 100
    ) -> QueryPage:
        """Return up to ``limit`` living profiles that a filter asks for ("": all).

        ``order`` is a field, with a ``-`` before it for falling order; without it they come in the
        order of their ids. ``after`` is the ``next`` of the page before. Raises InvalidFilter, or
        QueryTooBroad where only an index could answer.
        """
        return finished(self._querying.page(where, order, after, limit))

    def count(self, where: str = "") -> QueryCount:
        """Return how many living profiles a filter asks for; raises as ``page`` does."""
        return finished(self._querying.count(where))

    def all(self, where: str = "", *, order: str = "") -> Iterator[Profile]:
        """Yield all profiles that a filter asks for, read page by page."""
        after: str | None = ""
        while after is not None:
            page = self.page(where, order=order, after=after)
            yield from page.profiles
            after = page.next

    def page_steps(self, where: str, order: str, after: str, limit: int) -> Steps[QueryPage]:
        """Return the work of ``page``, in slices of a few milliseconds."""
        return self._querying.page(where, order, after, limit)

    def count_steps(self, where: str) -> Steps[QueryCount]:
        """Return the work of ``count``, in slices of a few milliseconds."""
        return self._querying.count(where)
