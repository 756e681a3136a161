"""Who writes, where and when: what every operation of one write shares."""

from typing import NamedTuple

from crdtstore.model.document import Document
from crdtstore.schema import Schema


class WriteContext(NamedTuple):
    """The document as it is, the schema, and source, timestamp and origin of the write."""

    document: Document
    schema: Schema
    source: str
    timestamp: int
    origin: int
