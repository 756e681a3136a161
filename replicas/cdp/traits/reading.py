"""Reading: the values of traits at a time, and where they come from."""

from typing import Any

from crdtstore import Replica, trait_at
from replicas.cdp.errors import DefinitionInvalid
from replicas.cdp.traits.definitions import TraitDefinitions


def trait_values(
    replica: Replica, definitions: TraitDefinitions, profile_id: str, now_ms: int
) -> dict[str, Any]:
    """Return the values of a person's traits at a time, by name; those without any are absent.

    Raises ProfileNotFound or ProfileErased.
    """
    record = replica.persons.read(profile_id).record
    values = {
        name: trait_at(record[name], now_ms) for name in definitions.by_name if name in record
    }
    return {name: value for name, value in values.items() if value is not None}


def trait_account(
    replica: Replica, definitions: TraitDefinitions, profile_id: str, name: str
) -> list[dict[str, Any]]:
    """Return the partials of a person's trait: of which profile and replica, and whether it counts.

    Raises ProfileNotFound, ProfileErased or DefinitionInvalid.
    """
    if name not in definitions.by_name:
        raise DefinitionInvalid(f"there is no trait {name!r}")
    accounts = []
    for candidate in replica.persons.explain(profile_id, name):
        if candidate.kind == "trait":
            partial: Any = candidate.value
            version, fold, options, payload = partial
            accounts.append(
                {
                    "profile": candidate.profile_id,
                    "replica": candidate.replica,
                    "origin": f"{candidate.origin:016x}",
                    "source": candidate.source,
                    "version": version,
                    "fold": fold,
                    "options": options,
                    "payload": payload,
                    "counts": candidate.survives,
                    "rule": candidate.rule,
                }
            )
    return accounts
