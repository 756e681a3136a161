"""The errors of persons and erasures: leaves of the tree in ``crdtstore.errors``."""

from crdtstore.errors import ConfigurationError, InvalidInput, Refused


class LibraryMissing(InvalidInput, ConfigurationError):
    """An identifier of this type needs a library that is not installed on this replica."""

    code = "library-missing"

    def __init__(self, what: str, library: str) -> None:
        super().__init__(
            f"{what} is normalised by the library {library}, which this replica does not have: "
            "pip install crdtstore[identity]"
        )
        self.library = library


class IdentifierSuppressed(Refused):
    """An erasure suppresses an identifier that the write would bring back; it does not name it."""

    code = "identifier-suppressed"

    def __init__(self, profile_id: str, kind: str) -> None:
        super().__init__(
            f"profile {profile_id!r} cannot hold this {kind}: it was erased, and is not to come "
            "back; lift the erasure first if its person wishes so"
        )
        self.profile_id = profile_id
        self.kind = kind


class ErasureNotFound(Refused, LookupError):
    """No erasure of this id is known here."""

    code = "erasure-not-found"

    def __init__(self, erasure_id: str) -> None:
        super().__init__(f"no erasure {erasure_id!r} is known here")
        self.erasure_id = erasure_id


class PersonAmbiguous(Refused):
    """An identifier leads to several persons; say which by a profile of theirs."""

    code = "person-ambiguous"

    def __init__(self, kind: str, persons: tuple[str, ...]) -> None:
        super().__init__(
            f"several persons hold this {kind}: {', '.join(persons)}; name one by a profile's id"
        )
        self.persons = persons


class ReplicaReturning(Refused):
    """The replica was restored from a backup, and has not heard yet who was erased since."""

    code = "replica-returning"

    def __init__(self) -> None:
        super().__init__(
            "the replica was restored from a backup, and shows nothing before it has met a peer "
            "and erased whom it was to erase; if there is no other, restore the backup --alone"
        )
