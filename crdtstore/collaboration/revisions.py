"""Revisions: rich texts for clients that have no CRDT, edited by deltas against a revision.

A client holds a text at a revision. It sends what it changed as a delta, and gets the new revision
and what others changed meanwhile, transformed: its own text, changed by that, is the text at the
new revision. Where two wrote at one place, what the store had first stands first.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from crdtstore import limits
from crdtstore.engine.followed_text import FollowedText, revision_of
from crdtstore.engine.listing import living_document
from crdtstore.engine.named_edits import NamedEdit, NamedEdits, name_of_edit
from crdtstore.errors import KindConflict, Refused
from crdtstore.group_commit import GroupCommit
from crdtstore.model.delta import Delta, compose, invert, transform
from crdtstore.model.delta_forms import delta_of, operations_of
from crdtstore.model.operations import EditText
from crdtstore.model.shared import NativeFault
from crdtstore.model.texts import Text
from crdtstore.model.update_contents import TEXT
from crdtstore.names import check_field_name, check_name, check_profile_id
from crdtstore.store import Store


@dataclass(frozen=True, slots=True)
class RevisedText:
    """A rich text at a revision, as the operations of the delta that makes it."""

    revision: str
    delta: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class RevisedEdit:
    """What became of an edit: the profile's version, the text's revision, what others changed."""

    version: str
    revision: str
    meanwhile: list[dict[str, Any]]


class RevisionUnknown(Refused):
    """What changed since a revision is not known here; ``text`` is the text as it is now.

    ``is_kept`` says that the edit was made before, under its id: it is in the text.
    """

    code = "revision-unknown"

    def __init__(self, revision: str, text: RevisedText, *, is_kept: bool = False) -> None:
        super().__init__(
            f"what changed since revision {revision[:40]!r} is not known at this replica, or not "
            f"any more; go on from the text as it is now, at revision {text.revision}"
            + (", which has this edit already" if is_kept else "")
        )
        self.text = text
        self.is_kept = is_kept


class Revisions:
    """The texts of one store that are edited by deltas, followed for as long as there is room."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._followed: OrderedDict[tuple[str, str], tuple[int, FollowedText]] = OrderedDict()
        self._commits_failed = 0
        self._forgotten = 0
        self._named = NamedEdits(store.cursors.notes)
        self._answers: OrderedDict[str, RevisedEdit] = OrderedDict()

    def __len__(self) -> int:
        return len(self._followed)

    @property
    def native_faults(self) -> int:
        """How often pycrdt's account of a change was not one, for the texts that are followed."""
        return sum(text.native_faults for _, text in self._followed.values())

    def read(self, profile_id: str, field: str) -> RevisedText:
        """Return a text and its revision.

        Raises ProfileNotFound, ProfileErased, KindConflict or StorageCorrupt.
        """
        living_document(self._store.documents, profile_id)
        followed = self._up_to_date(profile_id, field)
        return _text_of(followed)

    def edit(
        self,
        profile_id: str,
        field: str,
        delta: list[Any],
        *,
        revision: str,
        source: str,
        edit_id: str = "",
    ) -> RevisedEdit:
        """Make a change of the text at a revision ("" for the empty text of a new field).

        One with an ``edit_id`` is made once, however often it comes: it is answered as it was, or
        by RevisionUnknown with ``is_kept``. Raises InvalidInput or Refused, RevisionUnknown among
        them, with nothing changed.
        """
        wanted = delta_of(delta)
        followed = self._up_to_date(profile_id, field)
        key = ""
        if edit_id:
            check_name(edit_id, "the id of an edit", limits.EDIT_ID_BYTES_MAX)
            epoch = self._store.documents.get(profile_id).epoch
            key = name_of_edit(profile_id, epoch, field, source, edit_id)
            if self._named.find(key) is not None:
                return self._answered(key, followed, revision)
        others = followed.since(revision) if revision else followed.document
        if others is None:
            raise RevisionUnknown(revision, _text_of(followed))
        mine = transform(others, wanted, first_is_first=True)
        meanwhile = transform(wanted, others, first_is_first=False)
        before = followed.document
        operation = EditText(tuple(operations_of(mine)), "utf-16")
        result = self._store.write(profile_id, {field: operation}, source=source)
        made = self._advance(followed, profile_id, field)
        if compose(before, mine) != followed.document:
            meanwhile = compose(meanwhile, compose(invert(mine, before), made))
        edit = RevisedEdit(result.version, followed.revision, operations_of(meanwhile))
        if key:
            self._named.keep(key, NamedEdit(edit.version, edit.revision))
            self._remember(key, edit)
        return edit

    def _answered(self, key: str, followed: FollowedText, revision: str) -> RevisedEdit:
        """Return the answer to an edit that was made before; raises RevisionUnknown."""
        answer = self._answers.get(key)
        if answer is None:
            raise RevisionUnknown(revision, _text_of(followed), is_kept=True)
        return answer

    def _remember(self, key: str, edit: RevisedEdit) -> None:
        if len(repr(edit.meanwhile)) <= limits.NAMED_ANSWER_BYTES_MAX:
            self._answers[key] = edit
        while len(self._answers) > limits.NAMED_ANSWERS_MAX:
            self._answers.popitem(last=False)

    def forget_erased(self) -> None:
        """Drop the texts of profiles that were erased, once the store has dropped them too."""
        documents = self._store.documents
        if self._forgotten != documents.texts.forgotten:
            self._forgotten = documents.texts.forgotten
            self._answers.clear()
            for place, (epoch, _) in list(self._followed.items()):
                if documents.get_to_join(place[0]).epoch != epoch:
                    del self._followed[place]

    def _up_to_date(self, profile_id: str, field: str) -> FollowedText:
        """Return a text as it is now, with what led there from earlier revisions if possible."""
        place = profile_id, field
        failed = self._store.counters["commits_failed"]
        if failed != self._commits_failed:  # what they held was taken back, here too
            self._commits_failed = failed
            self._followed.clear()
            self._answers.clear()
            self._named.forget()
        epoch, text = self._text(profile_id, field)
        known_epoch, followed = self._followed.pop(place, (epoch, FollowedText()))
        clocks = text.clocks
        has_lost = any(clocks.get(client, 0) < clock for client, clock in followed.clocks.items())
        if known_epoch != epoch or has_lost:
            followed = FollowedText()
        self._followed[place] = epoch, followed
        self._advance(followed, profile_id, field)
        self._forget_oldest()
        return followed

    def _advance(self, followed: FollowedText, profile_id: str, field: str) -> Delta:
        """Bring a followed text up to date; return what that changes."""
        epoch, text = self._text(profile_id, field)
        revision = revision_of(epoch, text.clocks, text.missing(text.clocks))
        if followed.revision == revision:
            return ()
        try:
            return followed.advance(text.missing(followed.clocks), text.clocks, revision)
        except NativeFault:
            self._followed.pop((profile_id, field), None)
            raise

    def _text(self, profile_id: str, field: str) -> tuple[int, Text]:
        check_profile_id(profile_id)
        check_field_name(field)
        store = self._store
        texts = store.texts  # which says so where nothing may be read yet
        kind = store.schema.kind_of(field) or texts.kind(profile_id, field)
        if kind != TEXT:
            raise KindConflict(f"field {field!r} is a {kind}, not a text")
        document = store.documents.get(profile_id)
        if document.epoch % 2:
            store.read(profile_id)
        return document.epoch, store.documents.texts.get(profile_id, document, TEXT[0] + field)

    def _forget_oldest(self) -> None:
        followed = self._followed
        size = sum(text.size_bytes for _, text in followed.values())
        while size > limits.FOLLOWED_TEXTS_BYTES and len(followed) > 1:
            size -= followed.popitem(last=False)[1][1].size_bytes


def _text_of(followed: FollowedText) -> RevisedText:
    return RevisedText(followed.revision, operations_of(followed.document))


class ReplicaRevisions:
    """The texts of a running replica that are edited by deltas against a revision."""

    def __init__(self, store: Store, commits: GroupCommit) -> None:
        self._revisions = Revisions(store)
        self._commits = commits

    def forget_erased(self) -> None:
        """Drop the texts of profiles that were erased; to be called now and then."""
        self._revisions.forget_erased()

    async def read(self, profile_id: str, field: str) -> RevisedText:
        """Return a text and its revision when that is durable.

        Raises ProfileNotFound, ProfileErased, KindConflict or StorageError.
        """
        text = self._revisions.read(profile_id, field)
        await self._commits.durable()
        return text

    async def edit(
        self,
        profile_id: str,
        field: str,
        delta: list[Any],
        *,
        revision: str,
        source: str,
        edit_id: str = "",
    ) -> RevisedEdit:
        """Make a change of the text at a revision; return what became of it when it is durable.

        ``delta`` has the form of Quill, its lengths in UTF-16 units; ``revision`` is "" for a field
        that is new. The text that the caller had, changed by ``delta`` and then by ``meanwhile``,
        is the text at the new revision. An edit whose answer was lost may come again under its
        ``edit_id``, as ``Revisions.edit`` says. Raises InvalidInput or Refused, RevisionUnknown
        among them, with nothing changed; StorageError.
        """
        try:
            edit = self._revisions.edit(
                profile_id, field, delta, revision=revision, source=source, edit_id=edit_id
            )
        except RevisionUnknown as unknown:
            if unknown.is_kept:
                await self._commits.durable()
            raise
        await self._commits.durable()
        return edit
