"""Revisions: rich texts for clients that have no CRDT, edited by deltas against a revision.

A client holds a text at a revision. It sends what it changed as a delta, and gets the new revision
and what others changed meanwhile, transformed: its own text, changed by that, is the text at the
new revision. Who edits by a delta comes after those whose edits were there first.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crdtstore import limits
from crdtstore.editing.delta import Delta, compose, invert, transform
from crdtstore.editing.delta_forms import delta_of, operations_of
from crdtstore.engine.followed_text import FollowedText, revision_of
from crdtstore.errors import Refused
from crdtstore.model.operations import EditText
from crdtstore.store import Store


class RevisionUnknown(Refused):
    """A revision is too old, or not of this text; ``text`` is the text as it is now."""

    code = "revision-unknown"

    def __init__(self, revision: str, text: "RevisedText") -> None:
        super().__init__(
            f"what changed since revision {revision[:40]!r} is not known here any more; go on from "
            f"the text as it is now, at revision {text.revision}"
        )
        self.text = text


@dataclass(frozen=True, slots=True)
class RevisedText:
    """A rich text at a revision, as the operations of a delta that makes it."""

    revision: str
    delta: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class RevisedEdit:
    """What became of an edit: the profile's version, the text's revision, what others changed."""

    version: str
    revision: str
    meanwhile: list[dict[str, Any]]
