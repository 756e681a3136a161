"""An author: one replica of one document, as the tests of writes use it."""

import pytest

from crdtstore.model.cells import parse_key
from crdtstore.model.document import Document, absorb, canonical_bytes, join
from crdtstore.model.write import WriteContext, plan_write
from crdtstore.schema import Schema

EU, US = 1, 2


class Author:
    """A replica of one document, with a clock; ``write`` plans and joins what it planned."""

    def __init__(self, origin=EU, schema=None, document=None, clock=0):
        self.origin, self.schema = origin, schema or Schema()
        self.document = document or Document()
        self.clock = clock

    def plan(self, fields, source="crm"):
        self.clock += 1
        context = WriteContext(self.document, self.schema, source, self.clock, self.origin)
        return plan_write(context, fields)

    def write(self, fields, source="crm"):
        before = canonical_bytes(self.document)
        delta, changed = self.plan(fields, source)
        assert canonical_bytes(self.document) == before, "planning changes nothing"
        absorb(self.document, self.document.epoch, delta, [])
        return changed

    def refuses(self, error, fields, match=None, source="crm"):
        before = canonical_bytes(self.document)
        with pytest.raises(error, match=match):
            self.plan(fields, source)
        assert canonical_bytes(self.document) == before

    def hear(self, other):
        self.document = join(self.document, other.document)
        self.clock = max(self.clock, other.clock)

    def has(self, field, element):
        return any(
            parse_key(key).field == field
            and parse_key(key).element == f"t{element}"
            and cell[0] > cell[1]
            for key, cell in self.document.cells.items()
            if key[0] == "s"
        )

    def is_denied(self, field):
        return any(
            cell[0] > cell[1]
            for key, cell in self.document.cells.items()
            if key[0] == "d" and parse_key(key).field == field
        )
