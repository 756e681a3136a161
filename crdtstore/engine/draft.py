"""Draft: what the next commit makes durable, and what it takes to go back."""

from dataclasses import dataclass, field

from crdtstore.engine.causes import RowUndo
from crdtstore.engine.text_watches import TextNotice
from crdtstore.model.document import UndoLog
from crdtstore.sync.vector import Head, Vector


@dataclass(slots=True)
class Draft:
    """What the next commit makes durable.

    ``records`` are journal records in order, ``reached`` what they bring each origin to, ``undo``,
    ``heads_before``, ``causes_before`` and ``rested_before`` what it takes to go back, the last for
    origins that came to rest or woke up. ``resting`` are the ids of documents that must rest with
    this commit, of which the first ``packed_ahead`` are packed; ``has_joined`` says that some are
    of a peer, and so not in the journal, ``healed`` are those of them that were damaged. ``meta``
    are named records, ``notices`` what watches of texts are told then, ``writes`` is the number of
    local writes and ``erasures`` how many of them erase. ``has_woken`` says that an origin did.
    """

    records: list[bytes] = field(default_factory=list)
    reached: Vector = field(default_factory=dict)
    undo: UndoLog = field(default_factory=list)
    heads_before: dict[int, Head] = field(default_factory=dict)
    causes_before: RowUndo = field(default_factory=list)
    rested_before: dict[int, Head | None] = field(default_factory=dict)
    resting: list[str] = field(default_factory=list)
    packed_ahead: int = 0
    has_joined: bool = False
    healed: list[str] = field(default_factory=list)
    meta: dict[str, bytes | None] = field(default_factory=dict)
    notices: list[TextNotice] = field(default_factory=list)
    writes: int = 0
    erasures: int = 0
    has_woken: bool = False

    @property
    def has_news(self) -> bool:
        """Whether there is something to commit but documents that shall rest."""
        return bool(self.records or self.meta or self.rested_before or self.has_joined)

    def join(self, profile_ids: list[str]) -> None:
        """Take note that documents of a peer were joined."""
        self.resting += profile_ids
        self.has_joined = True

    def leave_resting(self, next_draft: "Draft") -> None:
        """Leave it to the next commit to bring documents to rest."""
        assert not self.has_joined
        next_draft.resting, next_draft.packed_ahead = self.resting, self.packed_ahead
        self.resting, self.packed_ahead = [], 0
