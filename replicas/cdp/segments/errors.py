"""What can be wrong with segments."""

from crdtstore.errors import ConfigurationError, InvalidInput, Refused


class SegmentInvalid(InvalidInput, ConfigurationError):
    """A definition is wrong; ``place`` says where, as ``segments.vip.all[2]``,
    ``message`` what."""

    code = "segment-invalid"

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place
        self.message = message


class SegmentUnknown(Refused, LookupError):
    """There is no segment of this name."""

    code = "segment-unknown"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no segment {name!r}")
        self.name = name
