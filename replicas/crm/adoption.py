"""Who a record is: the profile that it belongs to, and the identifiers that it tells of it."""

import logging
from collections.abc import Mapping
from typing import Any

from crdtstore import Replica, identifier
from crdtstore.errors import CrdtstoreError, InvalidValue, Refused
from replicas.crm.crm import Sighting
from replicas.crm.ledger import Ledger
from replicas.crm.link import Link
from replicas.crm.mapping import FieldMapping, ObjectMapping

_log = logging.getLogger("replicas.crm.adoption")


class Adoption:
    """What one vendor's records are in the store."""

    def __init__(self, replica: Replica, source: str, ledger: Ledger) -> None:
        self._replica = replica
        self._source = source
        self._ledger = ledger

    def adopt(self, mapped: ObjectMapping, sighting: Sighting) -> tuple[str, Link]:
        """Return the profile for a record that is seen for the first time, and its link."""
        claimed = str(sighting.values.get(mapped.key) or "")
        if claimed:
            link = self._ledger.link(claimed)
            if link is not None and link.state == "new" and link.object == mapped.name:
                link.record_id, link.state = sighting.key.id, "live"
                return claimed, link
            if link is None:
                return claimed, Link(mapped.name, sighting.key.id)
        own = f"{mapped.identifier}:{sighting.key.id}"
        profile_id = self._replica.persons.profile_id_for(
            own, *self.identifiers(mapped, sighting.values)
        )
        link = self._ledger.link(profile_id)
        if link is not None and link.is_waiting and link.object == mapped.name:
            link.record_id, link.state = sighting.key.id, "live"
            return profile_id, link
        if link is not None:
            profile_id = self._replica.persons.profile_id_for(own)
        return profile_id, Link(mapped.name, sighting.key.id)

    def without_what_is_known(
        self, mapped: ObjectMapping, profile_id: str, news: dict[str, Any]
    ) -> dict[str, Any]:
        """Return what is new of a record that an earlier life of this replica may have known.

        If the store has values of our source, but no note of the record, notes were lost. Then
        what anybody has said already may be what was sent there, and is nobody's new word.
        """
        try:
            own = self._replica.explain(profile_id)
        except Refused:
            return news
        if not any(candidate.source == self._source for candidate in own):
            return news
        candidates = self._replica.persons.explain(profile_id)
        said = {(candidate.field, repr(candidate.value)) for candidate in candidates}
        fields = {name: mapped.by_property[name].field for name in news}
        return {
            name: value for name, value in news.items() if (fields[name], repr(value)) not in said
        }

    def identifiers(self, mapped: ObjectMapping, values: Mapping[str, Any]) -> list[str]:
        """Return the identifiers among the values of a record that are of their form."""
        found = []
        region = self._replica.schema.identity.phone_region
        for one in mapped.fields:
            value = values.get(one.property_name) if one.identifier else None
            if value:
                try:
                    found.append(identifier(one.identifier, str(value), region=region))
                except InvalidValue as error:
                    _log.info("a value of %s is no identifier: %s", mapped.name, type(error))
        return found

    def said_identifiers(self, profile_id: str, one: FieldMapping) -> list[str]:
        """Return the identifiers of a type that our source has said of a profile."""
        return [
            text
            for text in self.said_elements(profile_id)
            if text.partition(":")[0] == one.identifier
        ]

    def said_elements(self, profile_id: str) -> list[str]:
        """Return the identifiers that our source has said of a profile."""
        try:
            candidates = self._replica.explain(profile_id, "identifiers")
        except CrdtstoreError:
            return []
        return [
            str(candidate.value) for candidate in candidates if candidate.source == self._source
        ]
