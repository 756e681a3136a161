"""Golden: a few profiles worth showing, and the account of how each field came about."""

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
    """A profile to be shown, the fields of interest, and why it was chosen."""

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
    """A golden record, explained."""

    profile_id: str
    title: str
    fields: tuple[ExplainedField, ...]


def choose(
    originals: Sequence[Record], duplicates: Sequence[Record], contested: Sequence[str]
) -> list[Choice]:
    """Choose the profile with most conflicts of values, one with gaps, and one from the cut."""
    others = {record.profile_id: record.fields for record in duplicates}
    pairs = [(record.profile_id, record.fields, others[record.profile_id]) for record in originals]
    differing = {one: _differing(mine, other) for one, mine, other in pairs}
    filled = {one: _filled(mine, other) for one, mine, other in pairs}
    choices = []
    most = max(differing, key=lambda one: len(differing[one]))
    if differing[most]:
        title = "the two systems know this person by different values"
        choices.append(Choice(most, title, differing[most]))
    fullest = max(filled, key=lambda one: (_mutual(filled[one]), one != most))
    if any(filled[fullest]):
        title = "what one system does not know, the other does"
        choices.append(Choice(fullest, title, filled[fullest][0] + filled[fullest][1]))
    shown = {choice.profile_id for choice in choices}
    parted = next((one for one in contested if one not in shown), contested[0])
    title = "edited in eu and ap at once, while ap was cut off"
    choices.append(Choice(parted, title, _CUT_FIELDS))
    return choices


async def explain(client: Client, choice: Choice) -> ExplainedRecord:
    """Ask a replica how the chosen fields of a profile came about."""
    golden = (await client.profile(choice.profile_id))["fields"]
    candidates = await client.candidates(choice.profile_id)
    by_field = {
        field: [candidate for candidate in candidates if candidate["field"] == field]
        for field in choice.fields
    }
    explained = (
        _explained(field, golden.get(field), of_field) for field, of_field in by_field.items()
    )
    return ExplainedRecord(choice.profile_id, choice.title, tuple(explained))


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
