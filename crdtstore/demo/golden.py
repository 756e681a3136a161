"""Golden: a few persons worth showing, and the account of how each field came about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crdtstore.demo.client import Client
from crdtstore.demo.records import Record

_REGISTERS: Final = ("given_name", "surname", "address_1", "address_2", "street_number")
_ADDRESS: Final = ("suburb", "postcode", "state")
_CUT_FIELDS: Final = ("email", "phone", "tags", "logins", "marketing")


@dataclass(frozen=True, slots=True)
class Choice:
    """A person to be shown, by a profile of hers, the fields of interest, and why."""

    profile_id: str
    title: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExplainedField:
    """A field of a golden record: its value, whose it is, the rule, and every candidate."""

    field: str
    value: Any
    source: str
    replica: str
    rule: str
    candidates: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class ExplainedRecord:
    """The golden record of a person, explained."""

    profile_id: str
    profiles: tuple[str, ...]
    title: str
    fields: tuple[ExplainedField, ...]


def choose(
    originals: Sequence[Record], duplicates: Sequence[Record], contested: Sequence[str]
) -> list[Choice]:
    """Choose the person with most conflicts of values, one with gaps, and one from the cut."""
    pairs = linked_pairs(originals, duplicates)
    differing = {one.profile_id: _differing(one.fields, two.fields) for one, two in pairs}
    filled = {one.profile_id: _filled(one.fields, two.fields) for one, two in pairs}
    choices = []
    if differing:
        most = max(differing, key=lambda one: len(differing[one]))
        fullest = max(filled, key=lambda one: (_mutual(filled[one]), one != most))
        if differing[most]:
            title = "the two systems know this person by different values"
            choices.append(Choice(most, title, differing[most]))
        if any(filled[fullest]):
            title = "what one system does not know, the other does"
            choices.append(Choice(fullest, title, filled[fullest][0] + filled[fullest][1]))
    shown = {choice.profile_id for choice in choices}
    parted = next((one for one in contested if one not in shown), contested[0])
    title = "edited in eu and ap at once, while ap was cut off"
    choices.append(Choice(parted, title, _CUT_FIELDS))
    return choices


def linked_pairs(
    originals: Sequence[Record], duplicates: Sequence[Record]
) -> list[tuple[Record, Record]]:
    """Return the records of both sides with an equal social security number, by person."""
    return _pairs(originals, duplicates, are_linked=True)


def parted_pairs(
    originals: Sequence[Record], duplicates: Sequence[Record]
) -> list[tuple[Record, Record]]:
    """Return the records of one person of which the number does not tell, the likest first."""
    pairs = _pairs(originals, duplicates, are_linked=False)
    return sorted(pairs, key=lambda pair: -len(pair[0].fields.items() & pair[1].fields.items()))


def _pairs(
    originals: Sequence[Record], duplicates: Sequence[Record], *, are_linked: bool
) -> list[tuple[Record, Record]]:
    others = {record.number: record for record in duplicates}
    pairs = [(record, others[record.number]) for record in originals]
    return [
        (one, two)
        for one, two in pairs
        if (bool(one.identifiers) and one.identifiers == two.identifiers) == are_linked
    ]


async def explain(client: Client, choice: Choice) -> ExplainedRecord:
    """Ask a replica how the chosen fields of a person came about."""
    person = await client.person(choice.profile_id)
    golden = person["fields"]
    candidates = await client.candidates(choice.profile_id)
    by_field = {
        field: [candidate for candidate in candidates if candidate["field"] == field]
        for field in choice.fields
    }
    explained = (
        _explained(field, golden.get(field), of_field) for field, of_field in by_field.items()
    )
    profiles = tuple(person["profiles"])
    return ExplainedRecord(choice.profile_id, profiles, choice.title, tuple(explained))


def _explained(field: str, value: Any, candidates: Sequence[dict[str, Any]]) -> ExplainedField:
    """Return one field's account; of a set or counter, every candidate takes part in the value."""
    survivors = [candidate for candidate in candidates if candidate["survives"]]
    rules = dict.fromkeys(candidate["rule"] for candidate in survivors)
    return ExplainedField(
        field=field,
        value=value,
        source=_joined(candidate["source"] for candidate in survivors),
        replica=_joined(candidate["replica"] for candidate in survivors),
        rule="; ".join(rules),
        candidates=tuple(candidates),
    )


def _joined(names: Any) -> str:
    return ", ".join(dict.fromkeys(names))


def _differing(mine: Mapping[str, str], other: Mapping[str, str]) -> tuple[str, ...]:
    """Return the fields for which both sides have a value, and not the same."""
    fields = [
        field
        for field in (*_REGISTERS, *_ADDRESS)
        if field in mine and field in other and mine[field] != other[field]
    ]
    if not any(field in _ADDRESS for field in fields):
        return tuple(fields)
    return (*(field for field in fields if field not in _ADDRESS), *_ADDRESS)


def _filled(
    mine: Mapping[str, str], other: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the fields that only one side has a value for: this one's, and the other's."""
    return (
        tuple(field for field in _REGISTERS if field in mine and field not in other),
        tuple(field for field in _REGISTERS if field in other and field not in mine),
    )


def _mutual(filled: tuple[tuple[str, ...], tuple[str, ...]]) -> tuple[int, int]:
    """Return the measure by which gaps are worth showing: those that both fill come first."""
    one, other = map(len, filled)
    return min(one, other), one + other
