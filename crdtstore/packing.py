"""Packing: msgpack from elsewhere, measured before it is believed.

msgpack makes room for as many items as an array claims to have before it has read one of them:
three bytes take 120 KB, and arrays inside arrays take it again at each level, so that 3 KB end up
at 80 MB. Bytes that do hold what they claim cost a bounded number of bytes each.
"""

from typing import Final

import msgpack

_FEW_BYTES: Final = 256
"""So few bytes take at most 200 KB: a third of them are arrays that each claim as many items."""


def check_claims(packed: bytes) -> None:
    """Check that bytes hold one object with all the items that it claims; raises ValueError.

    Nothing is made of the items: it takes a twentieth of the time of unpacking them.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=len(packed))
    unpacker.feed(packed)
    try:
        unpacker.skip()
    except msgpack.OutOfData:
        raise ValueError("it ends before all that it claims to hold") from None
    except msgpack.UnpackException as error:
        raise ValueError(f"it is no msgpack: {type(error).__name__}") from None
    if unpacker.tell() != len(packed):
        raise ValueError(f"{len(packed) - unpacker.tell():,} bytes follow its end")


def check_claims_of_value(packed: bytes) -> None:
    """Check that bytes which are to be unpacked alone claim no more than they can hold.

    Then msgpack refuses an array of more items than there are bytes. A few bytes need no look: they
    can claim no more than that at each of their levels. Raises ValueError.
    """
    if len(packed) > _FEW_BYTES:
        check_claims(packed)


def extension(code: int, data: bytes) -> msgpack.ExtType:
    """Return what an unpacker found as an ExtType, in a third of the time that its own way takes.

    It is not checked: whoever looks at it checks its code.
    """
    return tuple.__new__(msgpack.ExtType, (code, data))
