"""Plans: what must be sent to a vendor so that its records show the golden record.

Only fields whose survivor differs from what the vendor has are in an edit. The golden record is
that of the person, so all records of one person come to show the same.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from crdtstore import Profile, Replica
from crdtstore.errors import ProfileErased, ProfileNotFound
from replicas.crm.crm import Edit
from replicas.crm.forms import FormError
from replicas.crm.ledger import Ledger
from replicas.crm.link import Known, Link, digest_of
from replicas.crm.mapping import CrmMapping, ObjectMapping

_log = logging.getLogger("replicas.crm.plan")


@dataclass(frozen=True, slots=True)
class Planned:
    """An edit, and the digests of the fields' values that it sends, by property."""

    edit: Edit
    digests: dict[str, bytes]


class Planner:
    """Compares persons with their records at one vendor."""

    def __init__(self, replica: Replica, mapping: CrmMapping, ledger: Ledger) -> None:
        self._replica = replica
        self._mapping = mapping
        self._ledger = ledger

    def plan(self, profile_ids: Iterable[str], seen: set[str] | None = None) -> list[Planned]:
        """Return what must be sent for the persons of some profiles, each record once.

        ``seen`` are profiles that were looked at; those that are looked at now are added.
        """
        planned: list[Planned] = []
        seen = set() if seen is None else seen
        for profile_id in profile_ids:
            if profile_id in seen:
                continue
            try:
                person = self._replica.persons.read(profile_id)
            except ProfileErased:
                seen.add(profile_id)
                planned += self._deletion(profile_id)
                continue
            except ProfileNotFound:
                continue
            members = [each for each in person.profiles if each not in seen]
            seen.update(person.profiles)
            links = {each: self._ledger.link(each) for each in person.profiles}
            has_record = any(link is not None and link.state == "live" for link in links.values())
            for each in members:
                link = links[each]
                if link is None or link.state not in ("live", "new"):
                    continue
                if link.state == "live" or not has_record:
                    planned += self._update(each, link, person.record)
            if not any(links.values()) and self._mapping.created is not None:
                planned += self._creation(person.id, self._mapping.created, person.record)
        return planned

    def _update(self, profile_id: str, link: Link, record: Profile) -> list[Planned]:
        mapped = self._mapping.by_name.get(link.object)
        if mapped is None:
            return []
        values, digests = self._differences(mapped, link, record)
        if not values and link.state == "live":
            return []
        if link.state == "new" and not self._is_complete(mapped, values):
            return []
        return [Planned(Edit(link.object, profile_id, link.record_id, values), digests)]

    def _creation(self, profile_id: str, mapped: ObjectMapping, record: Profile) -> list[Planned]:
        values, digests = self._differences(mapped, Link(mapped.name), record)
        if not self._is_complete(mapped, values):
            return []
        return [Planned(Edit(mapped.name, profile_id, "", values), digests)]

    def _deletion(self, profile_id: str) -> list[Planned]:
        link = self._ledger.link(profile_id)
        if link is None or link.state not in ("live", "gone"):
            return []
        mapped = self._mapping.by_name.get(link.object)
        if mapped is None or mapped.erasure != "delete" or link.state == "gone":
            return []
        return [Planned(Edit(link.object, profile_id, link.record_id, {}, is_deletion=True), {})]

    def _differences(
        self, mapped: ObjectMapping, link: Link, record: Profile
    ) -> tuple[dict[str, Any], dict[str, bytes]]:
        values: dict[str, Any] = {}
        digests: dict[str, bytes] = {}
        for one in mapped.fields:
            if not one.is_pushed:
                continue
            value = record.get(one.field)
            digest = digest_of(value)
            known = link.known.get(one.property_name) or Known()
            if known.lacks(digest):
                try:
                    values[one.property_name] = one.to_vendor(value)
                except FormError as error:
                    _log.warning("field %s of %s cannot be sent: %s", one.field, record.id,
                                 type(error.__cause__ or error).__name__)  # fmt: skip
                    continue
                digests[one.property_name] = digest
        return values, digests

    @staticmethod
    def _is_complete(mapped: ObjectMapping, values: dict[str, Any]) -> bool:
        return bool(values) and all(values.get(name) is not None for name in mapped.required)
