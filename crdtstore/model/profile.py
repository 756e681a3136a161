"""Profile: the golden record as its readers see it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from crdtstore.model.values import CellValue, Value, from_cell_value


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """A field whose cells are of other kinds than the declared one, or of several undeclared.

    ``kinds`` are those of the cells; ``declared`` is the kind in the schema, by which the field
    was read, or None: then the field was left out of the profile.
    """

    field: str
    kinds: tuple[str, ...]
    declared: str | None


class TextPlace(NamedTuple):
    """Where a collaborative field's state is: the profile, and the field with its kind's letter."""

    profile_id: str
    name: str


class TextReader(Protocol):
    """Reads the collaborative fields of a store."""

    def value_of(self, place: TextPlace) -> Value:
        """Return a text as a string, or the items of a list."""
        ...


class Profile(Mapping[str, Value]):
    """The surviving value of every field, read-only, in the order of the field names.

    Lists and maps are unpacked anew at every read, so they are the reader's own. A profile equals
    any mapping with the same items. Fields of kind text and list are read when they are asked for,
    as they are then: who does not ask for a long text does not pay for it.
    """

    __slots__ = ("_conflicts", "_id", "_texts", "_values", "_version")

    def __init__(
        self,
        profile_id: str,
        version: str,
        values: Mapping[str, CellValue | list[CellValue]],
        conflicts: tuple[FieldConflict, ...] = (),
        texts: TextReader | None = None,
    ) -> None:
        self._id = profile_id
        self._version = version
        self._values = values
        self._conflicts = conflicts
        self._texts = texts

    @property
    def id(self) -> str:
        """The profile's id."""
        return self._id

    @property
    def version(self) -> str:
        """The version of the document behind it: an opaque token for ``if_version``."""
        return self._version

    @property
    def conflicts(self) -> tuple[FieldConflict, ...]:
        """The fields whose cells are of more than one kind, or not of the declared one."""
        return self._conflicts

    def __getitem__(self, field: str) -> Value:
        value = self._values[field]
        if isinstance(value, list):
            return [*value]
        if type(value) is TextPlace:
            assert self._texts is not None
            return self._texts.value_of(value)
        return from_cell_value(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, field: object) -> bool:
        return field in self._values

    def __repr__(self) -> str:
        conflicts = f", conflicts={self._conflicts!r}" if self._conflicts else ""
        return f"Profile({self._id!r}, {self._version!r}, {dict(self)!r}{conflicts})"
