"""The errors of crdtstore: one small tree, whose first level says who must act.

CrdtstoreError
  InvalidInput        the caller: the input is wrong, and changing nothing but it will help
    InvalidValue  InvalidName  InvalidOperation  UnknownSource  KindConflict
    LimitExceeded  SchemaError  InvalidFilter (crdtstore.query.refusals)
  Refused             the caller: the input is well formed, but the state does not allow it
    ProfileNotFound  ProfileErased  VersionMismatch  CursorExpired  PeerNotLinked
    RepairUnderWay  ReplicaUnknown  ReplicaRemoved  PersonNotFound  MergeRefused
  StorageError        the operator: the disk, the directory, the file
    StorageFull  StorageFailed  StorageCorrupt  DirectoryInUse  FormatTooNew  SpaceMismatch
    BackupInvalid  TargetExists  ReplicaFenced
  ProtocolError       the peer: what it sent cannot be accepted
    MessageInvalid  FrameCorrupt  FrameForked  WrongSpace  WrongProtocolVersion
    ClockSkew  IdentityClash  LinkedToSelf  ReplicaRemoved
  ClientError         the caller: a client and its replica could not go on together
    ReplicaUnreachable  ReplicaBusy  AccessDenied  NotUnderstood  SessionExpired  SessionTaken
    WritesRefused  ClientClosed
  ConfigurationError  the operator: a setting is wrong
  PolicyFailed        the author of a survivorship policy: it did not choose a candidate
  ReplicaClosed       the caller: the replica was closed
"""

from typing import ClassVar


class CrdtstoreError(Exception):
    """Anything that crdtstore raises on purpose.

    ``code`` is a stable kebab-case name of the error, used in HTTP problems and logs.
    """

    code: ClassVar[str] = "error"


class InvalidInput(CrdtstoreError, ValueError):
    """The input is wrong; nothing was changed."""

    code = "invalid-input"


class InvalidValue(InvalidInput):
    """A value cannot be stored: NaN, an integer beyond 64 bits, a lone surrogate …"""

    code = "invalid-value"


class InvalidName(InvalidInput):
    """A name is empty, too long, or has control characters."""

    code = "invalid-name"


class InvalidOperation(InvalidInput):
    """An operation on a field is malformed or unknown."""

    code = "invalid-operation"


class UnknownSource(InvalidInput):
    """The schema declares its sources, and this is none of them."""

    code = "unknown-source"


class KindConflict(InvalidInput):
    """An operation does not fit the kind of the field."""

    code = "kind-conflict"


class LimitExceeded(InvalidInput):
    """Something is larger than its limit: ``subject``, ``size`` and ``limit`` say what."""

    code = "limit-exceeded"

    def __init__(self, subject: str, size: int, limit: int, unit: str) -> None:
        super().__init__(f"{subject} has {size:,} {unit}; the limit is {limit:,}")
        self.subject = subject
        self.size = size
        self.limit = limit
        self.unit = unit


class SchemaError(InvalidInput):
    """A schema contradicts itself or names an unknown kind, policy or option."""

    code = "schema-error"


class Refused(CrdtstoreError):
    """The state of the store does not allow the request; nothing was changed."""

    code = "refused"


class ProfileNotFound(Refused, LookupError):
    """No document is stored under this profile id."""

    code = "profile-not-found"

    def __init__(self, profile_id: str) -> None:
        super().__init__(f"profile {profile_id!r} is not known here")
        self.profile_id = profile_id


class ProfileErased(Refused):
    """The profile was erased; it takes no writes until it is revived."""

    code = "profile-erased"

    def __init__(self, profile_id: str) -> None:
        super().__init__(f"profile {profile_id!r} was erased; revive it before writing to it")
        self.profile_id = profile_id


class VersionMismatch(Refused):
    """The profile has changed since the version that the write names; read it again."""

    code = "version-mismatch"

    def __init__(self, profile_id: str, expected: str, actual: str | None) -> None:
        now = f"at version {actual}" if actual else "absent"
        super().__init__(
            f"profile {profile_id!r} is {now}, not at {expected!r}; read it again and retry"
        )
        self.profile_id = profile_id
        self.expected = expected
        self.actual = actual


class CursorExpired(Refused):
    """The journal no longer reaches back to the cursor; read all profiles, then follow."""

    code = "cursor-expired"


class PeerNotLinked(Refused, LookupError):
    """No open link leads to this peer."""

    code = "peer-not-linked"

    def __init__(self, peer: str) -> None:
        super().__init__(f"no open link leads to peer {peer!r}; /v1/peers lists those there are")
        self.peer = peer


class RepairUnderWay(Refused):
    """A repair runs already, or a snapshot is being received; wait for its end."""

    code = "repair-under-way"


class PersonNotFound(Refused, LookupError):
    """No profile here holds this identifier, or it is one that points to nobody."""

    code = "person-not-found"

    def __init__(self, identifier: str, reason: str = "no profile here holds it") -> None:
        super().__init__(f"{identifier!r} leads to no person: {reason}")
        self.identifier = identifier


class MergeRefused(Refused):
    """The rules keep two profiles apart, whatever a steward says; nothing was changed."""

    code = "merge-refused"

    def __init__(self, profile_id: str, other_id: str, reason: str) -> None:
        super().__init__(
            f"profiles {profile_id!r} and {other_id!r} cannot be of one person: {reason}"
        )
        self.profile_id = profile_id
        self.other_id = other_id


class ReplicaUnknown(Refused, LookupError):
    """No replica of this name is known here."""

    code = "replica-unknown"

    def __init__(self, name: str) -> None:
        super().__init__(f"no replica {name!r} is known here; /v1/replicas lists those that are")
        self.name = name


class StorageError(CrdtstoreError):
    """The data directory needs an operator."""

    code = "storage-error"


class StorageFull(StorageError):
    """The disk or the map is full; nothing of this write was kept, and reads go on."""

    code = "storage-full"


class StorageFailed(StorageError):
    """The disk reported a failure; the store stops writing until it is opened again."""

    code = "storage-failed"


class ReplicaFenced(StorageError):
    """The replica found another history under its identity, and takes no writes until restarted."""

    code = "replica-fenced"


class StorageCorrupt(StorageError):
    """A file or a record does not have the bytes that were written."""

    code = "storage-corrupt"


class DirectoryInUse(StorageError):
    """Another process (or another store in this one) has the data directory open."""

    code = "directory-in-use"


class FormatTooNew(StorageError):
    """The data directory was written by a newer crdtstore."""

    code = "format-too-new"


class SpaceMismatch(StorageError):
    """The data directory belongs to another space."""

    code = "space-mismatch"


class BackupInvalid(StorageError):
    """A file is no backup, or not the whole of one as it was written."""

    code = "backup-invalid"


class TargetExists(StorageError):
    """What a backup or a restore would make is there already; it is left alone."""

    code = "target-exists"


class ProtocolError(CrdtstoreError):
    """What a peer sent cannot be accepted; the link is closed with this reason."""

    code = "protocol-error"


class MessageInvalid(ProtocolError):
    """A message is malformed, oversized, or not allowed in this state."""

    code = "message-invalid"


class FrameCorrupt(ProtocolError):
    """A frame's bytes do not match its hash, its space or its form."""

    code = "frame-corrupt"


class FrameForked(ProtocolError):
    """Two different frames claim one place in an origin's history: a clone or a rollback."""

    code = "frame-forked"


class WrongSpace(ProtocolError):
    """The peer serves another space."""

    code = "wrong-space"


class WrongProtocolVersion(ProtocolError):
    """The peer speaks another version of the protocol."""

    code = "wrong-protocol-version"


class ClockSkew(ProtocolError):
    """Clocks of two replicas differ by more than the limit."""

    code = "clock-skew"


class IdentityClash(ProtocolError):
    """Two live processes use one identity: both take no more writes."""

    code = "identity-clash"


class LinkedToSelf(ProtocolError):
    """A replica was linked to itself: its list of peers is wrong."""

    code = "linked-to-self"


class ReplicaRemoved(Refused, ProtocolError):
    """A replica was removed from its space: its links are refused, and it takes no writes."""

    code = "replica-removed"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"replica {name!r} was removed from the space; start it with an empty directory "
            "under a new name"
        )
        self.name = name


class ClientError(CrdtstoreError):
    """A client and its replica could not go on together."""

    code = "client-error"


class ReplicaUnreachable(ClientError, ConnectionError):
    """The replica was out of reach for longer than the client's patience.

    Writes that were sent and not answered may have been kept: ``Client.unanswered`` has them.
    """

    code = "replica-unreachable"


class ReplicaBusy(ClientError):
    """The replica has as many clients as it takes; it is asked again."""

    code = "replica-busy"


class AccessDenied(ClientError, PermissionError):
    """The replica does not let this client in: the token is missing or wrong."""

    code = "access-denied"


class NotUnderstood(ClientError):
    """What answers at the address is no replica that understands this client."""

    code = "not-understood"


class SessionExpired(ClientError):
    """The replica no longer knows which of a client's writes it has; none was applied again.

    It was idle for too long, or the replica's data was restored. Writes that were sent and not
    answered may have been kept: ``Client.unanswered`` has them.
    """

    code = "session-expired"


class SessionTaken(ClientError):
    """Another connection goes on with this client's session: the process was copied."""

    code = "session-taken"


class WritesRefused(ClientError):
    """Some of the submitted writes were refused; all others are durable.

    ``refusals`` has (profile id, error) of the first ones, ``count`` the number of all.
    """

    code = "writes-refused"

    def __init__(self, refusals: tuple[tuple[str, CrdtstoreError], ...], count: int) -> None:
        profile_id, error = refusals[0]
        super().__init__(f"{count:,} of the writes were refused; first {profile_id!r}: {error}")
        self.refusals = refusals
        self.count = count


class ClientClosed(ClientError):
    """The client was closed, or not entered, and takes no calls."""

    code = "client-closed"


class ConfigurationError(CrdtstoreError):
    """A setting is missing, unknown or contradicts another."""

    code = "configuration-error"


class PolicyFailed(CrdtstoreError):
    """A survivorship policy of your own did not return one of its candidates."""

    code = "policy-failed"


class ReplicaClosed(CrdtstoreError):
    """The replica was closed and takes no more calls."""

    code = "replica-closed"
