"""Positions: how far each trait was folded, kept in the commits of what was folded.

Profiles are divided into slices by a checksum of their ids. A track is what has come equally far:
some traits, with a position in the log for each slice. Most often there is one track; traits that
are new make another one, which starts with the log and ends when it has caught up.
"""

from collections.abc import Iterable, Mapping
from zlib import crc32

import msgspec

from replicas.cdp import limits
from replicas.cdp.errors import DefinitionInvalid
from replicas.cdp.traits.definitions import Definition


def slice_of(profile_id: str) -> int:
    """Return the number of the slice of a profile."""
    return crc32(profile_id.encode()) % limits.FOLD_SLICES


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """By which version of its definition a trait is folded, and the digest of that."""

    version: int
    digest: str


class TrackNote(msgspec.Struct, array_like=True):
    """The traits of a track, and how far it has come in each slice."""

    marks: dict[str, Mark]
    positions: list[int]

    @property
    def position(self) -> int:
        """Up to where everything is folded."""
        return min(self.positions)


class Note(msgspec.Struct, array_like=True):
    """All tracks, of which log, and under which origin of the replica they were folded."""

    log_id: str
    origin: str
    tracks: list[TrackNote]

    def packed(self) -> bytes:
        """Return the note as bytes."""
        return _encoder.encode(self)

    def with_positions(self, changed: Mapping[int, list[int]]) -> "Note":
        """Return the note with other positions of some tracks, by their place."""
        tracks = [
            TrackNote(track.marks, changed.get(place, track.positions))
            for place, track in enumerate(self.tracks)
        ]
        return Note(self.log_id, self.origin, tracks)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Note)


def unpack_note(packed: bytes | None, log_id: str, origin: str) -> Note:
    """Return the note of some bytes; that of another log has positions before its beginning."""
    if packed is None:
        return Note(log_id, origin, [])
    note = _decoder.decode(packed)
    if note.log_id != log_id:
        note.log_id = log_id
        for track in note.tracks:
            track.positions = [0] * limits.FOLD_SLICES
    return note


def skip_former_life(note: Note, origin: str, last_sequence: int) -> bool:
    """Leave to a former origin what the log holds by now; say whether there was another one.

    A restored or copied replica has a new origin, and cannot know how much of the log its former
    life folded after it was copied: nothing is to be counted twice.
    """
    if note.origin == origin:
        return False
    note.origin = origin
    for track in note.tracks:
        track.positions = [last_sequence] * limits.FOLD_SLICES
    return True


def adjust(note: Note, definitions: Iterable[Definition], last_sequence: int) -> None:
    """Bring a note in line with the definitions; raises DefinitionInvalid.

    New traits, and new versions, get a track that starts with the log. Those that are no longer
    defined keep their positions: if they come back, they go on from there.
    """
    new: dict[str, Mark] = {}
    for definition in definitions:
        mark = Mark(definition.version, definition.digest)
        track = next((each for each in note.tracks if definition.name in each.marks), None)
        if track is None:
            new[definition.name] = mark
            continue
        known = track.marks[definition.name]
        if mark.version < known.version or (mark.version == known.version and mark != known):
            raise DefinitionInvalid(
                f"traits.{definition.name}: was folded by another definition of version "
                f"{known.version}; write version = {known.version + 1}, and it is folded anew "
                "from the log"
            )
        if mark != known:
            del track.marks[definition.name]
            new[definition.name] = mark
    if new:
        note.tracks.append(TrackNote(new, [0] * limits.FOLD_SLICES))
    for track in note.tracks:  # a log that was restored from a copy gives numbers anew
        track.positions = [min(position, last_sequence) for position in track.positions]
    unite_equal(note)


def unite_equal(note: Note) -> None:
    """Make one track of those that have come equally far; the furthest comes first."""
    united: dict[tuple[int, ...], TrackNote] = {}
    for track in note.tracks:
        if not track.marks:
            continue
        place = tuple(track.positions)
        if place in united:
            united[place].marks.update(track.marks)
        else:
            united[place] = track
    note.tracks = sorted(united.values(), key=lambda track: -track.position)
