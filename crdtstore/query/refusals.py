"""Refusals: why a query is not answered. They belong to the tree of ``crdtstore.errors``."""

from crdtstore.errors import InvalidInput, Refused


class InvalidFilter(InvalidInput):
    """A filter, an order or the cursor of a query is malformed; ``position`` counts from 0."""

    code = "invalid-filter"

    def __init__(self, text: str, position: int = 0) -> None:
        super().__init__(text)
        self.position = position


class QueryTooBroad(Refused):
    """A query would have to look at more profiles than it may: an index would answer it."""

    code = "query-too-broad"
