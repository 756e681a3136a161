"""Intake: from what was seen at a vendor to the store, in the commit that moves the cursor.

Whatever is seen twice has its effect once: a sighting is weighed against the link of its record,
and what is no news is not written. What cannot be written becomes a dead letter; its link stays as
it is, so that the next reading tries it again.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from crdtstore import Replica, edit_set, grant, revoke
from crdtstore.errors import CrdtstoreError, InvalidInput, ProfileErased, Refused
from replicas.crm import limits
from replicas.crm.adoption import Adoption
from replicas.crm.crm import RecordKey, Sighting
from replicas.crm.dead_letters import DeadLetter
from replicas.crm.forms import FormError
from replicas.crm.joint import Joint
from replicas.crm.ledger import Ledger
from replicas.crm.link import Link, weigh
from replicas.crm.mapping import CrmMapping, FieldMapping, ObjectMapping

_log = logging.getLogger("replicas.crm.intake")


class _Reading(NamedTuple):
    """How sightings came about.

    ``since`` is the ledger's time at which their reading began, None for what a vendor told by
    itself. ``is_certain`` says that just these records were asked for, ``is_snapshot`` that they
    are as they were after their load began. ``whole`` are those of which a state is among the
    sightings.
    """

    since: int | None
    is_certain: bool
    is_snapshot: bool
    whole: frozenset[RecordKey]


class Intake:
    """The way in of one vendor. ``counters`` tell what became of what was seen."""

    def __init__(self, replica: Replica, source: str, mapping: CrmMapping, ledger: Ledger) -> None:
        self.counters = dict.fromkeys(
            ("sightings", "edits", "echoes", "stale", "rereads", "deletions", "erasures", "merges",
             "vanished", "refused"), 0,
        )  # fmt: skip
        self._replica = replica
        self._source = source
        self._mapping = mapping
        self._ledger = ledger
        self._adoption = Adoption(replica, source, ledger)

    async def absorb(
        self,
        sightings: Sequence[Sighting],
        *,
        since: int | None = None,
        is_snapshot: bool = False,
        cursors: Mapping[str, str] | None = None,
        reread: Mapping[RecordKey, bytes] | None = None,
    ) -> None:
        """Bring sightings into the store, durably.

        ``since`` is the ledger's time at which their reading began; a ``is_snapshot`` tells of the
        time after their load began. ``cursors`` are moved with the last of them, and what was
        ``reread`` is no longer due.
        """
        whole = frozenset(one.key for one in sightings if one.kind in ("state", "created"))
        reading = _Reading(since, bool(reread), is_snapshot, whole)
        last = max(len(sightings) - 1, 0) // limits.ABSORBED_MAX * limits.ABSORBED_MAX
        await self._absorb_before(sightings[:last], reading)
        async with self._replica.notes.commit() as commit:
            self._ledger.settle_rereads(commit, reread or {})
            for sighting in sightings[last:]:
                self._absorb(commit, sighting, reading)
            for name, value in (cursors or {}).items():
                commit.move_cursor(name, value)

    async def _absorb_before(self, sightings: Sequence[Sighting], reading: _Reading) -> None:
        """Bring in what comes before the last part, durably, in several commits.

        A part is applied while those before it become durable. The last one, which moves cursors,
        has to wait for all of them: a commit that fails undoes what was applied behind it.
        """
        parts: list[asyncio.Task[None]] = []
        try:
            for at in range(0, len(sightings), limits.ABSORBED_MAX):
                part = sightings[at : at + limits.ABSORBED_MAX]
                parts.append(asyncio.create_task(self._absorb_part(part, reading)))
                await asyncio.sleep(0)
            await asyncio.gather(*parts)
        finally:
            for task in parts:
                task.cancel()
            await asyncio.gather(*parts, return_exceptions=True)

    async def _absorb_part(self, part: Sequence[Sighting], reading: _Reading) -> None:
        async with self._replica.notes.commit() as commit:
            for sighting in part:
                self._absorb(commit, sighting, reading)

    def _absorb(self, commit: Joint, sighting: Sighting, reading: _Reading) -> None:
        self.counters["sightings"] += 1
        mapped = self._mapping.by_name.get(sighting.key.object)
        if mapped is None:
            return
        profile_id = self._ledger.profile_of(sighting.key)
        try:
            if sighting.kind == "erased":
                self._erase(commit, sighting, profile_id)
            elif sighting.kind in ("deleted", "vanished"):
                self._delete(commit, mapped, sighting, profile_id, reading)
            elif sighting.kind == "unclear":
                self._doubt(commit, sighting, profile_id)
            elif self._is_told_by_state(sighting, profile_id, reading):
                pass
            else:
                self._see(commit, mapped, sighting, profile_id, reading)
        except (InvalidInput, Refused, FormError) as error:
            self._refuse(commit, sighting, profile_id, error)
        else:
            self._ledger.unbury(commit, _letter_key(sighting.key))

    @staticmethod
    def _is_told_by_state(sighting: Sighting, profile_id: str | None, reading: _Reading) -> bool:
        """Say whether a change is of a new record whose state follows and tells all."""
        return sighting.kind == "change" and profile_id is None and sighting.key in reading.whole

    # --- values -------------------------------------------------------------------------------

    def _see(
        self,
        commit: Joint,
        mapped: ObjectMapping,
        sighting: Sighting,
        profile_id: str | None,
        reading: _Reading,
    ) -> None:
        link = None if profile_id is None else self._ledger.link(profile_id)
        is_known = link is not None
        if profile_id is None or link is None:
            if sighting.kind == "change":
                self._read_again(commit, sighting.key)
                return
            profile_id, link = self._adoption.adopt(mapped, sighting)
        elif link.state == "erased" or sighting.kind == "created":
            return
        elif link.state == "gone":
            if sighting.at_ms + sighting.span_ms < link.gone_ms:
                self.counters["stale"] += 1
                return
            if sighting.kind == "change":
                self._read_again(commit, sighting.key)
                return
            link = Link(mapped.name, sighting.key.id)
            self._ledger.withdrawn.drop(commit, profile_id)
        if sighting.kind == "state" and self._is_old(profile_id, link, reading):
            self._read_again(commit, sighting.key)
            return
        values = _field_values(mapped, sighting.values)
        own = [] if link.known and is_known else [f"{mapped.identifier}:{sighting.key.id}"]
        news, is_due = weigh(link, sighting, values)
        if not is_known:
            news = self._adoption.without_what_is_known(mapped, profile_id, news)
            self._ledger.unbury(commit, f"out/{profile_id}")
        self._write(commit, mapped, profile_id, news, own)
        self._ledger.keep_link(commit, profile_id, link)
        if is_due:
            self._ledger.mark_due(commit, profile_id)
        self.counters["edits" if news else "echoes"] += 1
        if not is_known:
            self._follow_merges(commit, mapped, sighting.key, sighting.key.id)

    def _is_old(self, profile_id: str, link: Link, reading: _Reading) -> bool:
        """Say whether something was sent to a record after a state of it may have been read."""
        if reading.is_snapshot and 0 < self._ledger.loads.number(link.object) <= link.sent_in:
            return True
        since = reading.since
        return since is not None and self._ledger.touches.is_since(profile_id, since)

    def _write(
        self,
        commit: Joint,
        mapped: ObjectMapping,
        profile_id: str,
        news: Mapping[str, Any],
        come: list[str],
    ) -> None:
        fields: dict[str, Any] = {}
        gone: list[str] = []
        for name, value in news.items():
            one = mapped.by_property[name]
            if one.identifier:
                gone += self._adoption.said_identifiers(profile_id, one)
                come += self._adoption.identifiers(mapped, {name: value})
            fields[one.field] = self._said(one, value)
        if come or gone:
            fields["identifiers"] = edit_set(add=tuple(come), remove=tuple(set(gone) - set(come)))
        if not fields:
            return
        result = commit.write(profile_id, fields, source=self._source)
        # The same value said anew, after another one was sent: it is as young as it was said.
        unchanged = fields.keys() - {*result.changed, "identifiers"}
        again = {name: fields[name] for name in unchanged if self._is_register(fields[name])}
        if again:
            commit.write(profile_id, dict.fromkeys(again), source=self._source)
            commit.write(profile_id, again, source=self._source)

    @staticmethod
    def _is_register(value: Any) -> bool:
        return value is not None and value not in (grant(), revoke())

    def _said(self, one: FieldMapping, value: Any) -> Any:
        if self._replica.schema.kind_of(one.field) == "consent":
            return grant() if value is True else revoke()
        if value is None and one.clear == "empty":
            return ""
        return value

    # --- the ends of records ------------------------------------------------------------------

    def _delete(
        self,
        commit: Joint,
        mapped: ObjectMapping,
        sighting: Sighting,
        profile_id: str | None,
        reading: _Reading,
    ) -> None:
        """Take back all that the vendor says of a record; never make the record anew."""
        link = None if profile_id is None else self._ledger.link(profile_id)
        if profile_id is None or link is None or link.state == "erased":
            self._follow_merges(commit, mapped, sighting.key, sighting.into)
            return
        into = RecordKey(mapped.name, sighting.into)
        if sighting.into and self._ledger.profile_of(into) is None:
            self._ledger.await_merge(commit, sighting.key, into, sighting.at_ms)
            self._read_again(commit, into)
            return
        if link.state == "gone":
            if sighting.into:
                self._merge_late(commit, into, profile_id)
            return
        newest_ms = max((known.value_ms for known in link.known.values()), default=0)
        is_old = 0 < sighting.at_ms + sighting.span_ms < newest_ms
        if (is_old or reading.is_snapshot) and not reading.is_certain:
            self._read_again(commit, sighting.key)
            return
        self.counters["deletions"] += 1
        if sighting.kind == "vanished":
            self._flag(commit, sighting.key, profile_id)
        if sighting.into:
            self._merge(commit, into, profile_id)
        pulled = [one.field for one in mapped.fields if one.is_pulled]
        fields: dict[str, Any] = {
            name: None for name in pulled if self._replica.schema.kind_of(name) != "consent"
        }
        if not sighting.into:
            said = self._adoption.said_elements(profile_id)
            fields["identifiers"] = edit_set(remove=tuple(said))
            self._ledger.withdrawn.keep(commit, profile_id, said, time.time_ns() // 1_000_000)
        with suppress(ProfileErased):
            commit.write(profile_id, fields, source=self._source)
        gone_ms = (sighting.at_ms or newest_ms) + 1
        gone = Link(link.object, link.record_id, "gone", gone_ms)
        self._ledger.keep_link(commit, profile_id, gone)

    def _flag(self, commit: Joint, key: RecordKey, profile_id: str) -> None:
        """Have a steward look at a record that is gone for good: it may be an erasure."""
        self.counters["vanished"] += 1
        letter = DeadLetter(
            key=f"gone/{profile_id}",
            direction="in",
            profile_id=profile_id,
            object=key.object,
            record_id=key.id,
            result="vanished",
            code="VANISHED",
            message="the record is in the CRM no more, and no event told why",
            at_ms=time.time_ns() // 1_000_000,
        )
        self._ledger.bury(commit, letter)

    def _is_one(self, profile_id: str, key: RecordKey) -> bool:
        """Say whether a profile and that of a record are of one person already."""
        try:
            return self._ledger.profile_of(key) in self._replica.persons.read(profile_id).profiles
        except Refused:
            return True

    def _merge(self, commit: Joint, into: RecordKey, profile_id: str) -> None:
        """Follow a merge at the vendor into a record that is known."""
        self.counters["merges"] += 1
        self._read_again(commit, into)
        survivor = self._ledger.profile_of(into)
        if survivor is not None and survivor != profile_id:
            with suppress(Refused):  # a steward keeps them apart, or one was erased
                commit.merge(survivor, profile_id, source=self._source)

    def _merge_late(self, commit: Joint, into: RecordKey, profile_id: str) -> None:
        """Follow a merge of a record that was read as deleted before: its identifiers are back."""
        if not self._is_one(profile_id, into):
            self._merge(commit, into, profile_id)
        back = self._ledger.withdrawn.of(profile_id)
        if back:
            with suppress(ProfileErased):
                named = {"identifiers": edit_set(add=tuple(back))}
                commit.write(profile_id, named, source=self._source)
            self._ledger.withdrawn.drop(commit, profile_id)
        self._ledger.unbury(commit, f"gone/{profile_id}")

    def _follow_merges(
        self, commit: Joint, mapped: ObjectMapping, key: RecordKey, into: str
    ) -> None:
        """Follow the merges that waited for a record; if it went itself, to where it went."""
        certain = _Reading(None, True, False, frozenset())
        for gone, at_ms in self._ledger.awaited_merges(commit, key).items():
            sighting = Sighting("deleted", gone, at_ms, into=into)
            self._delete(commit, mapped, sighting, self._ledger.profile_of(gone), certain)

    def _erase(self, commit: Joint, sighting: Sighting, profile_id: str | None) -> None:
        """Erase the person of a record: all profiles that are known to be of it."""
        if profile_id is None:
            return
        try:
            profiles = self._replica.persons.read(profile_id).profiles
        except Refused:
            profiles = (profile_id,)
        for each in dict.fromkeys((profile_id, *profiles)):
            commit.erase(each)
            self._ledger.unbury(commit, f"out/{each}")
            self._ledger.unbury(commit, f"gone/{each}")
            self._ledger.withdrawn.drop(commit, each)
            self.counters["erasures"] += 1
        link = Link(sighting.key.object, sighting.key.id, "erased")
        self._ledger.keep_link(commit, profile_id, link)

    def _doubt(self, commit: Joint, sighting: Sighting, profile_id: str | None) -> None:
        """Have a record read again; one that went may be back."""
        link = None if profile_id is None else self._ledger.link(profile_id)
        if profile_id is not None and link is not None and link.state == "gone":
            link.gone_ms = min(link.gone_ms, sighting.at_ms - 1)
            self._ledger.keep_link(commit, profile_id, link)
        self._read_again(commit, sighting.key)

    def _read_again(self, commit: Joint, key: RecordKey) -> None:
        self.counters["rereads"] += 1
        self._ledger.mark_reread(commit, key)

    def _refuse(
        self, commit: Joint, sighting: Sighting, profile_id: str | None, error: Exception
    ) -> None:
        self.counters["refused"] += 1
        code = error.code if isinstance(error, CrdtstoreError) else "form"
        # Messages may quote values, and a dead letter holds none.
        message = str(error) if isinstance(error, Refused) else type(error).__name__
        letter = DeadLetter(
            key=_letter_key(sighting.key),
            direction="in",
            profile_id=profile_id or "",
            object=sighting.key.object,
            record_id=sighting.key.id,
            result="refused",
            code=code,
            message=message[: limits.REASON_CHARACTERS_MAX],
            properties=tuple(sighting.values),
            at_ms=time.time_ns() // 1_000_000,
        )
        self._ledger.bury(commit, letter)


def _letter_key(key: RecordKey) -> str:
    return f"in/{key.object}/{key.id}"


def _field_values(mapped: ObjectMapping, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields' values of a record's mapped properties; raises FormError."""
    by_property = mapped.by_property
    return {
        name: by_property[name].from_vendor(value)
        for name, value in raw.items()
        if name in by_property and by_property[name].is_pulled
    }
