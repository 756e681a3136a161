"""Every bound of write streams and their clients, each with its unit and reason."""

from typing import Final

from crdtstore import limits

STREAM_BATCH_WRITES_MAX: Final = 500
"""Writes in one message of a write stream: about 10 ms of the replica's event loop, in turns."""

STREAM_TURN_S: Final = 0.004
"""A replica applies writes for so long before it looks what else there is to do."""

STREAM_ASKED_TURN_S: Final = 0.002
"""So long while there are requests over HTTP, each of which waits for such a turn or two. With
half a millisecond, what comes with each turn was so large a part of it that writes had to
wait."""

STREAM_BATCH_BYTES: Final = 128 * limits.KIBIBYTE
"""A client gathers writes into one message up to about this size."""

STREAM_WRITE_BYTES_MAX: Final = 256 * limits.KIBIBYTE
"""Bytes of one write on a stream: somewhat more than a write may have in a frame."""

STREAM_MESSAGE_BYTES_MAX: Final = 512 * limits.KIBIBYTE
"""Bytes of one message of a write stream: read whole, as empty lists it takes 37 MB of memory."""

STREAM_WINDOW_WRITES: Final = 16_384
"""Writes of one client that wait for their results: a fifth of a second of them at full speed."""

STREAM_WINDOW_BYTES: Final = 2 * limits.MEBIBYTE
"""Bytes of one client's writes that wait for their results: bounds memory at both ends."""

STREAMS_MAX: Final = 128
"""Write streams of one replica at one time: with their windows full they hold 256 MiB."""

STREAM_SESSIONS_MAX: Final = 10_000
"""Clients that a replica remembers, connected or not: about 300 bytes of memory each."""

STREAM_SESSION_IDLE_MS_MAX: Final = 3_600_000
"""A client that was not connected for this long is forgotten: twice the longest patience."""

STREAM_PING_S: Final = 5.0
"""A client that has nothing to send says so this often."""

STREAM_IDLE_S_MAX: Final = 15.0
"""An end of a write stream that says nothing for this long is gone: it missed two pings."""

REFUSAL_TEXT_MAX: Final = 500
"""Characters of the text of one refused write: a sentence, even with a long name in it."""

REFUSALS_KEPT_MAX: Final = 1_000
"""Refused writes that a client keeps for its next flush to tell; the number counts all."""

CLIENT_PATIENCE_S_DEFAULT: Final = 60.0
"""How long writes wait for a replica that is out of reach: a restart takes a few seconds."""

CLIENT_PATIENCE_S_MAX: Final = 1_800.0
"""Longest patience of a client: half the time after which its replica forgets it."""

SUBMITS_PER_TURN: Final = 250
"""Submitted writes after which a client gives its own connection a turn, not to fall silent."""

SYNC_BUFFER_WRITES_MAX: Final = 4_096
"""Writes that threads of a synchronous client hand over at a time."""
