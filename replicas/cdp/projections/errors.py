"""What can go wrong between a projection and its target."""

from crdtstore.errors import CrdtstoreError


class TargetUnavailable(CrdtstoreError):
    """The target cannot be reached, or does not do what it is asked: it is tried again."""

    code = "target-unavailable"


class TargetTaken(CrdtstoreError):
    """Another replica keeps this target: give this one a place of its own, or rebuild it."""

    code = "target-taken"

    def __init__(self, target: str, name: str) -> None:
        super().__init__(
            f"{target} is kept by replica {name!r}: give this one a place of its own, or have it "
            "rebuilt from here"
        )


class PositionMoved(CrdtstoreError):
    """What the target says of itself is not what was written last: it is looked at anew."""

    code = "position-moved"
