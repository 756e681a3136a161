"""Bounds of what editors of one text may say, each with its unit and reason."""

from typing import Final

from crdtstore.limits import KIBIBYTE, MEBIBYTE

DELTA_OPS_MAX: Final = 10_000
"""Operations in one delta: a page of text with every word formatted anew has a few hundred."""

DELTA_UNITS_MAX: Final = 2**31 - 1
"""UTF-16 units that one operation retains or deletes: clocks of Yjs end there too."""

INSERT_UNITS_MAX: Final = 64 * KIBIBYTE
"""UTF-16 units that one delta inserts: a chapter pasted at one time; more is an import."""

ATTRIBUTES_MAX: Final = 32
"""Attributes of one operation: the toolbar of Quill has sixteen."""

ATTRIBUTE_NAME_BYTES_MAX: Final = 64
"""UTF-8 bytes of an attribute's name: it is repeated at every change of format."""

ATTRIBUTE_VALUE_BYTES_MAX: Final = 4 * KIBIBYTE
"""JSON bytes of an attribute's value or of an embed: an address of a picture, not the picture."""

ATTRIBUTE_DEPTH_MAX: Final = 4
"""Nesting of an attribute's value or of an embed."""

SYNC_MESSAGE_BYTES_MAX: Final = 2 * MEBIBYTE
"""Bytes of one message of a Yjs client: a whole text, as it comes back from a long time offline."""

AWARENESS_CLIENTS_MAX: Final = 256
"""Clients in one awareness update, and clients whose presence in one text is remembered."""

AWARENESS_STATE_BYTES_MAX: Final = 4 * KIBIBYTE
"""UTF-8 bytes of one client's awareness state: a name, a colour, a cursor."""

NUMBER_MAX: Final = 2**53 - 1
"""Numbers of a Yjs client, its id among them, are integers that JavaScript holds exactly."""

STATE_VECTOR_CLIENTS_MAX: Final = 50_000
"""Clients in a state vector: one for every time that somebody opened the text and wrote in it."""
