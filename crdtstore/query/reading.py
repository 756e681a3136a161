"""Reading a few fields of a document: their surviving values, and the index keys that they make."""

import hashlib
import json
from collections.abc import Iterable

from crdtstore.errors import PolicyFailed
from crdtstore.identity_rules import IGNORED, PIN_PREFIX
from crdtstore.model.cells import Cells, parse_key
from crdtstore.model.golden import resolve_all
from crdtstore.model.profile import Profile, TextReader
from crdtstore.names import OWN_IDS
from crdtstore.query.places import ABSENT, ELEMENT, element_places, place_of
from crdtstore.schema import Schema

INDEX_TAG = b"q"
"""First byte of every key of the indexes that a schema declares."""

PREFIX_BYTES = 1 + 8
"""Bytes before the place in a key: the tag, and the number of the index."""

_VERSION = 1
_OWN_FAILURES = (
    PolicyFailed, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""What a policy of somebody's own may raise: then its field counts as absent in the index."""


class FieldReader:
    """Reads some fields of documents as they are in the golden record, and nothing else."""

    def __init__(
        self, schema: Schema, fields: Iterable[str], texts: TextReader | None = None
    ) -> None:
        wanted = set(fields)
        for field in tuple(wanted):
            group = schema.group_of_field.get(field)
            wanted.update(schema.groups[group].fields if group is not None else ())
        self._cell_fields = {IGNORED, *wanted, *(PIN_PREFIX + field for field in wanted)}
        self._schema = schema
        self._texts = texts

    def read(self, profile_id: str, cells: Cells) -> Profile:
        """Return the golden record of these fields, and of others that belong to their groups."""
        wanted = self._cell_fields
        few = {key: cell for key, cell in cells.items() if parse_key(key).field in wanted}
        return resolve_all(profile_id, "", [(profile_id, few)], self._schema, self._texts)


class IndexedReader:
    """Makes the index keys of documents: ``prefixes`` are those of the fields."""

    def __init__(self, schema: Schema, fields: Iterable[str]) -> None:
        self.prefixes = {field: prefix_of(schema, field) for field in fields}
        self._readers = {field: FieldReader(schema, (field,)) for field in self.prefixes}
        self._reader = FieldReader(schema, self.prefixes)

    def keys(self, profile_id: str, epoch: int, cells: Cells) -> frozenset[bytes]:
        """Return the keys of a document: none if it is absent, erased, or no profile."""
        if epoch & 1 or not (epoch or cells) or profile_id.startswith(OWN_IDS):
            return frozenset()
        end = profile_id.encode()
        try:
            record = self._reader.read(profile_id, cells)
        except _OWN_FAILURES:
            return self._keys_apart(profile_id, cells)
        found: list[bytes] = []
        for field, prefix in self.prefixes.items():
            value = record.get(field)
            found.append(prefix + place_of(value) + end)
            if type(value) is list:
                start = prefix + ELEMENT
                found.extend(start + place + end for place in element_places(value))
        return frozenset(found)

    def _keys_apart(self, profile_id: str, cells: Cells) -> frozenset[bytes]:
        """Return the keys field by field, where a policy fails for one of them."""
        found: set[bytes] = set()
        end = profile_id.encode()
        for field, prefix in self.prefixes.items():
            try:
                value = self._readers[field].read(profile_id, cells).get(field)
            except _OWN_FAILURES:
                found.add(prefix + ABSENT + end)
                continue
            found.add(prefix + place_of(value) + end)
            found.update(prefix + ELEMENT + place + end for place in element_places(value))
        return frozenset(found)


def prefix_of(schema: Schema, field: str) -> bytes:
    """Return the beginning of all keys of a field's index.

    It is another one when the field's kind, its policy or its group changes, and when a policy of
    somebody's own has another version.
    """
    group = schema.group_of_field.get(field)
    members = None if group is None else sorted(schema.groups[group].fields)
    content = [_VERSION, field, schema.kind_of(field), schema.policy_of(field).content, members]
    text = json.dumps(content, sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=b"crdtstore.query")
    return INDEX_TAG + digest.digest()
