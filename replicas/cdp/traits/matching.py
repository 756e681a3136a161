"""Matching: which definitions an event is folded for, found by its kind and name."""

from collections.abc import Collection
from typing import NamedTuple

from replicas.cdp.events import Event
from replicas.cdp.traits.conditions import Condition, Getter, condition_of, getter_of
from replicas.cdp.traits.definitions import Definition
from replicas.cdp.traits.gathering import Gatherer, gatherer_of


class Rule(NamedTuple):
    """A definition ready for use, by its name. ``get`` is None where no property is asked for."""

    name: str
    condition: Condition | None
    get: Getter | None
    gatherer: Gatherer


class Rules:
    """The rules of some definitions, by the kinds and names of events; and their gatherers."""

    def __init__(self, definitions: Collection[Definition]) -> None:
        self._by_name: dict[tuple[str, str], tuple[Rule, ...]] = {}
        self._of_kind: dict[str, tuple[Rule, ...]] = {}
        named: dict[tuple[str, str], list[Rule]] = {}
        general: dict[str, list[Rule]] = {}
        rules = {definition.name: rule_of(definition) for definition in definitions}
        self.gatherers = {name: rule.gatherer for name, rule in rules.items()}
        for definition in definitions:
            rule = rules[definition.name]
            for event in definition.events:
                named.setdefault((definition.kind, event), []).append(rule)
            if not definition.events:
                general.setdefault(definition.kind, []).append(rule)
        self._of_kind = {kind: tuple(rules) for kind, rules in general.items()}
        self._by_name = {
            place: (*rules, *self._of_kind.get(place[0], ())) for place, rules in named.items()
        }

    def of(self, event: Event) -> tuple[Rule, ...]:
        """Return the rules that may fold an event: their conditions are not looked at."""
        rules = self._by_name.get((event.kind, event.name))
        return self._of_kind.get(event.kind, ()) if rules is None else rules


def rule_of(definition: Definition) -> Rule:
    """Return the rule of a definition."""
    return Rule(
        definition.name,
        condition_of(definition.where),
        getter_of(definition.property_path) if definition.property_path else None,
        gatherer_of(definition.fold, definition.options),
    )
