"""Errors of conflicts: what a steward may be told who decides one."""

from crdtstore.errors import Refused


class ConflictNotFound(Refused, LookupError):
    """The conflict log of this replica has no such entry, or no more."""

    code = "conflict-not-found"

    def __init__(self, conflict_id: str) -> None:
        super().__init__(
            f"conflict {conflict_id!r} is not in this replica's log; newer ones may have driven it "
            "out, or the profile was erased"
        )
        self.conflict_id = conflict_id


class ConflictSettled(Refused):
    """A conflict was settled already, by a write whose author had seen what lost."""

    code = "conflict-settled"

    def __init__(self, conflict_id: str) -> None:
        super().__init__(
            f"conflict {conflict_id!r} is settled: the field was written anew since; write the "
            "value that you want"
        )
        self.conflict_id = conflict_id
